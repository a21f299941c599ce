//! Clients that mean no good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{PATIENCE, World, ok, upstream};

#[tokio::test]
async fn what_could_be_smuggled_is_refused_and_the_connection_closed() {
    let reached = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reached);
    let at = upstream(move |_| {
        counted.fetch_add(1, Relaxed);
        ok("reached")
    })
    .await;
    let world = World::http(&[at]).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
    for (head, status) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n", 400),
        ("Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
        ("Content-Length: 0\r\nContent-Length: 36\r\n\r\n", 400),
        ("Content-Length: 0, 36\r\n\r\n", 400),
        ("Content-Length: +0\r\n\r\n", 400),
        ("Content-Length: 0x0\r\n\r\n", 400),
        ("Content-Length : 0\r\n\r\n", 400),
        ("Transfer-Encoding: identity\r\n\r\n", 501),
        ("Transfer-Encoding: chunked, identity\r\n\r\n", 501),
        ("Transfer-Encoding\t: chunked\r\n\r\n", 400),
        ("X: y\r\n Transfer-Encoding: chunked\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n0\n\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400),
        ("Host: y\r\nContent-Length: 0\r\n\r\n", 400),
        ("A\0: b\r\n\r\n", 400),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{head}{hidden}");
        let answer = world.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head:?}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{head:?}: {answer}");
    }
    assert_eq!(reached.load(Relaxed), 0);
}

#[tokio::test]
async fn heads_that_are_too_long_are_refused() {
    let world = World::http(&[]).await;
    for head in [
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(17_000)),
        format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(17_000)),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}", "Abc: defghi\r\n".repeat(9_000)),
    ] {
        let answer = world.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{}: {answer}", head.len());
    }
    let many = format!("X-Forwarded-For: {}1.1.1.1\r\n", "1.1.1.1, ".repeat(30));
    assert!(world.get("/", &many).await.starts_with("HTTP/1.1 463 "));
}

#[tokio::test]
async fn a_client_that_is_too_slow_is_told_so() {
    let world = World::http(&[]).await;
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHos").await.expect("sent");
    let mut answer = String::new();
    let dripping = async {
        let (mut reader, mut writer) = stream.split();
        let drip = async {
            // One byte now and then does not help.
            while writer.write_all(b"t").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            _ = reader.read_to_string(&mut answer) => {}
            () = drip => {}
        }
    };
    tokio::time::timeout(PATIENCE, dripping).await.expect("it ends");
    assert!(answer.starts_with("HTTP/1.1 408 Request Time-out\r\n"), "{answer}");
    // One that says nothing is only closed.
    assert_eq!(world.raw(b"").await, "");
}

#[tokio::test]
async fn bytes_of_another_protocol_are_survived() {
    let world = World::http(&[]).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"[..],
        b"\x00\x00\x00\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = world.raw(bytes).await;
        let refused = ["HTTP/1.1 400 ", "HTTP/1.1 505 "].iter().any(|s| answer.starts_with(s));
        assert!(refused, "{answer}");
    }
    let mut half = world.connect().await;
    half.write_all(b"GET / HT").await.expect("sent");
    half.shutdown().await.expect("half closed");
    let mut rest = Vec::new();
    let reading = half.read_to_end(&mut rest);
    tokio::time::timeout(PATIENCE, reading).await.expect("it is closed").expect("read");
    assert!(world.get("/", "").await.starts_with("HTTP/1.1 503 "));
}
