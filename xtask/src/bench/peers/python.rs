//! Peers that are Python packages, each comparison's in an environment of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::peers;
use crate::shell;

/// The Python of an environment with these packages; it is made anew when the list has changed.
pub fn environment(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = peers::cache()?.join(format!("python-{name}"));
    let (python, list) = (folder.join("bin/python"), folder.join("packages.txt"));
    let wanted = packages.join("\n");
    if fs::read_to_string(&list).is_ok_and(|there| there == wanted) {
        println!("{} is there", folder.display());
        return Ok(python);
    }
    println!("installing {} into {}", packages.join(", "), folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    shell::run(pip.args(packages))?;
    // Last: an environment that is not whole has no list.
    fs::write(&list, wanted)?;
    Ok(python)
}

/// The figures in a list that a program prints as its last line.
pub fn figures(command: &mut Command) -> Result<Vec<f64>> {
    last_list(&shell::output(command)?)
}

fn last_list(output: &str) -> Result<Vec<f64>> {
    let said = || format!("expected a list of numbers as the last line of {output:?}");
    let line = output.lines().rfind(|line| !line.trim().is_empty()).with_context(said)?;
    let list: Value = serde_json::from_str(line).with_context(said)?;
    let numbers = list.as_array().with_context(said)?.iter().map(Value::as_f64);
    numbers.collect::<Option<Vec<f64>>>().with_context(said)
}

#[cfg(test)]
mod tests {
    use super::last_list;

    #[test]
    fn figures_are_in_the_last_line() {
        assert_eq!(last_list("a warning\n[1.5, 20]\n\n").unwrap(), [1.5, 20.]);
        for wrong in ["", "1.5", "[1.5, \"a\"]", "[1.5"] {
            assert!(last_list(wrong).is_err(), "{wrong}");
        }
    }
}
