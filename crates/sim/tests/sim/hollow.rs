//! A real server and hollow agents over real sockets: what is said without news leaves the store alone.

use std::sync::Arc;
use std::time::Duration;

use longshore_agent::Credentials;
use longshore_agent::hollow::{Fleet, Options};
use longshore_auth::{Account, Open};
use longshore_domain::ids::{ClusterName, Scope};
use longshore_server::{Config, Identity, Membership, Retention};
use longshore_store::{MemoryStore, Range, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

const AGENTS: u32 = 20;

fn config(scope: &Scope) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        tls: longshore_server::Tls::Off,
        region: scope.region.clone(),
        identity: Identity::Given(Box::new(Open::new(Account::default()))),
        identity_key: None,
        open: true,
        retention: Retention::default(),
        fidelity: longshore_domain::fidelity::Fidelity::default(),
        connections: longshore_domain::limits::CONNECTIONS,
        event_webhook: None,
        membership: Membership::default(),
        throttle: false,
        balancer_addresses: "127.0.2.0/24".parse().expect("a block"),
        role_life: longshore_server::ROLE_LIFE,
        audit: None,
    }
}

fn options(endpoint: String) -> Options {
    Options {
        endpoint,
        region: "us-east-1".to_owned(),
        credentials: Credentials {
            access_key_id: "AKIATEST".into(),
            secret_access_key: "secret".into(),
            session_token: None,
        },
        cluster: "default".to_owned(),
        count: AGENTS,
        cpu_units: 1024,
        memory_mib: 1024,
        zones: 3,
        start_delay: Duration::ZERO,
        failure_rate: 0.0,
        exit_rate: 0.0,
        telemetry: true,
        deregister: false,
        trust: longshore_agent::Trust::System,
    }
}

/// A metric of a server.
async fn metric(address: std::net::SocketAddr, name: &str) -> f64 {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = "GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("the server answers");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_and_metrics_leave_the_store_alone() {
    let scope = Scope {
        account: "000000000000".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
    };
    let store = Arc::new(MemoryStore::default());
    let server = longshore_server::start(config(&scope), store.clone()).await.expect("a server");
    server.ensure_cluster(&scope, ClusterName::default_cluster()).await.expect("a cluster");
    let (address, url) = (server.address(), server.url());
    let stop = watch::Sender::new(false);
    let stopped = |mut switch: watch::Receiver<bool>| async move {
        let _ = switch.wait_for(|on| *on).await;
    };
    let serving = tokio::spawn(server.serve(stopped(stop.subscribe())));
    // What the server itself has to write it has written when it leads.
    let leads = async {
        while metric(address, "longshore_leads").await < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), leads).await.expect("it leads");
    let before = store.range(Range::prefix("/").limit(1)).await.expect("memory").revision;
    let fleet = Arc::new(Fleet::new(options(url)).expect("a fleet"));
    let (running, until) = (Arc::clone(&fleet), stopped(stop.subscribe()));
    let agents = tokio::spawn(async move { running.run(until).await });

    // Each session begins with a heartbeat; each agent says at once what its machine does, and how
    // it feels.
    let agents_count = f64::from(AGENTS);
    let said = async {
        while metric(address, r#"longshore_agent_messages_total{kind="heartbeat"}"#).await
            < agents_count
            || metric(address, "longshore_telemetry_frames_total").await < 2.0 * agents_count
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), said).await.expect("they all speak");
    assert_eq!(fleet.status().connected, u64::from(AGENTS));
    let page = store.range(Range::prefix("/").limit(1)).await.expect("memory");
    // Of each agent that it registered and that it connected.
    assert_eq!(page.revision.0, before.0 + 2 * u64::from(AGENTS));
    stop.send_replace(true);
    agents.await.expect("they end").expect("none was refused");
    serving.await.expect("it ends").expect("its store works");
}
