//! A balancer in this process, and what is around it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use longshore_domain::route::{
    Action, Balancer, BalancerAttributes, BalancerKind, Forward, Health, HealthState, Listener,
    ListenerAttributes, Protocol, ProtocolVersion, Rule, Snapshot, Target, TargetGroup,
    TargetGroupAttributes, Weighted,
};
use longshore_domain::time::Timestamp;
use longshore_lb::{Config, Credentials, LbError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything takes here; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// A balancer's process, as it were.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<Result<(), LbError>>,
}

impl Running {
    pub fn start(config: Config) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            longshore_lb::run(config, async {
                let _ = stopped.await;
            })
            .await
        });
        Self { stop: Some(stop), task }
    }

    /// Asks it to stop.
    pub fn stop(&mut self) {
        self.stop.take();
    }
}

/// A balancer by a snapshot file.
pub struct World {
    pub folder: TempDir,
    pub snapshot: Snapshot,
    pub port: u16,
    pub running: Running,
}

impl World {
    /// Of a snapshot with one balancer.
    pub async fn new(snapshot: Snapshot) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = &snapshot.balancers[0].listeners[0];
        let (port, udp) = (listener.port, listener.protocol == Protocol::Udp);
        std::fs::write(folder.path().join("routing.json"), json(&snapshot)).expect("written");
        let running = Running::start(config(folder.path().into()));
        let world = Self { folder, snapshot, port, running };
        if !udp {
            drop(world.connect().await);
        }
        world
    }

    /// A plain HTTP listener with one group of these targets.
    pub async fn http(targets: &[SocketAddr]) -> Self {
        Self::new(http_snapshot(targets)).await
    }

    /// Another process on the same data.
    pub fn again(&self) -> Running {
        Running::start(config(self.folder.path().into()))
    }

    pub fn at(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A connection, as soon as somebody listens.
    pub async fn connect(&self) -> TcpStream {
        let trying = async {
            loop {
                match TcpStream::connect(self.at()).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, trying).await.expect("somebody listens")
    }

    /// Puts the snapshot in place, changed.
    pub fn change(&mut self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot);
        self.snapshot.version += 1;
        let new = self.folder.path().join("new");
        std::fs::write(&new, json(&self.snapshot)).expect("written");
        std::fs::rename(new, self.folder.path().join("routing.json")).expect("renamed");
    }

    /// Sends bytes on a new connection, and reads until it is closed.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // A refusal may come before all is sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE, reading).await.expect("it is closed");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One request that asks for the connection to be closed.
    pub async fn get(&self, path: &str, headers: &str) -> String {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        self.raw(request.as_bytes()).await
    }

    /// Asks until the answer passes.
    pub async fn until(&self, path: &str, passes: impl Fn(&str) -> bool) -> String {
        let asking = async {
            loop {
                let answer = self.get(path, "").await;
                if passes(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("an answer that passes")
    }
}

fn config(folder: PathBuf) -> Config {
    Config {
        server: None,
        region: "us-east-1".to_owned(),
        credentials: credentials(),
        authorities: None,
        snapshot: Some(folder.join("routing.json")),
        data_dir: folder,
        metrics_listen: None,
        workers: Some(2),
    }
}

pub fn credentials() -> Credentials {
    Credentials {
        access_key_id: "test".to_owned(),
        secret_access_key: "test".to_owned(),
        session_token: None,
    }
}

fn json(snapshot: &Snapshot) -> Vec<u8> {
    serde_json::to_vec(snapshot).expect("a snapshot is JSON")
}

pub fn target(address: SocketAddr, state: HealthState) -> Target {
    Target {
        id: address.ip().to_string(),
        port: address.port(),
        address: Some(address),
        registered_at: Timestamp::from_millis(0),
        deregistered_at: None,
        health: Health { state, reason: None, description: None, since: Timestamp::from_millis(0) },
    }
}

pub fn group(arn: &str, targets: &[SocketAddr]) -> TargetGroup {
    TargetGroup {
        arn: arn.to_owned(),
        name: arn.to_owned(),
        protocol: Protocol::Http,
        version: ProtocolVersion::Http1,
        health_check: None,
        attributes: TargetGroupAttributes::default(),
        targets: targets.iter().map(|at| target(*at, HealthState::Healthy)).collect(),
        on_demand: None,
    }
}

pub fn forward(group: &str) -> Action {
    let groups = vec![Weighted { group: group.to_owned(), weight: 1 }];
    Action::Forward(Forward { groups, stickiness_s: None })
}

pub fn rule(action: Action) -> Rule {
    Rule { arn: "rule".to_owned(), priority: None, conditions: Vec::new(), actions: vec![action] }
}

pub fn http_snapshot(targets: &[SocketAddr]) -> Snapshot {
    let listener = Listener {
        arn: "listener".to_owned(),
        port: free_port(),
        protocol: Protocol::Http,
        certificates: Vec::new(),
        ssl_policy: None,
        alpn_policy: None,
        attributes: ListenerAttributes::default(),
        rules: vec![rule(forward("group"))],
    };
    Snapshot {
        version: 1,
        balancers: vec![Balancer {
            arn: "balancer".to_owned(),
            name: "balancer".to_owned(),
            kind: BalancerKind::Application,
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            attributes: BalancerAttributes { idle_timeout_s: 2, ..BalancerAttributes::default() },
            listeners: vec![listener],
        }],
        groups: vec![group("group", targets)],
        certificates: Vec::new(),
    }
}

/// A request as an upstream got it.
#[derive(Clone, Debug)]
pub struct Got {
    pub head: String,
    pub body: String,
}

/// An upstream of HTTP/1.1 that keeps connections; the closure makes the whole answer.
pub async fn upstream(answer: impl Fn(&Got) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    let answer = std::sync::Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let answer = std::sync::Arc::clone(&answer);
            tokio::spawn(async move {
                let mut read = Vec::new();
                while let Some(got) = request(&mut stream, &mut read).await {
                    if stream.write_all(answer(&got).as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    at
}

/// One that tells its name.
pub async fn named(name: &'static str) -> SocketAddr {
    upstream(move |_| ok(name)).await
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Got> {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let chunked = head.contains("chunked");
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            let end = if chunked {
                rest.find("0\r\n\r\n").map(|at| at + 5)
            } else {
                (rest.len() >= length).then_some(length)
            };
            if let Some(end) = end {
                let got = Got { head: head.to_owned(), body: rest[..end].to_owned() };
                read.drain(..head.len() + 4 + end);
                return Some(got);
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
