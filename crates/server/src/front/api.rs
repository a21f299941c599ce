//! A request to an AWS API: find the service, collect the body, authenticate, dispatch, answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;
use longshore_auth as auth;
use longshore_domain::ids::Scope;
use longshore_domain::limits;
use longshore_wire::ecs::ErrorCode;
use longshore_wire::{ServiceError, ServiceInfo, elbv2};
use tracing::Instrument;

use super::asked::{Asked, Dialect, is_served, not_served};
use super::body::{self, BodyError};
use super::{Connection, Reply};
use crate::access::{Origin, message};
use crate::audit::{Event, Kept, Reason, Trace};
use crate::call::Call;
use crate::members::{self, Caller, NOT_LEADER, Passed, Placed, Refused};
use crate::{Server, clock};

const TARGET: &str = "x-amz-target";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Names the error of an answer.
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Answers a request to any AWS API; never fails, never takes the server down.
pub(super) async fn answer(
    server: Arc<Server>,
    from: &Connection,
    request: Request<Incoming>,
) -> Reply {
    let started = Instant::now();
    let request_id = clock::uuid();
    let (parts, body) = request.into_parts();
    let dialect = Dialect::of(&parts.headers);
    // First of all, since a connection whose request was not read to its end cannot go on.
    let body = match body::read(&server, body, limits::REQUEST_BYTES).await {
        Ok(body) => body,
        Err(error) => {
            server.metrics.request("-", error.code(), started.elapsed());
            return unread(&error, dialect, &request_id);
        }
    };
    let asked = Asked::of(&parts.headers, &body);
    let operation = asked.as_ref().map_or("-", |asked| asked.info().name);
    let service = asked.as_ref().map_or(&elbv2::SERVICE, |asked| asked.service());
    let span = tracing::debug_span!("request", operation, request_id);
    let (origin, trace) = (from.origin(&parts.headers), Arc::default());
    let received = Received {
        dialect,
        parts: &parts,
        body: &body,
        request_id: &request_id,
        origin: &origin,
        trace: &trace,
    };
    let known = asked.as_ref().ok().copied();
    let outcome = serve(&server, &received, asked).instrument(span).await;
    let code = match &outcome {
        Placed::Here(outcome) => outcome.as_ref().map_or_else(|error| error.code, |_| "OK"),
        Placed::There(_) => "Forwarded",
    };
    server.metrics.request(operation, code, started.elapsed());
    if let Some(asked) = known {
        note(&server, &received, asked, &outcome);
    }
    let refused = matches!(outcome, Placed::Here(Err(_)));
    let why = refused.then(|| message::of(&server, &trace)).flatten();
    let mut reply = match outcome {
        Placed::Here(outcome) => reply(outcome, dialect, service, &request_id),
        Placed::There(passed) => pass_on(passed, &request_id),
    };
    if let Some(why) = why {
        reply.headers_mut().insert(message::HEADER, why);
    }
    if parts.headers.contains_key(members::HOP) {
        let revision = HeaderValue::from(server.state.view().revision.0);
        reply.headers_mut().insert(members::REVISION, revision);
    }
    reply
}

/// A request that was read to its end.
struct Received<'r> {
    dialect: Dialect,
    parts: &'r Parts,
    body: &'r Bytes,
    request_id: &'r str,
    origin: &'r Origin,
    trace: &'r Arc<Trace>,
}

/// Records a call: one that may have changed something, or that was denied. The server that its
/// caller has reached does, so one that was passed on is recorded once.
fn note(server: &Server, received: &Received<'_>, asked: Asked, outcome: &Placed) {
    let Received { dialect, parts, body, request_id, origin, trace } = received;
    let read_only = asked.info().read_only;
    let denied = trace.denial().is_some() && server.audit.is_kept();
    let passed_on = parts.headers.contains_key(members::HOP);
    // Callers that nobody knows are not recorded: anybody could fill the disk.
    let unsigned = asked.is_unsigned() && !matches!(outcome, Placed::Here(Ok(_)));
    let unknown = unsigned || trace.caller().is_none();
    if passed_on || unknown || !(denied || server.audit.records(read_only)) {
        return;
    }
    let error = match outcome {
        Placed::Here(Ok(_)) => None,
        Placed::Here(Err(error)) => {
            Some(Reason { code: error.code.to_owned(), message: error.message.clone() })
        }
        Placed::There(passed) => passed.reason(),
    };
    server.audit.record(Event {
        at: clock::now(),
        request_id: (*request_id).to_owned(),
        service: asked.service().signing_name,
        name: asked.info().name,
        read_only,
        trace: Arc::clone(trace),
        origin: (*origin).clone(),
        body: Kept::request((*body).clone()),
        form: *dialect == Dialect::Query,
        answer: Kept::answer(match outcome {
            _ if read_only => Bytes::new(),
            Placed::Here(Ok(answer)) if *dialect == Dialect::Json => answer.clone(),
            Placed::There(passed) if passed.error.is_none() => passed.body.clone(),
            // What is no JSON the service has told as such.
            Placed::Here(_) | Placed::There(_) => Bytes::new(),
        }),
        error,
    });
}

