//! Exported GGUF files compute what the checkpoint computes and tokenise as its tokenizer does.

use std::fs;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use candle_core::{DType, Device};
use jnana_models::config::Config;
use jnana_models::export_gguf::{GgufFormat, export_gguf, tokenizer_metadata};
use jnana_models::rotary::{RopeParameters, Scaling};
use jnana_models::synthetic::{Format, write_random};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::weights::{self, GgufFile, Metadata, Stored, TensorSource};
use jnana_models::{Error, Result, llama, load_decoder, phi};
use serde_json::{Value as Json, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::support::{assert_close, cpu, expected, fixture, full_logits, load, network, relative_error};
use crate::tokens::{codegen, lines, models, smollm2};

const FORMATS: [&str; 4] = ["f16", "q8_0", "q4_0", "q4_k"];

/// Exports the model at `path`, its tokenizer with it, to `file`.
fn export(path: &Path, rows: Option<usize>, format: &str, file: &Path) -> Result<()> {
    export_with(path, tokenizer_metadata(path)?, rows, format, file)
}

fn export_with(
    path: &Path,
    tokenizer: Metadata,
    rows: Option<usize>,
    format: &str,
    file: &Path,
) -> Result<()> {
    let info = load_decoder(path, &cpu())?.info;
    let config = Config::from_json(&info.config, path)?;
    let source = weights::open(path)?;
    export_gguf(source.as_ref(), &config, tokenizer, rows, format.parse().unwrap(), "exported", file)
}

/// A folder of random weights.
fn random(config: &Config) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_random(folder.path(), config, Format::Safetensors(DType::F32), 3).unwrap();
    folder
}

fn small_phi(rows: usize) -> phi::Config {
    phi::Config {
        vocab_size: rows,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: None,
        ..phi::Config::phi2()
    }
}

fn small_llama() -> llama::Config {
    let config = fs::read_to_string(network("llama_tied").join("config.json")).unwrap();
    serde_json::from_str(&config).unwrap()
}

#[test]
fn an_exported_network_answers_as_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let sources = [
        ("phi", "phi"),
        ("llama_tied", "llama_tied"),
        ("llama_untied", "llama_untied"),
        ("phi2.gguf", "phi"),
        ("llama.gguf", "llama_tied"),
    ];
    for (source, reference) in sources {
        let (ids, logits) = expected(reference);
        for (format, tolerance) in FORMATS.into_iter().zip([2e-3, 0.08, 0.6, 0.5]) {
            let file = folder.path().join(format!("{source}.{format}.gguf"));
            export(&fixture("decoders").join(source), None, format, &file).unwrap();
            let error = relative_error(&full_logits(load(&file).as_ref(), &ids, None), &logits);
            assert!(error < tolerance, "{source} in {format}: {error}");
        }
    }
}

#[test]
fn stretched_frequencies_survive_a_second_export() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.gguf"), folder.path().join("second.gguf"));
    export(&network("llama_untied"), None, "f16", &first).unwrap();
    export(&first, None, "f16", &second).unwrap();
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    assert_eq!(GgufFile::open(&second).unwrap().shape("rope_freqs.weight").unwrap(), [4]);
}

#[test]
fn linear_stretching_is_an_entry_for_either_family() {
    let scaling = Scaling::Linear { factor: 4. };
    let phi =
        RopeParameters { rope_theta: Some(500.), partial_rotary_factor: None, scaling: scaling.clone() };
    let llama = llama::Config { rope_scaling: Some(scaling), rope_parameters: None, ..small_llama() };
    let configs =
        [Config::Phi(phi::Config { rope_parameters: Some(phi), ..small_phi(72) }), Config::Llama(llama)];
    for config in configs {
        let folder = random(&config);
        let file = folder.path().join("linear.gguf");
        export(folder.path(), None, "f16", &file).unwrap();
        let (ids, _) = expected("phi");
        let want = full_logits(load(folder.path()).as_ref(), &ids, None);
        let scale = want.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert_close(&full_logits(load(&file).as_ref(), &ids, None), &want, 2e-3 * scale, "linear");
    }
}

