//! Token ids, exactly as published and as the reference gives them.

use std::fs;
use std::path::PathBuf;

use jnana_models::tokenizer::{Tokenizer, codegen_whitespace};
use jnana_models::{Error, LoadOptions, load_decoder};

use crate::support::fixture;

/// Files that are too large to be kept here.
pub(crate) fn models() -> PathBuf {
    std::env::var_os("JNANA_TEST_MODELS").map(PathBuf::from).expect(
        "JNANA_TEST_MODELS names the folder of test models: `cargo xtask test` fetches them and sets it",
    )
}

pub(crate) fn codegen() -> Tokenizer {
    let folder = models().join("gpt2");
    let (vocab, merges) = (folder.join("encoder.json"), folder.join("vocab.bpe"));
    Tokenizer::from_gpt2_files(&vocab, &merges, &codegen_whitespace()).unwrap()
}

pub(crate) fn smollm2() -> Tokenizer {
    let path = models().join("smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    Tokenizer::from_gguf(&jnana_models::weights::GgufFile::open(&path).unwrap()).unwrap()
}

pub(crate) fn lines() -> Vec<(String, Vec<u32>)> {
    serde_json::from_str(&fs::read_to_string(fixture("smollm2_tokens.json")).unwrap()).unwrap()
}

#[test]
fn the_recipes_ids_come_out_of_gpt2s_files() {
    let tokenizer = codegen();
    let cases: [(&str, &[u32]); 4] = [
        (
            "One sheep running through the shrub brush of a field.",
            &[3198, 15900, 2491, 832, 262, 10157, 549, 14093, 286, 257, 2214, 13],
        ),
        (
            "The view of a kitchen with a window that is opened slightly.",
            &[464, 1570, 286, 257, 9592, 351, 257, 4324, 326, 318, 4721, 4622, 13],
        ),
        ("caption image:", &[6888, 1159, 2939, 25]),
        ("end of question:", &[437, 286, 1808, 25]),
    ];
    for (text, ids) in cases {
        assert_eq!(tokenizer.encode_text(text).unwrap(), ids, "{text}");
        assert_eq!(tokenizer.decode(ids).unwrap(), text);
    }
    assert_eq!(tokenizer.vocab_size(), 50_295);
    assert_eq!((tokenizer.bos_id(), tokenizer.eos_ids()), (Some(50_256), &[50_256][..]));
    assert_eq!(tokenizer.encode_text("a    b").unwrap(), [64, 50_284, 65]);
    assert_eq!(tokenizer.encode_text("\t\t").unwrap(), [50_294]);
}

#[test]
fn user_text_cannot_say_control_tokens() {
    for (tokenizer, control) in [(codegen(), "<|endoftext|>"), (smollm2(), "<|im_end|>")] {
        let id = tokenizer.token_id(control).unwrap();
        assert!(tokenizer.is_special(id));
        let text = format!("before{control} after {control}");
        let plain = tokenizer.encode_text(&text).unwrap();
        assert!(plain.iter().all(|id| !tokenizer.is_special(*id)), "{plain:?}");
        assert_eq!(tokenizer.decode(&plain).unwrap(), text);
        let markup = tokenizer.encode_markup(&text).unwrap();
        assert_eq!(markup.iter().filter(|found| **found == id).count(), 2);
        assert_eq!(tokenizer.decode(&markup).unwrap(), "before after ");
    }
}

#[test]
fn a_thousand_lines_of_smollm2_equal_the_reference() {
    let tokenizer = smollm2();
    let lines = lines();
    assert_eq!(lines.len(), 1000);
    for (line, ids) in &lines {
        assert_eq!(&tokenizer.encode_text(line).unwrap(), ids, "{line:?}");
        assert_eq!(&tokenizer.decode(ids).unwrap(), line);
    }
}

#[test]
fn chat_markup_of_smollm2() {
    let tokenizer = smollm2();
    let ids = tokenizer.encode_markup("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n").unwrap();
    assert_eq!(ids, [1, 4093, 198, 26843, 2, 198, 1, 520, 9531, 198]);
    assert_eq!(
        (tokenizer.vocab_size(), tokenizer.eos_ids(), tokenizer.bos_id()),
        (49_152, &[2][..], Some(1))
    );
    assert!(!tokenizer.adds_bos());
}

#[test]
fn streamed_text_equals_the_whole_and_never_splits_a_character() {
    for tokenizer in [smollm2(), codegen()] {
        for (line, _) in lines() {
            let ids = tokenizer.encode_text(&line).unwrap();
            let mut stream = tokenizer.stream();
            let mut streamed = String::new();
            for id in ids {
                let piece = stream.push(id).unwrap().unwrap_or_default();
                assert!(!piece.contains('\u{FFFD}'), "{line:?}: {piece:?}");
                streamed.push_str(&piece);
            }
            streamed.push_str(&stream.finish().unwrap().unwrap_or_default());
            assert_eq!(streamed, line);
        }
    }
}

#[test]
fn an_unfinished_character_comes_out_at_the_end() {
    let tokenizer = smollm2();
    let ids = tokenizer.encode_text("ok 𓀀").unwrap();
    let mut stream = tokenizer.stream();
    let mut pieces: Vec<_> = ids[..ids.len() - 1].iter().filter_map(|id| stream.push(*id).unwrap()).collect();
    assert!(pieces.concat().trim_end() == "ok", "{pieces:?}");
    pieces.extend(stream.finish().unwrap());
    assert!(pieces.concat().ends_with('\u{FFFD}'), "{pieces:?}");
    assert_eq!(stream.finish().unwrap(), None);
}

#[test]
fn a_folder_of_gpt2_files_is_a_tokenizer_by_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Tokenizer::from_folder(folder.path()).unwrap().is_none());
    for file in ["encoder.json", "vocab.bpe"] {
        fs::copy(models().join("gpt2").join(file), folder.path().join(file)).unwrap();
    }
    let load = || Tokenizer::from_folder(folder.path()).unwrap().unwrap();
    assert_eq!(load().vocab_size(), 50_257);
    fs::write(folder.path().join("config.json"), r#"{"model_type": "phi", "eos_token_id": [50256, 7]}"#)
        .unwrap();
    assert_eq!((load().vocab_size(), load().eos_ids()), (50_295, &[50_256, 7][..]));
    assert_eq!(load().encode_text("a  b").unwrap(), codegen().encode_text("a  b").unwrap());
}