async fn serve(
    server: &Arc<Server>,
    request: &Received<'_>,
    asked: Result<Asked, ServiceError>,
) -> Placed {
    let Received { parts, body, request_id, .. } = request;
    // Until it is answered. What names no operation is refused below.
    let operation = asked.as_ref().ok().copied();
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
        came_by_hop(server, request, asked).await
    } else {
        identified(server, request, asked)
    };
    match known {
        Err(error) => Placed::Here(Err(error)),
        Ok((call, Asked::Ecs(operation))) if members::places(operation) && !hop => {
            members::place(call, operation, body).await
        }
        Ok((call, asked)) => {
            if let Err(error) = brought_up_to_date(server, asked).await {
                return Placed::Here(Err(error));
            }
            let answer = match asked {
                Asked::Acm(operation) => crate::acm::dispatch(&call, operation, body).await,
                Asked::Ecs(operation) => crate::ecs::dispatch(&call, operation, body).await,
                Asked::Elbv2(operation) => {
                    crate::elbv2::dispatch(&call, operation, body, request_id).await
                }
                Asked::Iam(operation) => {
                    crate::iam::dispatch(&call, operation, body, request_id).await
                }
                Asked::Sts(operation) => {
                    crate::sts::dispatch(&call, operation, body, request_id).await
                }
            };
            Placed::Here(answer.map(Bytes::from))
        }
    }
}

/// Where reads are to be consistent, waits until the view shows all that other servers have
/// acknowledged before this read.
async fn brought_up_to_date(server: &Server, asked: Asked) -> Result<(), ServiceError> {
    let name = asked.info().name;
    let reads = ["Describe", "List", "Get", "Simulate"].iter().any(|verb| name.starts_with(verb));
    if !reads || !server.fidelity.consistent_reads || server.state.store().is_exclusive() {
        return Ok(());
    }
    server.state.current().await.map(drop).map_err(|error| crate::server_exception(&error))
}

/// The call of a client: who makes it, and what it is.
fn identified(
    server: &Arc<Server>,
    received: &Received<'_>,
    asked: Result<Asked, ServiceError>,
) -> Result<(Call, Asked), ServiceError> {
    let Received { dialect, parts, body, .. } = received;
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let request = auth::RequestParts::new(parts.method.as_str(), path, query, headers);
    let peeked = auth::peek(&request);
    let service = peeked.as_ref().map(|peeked| peeked.service.as_str());
    if let Some(service) = service.filter(|service| !is_served(service)) {
        return Err(not_served(service));
    }
    let asked = asked?;
    let named = asked.service().signing_name;
    let service = service.unwrap_or(named);
    if service != named {
        return Err(not_served(&format!("{} of {service}", asked.info().name)));
    }
    let now = clock::now();
    let principal = if asked.is_unsigned() {
        crate::sts::anybody()
    } else {
        let expected = auth::Expected { region: None, service: Some(service) };
        let (body, now_s) = (auth::PayloadHash::of(body), now.as_millis() / 1000);
        let identified = server.identity.identify(&request, &body, &expected, now_s);
        identified.map_err(|error| refused(&error, *dialect))?
    };
    let region = peeked.and_then(|peeked| peeked.region.parse().ok());
    let scope = Scope {
        account: principal.account.as_str().parse().map_err(|_| internal("account"))?,
        region: region.unwrap_or_else(|| server.region.clone()),
    };
    received.trace.comes_from(&principal, &scope);
    let admitted = server.admission.throttle(&principal, &scope, asked, now);
    admitted.inspect_err(|_| server.metrics.refused("throttled"))?;
    let call = Call {
        server: Arc::clone(server),
        scope,
        permissions: server.identity.permissions(&principal),
        principal,
        origin: received.origin.clone(),
        trace: Arc::clone(received.trace),
        now,
        base_url: base_url(parts, received.origin.secure),
        term: None,
    };
    Ok((call, asked))
}

