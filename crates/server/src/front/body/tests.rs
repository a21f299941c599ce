use std::convert::Infallible;

use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const SMALL: usize = limits::SMALL_BODY_BYTES;

type Part = Result<Frame<Bytes>, Infallible>;

fn part(bytes: usize) -> Frame<Bytes> {
    Frame::data(Bytes::from(vec![b'x'; bytes]))
}

fn parts(bytes: &[usize]) -> Vec<Part> {
    bytes.iter().map(|bytes| Ok(part(*bytes))).collect()
}

/// A body of these parts.
fn body(bytes: &[usize]) -> StreamBody<impl Stream<Item = Part> + Unpin> {
    StreamBody::new(stream::iter(parts(bytes)))
}

/// The same, whose end never comes.
fn endless(bytes: &[usize]) -> StreamBody<impl Stream<Item = Part> + Unpin> {
    StreamBody::new(stream::iter(parts(bytes)).chain(stream::pending()))
}

fn of(room: usize) -> Bodies {
    Bodies { room: Semaphore::new(room) }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_whole_and_no_longer_one() {
    let bodies = Bodies::default();
    assert_eq!(bodies.read(body(&[3, 4]), 7).await.expect("fits").len(), 7);
    assert!(bodies.read(body(&[]), 7).await.expect("fits").is_empty());
    assert_eq!(bodies.read(body(&[3, 5]), 7).await.expect_err("long"), BodyError::TooLong(7));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let bodies = Bodies::default();
    let begun = Instant::now();
    assert_eq!(bodies.read(endless(&[3]), 7).await.expect_err("late"), BodyError::Late);
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_comes_through_and_a_trickle_does_not() {
    let bodies = Bodies::default();
    let slow = |bytes: usize| {
        let part = move |()| async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Some((Part::Ok(part(bytes)), ()))
        };
        Box::pin(stream::unfold((), part))
    };
    let largest = slow(limits::REQUEST_BYTES / 14).take(14);
    let read = bodies.read(StreamBody::new(Box::pin(largest)), limits::REQUEST_BYTES).await;
    assert_eq!(read.expect("in time").len(), limits::REQUEST_BYTES / 14 * 14);
    let begun = Instant::now();
    let read = bodies.read(StreamBody::new(slow(1)), limits::REQUEST_BYTES).await;
    assert_eq!(read.expect_err("late"), BodyError::Late);
    assert_eq!(begun.elapsed().as_secs(), TOTAL.as_secs());
}

#[tokio::test(start_paused = true)]
async fn all_bodies_together_take_no_more_than_their_room() {
    let bodies = of(10);
    let limit = 2 * SMALL;
    // Half of the room each, and they wait for more.
    let mut held: Vec<_> =
        (0..2).map(|_| Box::pin(bodies.read(endless(&[SMALL, 5]), limit))).collect();
    for body in &mut held {
        assert!(body.as_mut().now_or_never().is_none());
    }
    let read = bodies.read(body(&[SMALL + 1]), limit).await;
    assert_eq!(read.expect_err("full"), BodyError::NoRoom);
    let small = bodies.read(body(&[SMALL]), limit).now_or_never();
    assert!(small.expect("it waits for nobody").is_ok());
    drop(held);
    assert_eq!(bodies.room.available_permits(), 10);
    let whole = bodies.read(body(&[SMALL, 4, 5]), limit).await.expect("there is room again");
    assert_eq!(
        (whole.len(), bodies.room.available_permits()),
        (SMALL + 9, 1),
        "until it is answered"
    );
    drop(whole);
    assert_eq!(bodies.room.available_permits(), 10);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_need_each_others_room_do_not_wait_for_ever() {
    let bodies = of(10);
    let reads = [[SMALL, 6, 4], [SMALL, 4, 6], [SMALL, 4, 6]];
    let read = |parts: [usize; 3]| {
        let parts = stream::iter(parts).then(|bytes| async move {
            tokio::task::yield_now().await;
            Part::Ok(part(bytes))
        });
        bodies.read(StreamBody::new(Box::pin(parts)), 2 * SMALL)
    };
    let begun = Instant::now();
    let [one, two, three] = reads.map(read);
    let (one, two, three) = tokio::join!(one, two, three);
    assert!(begun.elapsed() < 2 * PATIENCE + Duration::from_secs(1));
    for refused in [one, two, three].into_iter().filter_map(Result::err) {
        assert_eq!(refused, BodyError::NoRoom);
    }
    assert_eq!(bodies.room.available_permits(), 10);
}

#[tokio::test(start_paused = true)]
async fn promises_of_many_connections_take_no_memory() {
    let server = crate::test_server::server().await;
    let promised = limits::BODIES_BYTES / limits::REQUEST_BYTES + 10;
    let reads = (0..promised).map(|_| read(&server, endless(&[1]), limits::REQUEST_BYTES));
    let outcomes = futures_util::future::join_all(reads).await;
    assert!(outcomes.into_iter().all(|outcome| outcome.is_err_and(|e| e == BodyError::Late)));
    assert_eq!(server.bodies.room.available_permits(), limits::BODIES_BYTES);
}

/// What a client is answered that sends this and then nothing.
async fn answered(server: &std::sync::Arc<Server>, sent: &str) -> String {
    let stop = tokio::sync::watch::Sender::new(false);
    let (mut client, ours) = tokio::io::duplex(64 * 1024);
    let place = crate::front::Place::new(server, None);
    let serving = tokio::spawn(crate::front::connection(place, false, ours, stop.subscribe()));
    client.write_all(sent.as_bytes()).await.expect("written");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer, and then the end");
    serving.await.expect("no panic");
    answer
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_send_its_body_is_told_so_and_let_go() {
    let server = crate::test_server::server().await;
    let head = "host: a\r\ncontent-length: 1000\r\n\r\n{";
    let answer = answered(&server, &format!("POST / HTTP/1.1\r\n{head}")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.contains(r#""__type":"RequestTimeout""#), "{answer}");
    for path in ["join", "renew", "balancers/report"] {
        let answer =
            answered(&server, &format!("POST /_longshore/{path} HTTP/1.1\r\n{head}")).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_that_there_is_no_room() {
    let server = crate::test_server::server().await;
    let all = u32::try_from(limits::BODIES_BYTES).expect("fits");
    let _others = server.bodies.room.acquire_many(all).await.expect("nobody closes it");
    let head = |length| format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let sent = head(SMALL + 1) + &"x".repeat(SMALL + 1);
    let answer = answered(&server, &sent).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#""__type":"ServiceUnavailable""#), "{answer}");
    let sent = format!("{}{}", head(2).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"), "{}");
    let answer = answered(&server, &sent).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "a small one is looked at: {answer}");
}
