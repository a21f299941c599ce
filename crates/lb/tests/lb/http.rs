//! HTTP/1.1: routing, headers, actions, targets that fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use longshore_domain::route::{
    Action, Condition, FixedResponse, Forward, HealthState, OnDemand, Patterns, Redirect, Snapshot,
    Stickiness, Weighted,
};
use longshore_domain::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{
    PATIENCE, World, free_port, group, http_snapshot, named, ok, rule, target, upstream,
};

fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

#[tokio::test]
async fn a_request_reaches_its_target_with_what_is_added() {
    let at = upstream(|got| ok(&format!("{}\n{}", got.head, got.body))).await;
    let world = World::http(&[at]).await;
    let answer = world
        .raw(b"POST /a?b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("POST /a?b HTTP/1.1\r\n"), "{answer}");
    assert!(answer.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{answer}");
    assert!(answer.contains("X-Amzn-Trace-Id: Root=1-"), "{answer}");
    assert!(answer.contains(&format!("Host: h:{}\r\n", world.port)), "{answer}");
    assert!(answer.ends_with("\nbody"), "{answer}");
}

#[tokio::test]
async fn a_connection_takes_several_requests_at_once_and_one_after_another() {
    let at = upstream(|got| ok(&got.body)).await;
    let world = World::http(&[at]).await;
    let one =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = world.raw(format!("{one}{one}{last}").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    assert_eq!(answer.matches("3\r\nabc\r\n0").count(), 2, "{answer}");
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let at = upstream(|got| ok(&got.body.repeat(3))).await;
    let world = World::http(&[at]).await;
    let body = "x".repeat(700_000);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = world.raw(request.as_bytes()).await;
    let (_, got) = answer.split_once("\r\n\r\n").expect("a body");
    assert_eq!(got.len(), 2_100_000);
}

#[tokio::test]
async fn rules_answer_and_redirect() {
    let mut snapshot = http_snapshot(&[]);
    let mut fixed = rule(Action::FixedResponse(FixedResponse {
        status: 418,
        content_type: Some("text/plain".to_owned()),
        body: "teapot".to_owned(),
    }));
    fixed.conditions = vec![Condition::PathPattern(Patterns::Values(vec!["/tea*".to_owned()]))];
    let redirect = rule(Action::Redirect(Redirect {
        protocol: "HTTPS".to_owned(),
        host: "#{host}".to_owned(),
        port: "443".to_owned(),
        path: "/#{path}".to_owned(),
        query: "#{query}".to_owned(),
        permanent: true,
    }));
    snapshot.balancers[0].listeners[0].rules = vec![fixed, redirect];
    let world = World::new(snapshot).await;
    let answer = world.get("/tea/pot", "").await;
    assert!(answer.starts_with("HTTP/1.1 418 ") && answer.ends_with("\r\n\r\nteapot"), "{answer}");
    let answer = world.get("/a?b=c", "").await;
    assert!(answer.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{answer}");
    assert!(answer.contains("\r\nLocation: https://x:443/a?b=c\r\n"), "{answer}");
}

#[tokio::test]
async fn a_target_that_refuses_is_passed_over() {
    let world = World::http(&[nobody(), named("b").await]).await;
    for _ in 0..6 {
        assert!(world.get("/", "").await.ends_with("\r\n\r\nb"));
    }
    let world = World::http(&[nobody()]).await;
    assert!(world.get("/", "").await.starts_with("HTTP/1.1 502 Bad Gateway\r\n"));
    let world = World::http(&[]).await;
    assert!(world.get("/", "").await.starts_with("HTTP/1.1 503 "));
}

/// What stands before a container that has ended: connections are taken and closed.
#[tokio::test]
async fn a_target_that_closes_every_connection_is_passed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut read = [0; 4096];
            if stream.read(&mut read).await.is_ok_and(|n| n > 0) {
                counter.fetch_add(1, Relaxed);
            }
        }
    });
    let world = World::http(&[at, named("b").await]).await;
    for _ in 0..20 {
        assert!(world.get("/", "").await.ends_with("\r\n\r\nb"), "what is safe is sent again");
    }
    let asked = taken.load(Relaxed);
    assert!((1..20).contains(&asked), "it is ejected after some: {asked}");
    // Others are for the client to repeat, and a request that ends every target is not tried on a third.
    let world = World::http(&[at, at, at]).await;
    let post = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    assert!(world.raw(post).await.starts_with("HTTP/1.1 502 "));
    assert_eq!(taken.swap(0, Relaxed), asked + 1);
    assert!(world.get("/", "").await.starts_with("HTTP/1.1 502 "));
    assert_eq!(taken.load(Relaxed), 2);
}

