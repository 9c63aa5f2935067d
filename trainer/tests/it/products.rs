//! What runs, `merge` and `export` leave behind: models that load as they are, with the logits that they should have.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use candle_core::{D, DType, Device, IndexOp, Tensor, safetensors};
use jnana_core::model_card::{CardFile, ModelCard, TemplateChoice};
use jnana_core::template::Template;
use jnana_models::decoder::Decoder;
use jnana_models::projector::Projector;
use jnana_models::tokenizer::Tokenizer;
use jnana_models::{Adapter, LoadOptions, Loaded, load_decoder};
use jnana_trainer::products;
use jnana_trainer::recipe::Recipe;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::{write_encoder, write_json, write_tokenizer};

/// Fixtures of `jnana-models`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with the small random Phi in `models/phi`.
struct Rig(TempDir);

impl Rig {
    fn new(write_tokenizer: fn(&Path)) -> Self {
        let rig = Self(tempfile::tempdir().unwrap());
        let phi = rig.path("models/phi");
        fs::create_dir_all(&phi).unwrap();
        for name in ["config.json", "model.safetensors"] {
            fs::copy(fixture("decoders/phi").join(name), phi.join(name)).unwrap();
        }
        write_tokenizer(&phi);
        let card = json!({ "format": 1, "name": "small", "space": "small-1", "template": "recipe" });
        write_json(&phi.join("jnana.json"), &card);
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jnana-trainer"));
        command.args(arguments).current_dir(self.0.path());
        command.env("JNANA_DATA", "data").env("JNANA_MODELS", "models").output().unwrap()
    }

    /// What a command says on standard output and standard error.
    fn succeeds(&self, arguments: &[&str]) -> (String, String) {
        let Output { status, stdout, stderr } = self.run(arguments);
        let [out, error] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(status.success(), "{arguments:?}: {error}");
        (out, error)
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let Output { status, stderr, .. } = self.run(arguments);
        assert!(!status.success(), "{arguments:?}");
        String::from_utf8(stderr).unwrap()
    }

    /// Merges the adapter of PEFT's for the small Phi.
    fn merge(&self, out: &str, more: &[&str]) -> String {
        let adapter = fixture("qlora/phi");
        let arguments = ["merge", "--base", "models/phi", "--adapter", text(&adapter), "--out", out];
        self.succeeds(&[&arguments, more].concat()).0
    }

    fn load(&self, name: &str) -> (Loaded, ModelCard) {
        let path = self.path(name);
        let loaded = load_decoder(&path, &cpu()).unwrap();
        let tokenizer = loaded.tokenizer.as_ref().unwrap();
        let card = ModelCard::load(&path, &loaded.info.name, loaded.decoder.shape(), tokenizer).unwrap();
        (loaded, card)
    }

    /// Every file in a folder.
    fn bytes(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path(folder)).unwrap().map(|entry| entry.unwrap().path());
        let named =
            |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into(), fs::read(&path).unwrap());
        entries.map(named).collect()
    }
}

/// A tokenizer of GPT-2's kind for a network of 72 rows: single letters.
fn write_letters(folder: &Path) {
    let letters = ('a'..='z').chain(['Ġ', 'Ċ', '.', ':', '?']).map(String::from);
    let words = ["<|endoftext|>".to_owned()].into_iter().chain(letters);
    let vocabulary: Map<String, Value> = words.zip(0..).map(|(word, id)| (word, json!(id))).collect();
    let end = json!({ "id": 0, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true });
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "decoder": byte_level, "added_tokens": [end], "pre_tokenizer": byte_level,
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
    });
    write_json(&folder.join("tokenizer.json"), &tokenizer);
    write_json(&folder.join("tokenizer_config.json"), &json!({ "eos_token": "<|endoftext|>" }));
    write_json(&folder.join("generation_config.json"), &json!({ "eos_token_id": [0, 3] }));
}

fn cpu() -> LoadOptions {
    LoadOptions::new(Device::Cpu)
}

fn tensor(file: &str, name: &str) -> Tensor {
    safetensors::load(fixture(file), &Device::Cpu).unwrap()[name].clone()
}

