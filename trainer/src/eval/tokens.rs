//! Captions to tokens as COCO's evaluation makes them: Stanford's PTBTokenizer (CoreNLP 3.4.1 with `-preserveLines
//! -lowerCase`), after which pycocoevalcap drops punctuation.
//!
//! - Tokens are in lower case. White space separates them; so do quotes, commas, colons, semicolons, single stops,
//!   exclamation and question marks, dashes, ellipses and hyphens outside words, all of which are dropped.
//! - Letters and digits form a word, with single hyphens, underscores and slashes between them: `t-shirt`, `and/or`. A mark
//!   that ends a sentence without a space after it stays inside: `field.the`.
//! - `n't` and `'s 'm 'd 're 've 'll` are tokens of their own, and `cannot`, `gonna`, `wanna`, `gotta`, `lemme`, `gimme`,
//!   `'tis`, `'twas`, `y'all` are two. Other apostrophes stay where a word needs them: `o'clock`, `ma'am`, `'em`.
//! - Numbers keep what is between their digits: `10:30`, `1,000`, `3.5`, and their sign; `23 3/4` is one token with a
//!   no-break space.
//! - A stop stays with what it abbreviates: `u.s.`, `mr.`, `st.`, and a single letter but at the caption's end.
//! - Brackets become `-lrb- -rrb- -lsb- -rsb- -lcb- -rcb-` and are kept: only in capitals are they among what is dropped.
//!   Any other sign is a token, as are several exclamation or question marks together.
//!
//! On 60,596 captions of COCO and Flickr8k it differs from the original in one, where a single letter's stop ends a sentence
//! amid the caption. Left out, as none of those captions has them, are addresses of the web, smileys, entities of HTML, the
//! stop in `no. 7`, and the signs of currencies that the original replaces. It lets a caption's last single letter keep its
//! stop or not by the first words of the next caption, most often not; here a caption's tokens are its own.

use std::sync::LazyLock;

use regex::Regex;

/// What keeps its stop, in any case of letters.
const ABBREVIATIONS: &str = "adj|adm|adv|al|ala|apr|ariz|assn|assoc|asst|atty|aug|ave|bancorp|bhd|bldg|blvd|brig|bros|\
    calif|capt|cf|cie|col|colo|comdr|conn|corp|cos?|cpl|ct|dak|dec|dept|det|drs?|elec|ens|esq|est|etc|ext|feb|fla|fri|ft|\
    ga|gen|gov|hon|inc|ind|insp|intl|invt|jan|jos|jr|jul|jun|kans?|ky|lieut|lt|ltd|maj|mar|md|messrs|mfg|mich|minn|mlle|\
    mme|mo|mon|mont|mrs?|ms|msgr|mt|natl|neb|nev|nov|oct|okla|penn|pfc|ph|plc|pres|prof|pty|pvt|rd|rep|rev|rt|sen|seq|\
    sept?|sfc|sgt|spc|sq|sr|ste?|supt|sys|tel|tenn|thu|thurs|tues?|univ|va|vs|vt|wed|wisc?|wm|wyo";

/// What keeps its stop where it begins with a capital.
const CAPITAL_ABBREVIATIONS: &str = "Ark|Az|Del|Ill|La|Mass|Miss|Ore|Pa|Tex|Wash";

/// Finds the tokens that stay; of several alternatives the first counts. Where one has groups, each is a token.
#[allow(clippy::expect_used, reason = "the pattern is a constant, and every test of this file compiles it")]
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = format!(
        r"(?xi)
          # Two words in one, and what is joined by an apostrophe.
          (can)(not)\b | (gon|wan)(na)\b | (got)(ta)\b | (lem|gim)(me)\b | (['’]t)(is|was)\b | (y['’])(all)\b
        | (\pL*[a-mo-z])?(n['’]t)\b
        | (\w+(?:-\w+)*)(['’](?:s|m|d|re|ve|ll))\b
        | ['’](?:s|m|d|re|ve|ll|em|till?|cause|n)\b ['’]?
        | \pL['’]\pL\pL+ | \pL*[aeiouy]['’][aeiou]\pL*
          # Stops inside, numbers, words.
        | \pL(?:\.\pL)+\b\.?
        | (?-i:[A-Z]+(?:[&+][A-Z]+)+)
        | \pL[\pL\d]*(?:[.!?]\pL[\pL\d]*)+
        | (?:{ABBREVIATIONS}|(?-i:{CAPITAL_ABBREVIATIONS}))\.
        | (\pL)\.\s*$ | \pL\.
        | [\pL\d][\pL\d.,]*(?:-[\pL\d]+)+
        | \d{{1,4}}\x20\d{{1,4}}/\d{{1,4}}\b
        | [-+]?(?:\d+(?:[.,:]\d+)+|(?:[.,]\d+)+) | [-+]\d+\b
        | [\pL\d]+(?:[-_/][\pL\d]+)*
          # Signs.
        | [!?]{{2,}} | [\#@]\pL+ | [^\s'’‘`\x22“”.,:;!?…–—-]
        "
    );
    Regex::new(&pattern).expect("the pattern is valid")
});

/// The tokens of a caption.
#[must_use]
pub fn caption_tokens(caption: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for found in TOKEN.captures_iter(caption) {
        let groups: Vec<_> = found.iter().skip(1).flatten().collect();
        let parts = if groups.is_empty() { found.get(0).into_iter().collect() } else { groups };
        tokens.extend(parts.into_iter().map(|part| plain(part.as_str())));
    }
    tokens
}

/// A token in lower case and the original's plain ASCII.
fn plain(token: &str) -> String {
    let bracket = match token {
        "(" => "-lrb-",
        ")" => "-rrb-",
        "[" => "-lsb-",
        "]" => "-rsb-",
        "{" => "-lcb-",
        "}" => "-rcb-",
        _ => return token.to_lowercase().replace('’', "'").replace(' ', "\u{a0}"),
    };
    bracket.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(caption: &str) -> String {
        caption_tokens(caption).join(" ")
    }

    #[test]
    fn punctuation_is_dropped_and_words_are_kept_whole() {
        assert_eq!(tokens("A man, a \"T-shirt\" -- and a cat.\n"), "a man a t-shirt and a cat");
        assert_eq!(tokens("dog,cat and/or bird.The end..."), "dog cat and/or bird.the end");
        assert_eq!(tokens(" \t . "), "");
        assert_eq!(tokens(""), "");
    }

    #[test]
    fn contractions_are_cut() {
        assert_eq!(tokens("It’s the dogs' toy: can't they've"), "it 's the dogs toy ca n't they 've");
        assert_eq!(tokens("Cannot we'd ma'am o'clock"), "can not we 'd ma'am o'clock");
    }

    #[test]
    fn numbers_and_abbreviations_keep_their_stops() {
        assert_eq!(tokens("Mr. X at 10:30 p.m. for $1,000.50"), "mr. x at 10:30 p.m. for $ 1,000.50");
        assert_eq!(tokens("22 3/4 st."), "22\u{a0}3/4 st.");
        assert_eq!(tokens("a sign of W. Main St. and one with K."), "a sign of w. main st. and one with k");
    }

    #[test]
    fn other_signs_are_tokens() {
        assert_eq!(tokens("(50% off!!) & [more]"), "-lrb- 50 % off !! -rrb- & -lsb- more -rsb-");
    }
}
