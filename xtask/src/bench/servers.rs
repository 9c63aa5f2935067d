//! Servers as processes of their own: ours and llama.cpp's, asked through the same door.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::context::Context;
use super::{peers, usage};

/// A gigabyte-sized model may take so long to load.
const PATIENCE: Duration = Duration::from_secs(600);

/// Memory for the caches of ours in MiB: as much as the longest comparison needs. It is taken only when it is used.
const CACHE_MIB: &str = "8192";

/// A running server; it ends with this.
pub struct Server {
    child: Child,
    /// Where it is asked.
    pub url: String,
}

impl Server {
    /// Ours with a model, for so many requests at the same time; without plugins, which llama.cpp's has not.
    pub fn ours(context: &Context, model: &Path, at_once: usize) -> Result<Self> {
        let mut command = context.jnana();
        command.args(["serve", "--port", "0", "--offline", "--plugins", "no-plugins"]);
        command.args(["--cache-mib", CACHE_MIB, "--max-batch", &at_once.to_string(), "--model"]).arg(model);
        let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start jnana serve")?;
        let said = BufReader::new(child.stderr.take().context("its standard error is piped")?);
        let mut server = Self { child, url: String::new() };
        let mut lines = said.lines();
        let mut before = Vec::new();
        for line in lines.by_ref() {
            let line = line?;
            if let Some(url) = line.strip_prefix("Jnana is ready on ") {
                server.url = url.to_owned();
                break;
            }
            before.push(line);
        }
        if server.url.is_empty() {
            bail!("jnana serve ended early: {}", before.join("\n"));
        }
        // Read on, or its log would fill the pipe and block it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }

    /// llama.cpp's with a model, for so many sequences of so many positions.
    pub fn llama(
        context: &Context,
        program: &Path,
        model: &Path,
        sequences: usize,
        positions: usize,
    ) -> Result<Self> {
        let port = free_port()?.to_string();
        let log = peers::cache()?.join("llama-server.log");
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--port", &port, "--threads", &context.threads.to_string()]);
        command.args(["--parallel", &sequences.to_string()]);
        // The context is that of all sequences together.
        command.args(["--ctx-size", &(sequences * positions).to_string(), "--model"]).arg(model);
        let child = command.stdout(output.try_clone()?).stderr(output).spawn();
        let child = child.with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self { child, url: format!("http://127.0.0.1:{port}") };
        server.wait_for_health().with_context(|| format!("{} says more", log.display()))?;
        Ok(server)
    }

    fn wait_for_health(&mut self) -> Result<()> {
        let health = format!("{}/health", self.url);
        let started = Instant::now();
        // It refuses connections, then answers 503, then 200.
        while ureq::get(&health).call().is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}");
            }
            if started.elapsed() > PATIENCE {
                bail!("the server was not ready after {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Most memory that it has held, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        let held = usage::memory(&self.child.id().to_string(), "VmHWM");
        held.context("the system does not say what a process holds")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