/// Ids `[2, 23]` below `rows`.
fn ids(rows: u32) -> Tensor {
    tensor("decoders/phi/expected.safetensors", "ids").clamp(0u32, rows - 1).unwrap()
}

fn logits(decoder: &dyn Decoder, ids: &Tensor) -> Tensor {
    let hidden = decoder.forward_padded(&decoder.embed(ids).unwrap(), None).unwrap();
    decoder.logits(&hidden).unwrap()
}

/// Twenty ids, each the likeliest behind all those before it.
fn greedy(decoder: &dyn Decoder) -> Vec<u32> {
    let mut text: Vec<u32> = ids(60).i((0, ..5)).unwrap().to_vec1().unwrap();
    for _ in 0..20 {
        let all = logits(decoder, &Tensor::new(&text[..], &Device::Cpu).unwrap().unsqueeze(0).unwrap());
        text.push(all.i((0, text.len() - 1)).unwrap().argmax(D::Minus1).unwrap().to_scalar().unwrap());
    }
    text.split_off(5)
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

/// Root of the mean square of the difference beside that of `want`.
fn relative_error(got: &Tensor, want: &Tensor) -> f32 {
    let mean_square = |x: &Tensor| x.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    (mean_square(&(got - want).unwrap()) / mean_square(want)).sqrt()
}

/// What a merge says of the gap: positions, largest and mean difference, share of positions with the same arg max.
fn gap(said: &str) -> [f64; 4] {
    let line = said.lines().find(|line| line.starts_with("beside ")).unwrap();
    let numbers = line.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<f64>>();
    numbers.try_into().unwrap()
}

#[test]
fn a_merged_model_answers_as_base_and_adapter_and_its_gap_to_nf4_is_said() {
    let rig = Rig::new(write_tokenizer);
    let adapter = Arc::new(Adapter::load(&fixture("qlora/phi"), &Device::Cpu).unwrap());
    for nf4 in [false, true] {
        let out = format!("merged-{nf4}");
        let flag: &[&str] = if nf4 { &["--nf4"] } else { &[] };
        let said = rig.merge(&out, &[&["--dtype", "f32"], flag].concat());
        let merged = rig.load(&out).0.decoder;
        let options = LoadOptions {
            quantize: nf4.then(|| "nf4".parse().unwrap()),
            adapter: Some(Arc::clone(&adapter)),
            ..cpu()
        };
        let adapted = load_decoder(&rig.path("models/phi"), &options).unwrap().decoder;
        let (got, want) = (logits(merged.as_ref(), &ids(72)), logits(adapted.as_ref(), &ids(72)));
        assert!(largest_difference(&got, &want) <= 1e-3);
        let peft = tensor("qlora/phi/expected.safetensors", if nf4 { "nf4_logits" } else { "logits" });
        assert!(largest_difference(&got, &peft) <= 1e-3);
        assert_eq!(greedy(merged.as_ref()), greedy(adapted.as_ref()));

        assert!(said.starts_with("beside the base in NF4 with the adapter, "), "{said}");
        assert!(said.ends_with(&format!("\n{out}\n")), "{said}");
        let [positions, largest, mean, share] = gap(&said);
        assert!((40. ..=128.).contains(&positions), "{said}");
        assert!(mean <= largest && share <= 100., "{said}");
        if nf4 {
            assert!(largest <= 1e-3 && share == 100., "{said}");
        } else {
            assert!(largest > 0.01, "4 bits leave no trace: {said}");
        }
    }
}

#[test]
fn a_base_that_is_quantised_already_stays_what_it_is() {
    let rig = Rig::new(write_tokenizer);
    for (base, adapter) in [("qlora/phi_nf4", "qlora/phi"), ("decoders/llama.Q8_0.gguf", "qlora/llama_tied")]
    {
        let (base, adapter) = (fixture(base), fixture(adapter));
        let arguments =
            ["merge", "--base", text(&base), "--adapter", text(&adapter), "--out", "merged", "--nf4"];
        let (said, noted) =
            rig.succeeds(&[&arguments[..], &["--dtype", "f32", "--vocab-rows", "60"]].concat());
        assert!(said.starts_with("beside the base as it is with the adapter, "), "{said}");
        assert!(noted.contains("--nf4 leaves it as it is"), "{noted}");
        assert!(noted.contains("add a tokenizer.json"), "{noted}");
        let [positions, largest, _, share] = gap(&said);
        assert!(positions == 128. && largest <= 1e-3 && share == 100., "{said}");
        assert_eq!(load_decoder(&rig.path("merged"), &cpu()).unwrap().decoder.shape().vocab_size, 60);
    }
}

#[test]
fn an_exported_model_answers_as_the_one_it_was_and_has_its_tokenizer_and_card() {
    let rig = Rig::new(write_letters);
    let (small, _) = rig.load("models/phi");
    let (ids, spoken) = (ids(72), "what is red?\n<|endoftext|>");
    let want = logits(small.decoder.as_ref(), &ids);
    let tokenizer = small.tokenizer.unwrap();
    let formats = [
        ("f32", 0.),
        ("f16", 2e-3),
        ("bf16", 2e-2),
        ("gguf-f16", 2e-3),
        ("gguf-q8_0", 0.08),
        ("gguf-q4_0", 0.6),
    ];
    for (format, tolerance) in formats {
        rig.succeeds(&["export", "models/phi", "--format", format, "--out", format]);
        let (loaded, card) = rig.load(format);
        let error = relative_error(&logits(loaded.decoder.as_ref(), &ids), &want);
        assert!(error <= tolerance, "{format}: {error}");
        let exported = loaded.tokenizer.unwrap();
        assert_eq!(exported.encode_markup(spoken).unwrap(), tokenizer.encode_markup(spoken).unwrap());
        assert_eq!(exported.eos_ids(), [0, 3], "{format}");
        assert_eq!((card.name.as_str(), card.space.as_str()), ("small", "small-1"), "{format}");
        assert_eq!(card.template, Template::recipe(), "{format}");
        if let Some(blocks) = format.strip_prefix("gguf-") {
            // The file is found by its folder and on its own.
            let by_file = rig.load(&format!("{format}/small.{blocks}.gguf"));
            assert_eq!((by_file.0.info.name.as_str(), by_file.1), ("small", card));
        }
    }
}

#[test]
fn a_model_that_became_another_says_so_in_its_card() {
    let rig = Rig::new(write_letters);
    let renamed = ["--name", "me/tuned", "--space", "tuned-1"];
    rig.merge("merged", &renamed);
    rig.merge("gguf", &[&renamed[..], &["--dtype", "gguf-q8_0"]].concat());
    rig.succeeds(&["export", "merged", "--format", "gguf-f16", "--out", "exported", "--space", "tuned-2"]);
    let folders = [
        ("merged", "jnana.json", "tuned-1"),
        ("gguf", "tuned.q8_0.jnana.json", "tuned-1"),
        ("exported", "tuned.f16.jnana.json", "tuned-2"),
    ];
    for (folder, file, space) in folders {
        let (card, path) = CardFile::read(&rig.path(folder)).unwrap().unwrap();
        assert_eq!(path, rig.path(folder).join(file));
        let named = CardFile {
            name: Some("me/tuned".into()),
            space: Some(space.into()),
            template: Some(TemplateChoice::Named("recipe".into())),
            ..CardFile::new()
        };
        assert_eq!(card, named);
    }
    fs::remove_file(rig.path("models/phi/jnana.json")).unwrap();
    rig.succeeds(&["export", "models/phi", "--out", "bare"]);
    assert!(CardFile::read(&rig.path("bare")).unwrap().is_none());
    rig.succeeds(&["export", "models/phi", "--format", "gguf-f16", "--out", "phi", "--space", "new"]);
    let (loaded, card) = rig.load("phi");
    assert_eq!((loaded.info.name.as_str(), card.name.as_str(), card.space.as_str()), ("phi", "phi", "new"));
}

#[test]
fn what_a_card_names_goes_with_it_where_it_still_fits() {
    let rig = Rig::new(write_tokenizer);
    let path = rig.path("models/phi/jnana.json");
    fs::create_dir(rig.path("models/phi/eyes")).unwrap();
    fs::write(rig.path("models/phi/eyes/projector.safetensors"), "weights").unwrap();
    let projectors = json!({ "vision": "eyes/projector.safetensors" });
    let adapted = json!({ "format": 1, "space": "small-1", "adapter": "own", "projectors": projectors });
    write_json(&path, &adapted);
    let said = rig.fails(&["export", "models/phi", "--out", "exported"]);
    assert!(said.contains("models/phi/own; merge the two"), "{said}");
    rig.merge("merged", &["--space", "small-1"]);
    rig.merge("tuned", &["--space", "tuned-1"]);
    for (folder, kept) in [("merged", true), ("tuned", false)] {
        let (card, _) = CardFile::read(&rig.path(folder)).unwrap().unwrap();
        assert_eq!((card.adapter, card.projectors.len()), (None, usize::from(kept)));
        assert_eq!(rig.path(folder).join("eyes/projector.safetensors").exists(), kept);
    }
}

#[test]
fn the_type_of_the_weights_is_the_one_that_the_configuration_names() {
    let rig = Rig::new(write_tokenizer);
    let path = rig.path("models/phi/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["torch_dtype"] = json!("bfloat16");
    write_json(&path, &config);
    rig.succeeds(&["export", "models/phi", "--format", "f16", "--out", "exported"]);
    config["torch_dtype"] = json!("float16");
    let written: Value = serde_json::from_slice(&rig.bytes("exported")["config.json"]).unwrap();
    assert_eq!(written, config);
    let weights = safetensors::load(rig.path("exported/model.safetensors"), &Device::Cpu).unwrap();
    assert!(weights.values().all(|tensor| tensor.dtype() == DType::F16));
}

const RECIPE: &str = r#"
    name = "small"
    stage = "pretrain"
    steps = 2
    rate = { rate = 1e-3 }
    [decoder]
    model = "phi"
    [[data]]
    name = "data"
    folder = "drawn"
    format = { kind = "text", file = "text.txt", documents = "lines" }
    limit = 20
    [batches]
    by = "positions"
    list = [{ up_to = 64, batch = 2 }]
"#;

impl Rig {
    /// A rig with data and a recipe for either stage.
    fn with_data() -> Self {
        let rig = Self::new(write_tokenizer);
        rig.succeeds(&["draw", "--out", "data/drawn", "--pictures", "6", "--side", "32"]);
        fs::create_dir_all(rig.path("models/clip")).unwrap();
        write_encoder(&rig.path("models/clip"), 2, 1.);
        fs::write(rig.path("pretrain.toml"), RECIPE).unwrap();
        let align = RECIPE.replace("pretrain", "align");
        let text = r#"format = { kind = "text", file = "text.txt", documents = "lines" }"#;
        let align = align.replace(text, r#"format = { kind = "coco" }"#);
        fs::write(rig.path("align.toml"), align + "[vision]\nencoder = \"clip\"\n").unwrap();
        rig
    }

    fn pretrain(&self, run: &str, changes: &[&str]) {
        self.succeeds(&[&["pretrain", "pretrain.toml", "--run", run, "--json"], changes].concat());
        let changes: Vec<String> =
            changes.iter().skip(1).step_by(2).map(|&change| change.to_owned()).collect();
        let recipe = Recipe::read(&self.path("pretrain.toml"), &changes).unwrap();
        products::complete(&recipe, &self.path("models"), &self.path(run)).unwrap();
    }
}

#[test]
fn what_stage_0_leaves_can_be_served_as_it_is() {
    let rig = Rig::with_data();
    rig.pretrain("run", &[]);
    rig.pretrain("other", &["--set", "space=other-1"]);
    for (run, space) in [("run", "small-1"), ("other", "other-1")] {
        let (loaded, card) = rig.load(&format!("{run}/model"));
        assert_eq!(loaded.decoder.shape(), rig.load("models/phi").0.decoder.shape());
        assert_eq!((card.name.as_str(), card.space.as_str()), ("small", space));
        assert_eq!(card.template, Template::recipe());
        let words = "the cat<|endoftext|>";
        let ids = loaded.tokenizer.unwrap().encode_markup(words).unwrap();
        let base = Tokenizer::from_folder(&rig.path("models/phi")).unwrap().unwrap();
        assert_eq!(ids, base.encode_markup(words).unwrap());
        let drawn = logits(loaded.decoder.as_ref(), &crate::products::ids(72));
        assert!(relative_error(&drawn, &tensor("decoders/phi/expected.safetensors", "logits")) > 0.5);
    }
    rig.succeeds(&["export", "run/model", "--out", "exported"]);
    rig.load("exported");
}

#[test]
fn a_projector_says_the_space_that_its_run_makes() {
    let rig = Rig::with_data();
    for (run, changes, space) in
        [("plain", &[][..], "small-1"), ("named", &["--set", "space=other-1"][..], "other-1")]
    {
        rig.succeeds(&[&["align", "align.toml", "--run", run, "--json"], changes].concat());
        let path = rig.path(run).join("projector.safetensors");
        let info = Projector::load(&path, DType::F32, &Device::Cpu).unwrap().info().clone();
        assert_eq!((info.space.as_str(), info.trained), (space, true));
        let beside = format!("vision={run}/projector.safetensors");
        rig.merge(&format!("{run}/merged"), &["--space", space, "--projector", &beside]);
        let (card, at) = CardFile::read(&rig.path(run).join("merged")).unwrap().unwrap();
        assert_eq!(fs::read(at.with_file_name(&card.projectors["vision"])).unwrap(), fs::read(path).unwrap());
    }
    let foreign = ["--projector", "vision=named/projector.safetensors"];
    let said = rig.fails(&[&["export", "models/phi", "--out", "exported"], foreign.as_slice()].concat());
    assert!(said.contains("one into other-1"), "{said}");
    let said = rig.fails(&["export", "models/phi", "--out", "exported", "--projector", "named"]);
    assert!(said.contains("PLUGIN=FILE"), "{said}");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let rig = Rig::with_data();
    write_letters(&rig.path("models/phi"));
    for run in ["first", "second"] {
        rig.merge(&format!("{run}/merged"), &["--nf4", "--name", "n"]);
        for format in ["bf16", "gguf-q8_0"] {
            let out = format!("{run}/{format}");
            rig.succeeds(&["export", "models/phi", "--format", format, "--out", &out]);
        }
    }
    write_tokenizer(&rig.path("models/phi"));
    for run in ["first/run", "second/run"] {
        rig.pretrain(run, &[]);
    }
    for (folder, files) in [("merged", 6), ("bf16", 6), ("gguf-q8_0", 2), ("run/model", 6)] {
        let (first, second) = (rig.bytes(&format!("first/{folder}")), rig.bytes(&format!("second/{folder}")));
        assert_eq!(first.len(), files, "{folder}: {:?}", first.keys());
        assert!(first == second, "{folder}");
    }
}

#[test]
fn what_cannot_be_written_is_refused_with_what_to_do() {
    let rig = Rig::new(write_tokenizer);
    fs::write(rig.path("file"), "").unwrap();
    let phi = text(&fixture("qlora/phi")).to_owned();
    let llama = text(&fixture("qlora/llama_tied")).to_owned();
    let merge = |base, adapter, out| vec!["merge", "--base", base, "--adapter", adapter, "--out", out];
    let export = |format, out| vec!["export", "models/phi", "--format", format, "--out", out];
    let cases = [
        (merge("models/phi", "models/phi", "out"), "name an adapter's folder, such as RUN/adapter"),
        (merge("models/phi", "nowhere", "out"), "nowhere holds no adapter_config.json"),
        (merge("models/phi", &llama, "out"), "adapter_config.json names the base that it is for"),
        (merge("models", &phi, "out"), "a folder without weights"),
        (merge("nowhere", &phi, "out"), "expected a .gguf file"),
        (merge("models/phi", &phi, "models/phi"), "name another"),
        (merge("models/phi", &phi, "file"), "file is a file; name a folder"),
        (export("f16", "models/../models/phi"), "name another"),
        (export("q8_0", "out"), "gguf-q8_0"),
        (export("gguf-q3", "out"), "unknown quantisation q3"),
        (export("gguf-f16", "out"), "write a folder instead"),
    ];
    for (arguments, words) in cases {
        let said = rig.fails(&arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!rig.path("out").exists(), "{arguments:?} left something");
    }
    rig.load("models/phi");
}
