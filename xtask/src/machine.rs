//! What the machine must have, and how it gets it.

use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// Something that a task needs from the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The wasm32 target of the toolchain.
    Wasm,
    /// A C++ compiler, cmake and libclang, for whisper.cpp.
    Native,
    /// `python3 -m pip`, for model files that packages carry.
    Pip,
    /// Node, npm and a browser.
    Browser,
    /// Programs that make pictures and speech for tests.
    Media,
    /// Programs that the book's commands call.
    Book,
}

/// A program that shows whether a Debian package is there. `libclang.so` is looked for by its own rule.
const PACKAGES: &[(Need, &str, &[&str])] = &[
    (Need::Native, "cmake", &["cmake"]),
    (Need::Native, "g++", &["g++"]),
    (Need::Native, "make", &["make"]),
    (Need::Native, "clang", &["clang", "libclang-dev"]),
    (Need::Native, "pkg-config", &["pkg-config"]),
    (Need::Pip, "python3", &["python3", "python3-pip", "python3-venv"]),
    (Need::Browser, "node", &["nodejs"]),
    (Need::Browser, "npm", &["npm"]),
    (Need::Browser, "chromium", &["chromium", "fonts-noto-color-emoji"]),
    (Need::Media, "ffmpeg", &["ffmpeg"]),
    (Need::Media, "espeak-ng", &["espeak-ng"]),
    (Need::Book, "curl", &["curl"]),
];

/// Installs what is missing, or says what a person has to install.
pub fn prepare(needs: &[Need]) -> Result<()> {
    let mut missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(need, program, _)| needs.contains(need) && shell::find(program).is_none())
        .flat_map(|(_, _, packages)| packages.iter().copied())
        .collect();
    if needs.contains(&Need::Pip) && !missing.contains(&"python3-pip") && !has_pip() {
        missing.push("python3-pip");
    }
    install(&missing)?;
    if needs.contains(&Need::Wasm) {
        add_wasm_target()?;
    }
    Ok(())
}

fn has_pip() -> bool {
    Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if shell::find("apt-get").is_none() || !is_root() {
        bail!(
            "this machine lacks: {list} (Debian's names). Install them and run the command again; on Debian and \
             its relatives: sudo apt-get install --no-install-recommends {list}"
        );
    }
    println!("installing {list}");
    shell::run(Command::new("apt-get").args(["-q", "update"]))?;
    shell::run(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "install", "-y", "--no-install-recommends"])
            .args(packages),
    )
}

fn is_root() -> bool {
    shell::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// rust-toolchain.toml names the target; toolchains that rustup does not manage must bring it.
fn add_wasm_target() -> Result<()> {
    if shell::find("rustup").is_none() {
        return Ok(());
    }
    shell::run(Command::new("rustup").args(["--quiet", "target", "add", "wasm32-unknown-unknown"]))
}
