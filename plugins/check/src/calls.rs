//! Tests of what good calls give.

use jnana_plugin_abi as abi;
use jnana_plugin_host::contract::{parse_job_kinds, parse_plan};

use crate::life::pairs;
use crate::make;
use crate::probe::Takes;
use crate::subject::{Kind, Subject};
use crate::suite::{Trouble, Verdict};
use crate::task::Task;

pub(crate) fn shapes(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let instance = subject.create()?;
    let inputs = make::good(&subject)?;
    let mut widths = Vec::new();
    let mut notes = Vec::new();
    for (kind, input) in pairs(&subject, &inputs) {
        let record = instance.call(kind, input)?.well(kind).map_err(|why| format!("{kind:?}: {why}"))?;
        if let Some(rows) = &record.rows {
            notes.push(format!("{kind:?} [{}, {}]", rows.positions, rows.width));
            if kind == Kind::Features {
                widths.push(rows.width);
            }
        }
    }
    if widths.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(Trouble::Broken(format!("features have several widths: {widths:?}")));
    }
    notes.dedup();
    Ok(notes.join(", "))
}

/// Empty folders are enough to plan with: the plan may be a refusal, but has to be one in words.
pub(crate) fn jobs(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    if !subject.kinds().contains(&Kind::JobKinds) {
        return Err(Trouble::NotThere("it offers no jobs".to_owned()));
    }
    let instance = subject.create()?;
    let mut notes = Vec::new();
    for (kind, input) in
        pairs(&subject, &make::good(&subject)?).into_iter().filter(|(kind, _)| kind.is_of_jobs())
    {
        let record = instance.call(kind, input)?.well(kind)?;
        let [answer] = record.segments.as_slice() else {
            return Err(Trouble::Broken(format!(
                "{kind:?}: expected one segment, got {}",
                record.segments.len()
            )));
        };
        notes.push(match kind {
            Kind::JobKinds => parse_job_kinds(&answer.text).map(|kinds| format!("{} kinds", kinds.len())),
            _ => parse_plan(&answer.text).map(|plan| plan.refusal.unwrap_or_else(|| "a command".to_owned())),
        });
    }
    Ok(notes.into_iter().collect::<Result<Vec<_>, _>>()?.join("; "))
}

/// Without a space there is no width that rows could have: an encoder has to refuse, at `create` or at the call.
pub(crate) fn space(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    if !subject.kinds().contains(&Kind::Encode) {
        return Err(Trouble::NotThere("it is no encoder".to_owned()));
    }
    let Ok(instance) = subject.create_with("", 0, &subject.settings()) else {
        return Ok("create refused".to_owned());
    };
    if instance.extension(abi::EXT_ENCODER).is_null() {
        return Ok("there is no encoder then".to_owned());
    }
    for input in &make::good(&subject)? {
        let ended = instance.call_with(Kind::Encode, input, Takes::Rejects, |_| ())?;
        if ended.record.tensors > 0 {
            let why =
                "it was asked for no embedding space (width 0), and pushed rows all the same".to_owned();
            return Err(Trouble::Broken(why));
        }
    }
    Ok("calls are refused".to_owned())
}

pub(crate) fn same_twice(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let inputs = make::good(&subject)?;
    let (instance, other) = (subject.create()?, subject.create()?);
    for (kind, input) in pairs(&subject, &inputs) {
        let first = instance.call(kind, input)?.well(kind)?;
        for (who, again) in [("again", &instance), ("from another instance", &other)] {
            if again.call(kind, input)?.well(kind)? != first {
                return Err(Trouble::Broken(format!("{kind:?} gave something else {who}")));
            }
        }
    }
    Ok(String::new())
}

/// A host that says no has called the deleter all the same. Using or freeing the tensor then is a crash, as the memory of
/// this process is filled when it is freed.
pub(crate) fn deleter(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    if subject.kinds().iter().all(|kind| kind.gives_text()) {
        return Err(Trouble::NotThere("it gives no tensors".to_owned()));
    }
    let instance = subject.create()?;
    let inputs = make::good(&subject)?;
    for (kind, input) in pairs(&subject, &inputs).into_iter().filter(|(kind, _)| !kind.gives_text()) {
        for _ in 0..8 {
            let ended = instance.call_with(kind, input, Takes::Rejects, |_| ())?;
            if ended.status == abi::ERROR_PANIC {
                return Err(Trouble::Broken("its tensor was rejected, and it panicked".to_owned()));
            }
            instance.call(kind, input)?.well(kind)?;
        }
    }
    Ok(String::new())
}