#[test]
fn matrices_are_in_the_asked_format_and_the_rest_is_exact() {
    let shapes = phi::Config { hidden_size: 256, num_attention_heads: 16, ..small_phi(72) };
    let config = phi::Config { intermediate_size: 320, ..shapes };
    let folder = random(&Config::Phi(config));
    let file = folder.path().join("blocks.gguf");
    export(folder.path(), None, "q4_k", &file).unwrap();
    let written = GgufFile::open(&file).unwrap();
    let blocks = |name: &str| match written.read(name, &Device::Cpu).unwrap() {
        Stored::Quantized(blocks) => Some(blocks.dtype()),
        Stored::Dense(_) | Stored::Nf4(_) => None,
    };
    assert_eq!(blocks("model.layers.0.mlp.fc1.weight"), Some(GgmlDType::Q4K));
    assert_eq!(blocks("model.layers.0.mlp.fc2.weight"), Some(GgmlDType::Q5_0), "rows of 320");
    assert_eq!(blocks("model.embed_tokens.weight"), Some(GgmlDType::Q8_0));
    assert_eq!(blocks("lm_head.weight"), Some(GgmlDType::Q8_0));
    let source = weights::open(folder.path()).unwrap();
    for name in ["model.layers.0.mlp.fc1.bias", "model.final_layernorm.weight", "lm_head.bias"] {
        assert_eq!(values(&written, name), values(source.as_ref(), name), "{name}");
    }
    let (ids, _) = expected("phi");
    let want = full_logits(load(folder.path()).as_ref(), &ids, None);
    let error = relative_error(&full_logits(load(&file).as_ref(), &ids, None), &want);
    assert!(error < 0.1, "{error}");
}

fn values(source: &dyn TensorSource, name: &str) -> Vec<f32> {
    match source.read(name, &Device::Cpu).unwrap() {
        Stored::Dense(tensor) => tensor.to_vec1().unwrap(),
        Stored::Quantized(_) | Stored::Nf4(_) => panic!("{name} is quantised"),
    }
}

#[test]
fn a_tied_phi_gets_the_head_that_llama_cpp_asks_for() {
    let folder = random(&Config::Phi(phi::Config { tie_word_embeddings: true, ..small_phi(72) }));
    let file = folder.path().join("tied.gguf");
    export(folder.path(), Some(60), "f16", &file).unwrap();
    assert_eq!(GgufFile::open(&file).unwrap().shape("lm_head.weight").unwrap(), [60, 32]);
    let ids = expected("phi").0.clamp(0u32, 59u32).unwrap();
    let want = full_logits(load(folder.path()).as_ref(), &ids, None).narrow(2, 0, 60).unwrap();
    let scale = want.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert_close(&full_logits(load(&file).as_ref(), &ids, None), &want, 2e-3 * scale, "tied");
}

#[test]
fn gpt2s_files_with_codegens_words_become_the_same_tokenizer() {
    let folder = random(&Config::Phi(small_phi(50_304)));
    for file in ["encoder.json", "vocab.bpe"] {
        fs::copy(models().join("gpt2").join(file), folder.path().join(file)).unwrap();
    }
    fs::write(folder.path().join("chat_template.jinja"), "{{ messages }}").unwrap();
    let target = tempfile::tempdir().unwrap();
    let file = target.path().join("phi.gguf");
    export(folder.path(), None, "q4_0", &file).unwrap();
    let loaded = load_decoder(&file, &cpu()).unwrap();
    assert_eq!(loaded.info.chat_template.unwrap(), "{{ messages }}");
    let tokenizer = loaded.tokenizer.unwrap();
    assert_same(&tokenizer, &codegen());
    assert_eq!(tokenizer.encode_text("a    b\t\t").unwrap(), [64, 50_284, 65, 50_294]);
    assert_eq!(
        (tokenizer.token(50_294).as_deref(), tokenizer.token(50_295).as_deref()),
        (Some("\t\t"), Some("[PAD50295]"))
    );
    let written = GgufFile::open(&file).unwrap();
    assert_eq!(written.string("tokenizer.ggml.pre").unwrap(), "gpt-2");
    let types = types(&written);
    assert_eq!(types.len(), 50_304);
    assert_eq!([0, 50_256, 50_257, 50_295].map(|id| types[id]), [1, 3, 4, 5]);
}

