//! Tests of calls that run side by side, are cancelled, or leave something behind.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jnana_api::plugins::InputForm;
use jnana_plugin_abi as abi;

use crate::life::pairs;
use crate::make;
use crate::subject::{Kind, Subject};
use crate::suite::{Trouble, Verdict};
use crate::task::Task;

/// Most calls at a time that are tried.
const MOST: u32 = 16;
/// Calls of each thread.
const ROUNDS: usize = 3;
/// Longest time from a cancel to the end of the call.
const CANCEL: Duration = Duration::from_secs(2);
/// How long a thread of the plugin has to use a sink that is closed.
const LATER: Duration = Duration::from_millis(500);
/// How long threads may take to be gone once `destroy` has returned: the system's own part of their end.
const GONE: Duration = Duration::from_secs(1);

pub(crate) fn concurrency(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let instance = subject.create()?;
    let inputs = make::good(&subject)?;
    let threads = subject.manifest.max_concurrency.min(MOST);
    for (kind, input) in pairs(&subject, &inputs) {
        let alone = instance.call(kind, input)?.well(kind)?;
        let troubles: Mutex<Vec<String>> = Mutex::default();
        let work = || -> Result<(), Trouble> {
            for _ in 0..ROUNDS {
                if instance.call(kind, input)?.well(kind)? != alone {
                    return Err(Trouble::Broken("a call gave something else than alone".to_owned()));
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    if let Err(Trouble::Broken(why) | Trouble::NotThere(why)) = work() {
                        troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(why);
                    }
                });
            }
        });
        let troubles = troubles.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(why) = troubles.first() {
            return Err(Trouble::Broken(format!("{kind:?}, {threads} at once: {why}")));
        }
    }
    Ok(format!("{threads} at once"))
}

/// Cancels before the call and in the middle of it: the time to its end counts from the cancel.
pub(crate) fn cancel(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let instance = subject.create()?;
    let inputs = long_inputs(&subject)?;
    let mut longest = Duration::ZERO;
    for (kind, input) in pairs(&subject, &inputs) {
        for wait in [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(100)] {
            let took = cancel_after(&subject, &instance, kind, input, wait)?;
            longest = longest.max(took);
            if took > CANCEL {
                return Err(Trouble::Broken(format!(
                    "{kind:?} went on for {:.1} s after it was cancelled: ask `cancelled` more often",
                    took.as_secs_f64()
                )));
            }
        }
        instance.call(kind, &make::good(&subject)?[0])?.well(kind)?;
    }
    Ok(format!("at most {} ms", longest.as_millis()))
}

/// Inputs that keep a plugin busy for a while, where there are such.
fn long_inputs(subject: &Subject<'_>) -> Result<Vec<crate::subject::Input>, String> {
    let inputs = make::good(subject)?;
    let long = |(form, input): (&InputForm, crate::subject::Input)| match form {
        InputForm::Audio { sample_rate } => make::with_bytes(form, &make::sound(*sample_rate, 60.0)),
        _ => Ok(input),
    };
    subject.forms().iter().zip(inputs).map(long).collect()
}

/// Time from the cancel to the end of a call; nothing when the call was over by then.
fn cancel_after(
    subject: &Subject<'_>,
    instance: &crate::subject::Instance<'_>,
    kind: Kind,
    input: &crate::subject::Input,
    wait: Duration,
) -> Result<Duration, Trouble> {
    let start = Instant::now();
    let ended = std::thread::scope(|scope| {
        instance.call_with(kind, input, subject.takes(kind), |live| {
            if wait.is_zero() {
                live.cancel();
            } else {
                scope.spawn(move || {
                    std::thread::sleep(wait);
                    live.cancel();
                });
            }
        })
    })?;
    let after = (start + ended.took).saturating_duration_since(start + wait);
    if ended.status != abi::ERROR_CANCELLED {
        // It had not looked, or was done: either is fine, if it ends properly.
        ended.properly(kind)?;
    }
    Ok(after)
}

pub(crate) fn sink_after(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let instance = subject.create()?;
    let inputs = make::good(&subject)?;
    for (kind, input) in pairs(&subject, &inputs) {
        instance.call(kind, input)?.well(kind)?;
    }
    std::thread::sleep(LATER);
    drop(instance);
    std::thread::sleep(LATER / 5);
    match subject.probe.late().first() {
        Some(late) => Err(Trouble::Broken(late.clone())),
        None => Ok(String::new()),
    }
}

/// Libraries inside of a plugin may keep threads for the whole process, made with the first instance. What a further
/// instance leaves behind is its own.
pub(crate) fn threads(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let inputs = make::good(&subject)?;
    let before = running();
    let live = || -> Result<usize, Trouble> {
        let instance = subject.create()?;
        for (kind, input) in pairs(&subject, &inputs) {
            instance.call(kind, input)?.well(kind)?;
        }
        drop(instance);
        Ok(running())
    };
    let first = settled(before, live()?);
    for round in 2..=4 {
        let now = settled(first, live()?);
        if now > first {
            return Err(Trouble::Broken(format!(
                "{now} threads run after {round} instances were destroyed, {first} after the first: destroy has to \
                 join what create and calls started"
            )));
        }
    }
    match first.saturating_sub(before) {
        0 => Ok(String::new()),
        kept => Ok(format!("{kept} threads stay for the whole process")),
    }
}

/// Threads of this process.
fn running() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The number of threads once it is down to `wanted`, or after a while.
fn settled(wanted: usize, mut now: usize) -> usize {
    let start = Instant::now();
    while now > wanted && start.elapsed() < GONE {
        std::thread::sleep(Duration::from_millis(10));
        now = running();
    }
    now
}
