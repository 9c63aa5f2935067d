//! The Rust mirror has the layout and the constants that C and C++ compilers read out of the header.

#![allow(clippy::unwrap_used, clippy::expect_used)] // In a test's helpers as in the tests: a failed unwrap is a failed test.

use std::fmt::Write as _;
use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::Command;

use jnana_plugin_abi as abi;

/// Both sides of the comparison: lines that the C program must print, and the statements that print them.
#[derive(Default)]
struct Probe {
    expected: String,
    statements: String,
}

impl Probe {
    fn number(&mut self, c_expression: &str, value: i128) {
        writeln!(self.expected, "{c_expression} {value}").unwrap();
        let text = c_expression.replace('"', "\\\"");
        writeln!(self.statements, "  printf(\"{text} %lld\\n\", (long long)({c_expression}));").unwrap();
    }

    fn text(&mut self, c_macro: &str, value: &std::ffi::CStr) {
        writeln!(self.expected, "{c_macro} {}", value.to_str().unwrap()).unwrap();
        writeln!(self.statements, "  printf(\"{c_macro} %s\\n\", {c_macro});").unwrap();
    }
}

macro_rules! probe_struct {
    ($probe:expr, $rust:ty, $c:literal, $($field:ident),+) => {
        $probe.number(concat!("sizeof(", $c, ")"), size_of::<$rust>() as i128);
        $($probe.number(concat!("offsetof(", $c, ", ", stringify!($field), ")"), offset_of!($rust, $field) as i128);)+
    };
}

fn probe() -> Probe {
    let mut p = Probe::default();
    probe_struct!(p, abi::DlDevice, "jnana_dl_device", device_type, device_id);
    probe_struct!(p, abi::DlDataType, "jnana_dl_data_type", code, bits, lanes);
    probe_struct!(
        p,
        abi::DlTensor,
        "jnana_dl_tensor",
        data,
        device,
        ndim,
        dtype,
        shape,
        strides,
        byte_offset
    );
    probe_struct!(
        p,
        abi::DlManagedTensor,
        "jnana_dl_managed_tensor",
        version_major,
        version_minor,
        manager_ctx,
        deleter,
        flags,
        tensor
    );
    probe_struct!(p, abi::Host, "jnana_host", size, reserved, context, log, now_ns, thread_budget);
    probe_struct!(p, abi::Segment, "jnana_segment", size, reserved, start, end, text);
    probe_struct!(
        p,
        abi::Sink,
        "jnana_sink",
        size,
        reserved,
        context,
        push_tensor,
        push_segment,
        set_property,
        fail,
        cancelled
    );
    probe_struct!(
        p,
        abi::Input,
        "jnana_input",
        size,
        form,
        data,
        length,
        width,
        height,
        sample_rate,
        reserved,
        mime
    );
    probe_struct!(p, abi::Create, "jnana_create", size, width, host, sink, call, space, cache_dir, settings);
    probe_struct!(
        p,
        abi::Plugin,
        "jnana_plugin",
        size,
        abi_major,
        abi_minor,
        reserved,
        manifest,
        create,
        destroy,
        status,
        get_extension
    );
    probe_struct!(p, abi::Encoder, "jnana_encoder", size, reserved, encode);
    probe_struct!(p, abi::Features, "jnana_features", size, reserved, features);
    probe_struct!(p, abi::Transcriber, "jnana_transcriber", size, reserved, transcribe);
    probe_struct!(p, abi::Jobs, "jnana_jobs", size, reserved, kinds, prepare);
    constants(&mut p);
    p
}

fn constants(p: &mut Probe) {
    p.number("JNANA_ABI_MAJOR", abi::ABI_MAJOR.into());
    p.number("JNANA_ABI_MINOR", abi::ABI_MINOR.into());
    p.number("JNANA_OK", abi::OK.into());
    p.number("JNANA_ERROR_INVALID_INPUT", abi::ERROR_INVALID_INPUT.into());
    p.number("JNANA_ERROR_RESOURCE", abi::ERROR_RESOURCE.into());
    p.number("JNANA_ERROR_CANCELLED", abi::ERROR_CANCELLED.into());
    p.number("JNANA_ERROR_INTERNAL", abi::ERROR_INTERNAL.into());
    p.number("JNANA_ERROR_PANIC", abi::ERROR_PANIC.into());
    p.number("JNANA_ERROR_CLOSED", abi::ERROR_CLOSED.into());
    p.number("JNANA_ERROR_REJECTED", abi::ERROR_REJECTED.into());
    p.number("JNANA_DL_MAJOR", abi::DL_MAJOR.into());
    p.number("JNANA_DL_CPU", abi::DL_CPU.into());
    p.number("JNANA_DL_FLOAT", abi::DL_FLOAT.into());
    p.number("JNANA_DL_BFLOAT", abi::DL_BFLOAT.into());
    p.number("JNANA_LOG_DEBUG", abi::LOG_DEBUG.into());
    p.number("JNANA_LOG_INFO", abi::LOG_INFO.into());
    p.number("JNANA_LOG_WARN", abi::LOG_WARN.into());
    p.number("JNANA_LOG_ERROR", abi::LOG_ERROR.into());
    p.number("JNANA_INPUT_IMAGE", abi::INPUT_IMAGE.into());
    p.number("JNANA_INPUT_AUDIO", abi::INPUT_AUDIO.into());
    p.number("JNANA_INPUT_RAW", abi::INPUT_RAW.into());
    p.text("JNANA_PLUGIN_ENTRY", abi::ENTRY);
    p.text("JNANA_EXT_ENCODER", abi::EXT_ENCODER);
    p.text("JNANA_EXT_FEATURES", abi::EXT_FEATURES);
    p.text("JNANA_EXT_TRANSCRIBER", abi::EXT_TRANSCRIBER);
}

/// Compiles the probe with warnings as errors, runs it and returns what it printed.
fn compile_and_run(compiler: &str, standard: &str, language: &str, probe: &Probe) -> String {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("probe.src");
    let program = folder.path().join("probe");
    let text = format!(
        "#include <stdio.h>\n#include \"jnana_plugin.h\"\n#include \"jnana_plugin.h\"\n\nint main(void) {{\n{}  return 0;\n}}\n",
        probe.statements
    );
    std::fs::write(&source, text).unwrap();
    let output = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-x", language])
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap_or_else(|error| panic!("{compiler} does not start: {error}"));
    assert!(output.status.success(), "{compiler} {standard}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap()
}

#[test]
fn c11_reads_the_same_layout() {
    let probe = probe();
    assert_eq!(compile_and_run("cc", "-std=c11", "c", &probe), probe.expected);
}

#[test]
fn cpp17_reads_the_same_layout() {
    let probe = probe();
    assert_eq!(compile_and_run("c++", "-std=c++17", "c++", &probe), probe.expected);
}
