//! With a control plane: snapshots from it, reports to it, probes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use longshore_domain::route::{
    HealthCheck, HealthReason, HealthState, OnDemand, Outcome, ProbePort, Protocol, Report,
    Snapshot,
};
use longshore_lb::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::world::{PATIENCE, Running, credentials, http_snapshot, named, upstream};

/// A control plane that gives snapshots and takes reports.
struct Plane {
    at: SocketAddr,
    reports: mpsc::UnboundedReceiver<Report>,
    snapshots: watch::Sender<Snapshot>,
}

impl Plane {
    async fn new(snapshot: Snapshot) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("bound");
        let (told, reports) = mpsc::unbounded_channel();
        let (snapshots, seen) = watch::channel(snapshot);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(serve(stream, told.clone(), seen.clone()));
            }
        });
        Self { at, reports, snapshots }
    }

    /// The first report that passes.
    async fn until(&mut self, passes: impl Fn(&Report) -> bool) -> Report {
        let waiting = async {
            loop {
                let report = self.reports.recv().await.expect("a report");
                if passes(&report) {
                    return report;
                }
            }
        };
        timeout(PATIENCE, waiting).await.expect("a report that passes")
    }
}

async fn serve(
    mut stream: TcpStream,
    told: mpsc::UnboundedSender<Report>,
    mut seen: watch::Receiver<Snapshot>,
) {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        if body.len() < length {
            assert!(stream.read_buf(&mut read).await.expect("more") > 0);
            continue;
        }
        assert!(head.contains("authorization: AWS4-HMAC-SHA256 "), "{head}");
        let answer = if head.starts_with("POST /_longshore/balancers/report ") {
            let _ = told.send(serde_json::from_str(&body[..length]).expect("a report"));
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
        } else {
            let after = head.split_once("/_longshore/balancers/routing?after=").expect("routing");
            let after = after.1.split(' ').next().expect("a version");
            let after: u64 = after.parse().expect("a version");
            let newer = seen.wait_for(|snapshot| snapshot.version > after).await;
            let Ok(newer) = newer else { return };
            let text = serde_json::to_string(&*newer).expect("a snapshot");
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        };
        read.drain(..head.len() + 4 + length);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn check() -> HealthCheck {
    HealthCheck {
        protocol: Protocol::Http,
        port: ProbePort::TrafficPort,
        path: "/health".to_owned(),
        interval_s: 1,
        timeout_s: 1,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        matcher: "200".to_owned(),
    }
}

fn config(folder: &tempfile::TempDir, at: SocketAddr) -> Config {
    Config {
        server: Some(format!("http://{at}")),
        region: "us-east-1".to_owned(),
        credentials: credentials(),
        authorities: None,
        data_dir: folder.path().into(),
        snapshot: None,
        metrics_listen: None,
        workers: Some(1),
    }
}

#[tokio::test]
async fn probes_are_reported_in_the_words_of_aws() {
    let well = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&well);
    let at = upstream(move |got| {
        assert!(got.head.contains("User-Agent: ELB-HealthChecker/2.0"), "{}", got.head);
        let code = if state.load(Relaxed) { 200 } else { 503 };
        format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let mut snapshot = http_snapshot(&[at]);
    snapshot.groups[0].health_check = Some(check());
    snapshot.groups[0].targets[0].health.state = HealthState::Initial;
    let mut plane = Plane::new(snapshot).await;
    let folder = tempfile::tempdir().expect("a folder");
    let _running = Running::start(config(&folder, plane.at));
    let of = |report: &Report| report.targets.first().map(|target| target.health.state);
    let report = plane.until(|report| of(report) == Some(HealthState::Healthy)).await;
    let probe = report.targets[0].probe.clone().expect("a probe");
    assert_eq!(probe.outcome, Outcome::Passed(Some(200)));
    well.store(false, Relaxed);
    let report = plane.until(|report| of(report) == Some(HealthState::Unhealthy)).await;
    let health = &report.targets[0].health;
    assert_eq!(health.reason, Some(HealthReason::ResponseCodeMismatch));
    assert_eq!(health.description.as_deref(), Some("Health checks failed with these codes: [503]"));
}

#[tokio::test]
async fn a_listener_that_cannot_be_opened_is_reported_and_opened_later() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut snapshot = http_snapshot(&[named("a").await]);
    let at = taken.local_addr().expect("bound");
    snapshot.balancers[0].listeners[0].port = at.port();
    let mut plane = Plane::new(snapshot).await;
    let folder = tempfile::tempdir().expect("a folder");
    let _running = Running::start(config(&folder, plane.at));
    let report = plane.until(|report| !report.failed_listeners.is_empty()).await;
    assert_eq!(report.failed_listeners[0].0, "listener");
    drop(taken);
    plane.until(|report| report.failed_listeners.is_empty()).await;
    TcpStream::connect(at).await.expect("it is open");
}

#[tokio::test]
async fn the_last_snapshot_is_served_when_the_control_plane_is_away() {
    let snapshot = http_snapshot(&[named("a").await]);
    let port = snapshot.balancers[0].listeners[0].port;
    let plane = Plane::new(snapshot).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(config(&folder, plane.at));
    let connect = || async {
        let trying = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, trying).await.expect("it listens");
    };
    connect().await;
    running.stop();
    timeout(PATIENCE, &mut running.task).await.expect("it ends").expect("no panic").expect("ended");
    drop(plane);
    let nobody = SocketAddr::from(([127, 0, 0, 1], crate::world::free_port()));
    let _running = Running::start(config(&folder, nobody));
    connect().await;
}

