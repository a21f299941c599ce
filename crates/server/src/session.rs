//! Agent sessions: the ACS and TCS websockets, exactly as the official agent expects them.
//!
//! A session is level-triggered: it compares the tasks of its instance in the view with what it
//! has sent, and sends the difference. Nothing of a session needs to survive: an agent that
//! comes back is told everything again, and knows what it knows.

mod acs;
mod delivery;
mod opener;
mod pace;
mod payload;
mod roles;
mod tcs;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use longshore_auth as auth;
use longshore_domain::ids::{Arn, InstanceId, Region, Resource, Scope};
use longshore_domain::record::InstanceStatus;
use longshore_store::tables::ContainerInstanceKey;
use longshore_store::{StateError, View};
use longshore_wire::agent::Rejection;
use longshore_wire::ecs;
use opener::Opener;
use percent_encoding::percent_decode_str;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use crate::access::agents;
use crate::access::operator::{POLL, TELEMETRY};
use crate::audit::Reason;
use crate::call::Call;
use crate::front::{Connection, Place, Reply, text};
use crate::identity::LastChange;
use crate::{Server, clock};

/// A websocket on an upgraded connection.
type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Largest frame that an agent may send: its metrics of ten tasks stay below 1 MiB.
const FRAME_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that are read of a session at once; frames may be longer. The buffer stays allocated, and there
/// are thousands of sessions.
const BUFFER_BYTES: usize = 1024;

/// How long an agent has to take the end of its session.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Which session of an instance is the current one.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    pace: pace::Pace,
    next: AtomicU64,
    current: Mutex<BTreeMap<InstanceId, u64>>,
}

impl Sessions {
    /// How long a session that begins now waits before it repeats what its agent knows.
    pub(crate) fn repeat_wait(&self) -> Duration {
        self.pace.wait(clock::now())
    }

    /// A new session takes over; the one before it ends without a trace.
    fn enter(&self, instance: InstanceId) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.insert(instance, number);
        number
    }

    /// Whether the session is still the newest of its instance.
    fn is_current(&self, instance: InstanceId, number: u64) -> bool {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.get(&instance) == Some(&number)
    }

    fn leave(&self, instance: InstanceId, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.get(&instance) == Some(&number) {
            current.remove(&instance);
        }
    }
}

/// What an agent said when it opened a session.
#[derive(Clone, Debug)]
struct Hello {
    key: ContainerInstanceKey,
    /// Id of this server's membership when the session began.
    server: u64,
    agent_version: Option<String>,
    agent_hash: Option<String>,
    docker_version: Option<String>,
    /// Whether it has no credentials of its tasks, as after a start.
    wants_credentials: bool,
    /// Where the agent comes from.
    address: Option<IpAddr>,
}

