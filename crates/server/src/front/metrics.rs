//! What the server counts, in Prometheus's text format: each metric a constant with its description.
//!
//! The rule: counting touches neither the store nor a lock that is held for long. What others count
//! anyway (the state, admission) is read when somebody asks.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

use crate::Server;

/// Content type of the rendered metrics.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A metric: its name, without prefix and without the suffix of counters, and what it says.
type Named = (&'static str, &'static str);

const API_REQUESTS: Named = ("api_requests", "API requests by operation and error code");
const API_SECONDS: Named = ("api_request_seconds", "Time to answer");
const API_ANSWERING: Named = ("api_requests_in_progress", "API requests that are being answered");
const API_REFUSED: Named =
    ("api_requests_refused", "API requests that were refused for the sake of others, by reason");
const CONNECTIONS: Named = ("connections", "Open connections, sessions of agents among them");
const PASSES: Named = ("controller_passes", "Reconcile passes");
const PASS_SECONDS: Named = ("controller_pass_seconds", "Time in passes, with their commits");
const AGENT_SESSIONS: Named = ("agent_sessions", "Open ACS sessions");
const SESSIONS_OPENED: Named = ("agent_sessions_opened", "ACS sessions that were opened");
const MESSAGES: Named = ("agent_messages", "Messages sent to agents, by type");
const TELEMETRY_SESSIONS: Named = ("telemetry_sessions", "Open TCS sessions");
const TELEMETRY_FRAMES: Named = ("telemetry_frames", "Frames of telemetry received");
const RESEND_WAIT: Named =
    ("agent_repeat_wait_seconds", "How long a session that begins now waits to repeat everything");
const LEADS: Named = ("leads", "1 on the server that leads");
const FOLLOW: Named =
    ("view_follow_ms", "Time until the view showed what the store had, at the last look");
const COMMITS: Named = ("store_commits", "Transactions committed");
const CONFLICTS: Named = ("store_conflicts", "Transactions that others were in the way of");
const FAILURES: Named = ("store_failures", "Transactions that the store failed on");
const WAITING: Named = ("store_commits_waiting", "Transactions that wait for the store");
const COMMIT_SECONDS: Named = ("store_commit_seconds", "Time that transactions waited");
const VIEW_SECONDS: Named = ("view_wait_seconds", "Time that answers waited for the view");
const REVISION: Named = ("store_revision", "Newest revision of the store that was heard of");
const LAG: Named = ("view_lag_revisions", "Revisions that the view is behind the store");
const AUDITED: Named = ("audit_records", "Records written to the audit log");
const AUDIT_LOST: Named =
    ("audit_records_lost", "Records that the audit log had no room for, or that its disk refused");
const RECORDS: Named = ("records", "Records in the view, by kind");

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// What the server counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<OperationLabel, Histogram>,
    refused: Family<ReasonLabel, Counter>,
    passes: Family<ControllerLabel, Counter>,
    pass_seconds: Family<ControllerLabel, Counter<f64, AtomicU64>>,
    messages: Family<KindLabel, Counter>,
    /// Open connections.
    pub(super) connections: Gauge,
    /// Open ACS sessions.
    pub(crate) agent_sessions: Gauge,
    /// Whether this server leads.
    pub(crate) leads: Gauge,
    /// How long it took the view to show what the store had, in milliseconds.
    pub(crate) follow_ms: Gauge,
    /// ACS sessions that were opened.
    pub(crate) sessions_opened: Counter,
    /// Open TCS sessions.
    pub(crate) telemetry_sessions: Gauge,
    /// Frames of telemetry received.
    pub(crate) telemetry_frames: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("longshore");
        let histogram: fn() -> Histogram =
            || Histogram::new(exponential_buckets(0.000_25, 2.0, 14));
        Self {
            requests: registered(&mut registry, API_REQUESTS, Family::default()),
            duration: registered(
                &mut registry,
                API_SECONDS,
                Family::new_with_constructor(histogram),
            ),
            refused: registered(&mut registry, API_REFUSED, Family::default()),
            passes: registered(&mut registry, PASSES, Family::default()),
            pass_seconds: registered(&mut registry, PASS_SECONDS, Family::default()),
            messages: registered(&mut registry, MESSAGES, Family::default()),
            connections: registered(&mut registry, CONNECTIONS, Gauge::default()),
            agent_sessions: registered(&mut registry, AGENT_SESSIONS, Gauge::default()),
            leads: registered(&mut registry, LEADS, Gauge::default()),
            follow_ms: registered(&mut registry, FOLLOW, Gauge::default()),
            sessions_opened: registered(&mut registry, SESSIONS_OPENED, Counter::default()),
            telemetry_sessions: registered(&mut registry, TELEMETRY_SESSIONS, Gauge::default()),
            telemetry_frames: registered(&mut registry, TELEMETRY_FRAMES, Counter::default()),
            registry,
        }
    }
}

