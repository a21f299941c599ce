use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use longshore_domain::record::ContainerStatus;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::events::tests::steady;
use crate::test_server::{agents, report, term};

/// A receiver on a port of this machine.
struct Receiver {
    url: String,
    /// Sequence and event, as they come.
    events: mpsc::UnboundedReceiver<(u64, Value)>,
    status: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (sender, events) = mpsc::unbounded_channel();
        let status = Arc::new(Mutex::new(StatusCode::NO_CONTENT));
        let answered = Arc::clone(&status);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, status) = (sender.clone(), Arc::clone(&answered));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (sender, status) = (sender.clone(), Arc::clone(&status));
                    async move { Ok::<_, Infallible>(receive(request, &sender, &status).await) }
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
        Self { url, events, status }
    }

    fn answer(&self, status: StatusCode) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    async fn next(&mut self) -> (u64, Value) {
        let next = tokio::time::timeout(Duration::from_secs(60), self.events.recv()).await;
        next.expect("an event comes").expect("the receiver lives")
    }
}

async fn receive(
    request: Request<Incoming>,
    sender: &mpsc::UnboundedSender<(u64, Value)>,
    status: &Mutex<StatusCode>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    assert_eq!(parts.uri.path(), "/hook");
    assert_eq!(parts.headers["content-type"], "application/json");
    let sequence = parts.headers[SEQUENCE].to_str().expect("text").parse().expect("a number");
    let body = body.collect().await.expect("a body").to_bytes();
    sender.send((sequence, serde_json::from_slice(&body).expect("JSON"))).expect("somebody reads");
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = *status.lock().unwrap_or_else(PoisonError::into_inner);
    answer
}

fn states(events: &[(u64, Value)]) -> Vec<String> {
    let text = |event: &Value| {
        let detail = &event["detail"];
        let text = detail["eventName"].as_str().or(detail["lastStatus"].as_str());
        text.unwrap_or_default().to_owned()
    };
    events.iter().map(|(_, event)| text(event)).collect()
}

#[tokio::test]
async fn events_arrive_in_order_and_once_even_over_a_restart() {
    let (server, scheduler, _) = steady().await;
    let term = term(&server);
    let mut receiver = Receiver::start().await;
    let webhook = Webhook::parse(&receiver.url).expect("a URL");
    let mut cursor = load(&server, &term, &webhook).await.expect("works");
    let http = client();
    assert!(!deliver(&server, &term, &webhook, &http, &mut cursor).await.expect("works"));
    assert!(receiver.events.try_recv().is_err(), "what happened before is not told");
    let row = server.state.view().tasks.iter().next().expect("a task").clone();
    report(&server, &row, ContainerStatus::Stopped).await;
    assert!(!deliver(&server, &term, &webhook, &http, &mut cursor).await.expect("works"));
    scheduler.settle(&server).await;
    // A new process finds how far the old one got.
    let mut cursor = load(&server, &term, &webhook).await.expect("works");
    agents(&server).await;
    scheduler.settle(&server).await;
    assert!(!deliver(&server, &term, &webhook, &http, &mut cursor).await.expect("works"));
    let mut events = Vec::new();
    while let Ok(event) = receiver.events.try_recv() {
        events.push(event);
    }
    let told = states(&events);
    assert_eq!(told, ["STOPPED", "PENDING", "RUNNING", "SERVICE_STEADY_STATE"]);
    assert!(events.is_sorted_by_key(|(sequence, _)| *sequence));
    assert!(events.iter().all(|(_, event)| event["source"] == "aws.ecs"));
}

#[tokio::test]
async fn a_webhook_that_is_down_gets_the_same_event_later() {
    let (server, ..) = steady().await;
    let term = term(&server);
    let mut receiver = Receiver::start().await;
    let webhook = Webhook::parse(&receiver.url).expect("a URL");
    let mut cursor = load(&server, &term, &webhook).await.expect("works");
    let http = client();
    receiver.answer(StatusCode::SERVICE_UNAVAILABLE);
    let row = server.state.view().tasks.iter().next().expect("a task").clone();
    report(&server, &row, ContainerStatus::Stopped).await;
    assert!(deliver(&server, &term, &webhook, &http, &mut cursor).await.expect("works"), "again");
    assert!(deliver(&server, &term, &webhook, &http, &mut cursor).await.expect("works"), "again");
    let kept = load(&server, &term, &webhook).await.expect("works");
    assert_eq!(kept, cursor, "when to try again outlives the process");
    assert_eq!(kept.failures, 2);
    let wait = kept.retry_at.expect("a time").saturating_since(clock::now());
    assert!(wait > PAUSE.0 / 2 && wait <= PAUSE.0 * 2, "{wait:?}");
    receiver.answer(StatusCode::OK);
    assert!(!deliver(&server, &term, &webhook, &http, &mut cursor).await.expect("works"));
    let attempts = [receiver.next().await, receiver.next().await, receiver.next().await];
    assert!(attempts.iter().all(|attempt| *attempt == attempts[0]), "{attempts:?}");
    assert_eq!((cursor.failures, cursor.retry_at), (0, None));
    // Nobody listens at all.
    let nobody = Webhook::parse("http://127.0.0.1:9/").expect("a URL");
    let mut cursor = load(&server, &term, &nobody).await.expect("works");
    agents(&server).await;
    let row = server.state.view().tasks.iter().next().expect("a task").clone();
    assert!(row.is_stopped());
    assert!(
        !deliver(&server, &term, &nobody, &http, &mut cursor).await.expect("works"),
        "nothing new"
    );
}

#[tokio::test]
async fn a_running_server_delivers_by_itself() {
    let (server, scheduler, _) = steady().await;
    let term = term(&server);
    let mut receiver = Receiver::start().await;
    let webhook = Webhook::parse(&receiver.url).expect("a URL");
    // The cursor is there before anything happens.
    load(&server, &term, &webhook).await.expect("works");
    let mut parts = JoinSet::new();
    spawn(&server, &term, &webhook, &mut parts);
    let row = server.state.view().tasks.iter().next().expect("a task").clone();
    report(&server, &row, ContainerStatus::Stopped).await;
    let first = receiver.next().await;
    scheduler.settle(&server).await;
    let second = receiver.next().await;
    assert_eq!(states(&[first, second]), ["STOPPED", "PENDING"]);
}

#[test]
fn pauses_double_up_to_five_minutes() {
    let url = "http://localhost/".to_owned();
    let mut cursor = Cursor { url, sequence: 0, failures: 0, retry_at: None };
    let now = Timestamp::from_millis(0);
    let mut pauses = Vec::new();
    for _ in 0..11 {
        cursor.failed(now);
        pauses.push(cursor.retry_at.expect("a time").saturating_since(now).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    cursor.failures = u32::MAX;
    cursor.failed(now);
    assert_eq!(cursor.retry_at, Some(now + PAUSE.1));
}

#[test]
fn urls_are_http() {
    for good in ["http://127.0.0.1:9000/hook", "https://example.com"] {
        assert!(Webhook::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "example.com", "/hook", "ftp://example.com", "http://", "http:// x"] {
        let error = Webhook::parse(bad).expect_err(bad);
        assert!(error.contains("URL"), "{error}");
    }
}
