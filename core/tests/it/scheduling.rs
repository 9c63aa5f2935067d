//! Who runs when: queue, memory, cancelling, shutting down.

use std::time::Duration;

use jnana_core::request::{Event, FinishReason};
use jnana_core::{EngineConfig, SubmitError};

use crate::rig::{Rig, collect, config, request};
use crate::tiny::CACHE_BYTES;

#[test]
fn a_full_queue_refuses_politely() {
    let rig = Rig::counting(EngineConfig { max_live: 1, max_queued: 2, ..config() });
    rig.control.close();
    let mut taken = vec![rig.submit(request("a", 3)).unwrap()];
    rig.control.wait_for_step(1);
    taken.extend(["k", "p"].map(|text| rig.submit(request(text, 3)).unwrap()));
    let refused = rig.submit(request("x", 3)).unwrap_err();
    let SubmitError::Busy { queued: 2, retry_after } = refused else { panic!("{refused:?}") };
    assert!(retry_after >= Duration::from_secs(1) && retry_after <= Duration::from_secs(60));
    rig.control.open();
    let texts: Vec<String> = taken.into_iter().map(|answer| collect(answer).text).collect();
    assert_eq!(texts, ["bcd", "lmn", "qrs"]);
    assert_eq!(rig.ask(request("x", 3)).text, "yz{");
    assert_eq!(rig.wait_until(|s| s.finished == 4).refused, 1);
}

#[test]
fn a_request_waits_for_memory_and_gets_it() {
    // Each needs 64 positions and there are 100.
    let rig = Rig::counting(EngineConfig { cache_bytes: 100 * CACHE_BYTES, ..config() });
    rig.control.close();
    let first = rig.submit(request("a", 3)).unwrap();
    let second = rig.submit(request("k", 3)).unwrap();
    rig.control.wait_for_step(1);
    rig.control.permit(1);
    rig.control.wait_for_step(2);
    let stats = rig.stats();
    assert_eq!((stats.live, stats.queued, stats.live_cache_bytes), (1, 1, 64 * CACHE_BYTES));
    rig.control.open();
    assert_eq!((collect(first).text.as_str(), collect(second).text.as_str()), ("bcd", "lmn"));
    assert!(rig.control.steps().iter().all(|spans| spans.len() == 1));
    let stats = rig.wait_until(|s| s.finished == 2);
    assert!(stats.live_cache_bytes == 0 && stats.reusable_cache_bytes <= 100 * CACHE_BYTES, "{stats:?}");
}

#[test]
fn a_request_that_never_fits_is_told_so() {
    let rig = Rig::counting(EngineConfig { cache_bytes: 100 * CACHE_BYTES, ..config() });
    let refused = rig.submit(request("a", 200)).unwrap_err();
    assert_eq!(refused, SubmitError::CacheTooLarge { needed: 256 * CACHE_BYTES, budget: 100 * CACHE_BYTES });
}

#[test]
fn a_cancelled_request_frees_its_slot_within_one_step() {
    let rig = Rig::counting(EngineConfig { max_live: 2, ..config() });
    rig.control.close();
    let stays = rig.submit(request("a", 6)).unwrap();
    rig.control.wait_for_step(1);
    let goes = rig.submit(request("k", 100)).unwrap();
    let waits = rig.submit(request(&"p".repeat(9), 3)).unwrap();
    rig.control.permit(2);
    assert_eq!(rig.control.wait_for_step(3), [1, 1]);
    goes.cancel.cancel();
    rig.control.permit(1);
    assert_eq!(rig.control.wait_for_step(4), [1, 9], "the one that waited has the slot");
    let cancelled = collect(goes);
    assert_eq!((cancelled.text.as_str(), cancelled.reason()), ("lm", FinishReason::Cancelled));
    assert_eq!(cancelled.usage().completion_tokens, 2);
    rig.control.open();
    assert_eq!((collect(stays).text.as_str(), collect(waits).text.as_str()), ("bcdefg", "qrs"));
    assert_eq!(rig.wait_until(|s| s.live == 0).cancelled, 1);
}

#[test]
fn a_listener_that_goes_away_cancels_its_request() {
    let rig = Rig::counting(EngineConfig { max_live: 1, ..config() });
    rig.control.close();
    drop(rig.submit(request("a", 400)).unwrap());
    let waits = rig.submit(request("k", 2)).unwrap();
    rig.control.open();
    assert_eq!(collect(waits).text, "lm");
    let stats = rig.wait_until(|s| s.cancelled == 1);
    assert!(stats.completion_tokens <= 3, "{stats:?}");
}

#[test]
fn a_waiting_request_can_be_cancelled_before_it_runs() {
    let rig = Rig::counting(EngineConfig { max_live: 1, ..config() });
    rig.control.close();
    let runs = rig.submit(request("a", 4)).unwrap();
    rig.control.wait_for_step(1);
    let waits = rig.submit(request("k", 4)).unwrap();
    waits.cancel.cancel();
    rig.control.permit(1);
    let outcome = collect(waits);
    assert_eq!((outcome.text.as_str(), outcome.reason()), ("", FinishReason::Cancelled));
    rig.control.open();
    assert_eq!(collect(runs).text, "bcde");
}

