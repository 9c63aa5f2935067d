//! A step that fails takes its requests with it and nothing else.

use crate::probe::Fault;
use crate::rig::{Rig, collect, config, request};

#[test]
fn the_engine_outlives_a_failing_decoder() {
    for (fault, words) in [(Fault::Error, "the device is on fire"), (Fault::Panic, "a bug in a kernel")] {
        let rig = Rig::counting(config());
        rig.control.close();
        let doomed = ["a", "k"].map(|text| rig.submit(request(text, 9)).unwrap());
        rig.control.wait_for_step(1);
        rig.control.permit(1);
        rig.control.wait_for_step(2);
        rig.control.break_next(fault);
        rig.control.open();
        for answer in doomed {
            let outcome = collect(answer);
            assert!(outcome.failure().contains(words), "{outcome:?}");
        }
        assert_eq!(rig.ask(request("a", 3)).text, "bcd");
        let stats = rig.wait_until(|s| s.finished == 1);
        assert_eq!((stats.failed, stats.live, stats.live_cache_bytes), (2, 0, 0));
    }
}

#[test]
fn nonsense_logits_fail_only_their_own_request() {
    let rig = Rig::counting(config());
    rig.control.close();
    let [doomed, fine] = ["a", "k"].map(|text| rig.submit(request(text, 5)).unwrap());
    rig.control.wait_for_step(1);
    rig.control.permit(1);
    assert_eq!(rig.control.wait_for_step(2), [1, 1]);
    rig.control.break_next(Fault::Nan);
    rig.control.open();
    let outcome = collect(doomed);
    assert!(outcome.failure().contains("NaN"), "{outcome:?}");
    assert_eq!(collect(fine).text, "lmnop");
}
