//! The check as a program of its own, for its tests: it answers `plugin-check-child TEST TASK`. People use `jnana plugin check`.

use std::process::ExitCode;

use jnana_plugin_check::{CHECK_COMMAND, check_child_main};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [CHECK_COMMAND, test, task] => check_child_main(test, task),
        _ => {
            eprintln!("usage: jnana plugin check LIBRARY");
            ExitCode::from(2)
        }
    }
}
