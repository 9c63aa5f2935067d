//! Tests of instances that are made, asked and destroyed.

#![allow(unsafe_code)] // Calls functions with structs that are shorter than they should be.

use std::ffi::CString;

use jnana_plugin_abi as abi;

use crate::guarded::Guarded;
use crate::make;
use crate::probe::Takes;
use crate::subject::{Instance, Kind, Subject, c_string};
use crate::suite::{Trouble, Verdict};
use crate::task::Task;

pub(crate) fn create(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    drop(subject.create()?);
    let again = subject.create().map_err(|why| format!("the second time: {why}"))?;
    let beside = subject.create().map_err(|why| format!("beside another instance: {why}"))?;
    drop(again);
    let input = make::good(&subject)?;
    for (kind, input) in pairs(&subject, &input) {
        beside
            .call(kind, input)?
            .well(kind)
            .map_err(|why| format!("after the other was destroyed: {why}"))?;
    }
    Ok(String::new())
}

/// Every kind of call with every good input that the first form allows.
pub(crate) fn pairs<'a>(
    subject: &Subject<'_>,
    inputs: &'a [crate::subject::Input],
) -> Vec<(Kind, &'a crate::subject::Input)> {
    let kinds = subject.kinds();
    inputs.iter().flat_map(|input| kinds.iter().map(move |kind| (*kind, input))).collect()
}

pub(crate) fn extensions(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let instance = subject.create()?;
    for kind in &subject.manifest.kinds {
        if instance.extension(&c_string(kind)).is_null() {
            return Err(Trouble::Broken(format!(
                "the manifest promises {kind}, but the instance has no such table"
            )));
        }
    }
    let long = "x".repeat(100_000);
    for id in [
        "",
        "jnana.encoder",
        "jnana.encoder/",
        "jnana.encoder/999",
        "jnana.nonsense/1",
        "\u{fffd}",
        long.as_str(),
    ] {
        if !instance.extension(&c_string(id)).is_null() {
            let id: String = id.chars().take(40).collect();
            return Err(Trouble::Broken(format!(
                "it gave a table for {id:?}, which nobody has defined: expected NULL"
            )));
        }
    }
    Ok(String::new())
}

pub(crate) fn status(task: &Task) -> Verdict {
    const ROOM: usize = 4096;
    const MARK: u8 = 0xa5;
    let subject = Subject::load(task)?;
    let instance = subject.create()?;
    let mut whole = vec![MARK; ROOM];
    let length = usize::try_from(instance.status(&mut whole, ROOM as u64)).unwrap_or(usize::MAX);
    if length.saturating_add(2) > ROOM {
        return Ok(format!("a line of {length} bytes"));
    }
    for capacity in [0, 1, 2, length, length + 1, length + 2] {
        let mut buffer = vec![MARK; ROOM];
        let said = instance.status(&mut buffer, capacity as u64);
        check_status(&buffer, capacity, said as usize, &whole[..length], MARK)?;
    }
    Ok(String::from_utf8_lossy(&whole[..length]).into_owned())
}

/// Whether a status line kept to `capacity` bytes of its buffer.
fn check_status(buffer: &[u8], capacity: usize, said: usize, whole: &[u8], mark: u8) -> Result<(), String> {
    if said != whole.len() {
        return Err(format!(
            "the whole line has {} bytes, with room for {capacity} it said {said}",
            whole.len()
        ));
    }
    if let Some(at) = buffer[capacity..].iter().position(|byte| *byte != mark) {
        return Err(format!("with room for {capacity} bytes it wrote to byte {}", capacity + at));
    }
    if capacity == 0 {
        return Ok(());
    }
    let end = buffer[..capacity].iter().position(|byte| *byte == 0);
    let Some(end) = end else {
        return Err(format!("with room for {capacity} bytes there is no zero at the end"));
    };
    if !whole.starts_with(&buffer[..end]) || std::str::from_utf8(&buffer[..end]).is_err() {
        return Err(format!(
            "with room for {capacity} bytes it is not the start of the line, cut at a character"
        ));
    }
    Ok(())
}

/// Bytes of a struct up to `length`, with `length` for its `size`.
fn shortened<T>(whole: &T, length: usize) -> Result<Guarded, String> {
    // SAFETY: a whole struct of plain numbers and pointers, which `length` does not go beyond.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(whole).cast::<u8>(), length) };
    let mut bytes = bytes.to_vec();
    bytes[..4].copy_from_slice(&(length as u32).to_ne_bytes());
    Guarded::new(&bytes)
}

/// Arguments of `create` that live as long as this.
struct Arguments {
    space: CString,
    cache_dir: CString,
    settings: CString,
}