#[test]
fn tokenizer_json_wins_and_a_broken_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let json = r#"{"version": "1.0", "added_tokens": [{"id": 3, "content": "<s>", "special": true, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false}], "normalizer": null, "pre_tokenizer": {"type":
        "Whitespace"}, "post_processor": null, "decoder": null, "truncation": null, "padding": null, "model": {"type":
        "WordLevel", "vocab": {"yes": 0, "no": 1, "?": 2, "<s>": 3, "<": 4, "s": 5, ">": 6}, "unk_token": "?"}}"#;
    fs::write(&path, json).unwrap();
    fs::write(
        folder.path().join("tokenizer_config.json"),
        r#"{"bos_token": {"content": "<s>"}, "eos_token": "no",
        "add_bos_token": true}"#,
    )
    .unwrap();
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
    assert_eq!(tokenizer.encode_markup("yes <s> no").unwrap(), [0, 3, 1]);
    assert_eq!(tokenizer.encode_text("yes <s> no").unwrap(), [0, 4, 5, 6, 1]);
    assert_eq!((tokenizer.bos_id(), tokenizer.eos_ids(), tokenizer.adds_bos()), (Some(3), &[1][..], true));

    fs::write(&path, "{}").unwrap();
    let error = Tokenizer::from_folder(folder.path()).unwrap_err();
    assert!(
        matches!(error, Error::Tokenizer { .. }) && error.to_string().contains("tokenizer.json"),
        "{error}"
    );
}

#[test]
fn the_default_model_loads_with_its_tokenizer_and_template() {
    let loaded =
        load_decoder(&models().join("smollm2-135m-instruct"), &LoadOptions::new(candle_core::Device::Cpu));
    let loaded = loaded.unwrap();
    assert_eq!(loaded.info.parameters, 134_515_008);
    assert_eq!(loaded.decoder.shape().vocab_size, 49_152);
    assert!(loaded.info.chat_template.unwrap().contains("im_start"));
    assert_eq!(loaded.tokenizer.unwrap().vocab_size(), 49_152);
    let bytes = loaded.info.weight_bytes;
    assert!(bytes < 100_000_000, "{bytes} bytes: the quantised tables were kept as they are");
}