#[tokio::test]
async fn a_target_that_never_answers_is_a_504() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let world = World::http(&[silent.local_addr().expect("bound")]).await;
    let answer = world.get("/", "").await;
    assert!(answer.starts_with("HTTP/1.1 504 Gateway Time-out\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_a_502() {
    for nonsense in
        ["nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"]
    {
        let at = upstream(move |_| nonsense.to_owned()).await;
        let world = World::http(&[at]).await;
        assert!(world.get("/", "").await.starts_with("HTTP/1.1 502 "), "{nonsense}");
    }
}

/// Keeps connections, but closes each after one answer, without a word.
#[tokio::test]
async fn a_pooled_connection_that_turns_out_closed_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(ok("once").as_bytes()).await;
        }
    });
    let world = World::http(&[at]).await;
    for _ in 0..20 {
        assert!(world.get("/", "").await.ends_with("once"));
    }
}

#[tokio::test]
async fn clients_stay_with_their_target() {
    let mut snapshot = http_snapshot(&[named("a").await, named("b").await, named("c").await]);
    snapshot.groups[0].attributes.stickiness = Some(Stickiness::LbCookie(60));
    let world = World::new(snapshot).await;
    let first = world.get("/", "").await;
    let cookie = first.split("Set-Cookie: ").nth(1).and_then(|rest| rest.split(';').next());
    let cookie = cookie.expect("a cookie");
    assert!(cookie.starts_with("AWSALB="), "{first}");
    let last = first.chars().last().expect("a name");
    for _ in 0..6 {
        let answer = world.get("/", &format!("Cookie: x=y; {cookie}\r\n")).await;
        assert!(answer.ends_with(last), "{answer}");
    }
}

#[tokio::test]
async fn a_draining_target_gets_nothing_new() {
    let mut world = World::http(&[named("a").await, named("b").await]).await;
    world.change(|snapshot| {
        snapshot.groups[0].targets[0].deregistered_at = Some(Timestamp::from_millis(1));
    });
    // Two in turn by the same one: the other is out.
    world.until("/", |answer| answer.ends_with('b')).await;
    let in_turn = async {
        loop {
            let pair = (world.get("/", "").await, world.get("/", "").await);
            if pair.0.ends_with('b') && pair.1.ends_with('b') {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, in_turn).await.expect("the snapshot is served");
    for _ in 0..4 {
        assert!(world.get("/", "").await.ends_with('b'));
    }
}

/// A service without tasks, before which one request may wait.
fn on_demand() -> Snapshot {
    let mut snapshot = http_snapshot(&[]);
    snapshot.groups[0].on_demand = Some(OnDemand { hold_ms: 20_000, queue: 1 });
    snapshot
}

/// Of two requests the one that waits; the queue has one place, so the other one is turned away.
async fn waiting(world: &World) -> TcpStream {
    let (mut one, mut two) = (world.connect().await, world.connect().await);
    for stream in [&mut one, &mut two] {
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("sent");
    }
    let (mut first, mut second) = (String::new(), String::new());
    let (turned_away, waiting) = tokio::select! {
        _ = one.read_to_string(&mut first) => (first, two),
        _ = two.read_to_string(&mut second) => (second, one),
    };
    assert!(turned_away.starts_with("HTTP/1.1 503 "), "{turned_away}");
    waiting
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("an answer");
    answer
}

#[tokio::test]
async fn a_request_waits_for_a_service_that_starts_on_demand() {
    let snapshot = on_demand();
    let mut world = World::new(snapshot).await;
    let waiting = waiting(&world).await;
    let at = named("up").await;
    world.change(|snapshot| {
        snapshot.groups[0].targets = vec![target(at, HealthState::Initial)];
    });
    let answer = answer(waiting).await;
    assert!(answer.ends_with("up"), "{answer}");
}

/// A deployment shifts the traffic of a service that is at zero: what waits at the old group goes along.
#[tokio::test]
async fn a_request_that_waits_follows_the_traffic() {
    let snapshot = on_demand();
    let mut world = World::new(snapshot).await;
    let waiting = waiting(&world).await;
    let at = named("green").await;
    world.change(|snapshot| {
        let green = group("green", &[at]);
        let blue = snapshot.groups[0].arn.clone();
        snapshot.groups.push(green);
        let weighted = |group: &str, weight| Weighted { group: group.to_owned(), weight };
        snapshot.balancers[0].listeners[0].rules = vec![rule(Action::Forward(Forward {
            groups: vec![weighted(&blue, 0), weighted("green", 100)],
            stickiness_s: None,
        }))];
    });
    let answer = answer(waiting).await;
    assert!(answer.ends_with("green"), "{answer}");
}

/// Docker's proxy takes connections before the container listens, and closes them.
#[tokio::test]
async fn a_request_waits_for_a_container_that_does_not_listen_yet() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut read = [0; 4096];
            let read = stream.read(&mut read).await;
            // Probes do not count: only the fifth request is answered.
            if turn >= 4 && read.is_ok_and(|n| n > 0) {
                let _ = stream.write_all(ok("late").as_bytes()).await;
            }
        }
    });
    let mut snapshot = on_demand();
    snapshot.groups[0].targets = vec![target(at, HealthState::Initial)];
    let world = World::new(snapshot).await;
    assert!(world.get("/", "").await.ends_with("late"));
}

