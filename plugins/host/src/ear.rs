//! Who hears what a plugin says beside its results: the server's log, or the host on the other side of a worker's socket.

use jnana_plugin_abi as abi;

/// Hears a plugin.
pub(crate) trait Ear: Send + Sync {
    /// A line of the plugin's log; `level` is one of the contract's.
    fn log(&self, level: i32, message: &str);

    /// A breach of the contract that cost no call.
    fn fault(&self, fault: &str);
}

/// Writes into the server's log, under the plugin's name.
pub(crate) struct ServerLog(pub(crate) String);

impl Ear for ServerLog {
    fn log(&self, level: i32, message: &str) {
        let plugin = &self.0;
        match level {
            abi::LOG_DEBUG => tracing::debug!(plugin, "{message}"),
            abi::LOG_INFO => tracing::info!(plugin, "{message}"),
            abi::LOG_WARN => tracing::warn!(plugin, "{message}"),
            _ => tracing::error!(plugin, "{message}"),
        }
    }

    fn fault(&self, fault: &str) {
        tracing::error!(plugin = self.0, "fault of the plugin: {fault}");
    }
}
