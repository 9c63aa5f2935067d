//! What is written is what is read.

use std::fs;
use std::path::Path;

use candle_core::DType;
use jnana_models::config::Config;
use jnana_models::export::{copy_tokenizer, export_folder};
use jnana_models::shapes::checkpoint_shapes;
use jnana_models::synthetic::{Format, write_random};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::weights::{self, GgufFile, SafetensorsFolder, TensorSource};
use jnana_models::{Error, LoadOptions, llama, load_decoder, phi};
use serde_json::Value as Json;

use crate::support::{NETWORKS, assert_close, cpu, expected, fixture, full_logits, load, network, tensors};
use crate::tokens::{lines, models, smollm2};

fn small_phi() -> Config {
    Config::Phi(phi::Config {
        vocab_size: 72,
        hidden_size: 64,
        intermediate_size: 256,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: None,
        ..phi::Config::phi2()
    })
}

fn config_of(folder: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
}

#[test]
fn shapes_are_those_of_the_checkpoints() {
    for name in NETWORKS {
        let config = Config::from_json(&config_of(&network(name)), Path::new("config.json")).unwrap();
        let source = SafetensorsFolder::open(&network(name)).unwrap();
        let mut ours = checkpoint_shapes(&config);
        ours.sort_unstable();
        let theirs: Vec<_> =
            source.names().into_iter().map(|name| (name.clone(), source.shape(&name).unwrap())).collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn an_exported_folder_with_fewer_rows_answers_alike() {
    for (source, name) in
        [("phi", "phi"), ("llama_untied", "llama_untied"), ("phi2.gguf", "phi"), ("llama.gguf", "llama_tied")]
    {
        let path = fixture("decoders").join(source);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("exported");
        let config = load_decoder(&path, &cpu()).unwrap().info.config;
        export_folder(weights::open(&path).unwrap().as_ref(), &config, Some(60), DType::F32, &target)
            .unwrap();
        assert_eq!(config_of(&target)["vocab_size"], 60);
        let (ids, _) = expected(name);
        let ids = ids.clamp(0u32, 59u32).unwrap();
        let want = full_logits(load(&network(name)).as_ref(), &ids, None).narrow(2, 0, 60).unwrap();
        assert_close(&full_logits(load(&target).as_ref(), &ids, None), &want, 1e-4, source);
        let python_reads_it =
            candle_core::safetensors::load(target.join("model.safetensors"), &candle_core::Device::Cpu);
        assert_eq!(python_reads_it.unwrap()["model.embed_tokens.weight"].dims(), [60, 32]);
    }
}

#[test]
fn exports_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = SafetensorsFolder::open(&network("phi")).unwrap();
    let config = config_of(&network("phi"));
    let refused =
        |config: &Json, rows, dtype| export_folder(&source, config, rows, dtype, folder.path()).unwrap_err();
    assert!(matches!(refused(&config, Some(100), DType::F16), Error::Options { .. }));
    assert!(matches!(refused(&config, None, DType::U8), Error::NumberType { .. }));
    let mut other = config.clone();
    other["intermediate_size"] = 65.into();
    assert!(matches!(refused(&other, None, DType::F16), Error::Shape { .. }));
    assert!(!folder.path().join("model.safetensors").exists(), "an unfinished file got its final name");
}

#[test]
fn random_weights_load_in_every_format_and_repeat_by_seed() {
    let untied = llama::Config {
        tie_word_embeddings: false,
        num_key_value_heads: Some(2),
        ..serde_json::from_value(config_of(&network("llama_tied"))).unwrap()
    };
    for config in [small_phi(), Config::Llama(untied)] {
        let formats = [
            Format::Safetensors(DType::F16),
            Format::Safetensors(DType::BF16),
            Format::Gguf("q4_0".parse().unwrap()),
            Format::Gguf("q4_k".parse().unwrap()),
        ];
        for format in formats {
            let logits = |seed| {
                let folder = tempfile::tempdir().unwrap();
                write_random(folder.path(), &config, format, seed).unwrap();
                let (ids, _) = expected("phi");
                full_logits(load(folder.path()).as_ref(), &ids, None)
            };
            let (first, again, other) = (logits(5), logits(5), logits(6));
            assert_close(&first, &again, 0., "the same seed");
            let scale = first.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(scale > 0. && crate::support::max_difference(&first, &other) > 0.1 * scale, "{format:?}");
        }
    }
}

#[test]
fn random_weights_have_the_announced_spread() {
    let folder = tempfile::tempdir().unwrap();
    write_random(folder.path(), &small_phi(), Format::Safetensors(DType::F32), 1).unwrap();
    let all = tensors(&folder.path().join("model.safetensors"));
    let weight = &all["model.layers.1.mlp.fc1.weight"];
    let mean_square = weight.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    assert!((mean_square.sqrt() - 0.02).abs() < 0.001, "{}", mean_square.sqrt());
    let norm = all["model.final_layernorm.weight"].mean_all().unwrap().to_scalar::<f32>().unwrap();
    assert!((norm - 1.).abs() < 0.02, "{norm}");
}

#[test]
fn gguf_has_no_place_for_norms_on_queries() {
    let Config::Phi(config) = small_phi() else { unreachable!("small_phi is a Phi") };
    let config = Config::Phi(phi::Config { qk_layernorm: true, ..config });
    let folder = tempfile::tempdir().unwrap();
    let error = write_random(folder.path(), &config, Format::Gguf("q4_0".parse().unwrap()), 1).unwrap_err();
    assert!(error.to_string().contains("phi2 has no place"), "{error}");
}

#[test]
fn gguf_has_no_nf4() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        write_random(folder.path(), &small_phi(), Format::Gguf("nf4".parse().unwrap()), 1).unwrap_err();
    assert!(error.to_string().contains("gguf in nf4"), "{error}");
}

