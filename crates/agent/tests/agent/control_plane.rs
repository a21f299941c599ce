//! A control plane in memory: registers agents, keeps their sessions, records what they say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use longshore_wire::agent::{
    AckMessage, AcsToAgent, AcsToServer, PayloadMessage, Task, TcsToAgent, TcsToServer,
    split_signed_frame,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(crate) const CLUSTER: &str = "arn:aws:ecs:us-east-1:000000000000:cluster/default";
pub(crate) const INSTANCE: &str = "arn:aws:ecs:us-east-1:000000000000:container-instance/default/0123456789abcdef0123456789abcdef";

/// Longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What has been said so far.
#[derive(Default)]
pub(crate) struct Heard {
    /// API calls: operation and body.
    pub(crate) calls: Vec<(String, Value)>,
    /// Messages of the ACS session.
    pub(crate) acs: Vec<AcsToServer>,
    /// Messages of the TCS session.
    pub(crate) tcs: Vec<TcsToServer>,
    /// Queries of ACS sessions opened.
    pub(crate) sessions: Vec<String>,
    /// What the next calls of an operation are answered with instead.
    failures: BTreeMap<String, Vec<(u16, String)>>,
    /// What the next sessions are refused with.
    refusals: Vec<String>,
    /// Answers of operations that the control plane does not know by itself.
    answers: BTreeMap<String, Value>,
    session: Option<mpsc::UnboundedSender<Message>>,
    instance: String,
    seq_num: i64,
}

impl Heard {
    /// Reports of a task: status, then each container with status and, if any, exit code.
    pub(crate) fn reports(&self, task: &str) -> Vec<String> {
        let mut reports = Vec::new();
        for (operation, body) in &self.calls {
            if operation != "SubmitTaskStateChange" || body["task"] != task {
                continue;
            }
            let mut text = body["status"].as_str().unwrap_or_default().to_owned();
            for container in body["containers"].as_array().into_iter().flatten() {
                text.push(' ');
                text.push_str(container["containerName"].as_str().unwrap_or_default());
                text.push('=');
                text.push_str(container["status"].as_str().unwrap_or_default());
                if let Some(code) = container["exitCode"].as_i64() {
                    text.push('(');
                    text.push_str(&code.to_string());
                    text.push(')');
                }
            }
            reports.push(text);
        }
        reports
    }

    /// The last report of a task whose status is `status`.
    pub(crate) fn report(&self, task: &str, status: &str) -> Option<Value> {
        let mut calls = self.calls.iter().rev();
        let found = calls.find(|(operation, body)| {
            operation == "SubmitTaskStateChange" && body["task"] == task && body["status"] == status
        });
        found.map(|(_, body)| body.clone())
    }
}

struct Inner {
    heard: Mutex<Heard>,
    changed: watch::Sender<()>,
    url: String,
}

/// A running control plane.
pub(crate) struct ControlPlane {
    inner: Arc<Inner>,
    serving: AbortHandle,
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let heard = Heard { instance: INSTANCE.to_owned(), ..Heard::default() };
        let inner =
            Arc::new(Inner { heard: Mutex::new(heard), changed: watch::Sender::new(()), url });
        let serving = tokio::spawn(serve(listener, Arc::clone(&inner))).abort_handle();
        Self { inner, serving }
    }

    pub(crate) fn url(&self) -> &str {
        &self.inner.url
    }

    /// Gives agents that register another identity.
    pub(crate) fn set_instance(&self, arn: &str) {
        arn.clone_into(&mut self.inner.heard().instance);
    }

    /// Lets the next call of an operation fail.
    pub(crate) fn fail_next(&self, operation: &str, status: u16, code: &str) {
        let body = json!({ "__type": code, "message": "by the test" }).to_string();
        let mut heard = self.inner.heard();
        heard.failures.entry(operation.to_owned()).or_default().push((status, body));
    }

    /// Lets calls succeed again.
    pub(crate) fn stop_failing(&self) {
        self.inner.heard().failures.clear();
    }

    /// Refuses the next ACS session.
    pub(crate) fn refuse_next_session(&self, body: &str) {
        self.inner.heard().refusals.push(body.to_owned());
    }

    /// Answers an operation of this name.
    pub(crate) fn answer(&self, operation: &str, answer: Value) {
        self.inner.heard().answers.insert(operation.to_owned(), answer);
    }

    /// Waits until what was heard holds an answer.
    pub(crate) async fn wait<T>(&self, what: &str, ask: impl Fn(&Heard) -> Option<T>) -> T {
        let mut changed = self.inner.changed.subscribe();
        let wait = async {
            loop {
                if let Some(answer) = ask(&self.inner.heard()) {
                    return answer;
                }
                changed.changed().await.expect("the control plane lives");
            }
        };
        if let Ok(answer) = tokio::time::timeout(PATIENCE, wait).await {
            return answer;
        }
        let heard = self.inner.heard();
        panic!("waited in vain for {what}; calls: {:#?}\nacs: {:?}", heard.calls, heard.acs)
    }

    /// Waits until a task has been reported with a status, and gives the report.
    pub(crate) async fn reported(&self, task: &str, status: &str) -> Value {
        self.wait(&format!("{task} {status}"), |heard| heard.report(task, status)).await
    }

    pub(crate) fn reports(&self, task: &str) -> Vec<String> {
        self.inner.heard().reports(task)
    }

    pub(crate) fn look<T>(&self, ask: impl Fn(&Heard) -> T) -> T {
        ask(&self.inner.heard())
    }

    /// Sends a message over the ACS session, once there is one.
    pub(crate) async fn send(&self, message: AcsToAgent) {
        self.send_raw(Message::text(message.encode())).await;
    }

    pub(crate) async fn send_raw(&self, message: Message) {
        let sender = self.wait("an ACS session", |heard| heard.session.clone()).await;
        sender.send(message).expect("the session is open");
    }

    /// Sends tasks in one payload, and gives its message id.
    pub(crate) async fn send_tasks(&self, tasks: Vec<Task>) -> String {
        let seq_num = {
            let mut heard = self.inner.heard();
            heard.seq_num += 1;
            heard.seq_num
        };
        let message_id = format!("payload-{seq_num}");
        self.send(AcsToAgent::Payload(PayloadMessage {
            message_id: message_id.clone(),
            cluster_arn: CLUSTER.into(),
            container_instance_arn: INSTANCE.into(),
            seq_num,
            generated_at: 1,
            tasks,
            ..PayloadMessage::default()
        }))
        .await;
        message_id
    }

    /// Orders a task to stop.
    pub(crate) async fn stop(&self, task: &str) {
        let stop = Task { arn: task.into(), desired_status: "STOPPED".into(), ..Task::default() };
        self.send_tasks(vec![stop]).await;
    }

    /// Waits until a message was acknowledged.
    pub(crate) async fn acknowledged(&self, message_id: &str) {
        self.wait(message_id, |heard| {
            heard.acs.iter().any(|message| {
                matches!(message, AcsToServer::Ack(ack) if ack.message_id == message_id)
            })
            .then_some(())
        })
        .await;
    }
}

