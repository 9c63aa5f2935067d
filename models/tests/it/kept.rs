//! Packed weights from one start to the next.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use candle_core::Tensor;
use jnana_models::kept::{KeptFolder, Saved};
use jnana_models::{LoadOptions, Loaded, Mode, load_decoder};
use tempfile::TempDir;

use crate::support::{cpu, expected, fixture, full_logits, network};

const LIMIT: u64 = 1 << 30;

/// A network of a test's own, and a folder to keep packed weights in.
struct Rig {
    home: TempDir,
}

impl Rig {
    fn new() -> Self {
        let rig = Self { home: tempfile::tempdir().unwrap() };
        for file in ["config.json", "model.safetensors"] {
            fs::create_dir_all(rig.model()).unwrap();
            fs::copy(network("phi").join(file), rig.model().join(file)).unwrap();
        }
        rig
    }

    fn model(&self) -> PathBuf {
        self.home.path().join("phi")
    }

    fn packed(&self) -> PathBuf {
        self.home.path().join("packed")
    }

    fn options(&self, quantization: &str, limit: u64) -> LoadOptions {
        let quantize = Some(quantization.parse().unwrap());
        LoadOptions { quantize, kept: Some(KeptFolder::new(self.packed(), limit)), ..cpu() }
    }

    fn load(&self, quantization: &str) -> Loaded {
        load_decoder(&self.model(), &self.options(quantization, LIMIT)).unwrap()
    }

