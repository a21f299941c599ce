//! The control plane: snapshots from it, reports to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use longshore_auth::{Credentials, PayloadHash, RequestParts, sign};
use longshore_domain::route::{Health, HealthReason, HealthState, Report, Snapshot, TargetReport};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::node::Node;
use crate::target::{Target, TargetKey};
use crate::{clock, limits, tls};

/// Waits between attempts to reach the control plane.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest of them.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Time between two looks at a snapshot file.
const LOOK: Duration = Duration::from_millis(100);

/// How an error begins that says that a certificate is not good.
const DISTRUST: &str = "invalid peer certificate";

/// The control plane.
#[derive(Clone)]
pub(crate) struct Control {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Of each server; one is asked, and the next when it fails.
    urls: Arc<[String]>,
    /// How many have failed.
    failed: Arc<AtomicUsize>,
    /// Whether the log says that one is not trusted.
    complained: Arc<AtomicBool>,
    region: String,
    credentials: Credentials,
}

impl Control {
    /// Of the URLs of its servers, separated by commas; they are known by these authorities (PEM), or by
    /// the roots of the system. Calls are signed for ECS, like those of the agent.
    pub(crate) fn new(
        urls: &str,
        region: &str,
        credentials: Credentials,
        authorities: Option<&[u8]>,
    ) -> Result<Self, String> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new();
        let connector = match authorities {
            Some(pem) => connector.with_tls_config(tls::client_of(pem)?),
            None => connector.with_native_roots().map_err(|error| error.to_string())?,
        };
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let urls = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned());
        let urls: Arc<[String]> = urls.collect();
        for url in urls.iter() {
            url.parse::<http::Uri>().map_err(|error| format!("{url}: {error}"))?;
        }
        let (region, failed) = (region.to_owned(), Arc::default());
        let complained = Arc::default();
        Ok(Self { client, urls, failed, complained, region, credentials })
    }

    /// Asks the server that answered last. One that does not answer in time, or fails, is not asked
    /// again before the others.
    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), String> {
        let failed = self.failed.load(Relaxed);
        let url = &self.urls[failed % self.urls.len()];
        let asking = self.ask(url, method, path, query, body);
        let answer = timeout(patience, asking).await.unwrap_or_else(|_| Err("no answer".into()));
        if !answer.as_ref().is_ok_and(|(status, _)| !status.is_server_error()) {
            // Whoever else finds out does not pass over another one.
            let next = failed.wrapping_add(1);
            let _ = self.failed.compare_exchange(failed, next, Relaxed, Relaxed);
        }
        answer
    }

    async fn ask(
        &self,
        url: &str,
        method: Method,
        path: &str,
        query: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let question = if query.is_empty() { "" } else { "?" };
        let uri: http::Uri = format!("{url}{path}{question}{query}")
            .parse()
            .map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let headers = [("host", host.as_bytes())];
        let parts = RequestParts::new(method.as_str(), path, query, headers);
        let now_s = clock::now().as_millis() / 1000;
        let payload = PayloadHash::of(&body);
        let added = sign(&parts, &payload, &self.credentials, &self.region, "ecs", now_s);
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in added {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| {
            let why = longshore_wire::with_causes(&error);
            // Time does not mend it, as it does where a server is away.
            let is_distrust = why.contains(DISTRUST);
            if is_distrust && !self.complained.swap(true, Relaxed) {
                tracing::warn!(
                    url,
                    why,
                    "a server is not trusted: give --ca-file, or mend its certificate"
                );
            }
            why
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::SNAPSHOT_BYTES).collect();
        let body = body.await.map_err(|error| longshore_wire::with_causes(error.as_ref()))?;
        Ok((status, body.to_bytes()))
    }

    /// A snapshot that is newer than `after`; `None` when there is none for a while.
    async fn newer(&self, after: u64) -> Result<Option<Snapshot>, String> {
        let query = format!("after={after}");
        let path = "/_longshore/balancers/routing";
        let (status, body) =
            self.call(Method::GET, path, &query, Bytes::new(), limits::POLL).await?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map(Some).map_err(|e| e.to_string()),
            StatusCode::NO_CONTENT => Ok(None),
            status => Err(format!("HTTP {status}")),
        }
    }

    /// Says that a node ends; nothing depends on it.
    pub(crate) async fn leave(&self, node: u64) {
        let report = Report { node, leaves: true, ..Report::default() };
        if let Ok(Err(why)) = timeout(limits::GOODBYE, self.report(&report)).await {
            tracing::debug!(why, "the control plane does not know that this node ends");
        }
    }

    async fn report(&self, report: &Report) -> Result<(), String> {
        let body = serde_json::to_vec(report).map_err(|error| error.to_string())?;
        let path = "/_longshore/balancers/report";
        let (status, _) = self.call(Method::POST, path, "", body.into(), limits::TELL).await?;
        if status.is_success() { Ok(()) } else { Err(format!("HTTP {status}")) }
    }
}