fn registered<M: Metric + Clone>(registry: &mut Registry, (name, help): Named, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Counts an answered API request.
    pub(crate) fn request(&self, operation: &'static str, code: &'static str, took: Duration) {
        self.requests.get_or_create(&RequestLabels { operation, code }).inc();
        self.duration.get_or_create(&OperationLabel { operation }).observe(took.as_secs_f64());
    }

    /// Counts a request that was refused for the sake of others.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a pass of a controller.
    pub(crate) fn pass(&self, controller: &'static str, took: Duration) {
        let label = ControllerLabel { controller };
        self.passes.get_or_create(&label).inc();
        self.pass_seconds.get_or_create(&label).inc_by(took.as_secs_f64());
    }

    /// Counts a message to an agent.
    pub(crate) fn message(&self, kind: &'static str) {
        self.messages.get_or_create(&KindLabel { kind }).inc();
    }
}

/// The metrics of a server as text.
pub(super) fn render(server: &Server) -> String {
    let mut text = String::new();
    let (own, now) = (&server.metrics.registry, current(server));
    let encoded = prometheus_client::encoding::text::encode_registry(&mut text, own)
        .and_then(|()| prometheus_client::encoding::text::encode_registry(&mut text, &now))
        .and_then(|()| prometheus_client::encoding::text::encode_eof(&mut text));
    match encoded {
        Ok(()) => text,
        Err(error) => format!("# {error}\n"),
    }
}

/// What others count, as it stands.
fn current(server: &Server) -> Registry {
    let mut registry = Registry::with_prefix("longshore");
    let mut gauge = |name: Named, value: u64| {
        let gauge = registered(&mut registry, name, Gauge::<i64>::default());
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    };
    let figures = server.state.figures();
    gauge(API_ANSWERING, u64::try_from(server.admission.answering()).unwrap_or(u64::MAX));
    gauge(WAITING, figures.waiting);
    gauge(REVISION, figures.store_revision.0);
    gauge(LAG, figures.store_revision.0.saturating_sub(figures.view_revision.0));
    let mut counter = |name: Named, value: u64| {
        registered(&mut registry, name, Counter::<u64>::default()).inc_by(value);
    };
    counter(COMMITS, figures.commits);
    counter(CONFLICTS, figures.conflicts);
    counter(FAILURES, figures.failures);
    counter(AUDITED, server.audit.counts().written());
    counter(AUDIT_LOST, server.audit.counts().lost());
    let mut seconds = |name: Named, value: Duration| {
        registered(&mut registry, name, Counter::<f64, AtomicU64>::default())
            .inc_by(value.as_secs_f64());
    };
    seconds(COMMIT_SECONDS, figures.commit_time);
    seconds(VIEW_SECONDS, figures.view_time);
    let wait = registered(&mut registry, RESEND_WAIT, Gauge::<f64, AtomicU64>::default());
    wait.set(server.sessions.repeat_wait().as_secs_f64());
    let records = registered(&mut registry, RECORDS, Family::<KindLabel, Gauge>::default());
    for (kind, count) in server.state.view().counts() {
        let gauge = records.get_or_create(&KindLabel { kind: kind.as_str() });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry
}