#[test]
fn a_gguf_files_own_tokenizer_is_carried_over() {
    let original = models().join("smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    let entries = tokenizer_metadata(&original).unwrap();
    let network = random(&Config::Llama(llama::Config { vocab_size: 49_152, ..small_llama() }));
    let file = network.path().join("carried.gguf");
    export_with(network.path(), entries.clone(), None, "q8_0", &file).unwrap();
    assert_same(&Tokenizer::from_gguf(&GgufFile::open(&file).unwrap()).unwrap(), &smollm2());
    let carried = GgufFile::open(&file).unwrap().entries("tokenizer.");
    assert_eq!(format!("{carried:?}"), format!("{entries:?}"));
}

#[test]
fn smollm2s_tokenizer_is_put_together_as_its_gguf_file_has_it() {
    let tokenizer = smollm2();
    let path = models().join("smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    let original = GgufFile::open(&path).unwrap();
    for (key, value) in tokenizer.gguf_metadata().unwrap() {
        let want = original.value(&key);
        assert_eq!(format!("{:?}", Some(&value)), format!("{want:?}"), "{key}");
    }
}

fn types(file: &GgufFile) -> Vec<i32> {
    let Some(Value::Array(types)) = file.value("tokenizer.ggml.token_type") else { panic!("no types") };
    types.iter().map(|kind| kind.to_i32().unwrap()).collect()
}

#[track_caller]
fn assert_same(got: &Tokenizer, want: &Tokenizer) {
    let lines = lines();
    for (line, _) in lines.iter().step_by(5) {
        let marked = format!("<|endoftext|>{line}<|im_end|> {line}");
        for text in [line, &marked] {
            let ids = want.encode_text(text).unwrap();
            assert_eq!(got.encode_text(text).unwrap(), ids, "{text:?}");
            assert_eq!(got.decode(&ids).unwrap(), want.decode(&ids).unwrap());
            assert_eq!(got.encode_markup(text).unwrap(), want.encode_markup(text).unwrap(), "{text:?}");
        }
    }
    assert_eq!(
        (got.bos_id(), got.eos_ids(), got.adds_bos()),
        (want.bos_id(), want.eos_ids(), want.adds_bos())
    );
}

/// A folder with a random network of `rows` rows and a byte-level tokenizer of 259 words.
fn with_tokenizer(rows: usize, change: impl Fn(&mut Json)) -> tempfile::TempDir {
    let folder = random(&Config::Llama(llama::Config { vocab_size: rows, ..small_llama() }));
    let mut bytes: Vec<String> = ByteLevel::alphabet().into_iter().map(String::from).collect();
    bytes.sort_unstable();
    let words = bytes.into_iter().chain(["he".to_owned()]).zip(0..);
    let vocabulary: serde_json::Map<String, Json> = words.map(|(word, id)| (word, json!(id))).collect();
    let added = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false })
    };
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let mut tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [added(257, "<start>"), added(258, "<end>")],
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [{ "type": "Digits", "individual_digits": true }, byte_level] },
        "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocabulary, "merges": ["h e"] },
    });
    change(&mut tokenizer);
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let named = json!({ "bos_token": "<start>", "eos_token": "<end>", "pad_token": "<end>", "add_bos_token": true,
        "chat_template": "{{ bos_token }}" });
    fs::write(folder.path().join("tokenizer_config.json"), named.to_string()).unwrap();
    let generation = json!({ "eos_token_id": [258, 65] });
    fs::write(folder.path().join("generation_config.json"), generation.to_string()).unwrap();
    folder
}