/// Asks for newer snapshots, for ever.
pub(crate) async fn follow(
    node: Arc<Node>,
    control: Control,
    mut after: u64,
    found: mpsc::Sender<Snapshot>,
) {
    let mut wait = FIRST_WAIT;
    let mut older_since = None;
    loop {
        match control.newer(after).await {
            Ok(Some(snapshot)) => {
                wait = FIRST_WAIT;
                // A server that is cut off from the store shows for a while what was so: it must not
                // bring back a target of which this node has said that it gets nothing any more. A
                // control plane that was restored goes back for good; its word counts.
                if snapshot.version < after {
                    let since = *older_since.get_or_insert_with(Instant::now);
                    if since.elapsed() < limits::GOES_BACK {
                        // Another one may know better.
                        control.failed.fetch_add(1, Relaxed);
                        sleep(Duration::from_secs(1)).await;
                        continue;
                    }
                }
                older_since = None;
                after = snapshot.version;
                if found.send(snapshot).await.is_err() {
                    return;
                }
            }
            Ok(None) => (wait, older_since) = (FIRST_WAIT, None),
            Err(why) => {
                tracing::debug!(why, "no routing from the control plane");
                // One that comes back knows of no node: it is told as soon as it can be.
                node.news.notify_one();
                sleep(wait + wait.mul_f64(share())).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

fn share() -> f64 {
    f64::from(u32::try_from(clock::random() % 1000).unwrap_or(0)) / 1000.0
}

/// Reads a snapshot file whenever it has changed, for ever.
pub(crate) async fn watch(path: PathBuf, found: mpsc::Sender<Snapshot>) {
    let mut seen = None;
    loop {
        let stamp = tokio::fs::metadata(&path).await.ok();
        let stamp = stamp.and_then(|m| Some((m.modified().ok()?, m.len())));
        if stamp.is_some() && stamp != seen {
            seen = stamp;
            let bytes = tokio::fs::read(&path).await.unwrap_or_default();
            match serde_json::from_slice(&bytes) {
                Ok(snapshot) => {
                    if found.send(snapshot).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::warn!(%error, "the snapshot file cannot be read"),
            }
        }
        sleep(LOOK).await;
    }
}

/// Reports, for ever: news at once, everything now and then.
pub(crate) async fn report(node: Arc<Node>, control: Control) {
    let mut told: BTreeMap<TargetKey, (Health, u32)> = BTreeMap::new();
    let mut whole_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = node.news.notified() => {}
            () = tokio::time::sleep_until(whole_at) => {}
        }
        if Instant::now() >= whole_at {
            told.clear();
            whole_at = Instant::now() + limits::REPORT;
        }
        let report = collect(&node, &mut told);
        if let Err(why) = control.report(&report).await {
            tracing::debug!(why, "the control plane takes no report");
            told.clear();
            node.wanted.lock().unwrap_or_else(PoisonError::into_inner).extend(report.wanted);
            whole_at = Instant::now() + Duration::from_secs(1);
            sleep(FIRST_WAIT).await;
        }
    }
}

/// What is new, or all when nothing was told yet.
fn collect(node: &Node, told: &mut BTreeMap<TargetKey, (Health, u32)>) -> Report {
    let table = node.table.load();
    let mut targets = Vec::new();
    let mut used = Vec::new();
    for group in table.groups.values() {
        for target in &group.targets {
            let report = of_target(target);
            // How much is under way matters at once only for who waits for its end.
            let draining = target.deregistered_at().is_some();
            let mark = (report.health.clone(), if draining { report.in_flight } else { 0 });
            if told.get(&target.key) != Some(&mark) {
                told.insert(target.key.clone(), mark);
                targets.push(report);
            }
        }
        if group.record.on_demand.is_some()
            && let Some(since) = group.unused_for()
        {
            used.push((group.record.arn.clone(), since));
        }
    }
    let mut failed_listeners = table.refused.clone();
    let unopened = node.unopened.lock().unwrap_or_else(PoisonError::into_inner);
    failed_listeners.extend(unopened.values().cloned());
    drop(unopened);
    let wanted = std::mem::take(&mut *node.wanted.lock().unwrap_or_else(PoisonError::into_inner));
    Report {
        node: node.id,
        version: table.version,
        targets,
        wanted: wanted.into_iter().collect(),
        used,
        failed_listeners,
        leaves: false,
    }
}

fn of_target(target: &Target) -> TargetReport {
    let (machine, probe) = target.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let health = match target.deregistered_at() {
        Some(since) => Health {
            state: HealthState::Draining,
            reason: Some(HealthReason::DeregistrationInProgress),
            description: Some("Target deregistration is in progress".to_owned()),
            since,
        },
        None => machine.health,
    };
    TargetReport {
        group: target.key.group.to_string(),
        id: target.key.id.clone(),
        port: target.key.port,
        health,
        probe,
        in_flight: target.in_flight.load(Relaxed),
    }
}