    /// Loads and keeps; gives the file.
    fn keep(&self, quantization: &str) -> PathBuf {
        match self.load(quantization).unsaved.unwrap().save().unwrap() {
            Saved::Written { path, bytes } => {
                assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
                path
            }
            other => panic!("{other:?}"),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(self.packed()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| !file.ends_with("lock"));
        files.sort();
        files
    }
}

fn logits(loaded: &Loaded) -> Vec<f32> {
    let (ids, _) = expected("phi");
    numbers(&full_logits(loaded.decoder.as_ref(), &ids, None))
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn set_changed(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn the_second_start_takes_what_the_first_has_packed() {
    let rig = Rig::new();
    let plain =
        load_decoder(&rig.model(), &LoadOptions { kept: None, ..rig.options("q4_0", LIMIT) }).unwrap();
    assert!(plain.unsaved.is_none(), "nothing is kept where nobody asked for it");
    rig.keep("q4_0");
    let second = rig.load("q4_0");
    assert!(second.unsaved.is_none());
    assert_eq!(logits(&second), logits(&plain));
    assert_eq!(second.info.weight_bytes, plain.info.weight_bytes);
    assert_eq!(second.info.parameters, plain.info.parameters);
}

#[test]
fn files_of_blocks_are_kept_too() {
    let rig = Rig::new();
    let file = fixture("decoders/llama.Q8_0.gguf");
    let load = || {
        let kept = Some(KeptFolder::new(rig.packed(), LIMIT));
        load_decoder(&file, &LoadOptions { kept, ..cpu() }).unwrap()
    };
    let first = load();
    first.unsaved.as_ref().unwrap().save().unwrap();
    let second = load();
    assert!(second.unsaved.is_none());
    let (ids, _) = expected("llama_tied");
    let of = |loaded: &Loaded| numbers(&full_logits(loaded.decoder.as_ref(), &ids, None));
    assert_eq!(of(&second), of(&first));
}

#[test]
fn each_quantisation_has_a_file_and_training_none() {
    let rig = Rig::new();
    let (first, second) = (rig.keep("q4_0"), rig.keep("q8_0"));
    assert_ne!(first, second);
    assert_eq!(rig.files().len(), 2);
    assert!(rig.load("q4_0").unsaved.is_none() && rig.load("q8_0").unsaved.is_none());
    let training = LoadOptions { mode: Mode::Training, ..rig.options("q5_0", LIMIT) };
    assert!(load_decoder(&rig.model(), &training).unwrap().unsaved.is_none());
}

#[test]
fn weights_that_changed_replace_what_was_kept_of_them() {
    let rig = Rig::new();
    let before = rig.keep("q4_0");
    set_changed(&rig.model().join("model.safetensors"), SystemTime::UNIX_EPOCH + Duration::from_secs(9));
    assert!(rig.load("q4_0").unsaved.is_some());
    assert_eq!(rig.keep("q4_0"), before);
    assert_eq!(rig.files(), [before]);
    assert!(rig.load("q4_0").unsaved.is_none());
}

#[test]
fn other_rows_of_the_vocabulary_are_packed_anew() {
    let rig = Rig::new();
    rig.keep("q4_0");
    let cut = LoadOptions { vocab_rows: Some(60), ..rig.options("q4_0", LIMIT) };
    let cut = load_decoder(&rig.model(), &cut).unwrap();
    assert!(cut.unsaved.is_some());
    assert_eq!(cut.decoder.shape().vocab_size, 60);
}

#[test]
fn damaged_files_count_as_absent() {
    let rig = Rig::new();
    let file = rig.keep("q4_0");
    let whole = fs::read(&file).unwrap();
    let want = logits(&rig.load("q4_0"));
    let json_begins_wrong = [&whole[..8], b"?", &whole[9..]].concat();
    let header_without_end = [&u64::MAX.to_le_bytes()[..], &whole[8..]].concat();
    for damaged in
        [&whole[..whole.len() - 1], &whole[..5], &[], &json_begins_wrong[..], &header_without_end[..]]
    {
        fs::write(&file, damaged).unwrap();
        let loaded = rig.load("q4_0");
        assert_eq!(logits(&loaded), want);
        assert!(loaded.unsaved.is_some());
    }
}

#[test]
fn the_longest_unused_make_room() {
    let rig = Rig::new();
    let files = ["q4_0", "q4_1", "q5_0"].map(|quantization| rig.keep(quantization));
    for (age, file) in [30, 20, 10].into_iter().zip(&files) {
        set_changed(file, SystemTime::now() - Duration::from_secs(age));
    }
    // The oldest is used again.
    assert!(rig.load("q4_0").unsaved.is_none());
    let size = |file: &PathBuf| fs::metadata(file).unwrap().len();
    let limit = files.iter().map(size).sum::<u64>() + 1;
    let loaded = load_decoder(&rig.model(), &rig.options("q5_1", limit)).unwrap();
    let Saved::Written { path, .. } = loaded.unsaved.unwrap().save().unwrap() else { panic!("not written") };
    let left = rig.files();
    assert!(left.contains(&path) && left.contains(&files[0]) && !left.contains(&files[1]), "{left:?}");
    assert!(left.iter().map(size).sum::<u64>() <= limit);
}

#[test]
fn what_can_never_fit_is_not_written() {
    let rig = Rig::new();
    let loaded = load_decoder(&rig.model(), &rig.options("q4_0", 100)).unwrap();
    let saved = loaded.unsaved.unwrap().save().unwrap();
    assert!(matches!(saved, Saved::TooLarge { bytes, limit: 100 } if bytes > 100), "{saved:?}");
    assert!(!rig.packed().exists());
}

#[test]
fn one_process_writes_at_a_time() {
    let rig = Rig::new();
    let unsaved = rig.load("q4_0").unsaved.unwrap();
    fs::create_dir_all(rig.packed()).unwrap();
    let lock = File::create(rig.packed().join("lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(unsaved.save().unwrap(), Saved::Busy);
    drop(lock);
    assert!(matches!(unsaved.save().unwrap(), Saved::Written { .. }));
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let rig = Rig::new();
    let file = rig.keep("q4_0");
    // A folder in the file's place, which no file can be renamed to, and what a process left that ended early.
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("full")).unwrap();
    fs::write(rig.packed().join("other.packed.partial"), "half").unwrap();
    let error = rig.load("q4_0").unsaved.unwrap().save().unwrap_err().to_string();
    assert!(error.contains("rename"), "{error}");
    assert_eq!(rig.files(), [file]);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_of_keeping_alone() {
    let rig = Rig::new();
    fs::write(rig.packed(), "a file").unwrap();
    let loaded = rig.load("q4_0");
    let error = loaded.unsaved.unwrap().save().unwrap_err().to_string();
    assert!(error.contains("create") && error.contains("packed"), "{error}");
}
