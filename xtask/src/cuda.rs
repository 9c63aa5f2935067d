//! `jnana` and `jnana-trainer` with CUDA, built on a machine that needs no GPU: nvcc comes from Python wheels, the driver from a stub.
//!
//! candle links CUDA dynamically, so these binaries start only where `libcuda.so.1` is; the default build stays CPU only.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::machine::{self, Need};
use crate::shell;
use crate::stage::Stages;

/// CUDA 13.0: PTX of a newer nvcc is too new for the drivers of its time (580).
const WHEELS: &[&str] = &[
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-cccl==13.0.85",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-curand==10.4.0.35",
    "nvidia-cuda-nvrtc==13.0.88",
    "nvidia-cublas==13.1.0.3",
    "nvidia-cuda-culibos==13.0.85",
];

const TARGET: &str = "target-cuda";

/// Builds `target-cuda/release/jnana` and `jnana-trainer`.
pub fn build(compute_capability: &str) -> Result<()> {
    let home = std::path::absolute(Path::new(TARGET).join("toolkit"))?;
    let mut stages = Stages::new(3);
    stages.stage("what the machine needs", || machine::prepare(&[Need::Native, Need::Pip]))?;
    stages.stage("CUDA 13.0 from wheels", || {
        if home.join("bin/nvcc").exists() {
            println!("{} is there", home.display());
            return Ok(());
        }
        assemble(&home)
    })?;
    stages.stage("server and trainer with CUDA (about 12 minutes on 2 cores)", || {
        compile(&home, compute_capability)
    })?;
    stages.report();
    println!(
        "{TARGET}/release/jnana and jnana-trainer need libcuda, libcublas.so.13, libcublasLt.so.13 and libcurand.so.10 where they run"
    );
    Ok(())
}

/// Downloads the wheels and lays them out as a toolkit: `bin include nvvm lib64`.
fn assemble(home: &Path) -> Result<()> {
    let venv = Path::new(TARGET).join("venv");
    fs::create_dir_all(home)?;
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    shell::run(Command::new(venv.join("bin/pip")).args(["install", "--no-deps"]).args(WHEELS))?;
    let wheels = nvidia_folder(&venv)?;
    // nvcc finds its parts relative to its own real path: links would lead it back into the wheel.
    for part in ["bin", "include", "nvvm"] {
        shell::run(Command::new("cp").arg("-rL").arg(wheels.join(part)).arg(home))?;
    }
    link_libraries(&wheels.join("lib"), &home.join("lib64"))?;
    symlink("lib64", home.join("lib"))?;
    stub_driver(&home.join("lib64/stubs"))
}

fn nvidia_folder(venv: &Path) -> Result<PathBuf> {
    let lib = fs::read_dir(venv.join("lib"))?.next().context("the virtual environment is empty")??;
    Ok(std::path::absolute(lib.path().join("site-packages/nvidia/cu13"))?)
}

/// Links every library, and the unversioned names that the linker asks for.
fn link_libraries(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        symlink(entry.path(), to.join(entry.file_name()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let unversioned = name.split_once(".so.").map(|(stem, _)| to.join(format!("{stem}.so")));
        if let Some(link) = unversioned
            && !link.exists()
        {
            symlink(entry.path(), link)?;
        }
    }
    // The static runtime in place of the shared one: one library less to bring along.
    let cudart = to.join("libcudart.so");
    fs::remove_file(&cudart).ok();
    fs::write(cudart, "INPUT(-l:libcudart_static.a -lrt -ldl -lpthread)\n")?;
    Ok(())
}

/// A `libcuda.so.1` whose functions all answer 100 (no device), so that the program links and starts without a driver.
fn stub_driver(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut source = String::new();
    for name in driver_functions()? {
        writeln!(source, "int {name}(void) {{ return 100; }}")?;
    }
    let file = folder.join("libcuda.c");
    fs::write(&file, source)?;
    shell::run(
        Command::new("cc")
            .args(["-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", "-o"])
            .arg(folder.join("libcuda.so.1"))
            .arg(&file),
    )?;
    symlink("libcuda.so.1", folder.join("libcuda.so"))?;
    Ok(())
}

/// Names of the driver API, as cudarc declares them.
fn driver_functions() -> Result<Vec<String>> {
    let bindings = shell::crate_folder("cudarc")?.join("src/driver/sys/mod.rs");
    let text =
        fs::read_to_string(&bindings).with_context(|| format!("cannot read {}", bindings.display()))?;
    let mut names: Vec<String> = text
        .split("fn ")
        .skip(1)
        .filter_map(|rest| rest.split(['(', '<']).next())
        .filter(|name| name.starts_with("cu") && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn compile(home: &Path, compute_capability: &str) -> Result<()> {
    let lib = home.join("lib64");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(home.join("bin")).chain(std::env::split_paths(&path)))?;
    let flags = format!("-Ctarget-cpu=x86-64-v3 -Lnative={0} -Lnative={0}/stubs", lib.display());
    shell::run(
        shell::cargo()
            .args([
                "build",
                "--release",
                "--package=jnana-server",
                "--package=jnana-trainer",
                "--features=cuda",
            ])
            .args(["--target-dir", TARGET])
            .env("PATH", path)
            .env("CUDA_HOME", home)
            .env("CUDA_COMPUTE_CAP", compute_capability)
            .env("RUSTFLAGS", flags),
    )
}
