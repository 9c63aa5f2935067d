//! What a call through a worker costs over one in this process: 49 × 2,560 values, as phi-2's pictures have.
//!
//! `cargo bench -p jnana-plugin-host --bench worker`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails as a test does")]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jnana_plugin_host::{
    CancelFlag, HostConfig, Instance, PluginHost, RawInput, RunPolicy, Runs, Trust, pin,
};

const POSITIONS: usize = 49;
const WIDTH: usize = 2560;
const CALLS: usize = 300;

fn main() {
    let root = tempfile::tempdir().unwrap();
    let plugins = root.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    compile(&plugins.join("libgood.so"));
    pin(&plugins, "libgood.so", Trust::Contained).unwrap();
    let here = time(&open(&plugins, root.path(), Runs::InProcess));
    let worker = time(&open(&plugins, root.path(), Runs::Worker));
    println!("[{POSITIONS}, {WIDTH}] f32, median of {CALLS} calls");
    println!("in process: {:.3} ms", here * 1e3);
    println!("in a worker: {:.3} ms", worker * 1e3);
    println!("more: {:.3} ms (at most 0.3)", (worker - here) * 1e3);
}

fn open(plugins: &Path, root: &Path, contained: Runs) -> PluginHost {
    let config = HostConfig {
        exe: PathBuf::from(env!("CARGO_BIN_EXE_jnana-plugin-child")),
        threads: 1,
        space: "bench".to_owned(),
        width: WIDTH as u32,
        cache_root: root.join("cache"),
        settings: HashMap::new(),
        disabled: HashSet::new(),
        runs: RunPolicy { contained, ..RunPolicy::default() },
        resolve_model: Box::new(|_, _| Err("there are no models".to_owned())),
        scan_timeout: Duration::from_secs(20),
    };
    PluginHost::open(plugins, &config).unwrap()
}

/// Median time of a call in seconds.
fn time(host: &PluginHost) -> f64 {
    let plugin = host.get("good").unwrap_or_else(|| panic!("{:?}", host.list()));
    let mut times: Vec<f64> = (0..CALLS).map(|_| call(&plugin).as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    times[CALLS / 2]
}

fn call(plugin: &Instance) -> Duration {
    let input = RawInput { bytes: b"all", mime: "text/plain" };
    let start = Instant::now();
    let rows = plugin.encode(input, &CancelFlag::new()).unwrap();
    let took = start.elapsed();
    assert_eq!((rows.positions, rows.width), (POSITIONS, WIDTH));
    took
}

fn compile(library: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let done = Command::new("cc")
        .args(["-std=c11", "-O2", "-fvisibility=hidden", "-fPIC", "-shared", "-DPOSITIONS=\"49\"", "-I"])
        .arg(folder.join("../abi/include"))
        .arg(folder.join("tests/fixtures/plugin.c"))
        .args(["-pthread", "-o"])
        .arg(library)
        .status()
        .expect("a C compiler named cc");
    assert!(done.success());
}
