//! `jnana.json` and what stands in for it.

use std::path::Path;

use jnana_core::model_card::{CardError, CardFile, ModelCard, Parts, TemplateChoice};
use jnana_core::{Template, request::Stop};

use crate::tiny;

fn load(folder: &Path, name: &str) -> Result<ModelCard, CardError> {
    let model = tiny::load();
    ModelCard::load(folder, name, model.decoder.shape(), &model.tokenizer.unwrap())
}

#[test]
fn a_model_without_a_card_gets_what_its_vocabulary_tells() {
    let folder = tempfile::tempdir().unwrap();
    let card = load(folder.path(), "Tiny").unwrap();
    assert_eq!((card.name.as_str(), card.space.as_str()), ("Tiny", "untrained:llama-32"));
    assert_eq!((card.template.clone(), card.context), (Template::chatml(), tiny::MAX_POSITIONS));
    assert_eq!(card.stop(9), Stop { max_tokens: 9, ids: vec![257, 258], strings: Vec::new() });
    assert_eq!(load(folder.path(), "Smollm2 135M").unwrap().template, Template::smollm2());
}

#[test]
fn a_card_that_was_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let template = Template { stop_strings: vec!["\nQ:".to_owned()], ..Template::recipe() };
    let file = CardFile {
        name: Some("sheep-1".to_owned()),
        space: Some("space:abc".to_owned()),
        template: Some(TemplateChoice::Inline(Box::new(template.clone()))),
        context: Some(128),
        eos: Some(vec![7]),
        ..CardFile::new()
    };
    file.write(folder.path()).unwrap();
    let card = load(folder.path(), "Tiny").unwrap();
    assert_eq!((card.name.as_str(), card.space.as_str(), card.context), ("sheep-1", "space:abc", 128));
    assert_eq!(card.template, template);
    assert_eq!(card.stop(1), Stop { max_tokens: 1, ids: vec![7, 258], strings: vec!["\nQ:".to_owned()] });
}

#[test]
fn a_file_of_weights_has_its_card_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("small.gguf");
    std::fs::write(&weights, b"").unwrap();
    std::fs::write(folder.path().join("jnana.json"), r#"{"format":1,"name":"folder"}"#).unwrap();
    assert_eq!(load(&weights, "Tiny").unwrap().name, "folder");
    std::fs::write(folder.path().join("small.jnana.json"), r#"{"format":1,"template":"recipe"}"#).unwrap();
    let card = load(&weights, "Tiny").unwrap();
    assert_eq!((card.name.as_str(), card.template), ("Tiny", Template::recipe()));
}

#[test]
fn what_belongs_to_a_model_lies_below_its_card() {
    let folder = tempfile::tempdir().unwrap();
    let write = |card: &str| std::fs::write(folder.path().join("jnana.json"), card).unwrap();
    write(r#"{"format":1,"adapter":"adapter","projectors":{"vision":"eyes/projector.safetensors"}}"#);
    let weights = folder.path().join("small.gguf");
    std::fs::write(&weights, b"").unwrap();
    for model in [folder.path(), &weights] {
        let adapter = Some(folder.path().join("adapter"));
        assert_eq!(CardFile::parts(model).unwrap(), Parts { weights: model.to_owned(), adapter });
    }
    let projectors = load(folder.path(), "Tiny").unwrap().projectors;
    assert_eq!(projectors["vision"], folder.path().join("eyes/projector.safetensors"));
    write(r#"{"format":1,"base":"../weights","adapter":"adapter"}"#);
    assert_eq!(CardFile::parts(folder.path()).unwrap().weights, folder.path().join("../weights"));
    let without = tempfile::tempdir().unwrap();
    let parts = CardFile::parts(without.path()).unwrap();
    assert_eq!(parts, Parts { weights: without.path().to_owned(), adapter: None });
}

#[test]
fn a_card_that_is_wrong_is_named_with_its_fault() {
    let folder = tempfile::tempdir().unwrap();
    let fault = |json: &str| {
        std::fs::write(folder.path().join("jnana.json"), json).unwrap();
        load(folder.path(), "Tiny").unwrap_err().to_string()
    };
    for (json, words) in [
        (r#"{"format":2}"#, "has format 2, this program reads format 1"),
        (r#"{"format":1,"template":"alpaca"}"#, "no built-in template `alpaca`"),
        (r#"{"format":1,"context":513}"#, "context is 513, expected 1 to 512"),
        (r#"{"format":1,"contxt":5}"#, "contxt"),
        ("{", "jnana.json"),
    ] {
        let message = fault(json);
        assert!(message.contains(words), "{message}");
    }
}
