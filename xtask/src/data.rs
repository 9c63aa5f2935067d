//! Data sets that a package holds, for training and evaluation. The others of the recipes are licensed to people, not to
//! programs: `docs/training.md` says where each is found and how its folder looks.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::{models, shell};

/// easy-VQA (<https://github.com/vzhou842/easy-VQA>, MIT) with its wheel's SHA-256.
const EASY_VQA: &str =
    "easy-vqa==1.0 --hash=sha256:fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f";

/// Lays `easy-vqa/train` and `easy-vqa/test` into the data folder beside the models.
pub fn fetch() -> Result<()> {
    let folder = models::home()?.join("data");
    let target = folder.join("easy-vqa");
    if target.join("test/questions.json").exists() {
        println!("{} is there", target.display());
        return Ok(());
    }
    let work = folder.join(".easy-vqa.part");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, EASY_VQA)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]);
    shell::run(pip.arg("-r").arg(&requirements).arg("-d").arg(&work))?;
    let wheel = work.join("easy_vqa-1.0-py3-none-any.whl");
    shell::run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&work))?;
    fs::rename(work.join("easy_vqa/data"), &target)?;
    fs::remove_dir_all(&work)?;
    println!("easy-VQA is in {}", target.display());
    Ok(())
}
