//! Tokenizers from the files of a Hugging Face folder, or from GPT-2's own.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::models::bpe::BPE;
use tokenizers::{AddedToken, Tokenizer as Pipeline};

use super::pre::gpt2;
use super::{Ends, Tokenizer};
use crate::{Error, Result};

/// GPT-2's vocabulary and merges by the names they go by.
const GPT2_FILES: [(&str, &str); 2] = [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")];

/// The one control token of GPT-2.
pub(super) const END_OF_TEXT: &str = "<|endoftext|>";

/// The tokens that CodeGen (and so Phi) adds behind GPT-2's 50,257: runs of 31 to 2 spaces, then of 9 to 2 tabs.
#[must_use]
pub fn codegen_whitespace() -> Vec<String> {
    let spaces = (2..=31).rev().map(|n| " ".repeat(n));
    spaces.chain((2..=9).rev().map(|n| "\t".repeat(n))).collect()
}

impl Tokenizer {
    /// The tokenizer of a folder: `tokenizer.json`, or `vocab.json` + `merges.txt` (also as `encoder.json` +
    /// `vocab.bpe`) with `added_tokens.json` where it is; `None` when there is neither.
    ///
    /// # Errors
    /// When files are there and cannot be read.
    pub fn from_folder(folder: &Path) -> Result<Option<Self>> {
        let json = folder.join("tokenizer.json");
        if json.is_file() {
            let pipeline = Pipeline::from_file(&json).map_err(|error| bad(&json, &error))?;
            let ends = ends(folder, &pipeline)?;
            return Self::new(pipeline, ends, json.display().to_string()).map(Some);
        }
        let pairs = GPT2_FILES.map(|(vocab, merges)| (folder.join(vocab), folder.join(merges)));
        let Some((vocab, merges)) = pairs.into_iter().find(|(v, m)| v.is_file() && m.is_file()) else {
            return Ok(None);
        };
        let pipeline = gpt2_pipeline(&vocab, &merges, &added(folder)?)?;
        let ends = ends(folder, &pipeline)?;
        Self::new(pipeline, ends, vocab.display().to_string()).map(Some)
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json`, the latter with `chat_template` (Jinja) where there is one, and
    /// `generation_config.json` where several ids end a text. Returns how many files.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path, chat_template: Option<&str>) -> Result<usize> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let path = folder.join("tokenizer.json");
        self.inner.markup.save(&path, false).map_err(|error| bad(&path, &error))?;
        let Ends { bos, eos, pad, add_bos } = &self.inner.ends;
        let named = |id: Option<u32>| id.and_then(|id| self.token(id)).map(Value::from);
        let entries = [
            ("tokenizer_class", Some("PreTrainedTokenizerFast".into())),
            ("bos_token", named(*bos)),
            ("eos_token", named(eos.first().copied())),
            ("pad_token", named(*pad)),
            ("add_bos_token", add_bos.then(|| true.into())),
            ("chat_template", chat_template.map(Value::from)),
        ];
        let entries: Map<String, Value> =
            entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        write(&folder.join("tokenizer_config.json"), &Value::Object(entries))?;
        if eos.len() < 2 {
            return Ok(2);
        }
        write(&folder.join("generation_config.json"), &json!({ "eos_token_id": eos })).map(|()| 3)
    }

    /// GPT-2's tokenizer from its two files, with `added` tokens of ordinary text behind its vocabulary.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn from_gpt2_files(vocab: &Path, merges: &Path, added: &[String]) -> Result<Self> {
        let pipeline = gpt2_pipeline(vocab, merges, added)?;
        let end = pipeline.token_to_id(END_OF_TEXT);
        let ends = Ends { bos: end, eos: end.into_iter().collect(), pad: end, add_bos: false };
        Self::new(pipeline, ends, vocab.display().to_string())
    }
}

fn gpt2_pipeline(vocab: &Path, merges: &Path, added: &[String]) -> Result<Pipeline> {
    let name = |path: &Path| -> Result<String> {
        path.to_str().map(str::to_owned).ok_or_else(|| bad(path, &"the path is not UTF-8".into()))
    };
    let bpe = BPE::from_file(&name(vocab)?, &name(merges)?).build().map_err(|error| bad(vocab, &error))?;
    let mut pipeline = Pipeline::new(bpe);
    pipeline.with_pre_tokenizer(Some(gpt2())).with_decoder(Some(gpt2()));
    let text = added.iter().map(|token| AddedToken::from(token, false).normalized(true));
    pipeline.add_tokens(text).map_err(|error| bad(vocab, &error))?;
    pipeline.add_special_tokens([AddedToken::from(END_OF_TEXT, true)]).map_err(|error| bad(vocab, &error))?;
    Ok(pipeline)
}

/// Tokens to add, in the order of their ids.
fn added(folder: &Path) -> Result<Vec<String>> {
    if let Some(Value::Object(tokens)) = read(&folder.join("added_tokens.json"))? {
        let mut tokens: Vec<_> = tokens.into_iter().map(|(token, id)| (id.as_u64(), token)).collect();
        tokens.sort_unstable();
        return Ok(tokens.into_iter().map(|(_, token)| token).filter(|token| token != END_OF_TEXT).collect());
    }
    let config = read(&folder.join("config.json"))?.unwrap_or_default();
    match config["model_type"].as_str() {
        Some("phi" | "codegen") => Ok(codegen_whitespace()),
        _ => Ok(Vec::new()),
    }
}

/// First and last ids: by name in `tokenizer_config.json`, by number in `generation_config.json` and `config.json`.
fn ends(folder: &Path, pipeline: &Pipeline) -> Result<Ends> {
    let [named, generation, config] = ["tokenizer_config.json", "generation_config.json", "config.json"]
        .map(|file| read(&folder.join(file)).map(Option::unwrap_or_default));
    let (named, generation, config) = (named?, generation?, config?);
    let by_name = |key: &str| {
        let token = named[key].as_str().or_else(|| named[key]["content"].as_str());
        token.and_then(|token| pipeline.token_to_id(token))
    };
    let by_number = |value: &Value| match value {
        Value::Array(ids) => ids.iter().filter_map(as_id).collect(),
        one => as_id(one).into_iter().collect::<Vec<u32>>(),
    };
    let fallback = pipeline.token_to_id(END_OF_TEXT);
    let mut eos: Vec<u32> = by_name("eos_token").into_iter().collect();
    for id in by_number(&generation["eos_token_id"]).into_iter().chain(by_number(&config["eos_token_id"])) {
        if !eos.contains(&id) {
            eos.push(id);
        }
    }
    if eos.is_empty() {
        eos.extend(fallback);
    }
    let bos = by_name("bos_token").or_else(|| as_id(&config["bos_token_id"])).or(fallback);
    let pad = by_name("pad_token").or_else(|| as_id(&config["pad_token_id"]));
    Ok(Ends { bos, eos, pad, add_bos: named["add_bos_token"].as_bool().unwrap_or(false) })
}

fn as_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

fn read(path: &Path) -> Result<Option<Value>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map(Some).map_err(Error::json(path))
}

fn write(path: &Path, json: &Value) -> Result<()> {
    fs::write(path, json.to_string()).map_err(Error::io("write", path))
}

pub(super) fn bad(path: &Path, error: &tokenizers::Error) -> Error {
    Error::Tokenizer { origin: path.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codegen_adds_38_runs() {
        let runs = codegen_whitespace();
        assert_eq!(runs.len(), 38);
        assert_eq!(
            (runs[0].len(), runs[29].as_str(), runs[30].len(), runs[37].as_str()),
            (31, "  ", 9, "\t\t")
        );
    }
}