/// Answers an upgrade: authenticates, finds the instance, and starts the session.
pub(crate) async fn open(
    server: Arc<Server>,
    from: &Connection,
    mut request: Request<Incoming>,
) -> Reply {
    let query = parse_query(request.uri().query().unwrap_or_default());
    let is_acs = query.contains_key("containerInstanceArn");
    let name = if is_acs { "containerInstanceArn" } else { "containerInstance" };
    let Some(accept) = accept_key(&request) else {
        return text(StatusCode::UPGRADE_REQUIRED, "text/plain", "this is a websocket endpoint\n");
    };
    if server.members.is_closed() {
        let why = "this server cannot reach its store, or is about to stop; connect to another";
        return reject(503, "ServerException", why);
    }
    // Taken first, so that what changes from now on is looked at by the session.
    let seen = LastChange::of(&server.state.view());
    let (principal, region, session_token) = match authenticate(&server, &request) {
        Ok(known) => known,
        Err(error) => return refuse(&error),
    };
    let arn = query.get(name).map(String::as_str).unwrap_or_default();
    let Ok(Arn { scope, resource: Resource::ContainerInstance(cluster, id) }) = arn.parse() else {
        return reject(400, "InvalidParameterException", "no container instance is named");
    };
    let key = ContainerInstanceKey { scope, cluster, id };
    let call = call_of(&server, from, &request, principal, region);
    let entry = if is_acs { &POLL } else { &TELEMETRY };
    if let Err(denied) = call.may_connect(entry, &key) {
        note_denied(&call, entry.action, &denied);
        return refuse(&denied.into());
    }
    match is_active(&server, &key).await {
        Ok(true) => {}
        // An instance that we never saw must register anew, like one that was deregistered.
        Ok(false) => {
            let why = "Container instance is deregistered";
            return reject(400, Rejection::INACTIVE_INSTANCE, why);
        }
        Err(error) => {
            tracing::warn!(%error, "cannot find out about an instance");
            let why = "this server cannot reach its store; connect to another";
            return reject(503, "ServerException", why);
        }
    }
    let owned = server
        .state
        .view()
        .container_instances
        .get(&key)
        .map_or(Ok(()), |row| agents::speaks_for(&call.principal, row, entry.action));
    if let Err(error) = owned {
        return reject(error.status, error.code, &error.message);
    }
    let opener = Opener::new(&call, entry, session_token, seen);
    let place = request.extensions_mut().remove::<Arc<Place>>();
    let text_of = |name: &str| query.get(name).filter(|text| !text.is_empty()).cloned();
    let hello = Hello {
        key,
        server: server.members.id(),
        agent_version: text_of("agentVersion"),
        agent_hash: text_of("agentHash"),
        docker_version: text_of("dockerVersion"),
        wants_credentials: query.get("sendCredentials").is_some_and(|text| text == "true"),
        address: place.as_ref().and_then(|place| place.peer),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    // The place is held until the session ends. Two tasks of their own sizes: there are thousands of either.
    if is_acs {
        tokio::spawn(async move {
            if let Some(socket) = Box::pin(websocket(upgrade)).await {
                acs::run(server, hello, opener, socket).await;
            }
            drop(place);
        });
    } else {
        tokio::spawn(async move {
            if let Some(socket) = Box::pin(websocket(upgrade)).await {
                tcs::run(server, hello, opener, socket).await;
            }
            drop(place);
        });
    }
    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    reply
}

async fn websocket(upgrade: hyper::upgrade::OnUpgrade) -> Option<Socket> {
    let upgraded = match upgrade.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => {
            tracing::debug!(%error, "websocket upgrade failed");
            return None;
        }
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .max_frame_size(Some(FRAME_BYTES))
        .max_message_size(Some(FRAME_BYTES));
    Some(WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await)
}

/// Closes a session as agents do that have had it for long enough: whoever may have one opens it again
/// at once, with its newest keys, and whoever may not is refused then.
async fn expire(socket: &mut Socket) {
    let reason = "ConnectionExpired: Reconnect to continue";
    let frame = CloseFrame { code: CloseCode::Normal, reason: reason.into() };
    // The other side may not read; it loses the connection either way.
    drop(tokio::time::timeout(CLOSE_TIMEOUT, socket.close(Some(frame))).await);
}

/// Whether there is such an instance. An agent that hears that there is none gives up for an hour, so
/// that is not said because this server has not heard of it yet.
async fn is_active(server: &Server, key: &ContainerInstanceKey) -> Result<bool, StateError> {
    let there = |view: &View| {
        let row = view.container_instances.get(key);
        row.is_some_and(|row| row.status != InstanceStatus::Inactive)
    };
    Ok(there(&server.state.view()) || there(&*server.state.current().await?))
}

fn accept_key(request: &Request<Incoming>) -> Option<HeaderValue> {
    let headers = request.headers();
    let upgrade = headers.get(header::UPGRADE)?.to_str().ok()?;
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return None;
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

fn authenticate(
    server: &Server,
    request: &Request<Incoming>,
) -> Result<(auth::Principal, Region, Option<String>), auth::AuthError> {
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let uri = request.uri();
    let parts =
        auth::RequestParts::new("GET", uri.path(), uri.query().unwrap_or_default(), headers);
    let expected = auth::Expected { region: None, service: Some(ecs::SERVICE.signing_name) };
    let now_s = clock::now().as_millis() / 1000;
    let body = auth::PayloadHash::of(b"");
    let principal = server.identity.identify(&parts, &body, &expected, now_s)?;
    let region = auth::peek(&parts).and_then(|peeked| peeked.region.parse().ok());
    let region = region.unwrap_or_else(|| server.region.clone());
    Ok((principal, region, auth::session_token(&parts)))
}

/// What an agent asks, as a call.
fn call_of(
    server: &Arc<Server>,
    from: &Connection,
    request: &Request<Incoming>,
    principal: auth::Principal,
    region: Region,
) -> Call {
    let scope = Scope { account: principal.account.as_str().parse().unwrap_or_default(), region };
    Call::of_ours(server, from.origin(request.headers()), principal, scope)
}

/// A session that policies do not let an agent have. That it tries again and again is worth a line
/// each time: agents wait longer and longer.
fn note_denied(call: &Call, action: &'static str, denied: &auth::Denied) {
    let name = action.split(':').next_back().unwrap_or_default();
    let reason = Reason { code: "AccessDeniedException".to_owned(), message: denied.to_string() };
    call.note("ecs", name, false, Some(reason));
}

fn refuse(error: &auth::AuthError) -> Reply {
    let answer = error.response(auth::Protocol::Json);
    reject(answer.status, answer.code, &answer.message)
}

fn reject(status: u16, code: &str, message: &str) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = Rejection { code: code.to_owned(), message: message.to_owned() };
    text(status, "application/json", body.encode())
}

pub(crate) fn parse_query(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_session_of_an_instance_is_the_current_one() {
        let (sessions, instance) = (Sessions::default(), InstanceId::new(1));
        let first = sessions.enter(instance);
        let second = sessions.enter(instance);
        assert!(!sessions.is_current(instance, first));
        sessions.leave(instance, first);
        assert!(sessions.is_current(instance, second), "an old session takes nothing with it");
        sessions.leave(instance, second);
        assert!(!sessions.is_current(instance, second));
    }

    #[test]
    fn queries_are_decoded() {
        let query = parse_query("a=b%2Fc&d=DockerVersion%3A+20&e");
        assert_eq!(query["a"], "b/c");
        assert_eq!(query["d"], "DockerVersion: 20");
        assert_eq!(query.len(), 2);
    }
}
