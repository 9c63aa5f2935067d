//! The C functions of `jnana.jobs/1`: JSON in, one segment of JSON out.

#![allow(unsafe_code)] // As the file above: the boundary between the C contract and safe Rust.

use std::ffi::c_void;

use jnana_api::plugins::Segment;
use jnana_plugin_abi as abi;
use serde_json::Value;

use super::{Failure, SinkRef, lacks, run};
use crate::{Call, Error, Input, Jobs, Plugin};

pub(super) unsafe extern "C" fn kinds<P: Plugin>(
    instance: *mut c_void,
    input: *const abi::Input,
    sink: *const abi::Sink,
    call: u64,
) -> i32 {
    let sink = SinkRef { raw: sink, call };
    let work = |plugin: &P, input: &Input<'_>, call: &Call<'_>| {
        let folders = asked(input)?.get_mut("folders").map(Value::take).unwrap_or_default();
        let folders = serde_json::from_value(folders).map_err(|error| wrong(&error))?;
        push(sink, serde_json::to_string(&offered(plugin)?.kinds(&folders, call)?))
    };
    // SAFETY: the pointers are those of this call.
    unsafe { run(instance, input, sink, work) }
}

pub(super) unsafe extern "C" fn prepare<P: Plugin>(
    instance: *mut c_void,
    input: *const abi::Input,
    sink: *const abi::Sink,
    call: u64,
) -> i32 {
    let sink = SinkRef { raw: sink, call };
    let work = |plugin: &P, input: &Input<'_>, call: &Call<'_>| {
        let request = serde_json::from_value(asked(input)?).map_err(|error| wrong(&error))?;
        push(sink, serde_json::to_string(&offered(plugin)?.prepare(&request, call)?))
    };
    // SAFETY: the pointers are those of this call.
    unsafe { run(instance, input, sink, work) }
}

fn offered<P: Plugin>(plugin: &P) -> Result<&dyn Jobs, Error> {
    plugin.jobs().ok_or_else(|| lacks(abi::EXT_JOBS))
}

fn asked(input: &Input<'_>) -> Result<Value, Error> {
    serde_json::from_str(input.text()?).map_err(|error| wrong(&error))
}

fn wrong(error: &serde_json::Error) -> Error {
    Error::invalid(format!("the host gave another JSON object than expected: {error}"))
}

fn push(sink: SinkRef, json: serde_json::Result<String>) -> Result<(), Failure> {
    let text = json.map_err(|error| Error::internal(format!("the answer is no JSON: {error}")))?;
    match sink.push_segment(&Segment { start: 0., end: 0., text }) {
        true => Ok(()),
        false => Err(Failure::Status(abi::ERROR_CANCELLED)),
    }
}
