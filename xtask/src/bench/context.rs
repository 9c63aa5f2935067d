//! What every comparison works with: our program, the models, and how much to do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::peers;
use crate::{models, shell};

/// A language model that both sides run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// What the default is made of, with its own weights.
    SmolLm2,
    /// The flagship's shape with random weights: the speed does not depend on their values.
    Phi2,
}

impl Model {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::SmolLm2 => "SmolLM2-135M Q4_1",
            Self::Phi2 => "phi-2's shape Q4_0",
        }
    }
}

/// What every comparison works with.
pub struct Context {
    jnana: PathBuf,
    home: PathBuf,
    /// Under what is measured, in a sentence: without it a figure says nothing.
    pub conditions: String,
    /// Threads of either side.
    pub threads: usize,
    /// How often each side runs.
    pub pairs: usize,
    /// Little is done, to see that it works.
    pub quick: bool,
}

impl Context {
    /// A context whose home folder has the person's models but none of their settings and conversations.
    pub fn new(jnana: &Path, pairs: usize, quick: bool) -> Result<Self> {
        let home = peers::cache()?.join("home");
        fs::create_dir_all(&home)?;
        let link = home.join("models");
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        symlink(std::path::absolute(models::folder()?)?, &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
        let threads = std::thread::available_parallelism()?.get();
        Ok(Self {
            jnana: std::path::absolute(jnana)?,
            home,
            conditions: conditions(threads)?,
            threads,
            pairs: if quick { 1 } else { pairs },
            quick,
        })
    }

    /// Our program in the context's home, computing with as many threads as the peers.
    pub fn jnana(&self) -> Command {
        let mut command = Command::new(&self.jnana);
        command.env("JNANA_HOME", &self.home).env("RAYON_NUM_THREADS", self.threads.to_string());
        command
    }

    /// What `jnana bench --json` says.
    pub fn measure(&self, arguments: impl FnOnce(&mut Command)) -> Result<Value> {
        let mut command = self.jnana();
        command.args(["bench", "--json", "--offline", "--threads", &self.threads.to_string()]);
        arguments(&mut command);
        let said = shell::output(&mut command)?;
        serde_json::from_str(&said).with_context(|| format!("jnana bench said {said}"))
    }

    /// The models to compare with.
    pub fn models(&self) -> &'static [Model] {
        if self.quick { &[Model::SmolLm2] } else { &[Model::SmolLm2, Model::Phi2] }
    }

    /// The GGUF file of a model; random weights are written the first time.
    pub fn file(&self, model: Model) -> Result<PathBuf> {
        match model {
            Model::SmolLm2 => {
                Ok(self.model_folder("smollm2-135m-instruct").join("SmolLM2-135M-Instruct.Q4_1.gguf"))
            }
            Model::Phi2 => Ok(self.random("phi-2", "q4_0", "random.q4_0.gguf")?.join("random.q4_0.gguf")),
        }
    }

    /// Where a listed model lies.
    pub fn model_folder(&self, name: &str) -> PathBuf {
        self.home.join("models").join(name)
    }

    /// A folder of random weights, in which `whole` is there once they are all written.
    pub fn random(&self, shape: &str, weights: &str, whole: &str) -> Result<PathBuf> {
        let folder = peers::cache()?.join(format!("{shape}-{weights}"));
        if !folder.join(whole).is_file() {
            let mut command = self.jnana();
            command.args(["debug", "random-model", "--shape", shape, "--weights", weights, "--out"]);
            shell::run(command.arg(&folder))?;
        }
        Ok(folder)
    }

    /// Where plugin `id` keeps what it made.
    pub fn plugin_cache(&self, id: &str) -> PathBuf {
        self.home.join("plugin-cache").join(id)
    }
}

fn conditions(threads: usize) -> Result<String> {
    let commit = shell::output(Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]))?;
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor_name(&processors).unwrap_or("an unnamed processor");
    Ok(format!("{threads} threads of {processor}, commit {}.", commit.trim()))
}

fn processor_name(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim()).filter(|name| !name.is_empty())
}

/// A number in a report.
pub fn number(report: &Value, key: &str) -> Result<f64> {
    report.get(key).and_then(Value::as_f64).with_context(|| format!("no number \"{key}\" in {report}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t: avx2\n";
        assert_eq!(processor_name(cpuinfo), Some("AMD EPYC 7B13"));
        assert_eq!(processor_name("processor\t: 0\n"), None);
    }
}