#[test]
fn a_written_gguf_says_what_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    write_random(folder.path(), &small_phi(), Format::Gguf("q8_0".parse().unwrap()), 1).unwrap();
    let file = GgufFile::open(&folder.path().join("random.q8_0.gguf")).unwrap();
    let Config::Phi(read) = Config::from_gguf(&file).unwrap() else { panic!("{}", file.architecture()) };
    let Config::Phi(mut written) = small_phi() else { unreachable!("small_phi is a Phi") };
    written.num_key_value_heads = Some(4);
    // f32 in the file, f64 in the configuration.
    assert!((read.layer_norm_eps - written.layer_norm_eps).abs() < 1e-9);
    // Six of each head's sixteen elements turn: the file stores the number, not the share of 0.4.
    assert_eq!(read.partial_rotary_factor, 6. / 16.);
    written.layer_norm_eps = read.layer_norm_eps;
    written.partial_rotary_factor = read.partial_rotary_factor;
    assert_eq!(read, written);
}

#[test]
fn the_tokenizer_in_the_folder_goes_into_a_random_gguf_file() {
    let Config::Phi(config) = small_phi() else { unreachable!("small_phi is a Phi") };
    let config = Config::Phi(phi::Config { vocab_size: 1000, ..config });
    let folder = tempfile::tempdir().unwrap();
    let write = || write_random(folder.path(), &config, Format::Gguf("q4_0".parse().unwrap()), 1);
    let made_up = Tokenizer::made_up(900).unwrap();
    made_up.save(folder.path(), None).unwrap();
    write().unwrap();
    let file = GgufFile::open(&folder.path().join("random.q4_0.gguf")).unwrap();
    let inside = Tokenizer::from_gguf(&file).unwrap();
    assert_eq!(inside.vocab_size(), 1000);
    assert_eq!(inside.token(900).as_deref(), Some("[PAD900]"));
    for text in [" sun and sky", "Grün"] {
        assert_eq!(inside.encode_text(text).unwrap(), made_up.encode_text(text).unwrap());
    }
    assert_eq!((inside.eos_ids(), inside.bos_id()), (made_up.eos_ids(), made_up.bos_id()));

    Tokenizer::made_up(1001).unwrap().save(folder.path(), None).unwrap();
    assert!(matches!(write().unwrap_err(), Error::Options { .. }));
}

#[test]
fn the_tokenizer_travels_with_the_weights() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for file in ["vocab.json", "merges.txt", "notes.txt"] {
        fs::write(from.path().join(file), file).unwrap();
    }
    assert_eq!(copy_tokenizer(from.path(), to.path()).unwrap(), 2);
    assert_eq!(fs::read_to_string(to.path().join("merges.txt")).unwrap(), "merges.txt");
}

#[test]
fn the_tokenizer_inside_a_gguf_file_becomes_files() {
    let to = tempfile::tempdir().unwrap();
    let folder = models().join("smollm2-135m-instruct");
    assert_eq!(copy_tokenizer(&folder, to.path()).unwrap(), 2);
    let (original, saved) = (smollm2(), Tokenizer::from_folder(to.path()).unwrap().unwrap());
    for (line, ids) in lines() {
        assert_eq!(saved.encode_text(&line).unwrap(), ids, "{line}");
    }
    let markup = "<|im_start|>user\nHi<|im_end|>\n";
    assert_eq!(saved.encode_markup(markup).unwrap(), original.encode_markup(markup).unwrap());
    assert_eq!((saved.eos_ids(), saved.bos_id()), (original.eos_ids(), original.bos_id()));
    let config = fs::read_to_string(to.path().join("tokenizer_config.json")).unwrap();
    assert!(config.contains("chat_template"), "{config}");
}

#[test]
fn unreadable_options_name_themselves() {
    let error = load_decoder(&network("phi"), &LoadOptions { vocab_rows: Some(0), ..cpu() }).err().unwrap();
    assert!(error.to_string().contains("vocab_rows 0"), "{error}");
}
