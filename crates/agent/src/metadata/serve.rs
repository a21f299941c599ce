//! The listener: paths to documents.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, Weak};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use longshore_wire::agent::RoleCredentials;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{AgentHandle, Endpoint, document, protection};
use crate::engine::Query;
use crate::limits;
use crate::record::TaskRecord;

/// Bytes of a request body.
const BODY_BYTES: usize = 64 * 1024;

/// An answer: status and document.
pub(super) type Answer = (StatusCode, Value);

/// How much each client may still ask.
#[derive(Debug, Default)]
pub(super) struct Rates {
    clients: Mutex<BTreeMap<IpAddr, (f64, Instant)>>,
}

impl Rates {
    /// Whether the client may ask now.
    fn allow(&self, client: IpAddr, now: Instant) -> bool {
        let (per_second, burst) = limits::METADATA_RPS;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() > limits::METADATA_CLIENTS {
            clients.clear();
        }
        let (left, at) = clients.entry(client).or_insert((burst, now));
        let since = now.saturating_duration_since(*at).as_secs_f64();
        *left = (*left + since * per_second).min(burst);
        *at = now;
        let allowed = *left >= 1.0;
        if allowed {
            *left -= 1.0;
        }
        allowed
    }
}

/// Serves until the endpoint is dropped.
pub(super) async fn run(listener: TcpListener, endpoint: Weak<Endpoint>) {
    loop {
        let Ok((stream, client)) = listener.accept().await else { continue };
        let Ok(local) = stream.local_addr() else { continue };
        let client = Client { address: client.ip(), is_local: is_local(client.ip(), local.ip()) };
        let endpoint = Weak::clone(&endpoint);
        let service = service_fn(move |request| {
            let endpoint = endpoint.upgrade();
            async move {
                let answer = match endpoint {
                    Some(endpoint) => respond(&endpoint, client, request).await,
                    None => not_found("the agent has ended"),
                };
                Ok::<_, Infallible>(response(answer))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            // Small clients in containers (nc) close their side as soon as they have asked.
            .half_close(true)
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        drop(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a container's connection broke");
            }
        }));
    }
}

