//! Metrics of the front, in Prometheus's text format.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Content type of the rendered metrics.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabel {
    controller: &'static str,
}

/// What the server counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<OperationLabel, Histogram>,
    passes: Family<ControllerLabel, Counter>,
    pass_seconds: Family<ControllerLabel, Counter<f64, AtomicU64>>,
    /// Open ACS sessions.
    pub(crate) agent_sessions: Gauge,
    /// Whether this server leads.
    pub(crate) leads: Gauge,
    /// How long it took the view to show what the store had, in milliseconds.
    pub(crate) follow_ms: Gauge,
    /// Transactions that lost a race and were tried again.
    pub(crate) conflicts: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("longshore");
        let requests = Family::default();
        let constructor: fn() -> Histogram =
            || Histogram::new(exponential_buckets(0.000_25, 2.0, 14));
        let duration = Family::new_with_constructor(constructor);
        let (passes, pass_seconds) = (Family::default(), Family::default());
        let (agent_sessions, conflicts) = (Gauge::default(), Counter::default());
        registry.register(
            "api_requests",
            "API requests by operation and error code",
            Family::clone(&requests),
        );
        registry.register("api_request_seconds", "Time to answer", Family::clone(&duration));
        registry.register("controller_passes", "Reconcile passes", Family::clone(&passes));
        registry.register(
            "controller_pass_seconds",
            "Time in passes",
            Family::clone(&pass_seconds),
        );
        let (leads, follow_ms) = (Gauge::default(), Gauge::default());
        registry.register("leads", "1 on the server that leads", leads.clone());
        registry.register(
            "view_follow_ms",
            "Time until the view showed what the store had, at the last look",
            follow_ms.clone(),
        );
        registry.register("agent_sessions", "Open ACS sessions", agent_sessions.clone());
        registry.register("store_conflicts", "Transactions tried again", conflicts.clone());
        Self {
            registry,
            requests,
            duration,
            passes,
            pass_seconds,
            agent_sessions,
            leads,
            follow_ms,
            conflicts,
        }
    }
}

impl Metrics {
    /// Counts an answered API request.
    pub(crate) fn request(&self, operation: &'static str, code: &'static str, took: Duration) {
        self.requests.get_or_create(&RequestLabels { operation, code }).inc();
        self.duration.get_or_create(&OperationLabel { operation }).observe(took.as_secs_f64());
    }

    /// Counts a pass of a controller.
    pub(crate) fn pass(&self, controller: &'static str, took: Duration) {
        let label = ControllerLabel { controller };
        self.passes.get_or_create(&label).inc();
        self.pass_seconds.get_or_create(&label).inc_by(took.as_secs_f64());
    }

    /// The metrics as text.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }
}