impl Arguments {
    fn new(subject: &Subject<'_>) -> Self {
        Self {
            space: c_string(&subject.task.space),
            cache_dir: c_string(&subject.task.cache_dir.display().to_string()),
            settings: c_string(&subject.settings()),
        }
    }

    fn raw(&self, subject: &Subject<'_>, host: *const abi::Host, call: u64) -> abi::Create {
        abi::Create {
            size: abi::size_of::<abi::Create>(),
            width: subject.task.width,
            host,
            sink: subject.probe.sink(),
            call,
            space: self.space.as_ptr(),
            cache_dir: self.cache_dir.as_ptr(),
            settings: self.settings.as_ptr(),
        }
    }
}

/// Calls `create` with any arguments; whatever comes of it is taken, and destroyed.
fn try_create(subject: &Subject<'_>, args: *const abi::Create, call: u64) -> Result<(), String> {
    let mut instance = std::ptr::null_mut();
    // SAFETY: arguments that may be read as far as their size says.
    let status = unsafe { (subject.table.create)(args, &raw mut instance) };
    let record = subject.probe.close(call);
    if status == abi::ERROR_PANIC {
        return Err(format!("it panicked: {:?}", record.failure));
    }
    if status == abi::OK && !instance.is_null() {
        // SAFETY: just made.
        unsafe { (subject.table.destroy)(instance) };
    }
    Ok(())
}

pub(crate) fn absent_services(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let arguments = Arguments::new(&subject);
    // SAFETY: the probe's own table.
    let host = unsafe { &*subject.probe.host() };
    // Up to the context, up to `log`, up to the clock: services end where the size says.
    for size in [16, 24, 32] {
        let few = shortened(host, size)?;
        let (call, _live) = subject.probe.open(Takes::Nothing);
        let args = arguments.raw(&subject, few.start().cast(), call);
        try_create(&subject, &raw const args, call)
            .map_err(|why| format!("a host of {size} bytes: {why}"))?;
        // An instance may have kept the pointer.
        std::mem::forget(few);
    }
    Ok(String::new())
}

pub(crate) fn small_structs(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let arguments = Arguments::new(&subject);
    for size in [8, 16, 32, 40, 48] {
        let (call, _live) = subject.probe.open(Takes::Nothing);
        let args = shortened(&arguments.raw(&subject, subject.probe.host(), call), size)?;
        try_create(&subject, args.start().cast(), call)
            .map_err(|why| format!("create with {size} bytes: {why}"))?;
    }
    let instance = subject.create()?;
    let inputs = make::good(&subject)?;
    for (kind, input) in pairs(&subject, &inputs) {
        for size in [8, 16, 24, 32, 40] {
            short_input(&subject, &instance, kind, &shortened(&input.raw(), size)?)
                .map_err(|why| format!("an input of {size} bytes: {why}"))?;
        }
        // And it goes on as if nothing had been.
        instance.call(kind, input)?.well(kind)?;
    }
    Ok(String::new())
}

/// A call with an input that is too short to be one has to fail.
fn short_input(
    subject: &Subject<'_>,
    instance: &Instance<'_>,
    kind: Kind,
    input: &Guarded,
) -> Result<(), String> {
    let (call, _live) = subject.probe.open(subject.takes(kind));
    let status = instance.raw_call(kind, input.start().cast(), call);
    subject.probe.close(call);
    match status {
        Ok(abi::OK) => Err("it was taken for a whole one".to_owned()),
        Ok(abi::ERROR_PANIC) => Err("it panicked".to_owned()),
        Ok(_) => Ok(()),
        Err(Trouble::Broken(why) | Trouble::NotThere(why)) => Err(why),
    }
}

pub(crate) fn bad_settings(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let mut refused = 0;
    let mut attempt = |settings: &str| -> Result<(), String> {
        match subject.create_with(&task.space, task.width, settings) {
            Ok(instance) => drop(instance),
            Err(why) if why.starts_with("create failed: ") => refused += 1,
            Err(why) => return Err(format!("settings {settings:?}: {why}")),
        }
        Ok(())
    };
    for settings in ["{", "[]", "null", "\u{fffd}", r#"{"a":"#, "9e999"] {
        attempt(settings)?;
    }
    // Every setting with a value of another type.
    let properties = subject.manifest.settings_schema.get("properties").and_then(|value| value.as_object());
    for name in properties.into_iter().flat_map(|properties| properties.keys()) {
        for wrong in [serde_json::json!({"a": [1]}), serde_json::json!(-1e300), serde_json::Value::Null] {
            let mut settings = task.settings.clone();
            settings.insert(name.clone(), wrong);
            attempt(&serde_json::Value::from(settings).to_string())?;
        }
    }
    drop(subject.create()?);
    Ok(format!("{refused} refused"))
}
