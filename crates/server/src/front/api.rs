//! A request to an AWS API: find the service, collect the body, authenticate, dispatch, answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use longshore_auth as auth;
use longshore_domain::ids::Scope;
use longshore_domain::limits;
use longshore_wire::ServiceError;
use longshore_wire::codec::json;
use longshore_wire::ecs::{self, ErrorCode};
use tracing::Instrument;

use super::Reply;
use crate::call::Call;
use crate::members::{self, Caller, NOT_LEADER, Passed, Placed, Refused};
use crate::{Server, clock};

const TARGET: &str = "x-amz-target";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Names the error of an answer.
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Answers a request to any AWS API; never fails, never takes the server down.
pub(super) async fn answer(server: Arc<Server>, secure: bool, request: Request<Incoming>) -> Reply {
    let started = Instant::now();
    let request_id = clock::uuid();
    let (parts, body) = request.into_parts();
    let operation = parts
        .headers
        .get(TARGET)
        .and_then(|value| value.to_str().ok())
        .and_then(|target| target.rsplit_once('.'))
        .and_then(|(_, name)| ecs::OperationName::parse(name))
        .map_or("-", |operation| operation.info().name);
    let span = tracing::debug_span!("request", operation, request_id);
    let outcome = serve(&server, secure, &parts, body).instrument(span).await;
    let code = match &outcome {
        Placed::Here(outcome) => outcome.as_ref().map_or_else(|error| error.code, |_| "OK"),
        Placed::There(_) => "Forwarded",
    };
    server.metrics.request(operation, code, started.elapsed());
    let mut reply = match outcome {
        Placed::Here(outcome) => reply(outcome, &request_id),
        Placed::There(passed) => pass_on(passed, &request_id),
    };
    if parts.headers.contains_key(members::HOP) {
        let revision = HeaderValue::from(server.state.view().revision.0);
        reply.headers_mut().insert(members::REVISION, revision);
    }
    reply
}

async fn serve(server: &Arc<Server>, secure: bool, parts: &Parts, body: Incoming) -> Placed {
    // First of all, since a connection whose request was not read to its end cannot go on.
    let body = match collect(body).await {
        Ok(body) => body,
        Err(error) => return Placed::Here(Err(error)),
    };
    // Until it is answered. What names no operation is refused below.
    let operation = operation(parts).ok();
    let _answering = match operation.map(|asked| server.admission.enter(asked)).transpose() {
        Ok(answering) => answering,
        Err(error) => {
            server.metrics.refused("busy");
            return Placed::Here(Err(error));
        }
    };
    let _turn = match operation {
        Some(asked) => server.admission.turn(asked).await,
        None => None,
    };
    let hop = parts.headers.contains_key(members::HOP);
    let known = if hop {
        came_by_hop(server, parts, &body).await
    } else {
        identified(server, secure, parts, &body)
    };
    match known {
        Err(error) => Placed::Here(Err(error)),
        Ok((call, operation)) if members::places(operation) && !hop => {
            members::place(call, operation, &body).await
        }
        Ok((call, operation)) => {
            if let Err(error) = brought_up_to_date(server, operation).await {
                return Placed::Here(Err(error));
            }
            Placed::Here(crate::ecs::dispatch(&call, operation, &body).await)
        }
    }
}

/// Where reads are to be consistent, waits until the view shows all that other servers have
/// acknowledged before this read.
async fn brought_up_to_date(
    server: &Server,
    operation: ecs::OperationName,
) -> Result<(), ServiceError> {
    let name = operation.info().name;
    let reads = ["Describe", "List", "Get"].iter().any(|verb| name.starts_with(verb));
    if !reads || !server.fidelity.consistent_reads || server.state.store().is_exclusive() {
        return Ok(());
    }
    server.state.current().await.map(drop).map_err(|error| crate::server_exception(&error))
}

/// The call of a client: who makes it, and what it is.
fn identified(
    server: &Arc<Server>,
    secure: bool,
    parts: &Parts,
    body: &Bytes,
) -> Result<(Call, ecs::OperationName), ServiceError> {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let request = auth::RequestParts::new(parts.method.as_str(), path, query, headers);
    let peeked = auth::peek(&request);
    let service = peeked.as_ref().map_or(ecs::SERVICE.signing_name, |peeked| &peeked.service);
    if service != ecs::SERVICE.signing_name {
        return Err(unknown_operation(format!(
            "Longshore does not serve {service}; it serves: {}",
            ecs::SERVICE.signing_name
        )));
    }
    let operation = operation(parts)?;
    let now = clock::now();
    let principal = server
        .identity
        .identify(
            &request,
            &auth::PayloadHash::of(body),
            &auth::Expected { region: None, service: Some(service) },
            now.as_millis() / 1000,
        )
        .map_err(|error| refused(&error))?;
    let region = peeked.and_then(|peeked| peeked.region.parse().ok());
    let scope = Scope {
        account: principal.account.as_str().parse().map_err(|_| internal("account"))?,
        region: region.unwrap_or_else(|| server.region.clone()),
    };
    let admitted = server.admission.throttle(&principal, &scope, operation, now);
    admitted.inspect_err(|_| server.metrics.refused("throttled"))?;
    let call = Call {
        server: Arc::clone(server),
        scope,
        principal,
        now,
        base_url: base_url(parts, secure),
        term: None,
    };
    Ok((call, operation))
}