#[tokio::test]
async fn a_websocket_goes_through() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut read = vec![0; 4096];
        let len = stream.read(&mut read).await.expect("a request");
        let head = String::from_utf8_lossy(&read[..len]).into_owned();
        assert!(head.contains("Upgrade: websocket\r\nConnection: upgrade\r\n"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
        stream.write_all(answer.as_bytes()).await.expect("sent");
        loop {
            let len = stream.read(&mut read).await.expect("frames");
            if len == 0 {
                return;
            }
            stream.write_all(&read[..len]).await.expect("sent");
        }
    });
    let world = World::http(&[at]).await;
    let mut stream = world.connect().await;
    let request =
        b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    until(&mut stream, "hello").await;
    for word in ["one", "two"] {
        stream.write_all(word.as_bytes()).await.expect("sent");
        until(&mut stream, word).await;
    }
}

/// Reads until what was read ends like this.
async fn until(stream: &mut TcpStream, ending: &str) -> String {
    let mut text = String::new();
    let reading = async {
        let mut read = [0; 4096];
        while !text.ends_with(ending) {
            let len = stream.read(&mut read).await.expect("more");
            assert!(len > 0, "closed after {text:?}");
            text.push_str(&String::from_utf8_lossy(&read[..len]));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("in time");
    text
}

#[tokio::test]
async fn snapshots_change_under_load_without_a_failed_request() {
    let all = [named("a").await, named("b").await, named("c").await];
    let mut world = World::http(&all).await;
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut stream = world.connect().await;
        let (over, done) = (Arc::clone(&over), Arc::clone(&done));
        clients.push(tokio::spawn(async move {
            while !over.load(Relaxed) {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
                let mut read = [0; 1024];
                let len = stream.read(&mut read).await.expect("an answer");
                assert!(read[..len].starts_with(b"HTTP/1.1 200 OK"));
                done.fetch_add(1, Relaxed);
            }
        }));
    }
    for round in 0..15_usize {
        world.change(|snapshot| {
            let targets = &mut snapshot.groups[0].targets;
            *targets = vec![target(all[round % 3], HealthState::Healthy)];
        });
        let before = done.load(Relaxed);
        let going_on = async {
            while done.load(Relaxed) < before + 500 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, going_on).await.expect("requests go on");
    }
    over.store(true, Relaxed);
    for client in clients {
        client.await.expect("no request has failed");
    }
}

#[tokio::test]
async fn an_access_log_is_written() {
    let mut snapshot = http_snapshot(&[named("a").await]);
    snapshot.balancers[0].attributes.access_logs = Some("bucket/prefix".to_owned());
    let world = World::new(snapshot).await;
    world.get("/path?q", "User-Agent: a\"b\r\n").await;
    let folder = world.folder.path().join("access-logs/bucket/prefix");
    let reading = async {
        loop {
            let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let text: String =
                files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
            if text.contains("/path?q") {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let text = tokio::time::timeout(PATIENCE, reading).await.expect("a line");
    let line = text.lines().find(|line| line.contains("/path?q")).expect("a line");
    assert!(line.starts_with("http 20"), "{line}");
    assert!(line.contains(" 200 200 "), "{line}");
    assert!(line.contains("\"GET http://x/path?q HTTP/1.1\" \"a\\\"b\" - - group "), "{line}");
}
