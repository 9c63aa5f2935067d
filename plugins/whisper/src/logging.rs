//! whisper.cpp's log goes to the host's instead of standard error.

use std::sync::Once;

use jnana_plugin_sdk::{Host, Level};

/// Lines of whisper.cpp under the host's log; the names of loaded tensors and timings are left out.
struct HostLog(Host);

impl log::Log for HostLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = if record.level() == log::Level::Error { Level::Error } else { Level::Warn };
            self.0.log(level, record.args().to_string().trim_end());
        }
    }

    fn flush(&self) {}
}

/// Once in a process: the first instance's host gets the lines (all instances in a process have the same). Without a host, as
/// in tests, they go nowhere.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        whisper_rs::install_logging_hooks();
        if let Some(host) = Host::current()
            && log::set_boxed_logger(Box::new(HostLog(host))).is_ok()
        {
            log::set_max_level(log::LevelFilter::Warn);
        }
    });
}