/// The call that another server has passed on to this one as the leader.
async fn came_by_hop(
    server: &Arc<Server>,
    parts: &Parts,
    body: &Bytes,
) -> Result<(Call, ecs::OperationName), ServiceError> {
    let misdirected = || ServiceError { status: NOT_LEADER.as_u16(), ..members::moved() };
    let operation = operation(parts)?;
    let target = parts.headers.get(TARGET).and_then(|value| value.to_str().ok());
    let caller = server.members.caller(&parts.headers, target.unwrap_or_default(), body);
    let Caller { principal, scope, base_url, revision } = caller.map_err(|why| match why {
        Refused::Misdirected => misdirected(),
        Refused::Forged => {
            tracing::warn!(
                "a call claims to come from a server of this control plane, and does not"
            );
            ErrorCode::AccessDeniedException.error("The seal of the call is not valid.")
        }
    })?;
    if !members::places(operation) {
        return Err(ErrorCode::AccessDeniedException.error("Such a call is not passed on."));
    }
    let term = Some(server.members.term().ok_or_else(misdirected)?);
    // The caller may have read what this server does not show yet. One that cannot follow the store
    // leads no longer either.
    server.state.reached(revision).await.map_err(|_| misdirected())?;
    let (server, now) = (Arc::clone(server), clock::now());
    Ok((Call { server, scope, principal, now, base_url, term }, operation))
}

/// The operation that `X-Amz-Target` names.
fn operation(parts: &Parts) -> Result<ecs::OperationName, ServiceError> {
    let target = parts
        .headers
        .get(TARGET)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| unknown_operation("the request has no X-Amz-Target header"))?;
    target
        .strip_prefix(ecs::SERVICE.target_prefix)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(ecs::OperationName::parse)
        .ok_or_else(|| unknown_operation(format!("unknown operation: {target}")))
}

async fn collect(body: Incoming) -> Result<Bytes, ServiceError> {
    match Limited::new(body, limits::REQUEST_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("request body exceeds {} bytes", limits::REQUEST_BYTES);
            Err(ServiceError {
                status: 413,
                ..ServiceError::client("RequestEntityTooLarge", message)
            })
        }
        Err(error) => Err(ErrorCode::ClientException.error(format!("body not readable: {error}"))),
    }
}

/// How the caller reached us, for URLs that we hand out.
fn base_url(parts: &Parts, secure: bool) -> String {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let scheme = if secure { "https" } else { "http" };
    format!("{scheme}://{}", host.unwrap_or("127.0.0.1"))
}

fn unknown_operation(message: impl Into<String>) -> ServiceError {
    ErrorCode::UnknownOperationException.error(message)
}

fn internal(what: &str) -> ServiceError {
    ErrorCode::ServerException.error(format!("internal error: {what}"))
}

fn refused(error: &auth::AuthError) -> ServiceError {
    let auth::ErrorResponse { code, status, message } = error.response(auth::Protocol::Json);
    ServiceError { status, ..ServiceError::client(code, message) }
}

/// The answer of the leader.
fn pass_on(passed: Passed, request_id: &str) -> Reply {
    let mut reply = answer_with(passed.status, passed.body, request_id);
    if let Some(error) = passed.error {
        reply.headers_mut().insert(ERROR_TYPE, error);
    }
    reply
}

fn reply(outcome: Result<Vec<u8>, ServiceError>, request_id: &str) -> Reply {
    let (status, body, code) = match outcome {
        Ok(body) => (StatusCode::OK, body, None),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
            (status, json::encode_error(&error), Some(error.code))
        }
    };
    let mut reply = answer_with(status, body.into(), request_id);
    let headers = reply.headers_mut();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        // The rest of the body is not read.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(code) = code {
        headers.insert(ERROR_TYPE, HeaderValue::from_static(code));
    }
    reply
}

fn answer_with(status: StatusCode, body: Bytes, request_id: &str) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(json::CONTENT_TYPE));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    reply
}