#[test]
fn a_tokenizer_json_becomes_metadata_with_its_ends_and_template() {
    let (folder, target) = (with_tokenizer(260, |_| {}), tempfile::tempdir().unwrap());
    let file = target.path().join("named.gguf");
    export(folder.path(), None, "q8_0", &file).unwrap();
    let loaded = load_decoder(&file, &cpu()).unwrap();
    assert_eq!(
        (loaded.info.name.as_str(), loaded.info.chat_template.as_deref()),
        ("exported", Some("{{ bos_token }}"))
    );
    let original = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
    assert_same(&loaded.tokenizer.unwrap(), &original);
    assert_eq!((original.eos_ids(), original.bos_id()), (&[258, 65][..], Some(257)));
    let written = GgufFile::open(&file).unwrap();
    assert_eq!(written.string("tokenizer.ggml.pre").unwrap(), "smollm");
    assert_eq!(written.optional_usize("tokenizer.ggml.padding_token_id").unwrap(), Some(258));
    assert_eq!(written.optional_usize("general.quantization_version").unwrap(), Some(2));

    export(folder.path(), Some(259), "f16", &file).unwrap();
    let error = export(folder.path(), Some(258), "f16", &file).unwrap_err();
    assert!(error.to_string().contains("259 words"), "{error}");
}

#[test]
fn a_tokenizer_without_merges_has_an_empty_list_of_strings() {
    let folder = with_tokenizer(260, |json| json["model"]["merges"] = json!([]));
    let file = folder.path().join("bytes.gguf");
    export(folder.path(), None, "f16", &file).unwrap();
    let bytes = fs::read(&file).unwrap();
    let key = b"tokenizer.ggml.merges";
    let start = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    assert_eq!(bytes[start..start + 16], [9, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn tokenizers_that_gguf_cannot_say_are_refused() {
    type Change = fn(&mut Json);
    let refused = |change: Change| {
        let error = tokenizer_metadata(with_tokenizer(260, change).path()).unwrap_err();
        assert!(matches!(error, Error::Tokenizer { .. }), "{error}");
        error.to_string()
    };
    let cases: [(Change, &str); 5] = [
        (|json| json["normalizer"] = json!({ "type": "NFC" }), "normalises"),
        (|json| json["pre_tokenizer"] = json!({ "type": "Whitespace" }), "gpt-2, default"),
        (|json| json["added_tokens"][1]["lstrip"] = true.into(), "<end>"),
        (|json| json["model"]["vocab"]["zz"] = 300.into(), "where 257 should be"),
        (|json| json["model"]["byte_fallback"] = true.into(), "not byte-level"),
    ];
    for (change, what) in cases {
        let message = refused(change);
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn networks_that_gguf_cannot_hold_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refused.gguf");
    let error = export(&network("phi_qk_layernorm"), None, "f16", &file).unwrap_err();
    assert!(
        error.to_string().contains("phi2 has no place for model.layers.0.self_attn.q_layernorm"),
        "{error}"
    );
    let error = export(&network("phi"), Some(73), "f16", &file).unwrap_err();
    assert!(error.to_string().contains("they can only be cut"), "{error}");
    let config = Config::Phi(phi::Config { intermediate_size: 65, ..small_phi(72) });
    let source = weights::open(&network("phi")).unwrap();
    let error =
        export_gguf(source.as_ref(), &config, Metadata::new(), None, GgufFormat::F16, "", &file).unwrap_err();
    assert!(matches!(error, Error::Shape { .. } | Error::MissingTensor { .. }), "{error}");
    assert!(!file.exists(), "an unfinished file got its final name");
    assert!("q3".parse::<GgufFormat>().unwrap_err().ends_with(", f16"));
}
