//! The scanning child as a program of its own: `jnana-plugin-scan plugin-scan LIBRARY` prints the library's manifest.
//! The server answers the same command itself; this one serves tests, and authors who want to look into a library.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [jnana_plugin_host::SCAN_COMMAND, path] => jnana_plugin_host::scan_child_main(Path::new(path)),
        _ => {
            eprintln!("usage: jnana-plugin-scan {} LIBRARY", jnana_plugin_host::SCAN_COMMAND);
            ExitCode::from(2)
        }
    }
}
