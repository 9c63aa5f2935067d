//! Signals, in processes of their own: this same program, told by its environment to be the one that is signalled.

#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jnana_trainer::train::interrupt::Interrupt;

const ROLE: &str = "JNANA_TEST_INTERRUPT";

/// The signalled process. `patient` ends in good order once it was asked; `stubborn` goes on.
#[test]
fn signalled() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let interrupt = Interrupt::install().unwrap();
    eprintln!("ready");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if interrupt.requested() && role == "patient" {
            std::process::exit(7);
        }
        sleep(Duration::from_millis(5));
    }
}

fn start(role: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .args(["--exact", "interrupt::signalled", "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"));
    child
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn the_first_signal_is_noted() {
    for name in ["-INT", "-TERM"] {
        let mut child = start("patient");
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(7), "{name}");
    }
}

#[test]
fn the_second_ends_the_process_at_once() {
    let mut child = start("stubborn");
    signal(&child, "-TERM");
    sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "the first one only asks");
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