pub(super) fn response((status, body): Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Client {
    address: IpAddr,
    /// Whether it is in the network of the host: a process of it, or a container of network mode `host`.
    is_local: bool,
}

/// What connects to an address of its own machine comes from that address, or from the loopback.
fn is_local(client: IpAddr, local: IpAddr) -> bool {
    client == local || client.is_loopback()
}

async fn respond(endpoint: &Endpoint, client: Client, request: Request<Incoming>) -> Answer {
    if !endpoint.rates.allow(client.address, Instant::now()) {
        return (StatusCode::TOO_MANY_REQUESTS, json!("Too Many Requests"));
    }
    let (parts, body) = request.into_parts();
    let path: Vec<&str> = parts.uri.path().split('/').filter(|part| !part.is_empty()).collect();
    match path.as_slice() {
        ["v1", "credentials"] => {
            let query = parts.uri.query().unwrap_or_default();
            let id = query.split('&').find_map(|pair| pair.strip_prefix("id="));
            credentials(endpoint, client, id.unwrap_or_default()).await
        }
        ["v2", "credentials", id] => credentials(endpoint, client, id).await,
        ["v3", id, rest @ ..] => metadata(endpoint, id, rest, document::Version::V3).await,
        ["v4", id, rest @ ..] => metadata(endpoint, id, rest, document::Version::V4).await,
        ["api", id, "task-protection", "v1", "state"] => {
            let Some((agent, record, _)) = find(endpoint, id).await else { return unknown(id) };
            let body = Limited::new(body, BODY_BYTES).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            match parts.method {
                Method::GET => protection::get(&agent, &record).await,
                Method::PUT => protection::put(&agent, &record, &body).await,
                _ => (StatusCode::METHOD_NOT_ALLOWED, json!("Method Not Allowed")),
            }
        }
        ["v2", ..] => {
            let text = "Unable to get task arn from request: only tasks of network mode awsvpc \
                        are known by their address; use ECS_CONTAINER_METADATA_URI_V4";
            (StatusCode::BAD_REQUEST, json!(text))
        }
        _ => not_found("404 page not found"),
    }
}

async fn find(endpoint: &Endpoint, id: &str) -> Option<(AgentHandle, TaskRecord, usize)> {
    let agent = endpoint.agent(id)?;
    let found = agent.ask(|reply| Query::Endpoint(id.to_owned(), reply)).await??;
    Some((agent, found.0, found.1))
}

async fn metadata(
    endpoint: &Endpoint,
    id: &str,
    rest: &[&str],
    version: document::Version,
) -> Answer {
    let Some((agent, record, index)) = find(endpoint, id).await else { return unknown(id) };
    let hands = &agent.hands;
    let body = match rest {
        [] => document::container(hands, &record, index, version).await,
        ["task"] => document::task(hands, &record, version).await,
        ["taskWithTags"] => document::task_with_tags(hands, &record, version).await,
        ["stats"] => document::stats(hands, &record, index).await,
        ["task", "stats"] => document::task_stats(hands, &record).await,
        ["associations", kind] => document::associations(&record, index, kind),
        ["associations", kind, name] => match document::association(&record, kind, name) {
            Some(content) => content,
            None => return not_found("no such association"),
        },
        _ => return not_found("404 page not found"),
    };
    (StatusCode::OK, body)
}

async fn credentials(endpoint: &Endpoint, client: Client, id: &str) -> Answer {
    let refuse = |code: &str, message: &str| {
        let body = json!({ "code": code, "message": message, "HTTPErrorCode": 400 });
        (StatusCode::BAD_REQUEST, body)
    };
    if id.is_empty() {
        return refuse("NoIdInRequest", "CredentialsV1Request: No ID in the request");
    }
    let found = match endpoint.agent(id) {
        Some(agent) => credentials_of(&agent, client, id).await,
        None => None,
    };
    match found {
        Some(role) if role.access_key_id.is_empty() => {
            refuse("CredentialsUninitialized", "Credentials uninitialized for ID")
        }
        Some(role) => {
            let body = json!({
                "RoleArn": role.role_arn,
                "AccessKeyId": role.access_key_id,
                "SecretAccessKey": role.secret_access_key,
                "Token": role.session_token,
                "Expiration": role.expiration,
            });
            (StatusCode::OK, body)
        }
        None => refuse("InvalidIdInRequest", "Credentials not found"),
    }
}

/// Credentials, for a container of the task that they are for. To any other they do not exist, even where
/// it has learned of the id.
async fn credentials_of(agent: &AgentHandle, client: Client, id: &str) -> Option<RoleCredentials> {
    let (record, role) = agent.ask(|reply| Query::Credentials(id.to_owned(), reply)).await??;
    let addresses = document::addresses(&agent.hands, &record).await;
    let is_its_own =
        if addresses.is_empty() { client.is_local } else { addresses.contains(&client.address) };
    if !is_its_own {
        let Client { address, .. } = client;
        tracing::warn!(task = record.task.arn, %address, "credentials refused to a stranger");
    }
    is_its_own.then_some(role)
}

fn unknown(id: &str) -> Answer {
    let text =
        format!("V3 metadata handler: unable to get task arn from request: no container {id}");
    (StatusCode::NOT_FOUND, json!(text))
}

pub(super) fn not_found(text: &str) -> Answer {
    (StatusCode::NOT_FOUND, json!(text))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_has_a_burst_and_then_a_rate() {
        let rates = Rates::default();
        let client = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2));
        let start = Instant::now();
        let asked = |at: Instant| (0..1000).filter(|_| rates.allow(client, at)).count();
        assert_eq!(asked(start), 60);
        assert_eq!(asked(start + Duration::from_secs(1)), 40);
        let other = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 3));
        assert!(rates.allow(other, start));
    }
}
