//! TCP, TLS and UDP.

use std::net::SocketAddr;

use longshore_domain::route::{
    BalancerKind, HealthState, OnDemand, Protocol, Snapshot, Stickiness,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use crate::world::{PATIENCE, World, free_port, http_snapshot, target};

fn network(protocol: Protocol, targets: &[SocketAddr]) -> Snapshot {
    let mut snapshot = http_snapshot(targets);
    snapshot.balancers[0].kind = BalancerKind::Network;
    snapshot.balancers[0].listeners[0].protocol = protocol;
    snapshot.groups[0].protocol = protocol;
    snapshot
}

/// Gives back what it gets until the client has said all, and says goodbye then.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let mut all = Vec::new();
                let _ = stream.read_to_end(&mut all).await;
                let _ = stream.write_all(&all).await;
                let _ = stream.write_all(b"bye").await;
            });
        }
    });
    at
}

#[tokio::test]
async fn a_connection_passes_with_its_half_closes() {
    let world = World::new(network(Protocol::Tcp, &[echo().await])).await;
    let mut stream = world.connect().await;
    let sent = vec![7; 300_000];
    stream.write_all(&sent).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let mut got = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("in time").expect("read");
    assert_eq!(got.len(), sent.len() + 3);
    assert!(got.ends_with(b"bye"));
}

#[tokio::test]
async fn another_target_takes_the_connection_when_one_refuses() {
    let nobody = ([127, 0, 0, 1], free_port()).into();
    let world = World::new(network(Protocol::Tcp, &[nobody, echo().await])).await;
    for _ in 0..8 {
        let mut stream = world.connect().await;
        stream.shutdown().await.expect("half closed");
        let mut got = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("in time").expect("read");
        assert_eq!(got, b"bye");
    }
}

/// Docker's proxy takes connections before the container listens, and closes them.
#[tokio::test]
async fn a_connection_waits_for_a_container_that_does_not_listen_yet() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            // Whatever it is that connects: the first eight are closed.
            if turn >= 8 {
                tokio::spawn(async move {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    let _ = stream.write_all(b"late").await;
                });
            }
        }
    });
    let mut snapshot = network(Protocol::Tcp, &[]);
    snapshot.groups[0].on_demand = Some(OnDemand { hold_ms: 20_000, queue: 1 });
    snapshot.groups[0].targets = vec![target(at, HealthState::Initial)];
    let world = World::new(snapshot).await;
    let mut stream = world.connect().await;
    stream.write_all(b"hello").await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let mut got = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("in time").expect("read");
    assert_eq!(got, b"late");
}

#[tokio::test]
async fn a_target_learns_of_its_client_by_proxy_protocol() {
    let mut snapshot = network(Protocol::Tcp, &[echo().await]);
    snapshot.groups[0].attributes.proxy_protocol_v2 = true;
    let world = World::new(snapshot).await;
    let mut stream = world.connect().await;
    let port = stream.local_addr().expect("connected").port();
    stream.shutdown().await.expect("half closed");
    let mut got = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("in time").expect("read");
    assert_eq!(got[..13], *b"\r\n\r\n\0\r\nQUIT\n\x21");
    assert_eq!(got[24..26], port.to_be_bytes());
    assert_eq!(got[26..28], world.port.to_be_bytes());
    assert_eq!(got[28..], *b"bye");
}

#[tokio::test]
async fn the_datagrams_of_a_client_stay_with_a_target() {
    let mut targets = Vec::new();
    for name in [b'a', b'b', b'c'] {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        targets.push(socket.local_addr().expect("bound"));
        tokio::spawn(async move {
            let mut datagram = [0; 2048];
            loop {
                let (len, from) = socket.recv_from(&mut datagram).await.expect("a datagram");
                datagram[0] = name;
                socket.send_to(&datagram[..len], from).await.expect("sent");
            }
        });
    }
    let mut snapshot = network(Protocol::Udp, &targets);
    snapshot.groups[0].attributes.stickiness = Some(Stickiness::SourceIp);
    let world = World::new(snapshot).await;
    let mut names = Vec::new();
    for _ in 0..3 {
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        client.connect(world.at()).await.expect("connected");
        let mut datagram = [0; 2048];
        for text in ["-one", "-two", "-three"] {
            // The first may come before the socket is open.
            let len = loop {
                let _ = client.send(text.as_bytes()).await;
                let patience = std::time::Duration::from_millis(200);
                match timeout(patience, client.recv(&mut datagram)).await {
                    Ok(Ok(len)) => break len,
                    Ok(Err(_)) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                    Err(_) => {}
                }
            };
            assert_eq!(datagram[1..len], text.as_bytes()[1..]);
            names.push(datagram[0]);
        }
    }
    // By source address: all clients are on one machine.
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
}
