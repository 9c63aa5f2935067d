//! Figures for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
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

/// The engine's own figures: it counts, this shows.
#[derive(Debug, Default)]
struct EngineFigures {
    live: Gauge,
    queued: Gauge,
    cache_bytes: Gauge,
    reusable_bytes: Gauge,
    finished: Counter,
    cancelled: Counter,
    failed: Counter,
    refused: Counter,
    prompt_positions: Counter,
    reused_positions: Counter,
    tokens: Counter,
    proposed_tokens: Counter,
    accepted_tokens: Counter,
    prefill_seconds: Counter<f64, AtomicU64>,
    decode_seconds: Counter<f64, AtomicU64>,
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
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let counters = [
            ("engine_finished", "Answers that ended whole", &engine.finished),
            ("engine_cancelled", "Answers that were cancelled", &engine.cancelled),
            ("engine_failed", "Answers that failed", &engine.failed),
            ("engine_refused", "Requests turned away by a full queue", &engine.refused),
            ("engine_prompt_positions", "Prompt positions of ended requests", &engine.prompt_positions),
            ("engine_reused_positions", "Those of them taken from kept caches", &engine.reused_positions),
            ("engine_tokens", "Tokens of ended answers", &engine.tokens),
            ("engine_proposed_tokens", "Guessed tokens computed along", &engine.proposed_tokens),
            ("engine_accepted_tokens", "Those of them that answers said next", &engine.accepted_tokens),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register("engine_prefill_seconds", "Time in prompts", engine.prefill_seconds.clone());
        registry.register("engine_decode_seconds", "Time in answers", engine.decode_seconds.clone());
    }

    /// Takes over the engine's figures. Of two callers at once the later may bring the older figures: what counts never
    /// goes back.
    pub fn engine(&self, stats: &Stats) {
        let engine = &self.engine;
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let count = |counter: &Counter, value: u64| reach(counter.inner(), value);
        set(&engine.live, stats.live as u64);
        set(&engine.queued, stats.queued as u64);
        set(&engine.cache_bytes, stats.live_cache_bytes as u64);
        set(&engine.reusable_bytes, stats.reusable_cache_bytes as u64);
        count(&engine.finished, stats.finished);
        count(&engine.cancelled, stats.cancelled);
        count(&engine.failed, stats.failed);
        count(&engine.refused, stats.refused);
        count(&engine.prompt_positions, stats.prompt_positions);
        count(&engine.reused_positions, stats.reused_positions);
        count(&engine.tokens, stats.completion_tokens);
        count(&engine.proposed_tokens, stats.proposed_tokens);
        count(&engine.accepted_tokens, stats.accepted_tokens);
        // The bits of floats that are not negative are in the order of the floats.
        reach(engine.prefill_seconds.inner(), stats.prefill_time.as_secs_f64().to_bits());
        reach(engine.decode_seconds.inner(), stats.decode_time.as_secs_f64().to_bits());
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

fn reach(counter: &AtomicU64, value: u64) {
    counter.fetch_max(value, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_grows_is_a_counter() {
        let metrics = Metrics::default();
        let stats =
            Stats { finished: 3, prefill_time: Duration::from_millis(1500), live: 2, ..Stats::default() };
        metrics.engine(&Stats { proposed_tokens: 8, accepted_tokens: 5, ..stats });
        metrics.engine(&Stats { finished: 2, live: 1, ..Stats::default() });
        let text = metrics.text().unwrap();
        for line in [
            "# TYPE jnana_engine_finished counter",
            "jnana_engine_finished_total 3",
            "jnana_engine_prefill_seconds_total 1.5",
            "jnana_engine_proposed_tokens_total 8",
            "jnana_engine_accepted_tokens_total 5",
            "# TYPE jnana_engine_live_requests gauge",
            "jnana_engine_live_requests 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line:?} in {text}");
        }
    }
}
