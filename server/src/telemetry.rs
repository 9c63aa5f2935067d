//! Logs on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::settings::LogFormat;

/// Starts logging; `JNANA_LOG` filters it (`info` by default). A second call changes nothing.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("JNANA_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder =
        fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let _already_started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
}
