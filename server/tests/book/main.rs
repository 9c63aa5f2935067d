//! The book does what it says: its commands are run, page by page and in their order, and its listing in C is a plugin.
//!
//! `docs/introduction.md` says how a page marks what is not run. `JNANA_BOOK_PAGE=plugins/in-c.md` runs that page alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod listing;
mod pages;
mod shell;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use pages::{Page, reason};
use shell::Count;

/// Says something whether or not the test passes.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

#[test]
fn every_command_of_the_book_works() {
    let wanted = std::env::var("JNANA_BOOK_PAGE").ok();
    let mut pages = Page::all();
    pages.retain(|page| wanted.as_ref().is_none_or(|wanted| page.name == *wanted));
    assert!(!pages.is_empty(), "the summary has no page {wanted:?}");
    let (waiting, results) = (Mutex::new(pages.into_iter()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(page) = waiting.lock().unwrap().next() else { break };
            let start = Instant::now();
            let result = shell::run(&page);
            if result.as_ref().map_or(true, |count| count.ran > 0) {
                say(&format!("{}: {:.1} s", page.name, start.elapsed().as_secs_f64()));
            }
            results.lock().unwrap().push((page.name, result));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    judge(results.into_inner().unwrap());
}

/// Says what was run and what was not, and fails when a page does.
fn judge(results: Vec<(String, Result<Count, String>)>) {
    let (mut ran, mut left_out, mut failed) = (0, BTreeMap::<_, usize>::new(), Vec::new());
    for (name, result) in results {
        match result {
            Ok(count) => {
                ran += count.ran;
                for (mark, blocks) in count.left_out {
                    *left_out.entry(mark).or_default() += blocks;
                    say(&format!("{name}: {blocks} left out, {mark}"));
                }
            }
            Err(words) => failed.push(format!("docs/{name}: {words}")),
        }
    }
    say(&format!("{ran} blocks of commands of the book were run"));
    for (mark, blocks) in left_out {
        say(&format!("{blocks} were not: {mark}, {}", reason(mark)));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
