//! Packages, fetched by their ordinary clients (`pip`, `npm`) as child processes, so that their settings, mirrors and
//! proxies hold here too.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Error, PackageMember, Progress};

/// Folders of packages that are being unpacked.
const PREFIX: &str = ".fetch-";
/// Between two looks at how far a fetch is.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// No fetch takes this long: what is older was left by one that was interrupted.
const LEFTOVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Packages that this run has fetched; a package with several members is fetched once.
#[derive(Debug, Default)]
pub(super) struct Packages {
    folder: Option<tempfile::TempDir>,
    fetched: HashMap<String, PathBuf>,
}

impl Packages {
    /// The archive that holds `member`, fetched when it is not there yet. `scratch` is where it may lie meanwhile.
    pub(super) fn archive(&mut self, member: &PackageMember, scratch: &Path) -> Result<PathBuf, Error> {
        let key = member.to_string();
        if let Some(path) = self.fetched.get(&key) {
            return Ok(path.clone());
        }
        if self.folder.is_none() {
            remove_leftovers(scratch);
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(scratch);
            self.folder = Some(folder.map_err(Error::io(scratch))?);
        }
        let root = self.folder.as_ref().map_or(scratch, tempfile::TempDir::path);
        let into = root.join(self.fetched.len().to_string());
        std::fs::create_dir_all(&into).map_err(Error::io(&into))?;
        // Where the client writes while it fetches: how far it is can be seen there.
        let work = into.with_extension("part");
        std::fs::create_dir_all(&work).map_err(Error::io(&work))?;
        let mut command = client(member, &into);
        run(command.env("TMPDIR", &work), &key, &[&into, &work])?;
        let archive = only_file(&into)?;
        self.fetched.insert(key, archive.clone());
        Ok(archive)
    }
}

/// Clears away what interrupted fetches left. What cannot be removed stays: it is in nobody's way.
fn remove_leftovers(scratch: &Path) {
    for entry in std::fs::read_dir(scratch).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours && age.is_some_and(|age| age > LEFTOVER) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn client(member: &PackageMember, into: &Path) -> Command {
    match member {
        PackageMember::Python { package, version, .. } => {
            let mut command = Command::new("python3");
            command.args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]);
            command.args(["--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off", "-d"]);
            command.arg(into).arg(format!("{package}=={version}"));
            command
        }
        PackageMember::Npm { npm, version, .. } => {
            let mut command = Command::new("npm");
            command
                .args(["pack", "--silent", "--pack-destination"])
                .arg(into)
                .arg(format!("{npm}@{version}"));
            command
        }
    }
}

/// Runs a client and meanwhile says how much lies in `folders`.
fn run(command: &mut Command, what: &str, folders: &[&Path]) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |message: String| Error::Program { program: program.clone(), message };
    let mut progress = Progress::new(what, None);
    let output = std::thread::scope(|scope| {
        let client = scope.spawn(|| command.stdin(Stdio::null()).output());
        while !client.is_finished() {
            progress.reach(folders.iter().map(|folder| bytes_in(folder)).sum());
            std::thread::sleep(LOOK_EVERY);
        }
        client.join()
    });
    progress.finish();
    let output = output.map_err(|_| failed("the thread that waited for it panicked".to_owned()))?;
    let output = output.map_err(|error| {
        failed(format!("cannot be started ({error}); install it or place the files yourself"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(failed(format!("{} ({})", last.trim(), output.status)))
}

/// Bytes of all files below a folder; what vanishes meanwhile does not count.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn only_file(folder: &Path) -> Result<PathBuf, Error> {
    let mut files = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    match files.next() {
        Some(entry) => Ok(entry.map_err(Error::io(folder))?.path()),
        None => Err(Error::Member { archive: folder.display().to_string(), member: "archive".to_owned() }),
    }
}
