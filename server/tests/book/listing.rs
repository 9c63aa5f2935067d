//! The listing in C is a whole plugin: it is taken out of its page and built with nothing but the header.

use std::path::Path;
use std::process::Command;

use super::pages::{Page, Use, root};

const PAGE: &str = "plugins/in-c.md";
const FILE: &str = "plugin.c";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:#?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Compiles the listing in `folder` as a library there.
fn compile(folder: &Path, compiler: &str, language: &[&str]) {
    let mut command = Command::new(compiler);
    command.current_dir(folder).args(language);
    command.args([
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pedantic",
        "-O2",
        "-fvisibility=hidden",
        "-fPIC",
        "-shared",
    ]);
    command.arg("-I").arg(root().join("plugins/abi/include"));
    run(command.args([FILE, "-o", "libplugin.so"]));
}

#[test]
fn the_listing_in_c_takes_only_the_header_and_keeps_the_contract() {
    let page = Page::read(PAGE);
    let listing = page.blocks.iter().find(|block| block.usage() == Ok(Use::Save(FILE)));
    let listing = listing.unwrap_or_else(|| panic!("docs/{PAGE} has no listing with file={FILE}"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), &listing.text).unwrap();
    compile(folder.path(), "c++", &["-x", "c++", "-std=c++17"]);
    compile(folder.path(), "cc", &["-std=c11"]);
    let mut check = Command::new(env!("CARGO_BIN_EXE_jnana"));
    check.args(["plugin", "check", "--offline", "--home"]).arg(folder.path());
    let report = run(check.arg(folder.path().join("libplugin.so")));
    assert!(report.contains(" 0 failed"), "{report}");
}
