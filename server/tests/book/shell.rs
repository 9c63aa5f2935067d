//! Runs the commands of a page as a reader would: one shell from the first block to the last, in a home folder of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::pages::{Page, Use, root};

const PRELUDE: &str = include_str!("prelude.sh");
/// The address that pages name. Another port takes its place, so that pages can be run at the same time, beside a server.
const ADDRESS: &str = "127.0.0.1:8642";
/// Longest time for a page.
const LIMIT: Duration = Duration::from_secs(240);
/// Folders of a checkout that pages read.
const CHECKOUT: &[&str] = &["assets", "e2e", "plugins", "trainer"];
/// What stands for a person's own files.
const FILES: &[(&str, &str)] =
    &[("photo.jpg", "e2e/assets/bear.jpg"), ("question.wav", "plugins/whisper/tests/fixtures/question.wav")];

/// How many blocks of a page were run, and how many were left out for which reason.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) ran: usize,
    pub(crate) left_out: BTreeMap<&'static str, usize>,
}

/// Runs a page.
///
/// # Errors
/// What is wrong with a fence, or what the shell said last when a command failed.
pub(crate) fn run(page: &Page) -> Result<Count, String> {
    let mut count = Count::default();
    let port = free_port();
    let mut script = PRELUDE.to_owned();
    for block in &page.blocks {
        let text = block.text.replace(ADDRESS, &format!("127.0.0.1:{port}"));
        match block.usage()? {
            Use::Read => {}
            Use::LeaveOut(mark) => *count.left_out.entry(mark).or_default() += 1,
            Use::Save(name) => script += &format!("cat >'{name}' <<'END_OF_FILE'\n{text}END_OF_FILE\n"),
            Use::Run => {
                count.ran += 1;
                script += &format!("at={}\n{text}", block.line);
            }
        }
    }
    if count.ran > 0 {
        Scratch::new().run(&script, port)?;
    }
    Ok(count)
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_jnana"))
}

fn models() -> PathBuf {
    let folder = std::env::var_os("JNANA_TEST_MODELS").map(PathBuf::from).filter(|folder| folder.is_dir());
    folder.expect("JNANA_TEST_MODELS names no folder of models: run these tests through `cargo xtask test`")
}

/// A home folder with the models, plugins that may be changed, and a folder to work in.
struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let scratch = Self { folder: tempfile::tempdir().unwrap() };
        let home = scratch.path("home/.local/share/jnana");
        fs::create_dir_all(&home).unwrap();
        symlink(models(), home.join("models")).unwrap();
        copy_files(&program().with_file_name("plugins"), &scratch.path("plugins"));
        let work = scratch.path("work");
        fs::create_dir(&work).unwrap();
        for name in CHECKOUT {
            symlink(root().join(name), work.join(name)).unwrap();
        }
        for (name, file) in FILES {
            fs::copy(root().join(file), work.join(name)).unwrap();
        }
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, script: &str, port: u16) -> Result<(), String> {
        let said = self.path("said");
        let status = end(self.shell(script, port, &File::create(&said).unwrap()).spawn().unwrap());
        let words = String::from_utf8_lossy(&fs::read(&said).unwrap()).into_owned();
        match status {
            Some(status) if status.success() => Ok(()),
            Some(_) => Err(words),
            None => Err(format!("{words}\nit did not end within {} s", LIMIT.as_secs())),
        }
    }

    fn shell(&self, script: &str, port: u16, said: &File) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(self.path("work")).process_group(0);
        shell.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said.try_clone().unwrap());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("JNANA_") || name == "CARGO_TARGET_DIR" {
                shell.env_remove(name);
            }
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = program().with_file_name("");
        let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&path))).unwrap();
        shell.env("PATH", path).env("HOME", self.path("home"));
        // Its own folders stay where they are, and what a page builds is built once.
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let there = std::env::home_dir().unwrap_or_default().join(folder);
            shell.env(name, std::env::var_os(name).unwrap_or_else(|| there.into()));
        }
        shell.env("CARGO_BUILD_BUILD_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("book"));
        shell.env("CARGO_NET_OFFLINE", "true").env("JNANA_OFFLINE", "true");
        shell.env("JNANA_PLUGINS", self.path("plugins")).env("JNANA_PORT", port.to_string());
        shell.env("JNANA_PACKED_MIB", "0").env("JNANA_SHUTDOWN_SECONDS", "1");
        shell
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Waits for a shell and ends what it has left behind, such as a server. None if it took too long.
fn end(mut shell: Child) -> Option<ExitStatus> {
    let start = Instant::now();
    let status = loop {
        let status = shell.try_wait().unwrap();
        if status.is_some() || start.elapsed() > LIMIT {
            break status;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    // The group may be empty, which is no failure.
    let group = format!("-{}", shell.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = shell.wait();
    status
}
