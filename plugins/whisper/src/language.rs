//! Languages: codes, and which of them a request may be in.

use jnana_plugin_sdk::Error;

pub(crate) const ENGLISH: &str = "en";

/// The code of a language given by code or English name, in any case: `DE`, `german`.
pub(crate) fn code(language: &str) -> Option<&'static str> {
    // whisper.cpp takes a C string: a zero inside would cut it (and whisper-rs panics).
    if language.contains('\0') {
        return None;
    }
    whisper_rs::get_lang_id(&language.to_lowercase()).and_then(whisper_rs::get_lang_str)
}

/// What a request's language is known to be before anything is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This one.
    Known(&'static str),
    /// The likeliest of these.
    OneOf(Vec<&'static str>),
}

/// The languages that an instance recognises.
#[derive(Debug, Clone)]
pub(crate) struct Languages {
    /// The model's, in the order of whisper.cpp's ids; English alone for English models.
    known: Vec<&'static str>,
    /// The allow-list; empty for all.
    allowed: Vec<&'static str>,
}

/// The languages of a model with a vocabulary of this size. Each language has a token: a vocabulary that is larger by one
/// knows one more. English models know none by token.
pub(crate) fn known(vocabulary: usize) -> Vec<&'static str> {
    const WITHOUT_LANGUAGES: usize = 51_766;
    const FIRST_MULTILINGUAL: usize = 51_865;
    if vocabulary < FIRST_MULTILINGUAL {
        return vec![ENGLISH];
    }
    let ids = 0..=whisper_rs::get_lang_max_id();
    ids.filter_map(whisper_rs::get_lang_str).take(vocabulary - WITHOUT_LANGUAGES).collect()
}

impl Languages {
    /// Languages that a model knows under an allow-list (empty: all).
    pub(crate) fn new(known: Vec<&'static str>, allowed: Vec<&'static str>) -> Result<Self, Error> {
        let unknown: Vec<_> = allowed.iter().copied().filter(|code| !known.contains(code)).collect();
        if !allowed.is_empty() && unknown.len() == allowed.len() {
            let text = format!(
                "setting languages of the plugin whisper is {allowed:?}, of which the model knows none: it knows {}; change the \
                 list or the model",
                known.join(", ")
            );
            return Err(Error::invalid(text));
        }
        Ok(Self { known, allowed })
    }

    /// The choice for a request that asks for `wanted`.
    pub(crate) fn choose(&self, wanted: Option<&str>) -> Result<Choice, Error> {
        let Some(wanted) = wanted else {
            return Ok(match self.candidates().as_slice() {
                &[only] => Choice::Known(only),
                several => Choice::OneOf(several.to_vec()),
            });
        };
        let code =
            code(wanted).ok_or_else(|| Error::invalid(format!("{wanted:?} is no language Whisper knows")))?;
        let candidates = self.candidates();
        if !candidates.contains(&code) {
            let text =
                format!("language {wanted:?} cannot be recognised here, only {}", candidates.join(", "));
            return Err(Error::invalid(text));
        }
        Ok(Choice::Known(code))
    }

    /// The likeliest candidate; `probabilities` are in the order of whisper.cpp's ids.
    pub(crate) fn likeliest(&self, probabilities: &[f32]) -> Option<&'static str> {
        let candidates = self.candidates();
        let known = self.known.iter().zip(probabilities).filter(|(code, _)| candidates.contains(code));
        known.max_by(|a, b| a.1.total_cmp(b.1)).map(|(code, _)| *code)
    }

    fn candidates(&self) -> Vec<&'static str> {
        let allowed = |code: &&'static str| self.allowed.is_empty() || self.allowed.contains(code);
        self.known.iter().copied().filter(allowed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_tells_the_languages() {
        assert_eq!(known(51_864), ["en"]);
        assert_eq!(known(51_865).len(), 99);
        assert_eq!(known(51_866).last(), Some(&"yue"));
    }

    #[test]
    fn english_models_are_always_english() {
        let languages = Languages::new(known(51_864), Vec::new()).unwrap();
        assert_eq!(languages.choose(None).unwrap(), Choice::Known("en"));
        assert_eq!(languages.choose(Some("English")).unwrap(), Choice::Known("en"));
        assert!(languages.choose(Some("de")).is_err());
        assert!(Languages::new(known(51_864), vec!["de"]).is_err());
    }

    #[test]
    fn the_list_limits_what_may_be_asked_for() {
        let languages = Languages::new(known(51_865), vec!["en", "de"]).unwrap();
        assert_eq!(languages.choose(Some("DE")).unwrap(), Choice::Known("de"));
        assert_eq!(languages.choose(None).unwrap(), Choice::OneOf(vec!["en", "de"]));
        for refused in ["fr", "yue", "klingon", "e\0n", ""] {
            assert!(languages.choose(Some(refused)).is_err(), "{refused:?}");
        }
        let french = Languages::new(known(51_865), vec!["fr"]).unwrap();
        assert_eq!(french.choose(None).unwrap(), Choice::Known("fr"));
    }

    #[test]
    fn the_likeliest_of_the_allowed_wins() {
        let id = |code: &str| whisper_rs::get_lang_id(code).unwrap() as usize;
        let mut probabilities = vec![0.0; 100];
        probabilities[id("yue")] = 0.6;
        probabilities[id("zh")] = 0.3;
        probabilities[id("de")] = 0.1;
        let all = Languages::new(known(51_865), Vec::new()).unwrap();
        assert_eq!(all.likeliest(&probabilities), Some("zh"), "a token that the model lacks was believed");
        let two = Languages::new(known(51_865), vec!["en", "de"]).unwrap();
        assert_eq!(two.likeliest(&probabilities), Some("de"));
    }
}
