//! Compiles libraries, installs them into a folder and opens it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jnana_api::plugins::{PluginInfo, PluginState};
use jnana_plugin_host::{
    CancelFlag, HostConfig, Instance, PluginHost, RawInput, RunPolicy, Runs, Trust, WorkerLimits,
};
use tempfile::TempDir;

/// Width of the embedding space that the tests ask for.
pub(crate) const WIDTH: usize = 6;

/// A plugins folder with what lies beside it.
pub(crate) struct Folder {
    root: TempDir,
    pub(crate) config: HostConfig,
}

impl Folder {
    pub(crate) fn empty() -> Self {
        let root = tempfile::tempdir().unwrap();
        let config = HostConfig {
            exe: PathBuf::from(env!("CARGO_BIN_EXE_jnana-plugin-child")),
            threads: 3,
            space: "test-space".to_owned(),
            width: WIDTH as u32,
            cache_root: root.path().join("cache"),
            settings: HashMap::new(),
            disabled: HashSet::new(),
            runs: RunPolicy { contained: Runs::InProcess, ..RunPolicy::default() },
            resolve_model: Box::new(|model, value| {
                let name = value.and_then(|value| value.as_str()).unwrap_or(&model.default);
                match name {
                    "missing" => Err(format!("there is no model {name}")),
                    name => Ok(PathBuf::from("/models").join(name)),
                }
            }),
            scan_timeout: Duration::from_secs(20),
        };
        Self { root, config }
    }

    /// A folder with the good plugin.
    pub(crate) fn with_good() -> Self {
        let folder = Self::empty();
        folder.add_c("libgood.so", &[]);
        folder
    }

    /// A folder whose plugins run in workers, with the good one.
    pub(crate) fn with_workers() -> Self {
        let mut folder = Self::with_good();
        let limits =
            WorkerLimits { memory: 128 << 20, call: Duration::from_secs(3), create: Duration::from_secs(20) };
        folder.config.runs = RunPolicy { limits, ..RunPolicy::default() };
        folder
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn plugins(&self) -> PathBuf {
        self.root.path().join("plugins")
    }

    /// Compiles the C plugin with macros and installs it.
    pub(crate) fn add_c(&self, file: &str, macros: &[&str]) {
        let built = self.root.path().join("built");
        std::fs::create_dir_all(&built).unwrap();
        let library = built.join(file);
        compile(&library, macros);
        self.add(&library);
    }

    /// Lays a library into the folder and pins it, whatever it is.
    pub(crate) fn add(&self, library: &Path) {
        let file = library.file_name().unwrap().to_str().unwrap();
        self.add_bytes(file, &std::fs::read(library).unwrap());
    }

    /// Installs the plugin made with the SDK, which Cargo built beside this test.
    pub(crate) fn add_sdk(&self) {
        let test = std::env::current_exe().unwrap();
        self.add(&test.with_file_name("libjnana_faulty_plugin.so"));
    }

    /// Puts any bytes into the folder and pins them.
    pub(crate) fn add_bytes(&self, file: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.plugins()).unwrap();
        let path = self.plugins().join(file);
        // A new file: one of this name may be loaded.
        let _ = std::fs::remove_file(&path);
        std::fs::write(path, bytes).unwrap();
        jnana_plugin_host::pin(&self.plugins(), file, Trust::Contained).unwrap();
    }

    pub(crate) fn open(&self) -> PluginHost {
        PluginHost::open(&self.plugins(), &self.config).unwrap()
    }
}

pub(crate) fn compile(library: &Path, macros: &[&str]) {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("cc")
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-fvisibility=hidden",
            "-fPIC",
            "-shared",
        ])
        .args(macros.iter().map(|name| format!("-D{name}")))
        .arg("-I")
        .arg(crate_folder.join("../abi/include"))
        .arg(crate_folder.join("tests/fixtures/plugin.c"))
        .args(["-pthread", "-o"])
        .arg(library)
        .output()
        .expect("a C compiler named cc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn text(text: &str) -> RawInput<'_> {
    RawInput { bytes: text.as_bytes(), mime: "text/plain" }
}

pub(crate) fn loaded(host: &PluginHost, id: &str) -> Arc<Instance> {
    host.get(id).unwrap_or_else(|| panic!("{id} is not loaded: {:?}", host.list()))
}

/// What the list says of a library.
pub(crate) fn info(host: &PluginHost, file: &str) -> PluginInfo {
    host.list().into_iter().find(|info| info.file == file).unwrap()
}

/// Why a library failed.
pub(crate) fn reason(host: &PluginHost, file: &str) -> String {
    match info(host, file).state {
        PluginState::Failed { reason } => reason,
        state => panic!("{file} is {state:?}"),
    }
}

/// The good plugin answers, and rightly.
pub(crate) fn assert_good_works(host: &PluginHost) {
    let rows = loaded(host, "good").encode(text("good"), &CancelFlag::new()).unwrap();
    assert_eq!((rows.positions, rows.width), (2, WIDTH));
    assert_eq!(rows.values, (0..12).map(|n| n as f32).collect::<Vec<_>>());
}
