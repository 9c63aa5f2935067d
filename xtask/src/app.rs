//! The browser app: its modules compiled to wasm, bound by wasm-bindgen, compressed, laid into `target/app`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::shell;

const DIST: &str = "target/app";
const PROFILE: &str = "wasm-release";

/// Program and module: the conversations, and administration.
const MODULES: &[(&str, &str)] = &[("jnana-app", "app"), ("jnana-admin", "admin")];

/// Most bytes of a wasm module after brotli (a bar of the project).
const MAX_WASM_BROTLI: u64 = 350 * 1024;

/// Builds the app as users get it.
pub fn build() -> Result<()> {
    shell::run(shell::cargo().args([
        "build",
        "--package=jnana-app",
        "--target=wasm32-unknown-unknown",
        "--profile",
        PROFILE,
    ]))?;
    let dist = Path::new(DIST);
    if dist.exists() {
        fs::remove_dir_all(dist)?;
    }
    copy_folder(Path::new("app/public"), dist)?;
    for (program, module) in MODULES {
        bind(program, module, dist)?;
    }
    compress_folder(dist)?;
    MODULES.iter().try_for_each(|(_, module)| check_size(&dist.join(format!("{module}_bg.wasm.br"))))
}

/// Lays a module and the script that loads it into `dist`.
fn bind(program: &str, module: &str, dist: &Path) -> Result<()> {
    let wasm = format!("target/wasm32-unknown-unknown/{PROFILE}/{program}.wasm");
    Bindgen::new()
        .input_path(&wasm)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .out_name(module)
        .generate(dist)
        .with_context(|| format!("wasm-bindgen could not bind {wasm}"))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Writes `NAME.br` beside every file, for the server to send to browsers that take it.
fn compress_folder(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            compress_folder(&path)?;
            continue;
        }
        let bytes = fs::read(&path)?;
        let mut name = path.clone().into_os_string();
        name.push(".br");
        let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
        let mut file = fs::File::create(name)?;
        brotli::BrotliCompress(&mut bytes.as_slice(), &mut file, &parameters)?;
    }
    Ok(())
}

fn check_size(wasm: &Path) -> Result<()> {
    let bytes = fs::metadata(wasm)?.len();
    let name = wasm.display();
    println!("{name}: {} KB (at most {} KB)", bytes / 1024, MAX_WASM_BROTLI / 1024);
    anyhow::ensure!(bytes <= MAX_WASM_BROTLI, "{name} has grown over its limit");
    Ok(())
}