impl Inner {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard());
        self.changed.send_replace(());
    }
}

async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let inner = Arc::clone(&inner);
        let service = service_fn(move |request| respond(Arc::clone(&inner), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        drop(tokio::spawn(connection));
    }
}

async fn respond(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    assert!(request.headers().contains_key(header::AUTHORIZATION), "every request is signed");
    match request.uri().path() {
        "/acs/ws" => {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let refusal = inner.heard().refusals.pop();
            inner.note(|heard| heard.sessions.push(query));
            if let Some(body) = refusal {
                return Ok(answer(StatusCode::BAD_REQUEST, body));
            }
            Ok(upgrade(request, move |socket| acs(inner, socket)))
        }
        "/tcs/ws" => Ok(upgrade(request, move |socket| tcs(inner, socket))),
        _ => {
            let target = request.headers().get("x-amz-target").cloned();
            let target = target.and_then(|target| target.to_str().ok().map(str::to_owned));
            let target = target.unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            let body: Value = serde_json::from_slice(&body).expect("a JSON body");
            Ok(call(&inner, operation, body))
        }
    }
}

fn answer(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

fn call(inner: &Inner, operation: String, body: Value) -> Response<Full<Bytes>> {
    let failure = inner.heard().failures.get_mut(&operation).and_then(Vec::pop);
    if let Some((status, body)) = failure {
        inner.note(|heard| heard.calls.push((format!("failed {operation}"), Value::Null)));
        return answer(StatusCode::from_u16(status).expect("a status"), body);
    }
    let reply = match operation.as_str() {
        "RegisterContainerInstance" => json!({ "containerInstance": {
            "containerInstanceArn": inner.heard().instance,
            "attributes": body["attributes"],
        } }),
        "DiscoverPollEndpoint" => json!({
            "endpoint": format!("{}/acs", inner.url),
            "telemetryEndpoint": format!("{}/tcs", inner.url),
        }),
        "SubmitTaskStateChange" => json!({ "acknowledgment": "ok" }),
        other => inner.heard().answers.get(other).cloned().unwrap_or_else(|| json!({})),
    };
    inner.note(|heard| heard.calls.push((operation, body)));
    answer(StatusCode::OK, reply.to_string())
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

fn upgrade<F>(
    mut request: Request<Incoming>,
    talk: impl FnOnce(Socket) -> F + Send + 'static,
) -> Response<Full<Bytes>>
where
    F: Future<Output = ()> + Send,
{
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).expect("a key");
    let accept = derive_accept_key(key.as_bytes());
    drop(tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(&mut request).await.expect("an upgrade");
        let io = TokioIo::new(upgraded);
        talk(WebSocketStream::from_raw_socket(io, Role::Server, None).await).await;
    }));
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(Full::default())
        .expect("a response")
}

async fn acs(inner: Arc<Inner>, mut socket: Socket) {
    let (sender, mut orders) = mpsc::unbounded_channel();
    inner.note(|heard| heard.session = Some(sender.clone()));
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(order) = order else { break };
                let closing = order.is_close();
                if socket.send(order).await.is_err() || closing {
                    break;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let message = AcsToServer::decode(&text).expect("a message of the agent");
                    inner.note(|heard| heard.acs.push(message));
                }
                Some(Ok(_)) => {}
                _ => break,
            },
        }
    }
    inner.note(|heard| {
        if heard.session.as_ref().is_some_and(|session| session.same_channel(&sender)) {
            heard.session = None;
        }
    });
}

async fn tcs(inner: Arc<Inner>, mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let (headers, body) = split_signed_frame(&text);
        assert!(headers.contains("authorization"), "every frame is signed: {headers}");
        let message = TcsToServer::decode(body).expect("a message of the agent");
        let ack = AckMessage { message: "ok".into() };
        let ack = match message {
            TcsToServer::PublishMetrics(_) => TcsToAgent::AckPublishMetric(ack),
            TcsToServer::PublishHealth(_) => TcsToAgent::AckPublishHealth(ack),
            _ => TcsToAgent::AckPublishInstanceStatus(ack),
        };
        inner.note(|heard| heard.tcs.push(message));
        if socket.send(Message::text(ack.encode())).await.is_err() {
            break;
        }
    }
}