#[test]
fn a_long_prompt_does_not_hold_up_a_running_answer() {
    let rig = Rig::counting(EngineConfig { prefill_rows_beside: 64, ..config() });
    rig.control.close();
    let runs = rig.submit(request("a", 12)).unwrap();
    rig.control.wait_for_step(1);
    let long = rig.submit(request(&"k".repeat(150), 2)).unwrap();
    let short = rig.submit(request("pppp", 2)).unwrap();
    rig.control.permit(1);
    assert_eq!(rig.control.wait_for_step(2), [1, 60, 4], "the short prompt gets what it needs");
    rig.control.open();
    assert_eq!(collect(runs).text, "bcdefghijklm");
    assert_eq!((collect(long).text.as_str(), collect(short).text.as_str()), ("lm", "qr"));
    assert_eq!(rig.control.steps()[2], [1, 64, 1]);
    assert_eq!(rig.control.steps()[3], [1, 26]);
    let stats = rig.wait_until(|s| s.finished == 3);
    // A prompt's last row already gives the first token, so two more tokens take one more row.
    assert_eq!((stats.prefill_rows, stats.decode_rows), (154, 1 + 11 + 1 + 1));
    assert!(stats.prefill_time > Duration::ZERO && stats.decode_time > Duration::ZERO);
}

#[test]
fn prompts_are_read_in_smaller_steps_beside_an_answer() {
    let rig = Rig::counting(EngineConfig { prefill_rows: 64, prefill_rows_beside: 16, ..config() });
    rig.control.close();
    let long = rig.submit(request(&"k".repeat(150), 2)).unwrap();
    assert_eq!(rig.control.wait_for_step(1), [64]);
    let runs = rig.submit(request("a", 2)).unwrap();
    rig.control.permit(1);
    assert_eq!(rig.control.wait_for_step(2), [16, 1]);
    rig.control.open();
    assert_eq!((collect(long).text.as_str(), collect(runs).text.as_str()), ("lm", "bc"));
    assert_eq!(rig.control.steps()[3], [54], "the answer is whole, and the step as large as can be");
}

#[test]
fn a_request_waits_for_its_beginning_and_those_behind_it_do_not() {
    let rig = Rig::counting(EngineConfig { prefill_rows: 16, prefill_rows_beside: 16, ..config() });
    let beginning = "0123456789".repeat(8);
    rig.control.close();
    let first = rig.submit(request(&format!("{beginning}a"), 3)).unwrap();
    rig.control.wait_for_step(1);
    let same = rig.submit(request(&format!("{beginning}k"), 3)).unwrap();
    let other = rig.submit(request("p", 2)).unwrap();
    rig.control.permit(1);
    assert_eq!(rig.control.wait_for_step(2), [16, 1], "the one that shares the beginning is not there yet");
    rig.control.open();
    let (first, same, other) = (collect(first), collect(same), collect(other));
    assert_eq!((first.text.as_str(), same.text.as_str(), other.text.as_str()), ("bcd", "lmn", "qr"));
    // It started when less than a turn was left to wait for.
    assert_eq!(same.usage().reused_positions, 64);
}

#[test]
fn a_request_whose_beginning_is_read_no_more_reads_it_itself() {
    let rig = Rig::counting(EngineConfig { prefill_rows: 16, ..config() });
    let beginning = "0123456789".repeat(8);
    rig.control.close();
    let first = rig.submit(request(&format!("{beginning}a"), 3)).unwrap();
    rig.control.wait_for_step(1);
    let same = rig.submit(request(&format!("{beginning}k"), 3)).unwrap();
    first.cancel.cancel();
    rig.control.open();
    let same = collect(same);
    assert_eq!((same.text.as_str(), same.usage().reused_positions), ("lmn", 16));
}

#[test]
fn shutting_down_lets_answers_end() {
    let rig = Rig::counting(EngineConfig { max_live: 1, ..config() });
    let answers = ["a", "k"].map(|text| rig.submit(request(text, 5)).unwrap());
    rig.shutdown();
    assert_eq!(rig.submit(request("x", 1)).unwrap_err(), SubmitError::ShutDown);
    assert_eq!(answers.map(|answer| collect(answer).text), ["bcdef", "lmnop"]);
    rig.shutdown();
}

#[test]
fn cancelling_all_cuts_answers_short() {
    let rig = Rig::counting(EngineConfig { max_live: 1, ..config() });
    rig.control.close();
    let answers = ["a", "k"].map(|text| rig.submit(request(text, 400)).unwrap());
    rig.control.wait_for_step(1);
    rig.cancel_all();
    rig.control.open();
    rig.shutdown();
    assert_eq!(answers.map(|answer| collect(answer).reason()), [FinishReason::Cancelled; 2]);
}

#[test]
fn a_dropped_engine_ends_its_answers() {
    let rig = Rig::counting(config());
    let mut answer = rig.submit(request("a", 500)).unwrap();
    drop(rig);
    while let Some(event) = answer.events.blocking_recv() {
        if let Event::Finished { reason, .. } = event {
            assert_eq!(reason, FinishReason::Cancelled);
            return;
        }
    }
    panic!("no end was told");
}