/// The call that another server has passed on to this one as the leader. That one has asked whether
/// its caller may; what it says is sealed.
async fn came_by_hop(
    server: &Arc<Server>,
    received: &Received<'_>,
    asked: Result<Asked, ServiceError>,
) -> Result<(Call, Asked), ServiceError> {
    let misdirected = || ServiceError { status: NOT_LEADER.as_u16(), ..members::moved() };
    let asked = asked?;
    let Received { parts, body, .. } = received;
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
    if !matches!(asked, Asked::Ecs(operation) if members::places(operation)) {
        return Err(ErrorCode::AccessDeniedException.error("Such a call is not passed on."));
    }
    let term = Some(server.members.term().ok_or_else(misdirected)?);
    // The caller may have read what this server does not show yet. One that cannot follow the store
    // leads no longer either.
    server.state.reached(revision).await.map_err(|_| misdirected())?;
    let (server, now) = (Arc::clone(server), clock::now());
    let call = Call {
        server,
        scope,
        principal,
        permissions: auth::Permissions::Account,
        origin: received.origin.clone(),
        trace: Arc::clone(received.trace),
        now,
        base_url,
        term,
    };
    Ok((call, asked))
}

/// What a client is told whose request is not obeyed, whatever it asks for; `ours` are endpoints of ours.
pub(super) fn forbidden(
    server: &Server,
    request: &Request<Incoming>,
    ours: bool,
    why: &'static str,
) -> Reply {
    let dialect = Dialect::of(request.headers());
    let code = match dialect {
        Dialect::Json => "AccessDeniedException",
        Dialect::Query => "AccessDenied",
    };
    server.metrics.request("-", code, Duration::ZERO);
    if ours {
        let told = serde_json::json!({ "code": code, "error": why });
        return super::text(StatusCode::FORBIDDEN, "application/json", told.to_string());
    }
    let error = ServiceError { status: 403, ..ServiceError::client(code, why) };
    reply(Err(error), dialect, &elbv2::SERVICE, &clock::uuid())
}

/// What a client is told whose body was not read to its end. What it was to do is not known then.
fn unread(error: &BodyError, dialect: Dialect, request_id: &str) -> Reply {
    let status = error.status().as_u16();
    let error = ServiceError { status, ..ServiceError::client(error.code(), error.to_string()) };
    let mut reply = reply(Err(error), dialect, &elbv2::SERVICE, request_id);
    // The rest of the body is not read.
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// How the caller reached us, for URLs that we hand out.
fn base_url(parts: &Parts, secure: bool) -> String {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let scheme = if secure { "https" } else { "http" };
    format!("{scheme}://{}", host.unwrap_or("127.0.0.1"))
}

fn internal(what: &str) -> ServiceError {
    ErrorCode::ServerException.error(format!("internal error: {what}"))
}

fn refused(error: &auth::AuthError, dialect: Dialect) -> ServiceError {
    let auth::ErrorResponse { code, status, message } = error.response(dialect.auth());
    ServiceError { status, ..ServiceError::client(code, message) }
}

/// The answer of the leader.
fn pass_on(passed: Passed, request_id: &str) -> Reply {
    let mut reply = answer_with(passed.status, passed.body, Dialect::Json, request_id);
    if let Some(error) = passed.error {
        reply.headers_mut().insert(ERROR_TYPE, error);
    }
    reply
}

fn reply(
    outcome: Result<Bytes, ServiceError>,
    dialect: Dialect,
    service: &ServiceInfo,
    request_id: &str,
) -> Reply {
    let (status, body, code) = match outcome {
        Ok(body) => (StatusCode::OK, body, None),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
            (status, dialect.error(&error, service, request_id).into(), Some(error.code))
        }
    };
    let mut reply = answer_with(status, body, dialect, request_id);
    if let Some(code) = code {
        reply.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(code));
    }
    reply
}

fn answer_with(status: StatusCode, body: Bytes, dialect: Dialect, request_id: &str) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(dialect.content_type()));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    reply
}
