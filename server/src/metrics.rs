//! Figures for Prometheus.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jnana_core::Stats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Labels of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    method: String,
    route: String,
    status: u16,
}

/// Labels of a plugin's call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
}

/// The engine's own figures, as gauges: it counts, this shows.
#[derive(Debug, Default)]
struct EngineFigures {
    live: Gauge,
    queued: Gauge,
    cache_bytes: Gauge,
    reusable_bytes: Gauge,
    finished: Gauge,
    cancelled: Gauge,
    failed: Gauge,
    refused: Gauge,
    prompt_positions: Gauge,
    reused_positions: Gauge,
    tokens: Gauge,
    prefill_seconds: Gauge<f64, AtomicU64>,
    decode_seconds: Gauge<f64, AtomicU64>,
}

/// All figures. The engine's are copied in when they are asked for.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_requests: Family<HttpLabels, Counter>,
    http_seconds: Histogram,
    plugin_calls: Family<PluginLabels, Counter>,
    plugin_errors: Family<PluginLabels, Counter>,
    plugin_seconds: Family<PluginLabels, Histogram>,
    first_token_seconds: Histogram,
    engine: EngineFigures,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.005, 2.0, 14));
        let mut metrics = Self {
            registry: Registry::with_prefix("jnana"),
            http_requests: Family::default(),
            http_seconds: seconds(),
            plugin_calls: Family::default(),
            plugin_errors: Family::default(),
            plugin_seconds: Family::new_with_constructor(seconds),
            first_token_seconds: seconds(),
            engine: EngineFigures::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("http_requests", "Calls answered", self.http_requests.clone());
        registry.register("http_seconds", "Time to the head of an answer", self.http_seconds.clone());
        registry.register("plugin_calls", "Calls of plugins", self.plugin_calls.clone());
        registry.register("plugin_errors", "Calls of plugins that failed", self.plugin_errors.clone());
        registry.register("plugin_seconds", "Time in plugins", self.plugin_seconds.clone());
        registry.register("first_token_seconds", "Request to first token", self.first_token_seconds.clone());
        let engine = &self.engine;
        let gauges = [
            ("engine_live_requests", "Requests being answered", &engine.live),
            ("engine_queued_requests", "Requests that wait", &engine.queued),
            ("engine_cache_bytes", "Bytes of the caches of live requests", &engine.cache_bytes),
            ("engine_reusable_cache_bytes", "Bytes of caches kept for reuse", &engine.reusable_bytes),
            ("engine_finished", "Answers that ended whole", &engine.finished),
            ("engine_cancelled", "Answers that were cancelled", &engine.cancelled),
            ("engine_failed", "Answers that failed", &engine.failed),
            ("engine_refused", "Requests turned away by a full queue", &engine.refused),
            ("engine_prompt_positions", "Prompt positions of ended requests", &engine.prompt_positions),
            ("engine_reused_positions", "Those of them taken from kept caches", &engine.reused_positions),
            ("engine_tokens", "Tokens of ended answers", &engine.tokens),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register("engine_prefill_seconds", "Time in prompts", engine.prefill_seconds.clone());
        registry.register("engine_decode_seconds", "Time in answers", engine.decode_seconds.clone());
    }

    /// Takes over the engine's figures.
    pub fn engine(&self, stats: &Stats) {
        let engine = &self.engine;
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&engine.live, stats.live as u64);
        set(&engine.queued, stats.queued as u64);
        set(&engine.cache_bytes, stats.live_cache_bytes as u64);
        set(&engine.reusable_bytes, stats.reusable_cache_bytes as u64);
        set(&engine.finished, stats.finished);
        set(&engine.cancelled, stats.cancelled);
        set(&engine.failed, stats.failed);
        set(&engine.refused, stats.refused);
        set(&engine.prompt_positions, stats.prompt_positions);
        set(&engine.reused_positions, stats.reused_positions);
        set(&engine.tokens, stats.completion_tokens);
        engine.prefill_seconds.set(stats.prefill_time.as_secs_f64());
        engine.decode_seconds.set(stats.decode_time.as_secs_f64());
    }

    /// Counts an answered call.
    pub fn http(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        // Names come from callers: only those that HTTP knows become labels.
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method);
        let method = if known { method } else { "other" };
        let labels = HttpLabels { method: method.to_owned(), route: route.to_owned(), status };
        self.http_requests.get_or_create(&labels).inc();
        self.http_seconds.observe(elapsed.as_secs_f64());
    }

    /// Counts a plugin's call.
    pub fn plugin(&self, plugin: &str, elapsed: Duration, failed: bool) {
        let labels = PluginLabels { plugin: plugin.to_owned() };
        self.plugin_calls.get_or_create(&labels).inc();
        if failed {
            self.plugin_errors.get_or_create(&labels).inc();
        }
        self.plugin_seconds.get_or_create(&labels).observe(elapsed.as_secs_f64());
    }

    /// Notes how long a caller waited for the first token.
    pub fn first_token(&self, elapsed: Duration) {
        self.first_token_seconds.observe(elapsed.as_secs_f64());
    }

    /// The text form.
    ///
    /// # Errors
    /// When formatting fails.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