#[tokio::test]
async fn the_end_of_what_is_under_way_at_a_draining_target_is_reported_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut snapshot = http_snapshot(&[listener.local_addr().expect("bound")]);
    let port = snapshot.balancers[0].listeners[0].port;
    snapshot.balancers[0].attributes.idle_timeout_s = 60;
    let mut plane = Plane::new(snapshot.clone()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let _running = Running::start(config(&folder, plane.at));
    plane.until(|report| report.version == 1).await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.expect("open");
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let (mut at_target, _) = listener.accept().await.expect("it arrives");
    snapshot.version = 2;
    let now = jiff::Timestamp::now().as_millisecond();
    let now = longshore_domain::time::Timestamp::from_millis(now);
    snapshot.groups[0].targets[0].deregistered_at = Some(now);
    plane.snapshots.send_replace(snapshot);
    let draining = |report: &Report, count| {
        let target = report.targets.first();
        target.is_some_and(|t| t.health.state == HealthState::Draining && t.in_flight == count)
    };
    plane.until(|report| draining(report, 1)).await;
    at_target.write_all(crate::world::ok("x").as_bytes()).await.expect("sent");
    plane.until(|report| draining(report, 0)).await;
}

#[tokio::test]
async fn a_node_that_ends_says_so_last() {
    let mut plane = Plane::new(http_snapshot(&[named("a").await])).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(config(&folder, plane.at));
    let node = plane.until(|report| report.version == 1).await.node;
    running.stop();
    let last = plane.until(|report| report.leaves).await;
    assert_eq!((last.node, last.targets.len()), (node, 0));
    timeout(PATIENCE, &mut running.task).await.expect("it ends").expect("no panic").expect("ended");
    assert!(plane.reports.try_recv().is_err(), "it says nothing more");
}

#[tokio::test]
async fn where_a_server_is_gone_the_next_one_is_asked() {
    let mut plane = Plane::new(http_snapshot(&[named("a").await])).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(&folder, plane.at);
    let gone = crate::world::free_port();
    config.server = Some(format!("http://127.0.0.1:{gone}, http://{}/", plane.at));
    let _running = Running::start(config);
    plane.until(|report| report.version == 1).await;
}

#[tokio::test]
async fn what_is_under_way_is_use_and_so_is_what_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut snapshot = http_snapshot(&[listener.local_addr().expect("bound")]);
    snapshot.groups[0].on_demand = Some(OnDemand { hold_ms: 20_000, queue: 1 });
    let port = snapshot.balancers[0].listeners[0].port;
    let mut plane = Plane::new(snapshot.clone()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let _running = Running::start(config(&folder, plane.at));
    let first = plane.until(|report| report.version == 1).await;
    assert_eq!(first.used, [], "nobody has come yet");
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.expect("open");
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let (_at_target, _) = listener.accept().await.expect("it arrives");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    // It goes on, so it is used now, as any report says.
    let used = |report: &Report| report.used.first().map(|(_, since)| *since < 250);
    snapshot.version = 2;
    plane.snapshots.send_replace(snapshot.clone());
    let report = plane.until(|report| report.version == 2).await;
    assert_eq!(used(&report), Some(true), "{report:?}");
    snapshot.version = 3;
    snapshot.groups[0].targets.clear();
    plane.snapshots.send_replace(snapshot);
    plane.until(|report| report.version == 3).await;
    let mut other = TcpStream::connect(("127.0.0.1", port)).await.expect("open");
    other.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let report = plane.until(|report| !report.wanted.is_empty()).await;
    assert_eq!(report.used[0].0, report.wanted[0]);
    assert_eq!(used(&report), Some(true), "{report:?}");
}
