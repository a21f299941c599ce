//! Restarts: one process takes over from another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{PATIENCE, World, named};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_process_takes_over_without_a_refused_connection() {
    let mut world = World::http(&[named("a").await]).await;
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let at = world.at();
    let mut clients = Vec::new();
    for number in 0..6 {
        let (over, done) = (Arc::clone(&over), Arc::clone(&done));
        clients.push(tokio::spawn(async move {
            let mut kept: Option<TcpStream> = None;
            while !over.load(Relaxed) {
                let mut stream = match kept.take() {
                    Some(stream) => stream,
                    None => TcpStream::connect(at).await.expect("never refused"),
                };
                stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
                let mut read = [0; 1024];
                let len = stream.read(&mut read).await.expect("an answer");
                let answer = String::from_utf8_lossy(&read[..len]).into_owned();
                assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer:?}");
                done.fetch_add(1, Relaxed);
                // Some go on with their connections until they are told not to.
                if number % 2 == 0 && answer.contains("keep-alive") {
                    kept = Some(stream);
                }
            }
        }));
    }
    for _ in 0..4 {
        let next = world.again();
        let before = std::mem::replace(&mut world.running, next);
        let ended = timeout(PATIENCE, before.task).await.expect("the old one ends");
        ended.expect("no panic").expect("no error");
        let served = done.load(Relaxed);
        let going_on = async {
            while done.load(Relaxed) < served + 200 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, going_on).await.expect("requests go on");
    }
    over.store(true, Relaxed);
    for client in clients {
        client.await.expect("no request has failed");
    }
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_process_ends() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let (reached, at_target) = tokio::sync::mpsc::unbounded_channel();
    let mut at_target = at_target;
    let at = crate::world::upstream(move |_| {
        let _ = reached.send(());
        let released = released.lock().expect("one request");
        tokio::task::block_in_place(|| released.recv_timeout(PATIENCE)).expect("released");
        crate::world::ok("late")
    });
    // The upstream blocks its thread, so it gets a runtime of its own.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let at = runtime.spawn(at).await.expect("an upstream");
    let mut world = World::http(&[at]).await;
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    timeout(PATIENCE, at_target.recv()).await.expect("it arrives");
    world.running.stop();
    // It listens no more, but has not ended.
    let refused = async {
        while TcpStream::connect(world.at()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("it closes its listener");
    release.send(()).expect("sent");
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("read");
    assert!(answer.contains("Connection: close") && answer.ends_with("late"), "{answer}");
    let ended = timeout(PATIENCE, &mut world.running.task).await.expect("it ends");
    ended.expect("no panic").expect("no error");
    runtime.shutdown_background();
}
