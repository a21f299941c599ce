//! What the public AWS API has no place for: `/_longshore/…` for `longshore ctl` and test suites.
//!
//! `GET /_longshore/explain?cluster=C&group=G` says why a placement was refused, instance by
//! instance, and `GET /_longshore/waits?cluster=C` what services and tasks wait for;
//! `GET /_longshore/events` tells the journal as events, and `GET /_longshore/at` what a cluster was
//! like at a time; `/_longshore/consolidate` plans to empty instances and starts it;
//! `GET /_longshore/audit/verify` looks through the audit log, `…/iam/explain?request=ID` says why a
//! request was denied, and `…/iam/suggest?principal=ARN` what a principal needs;
//! `GET /_longshore/ca` gives the certificate of the local authority;
//! `GET /_longshore/members` tells of the servers of the control plane, `GET /_longshore/backup` gives
//! an archive of the store; `POST /_longshore/join-token` makes a token by which a machine joins, `…/join`
//! takes it, and `…/renew` renews the keys that it gave; `POST /_longshore/reset` empties a development server. Requests are
//! authenticated and authorized like any other, but those of health and those of machines that join.

pub(crate) mod at;
mod backup;
mod consolidate;
pub(crate) mod events;
mod explain;
mod join;
pub(crate) mod members;
mod reset;
mod trail;
mod waits;
mod when;
mod who_can;

pub(crate) use events::Lines;
pub(crate) use explain::Refusals;

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use longshore_auth as auth;
use longshore_domain::ids::Scope;

use crate::access::message;
use crate::access::operator::{self, Endpoint};
use crate::audit::Reason;
use crate::call::Call;
use crate::front::{self, Connection, Reply, text, whole};
use crate::members::{Caller, HOP, NOT_LEADER, Refused};
use crate::{Server, clock};

/// Where nodes of balancers report.
const REPORT: &str = "/_longshore/balancers/report";
/// Where machines join that have no keys, and where those that joined get others.
const JOIN: &str = "/_longshore/join";
const RENEW: &str = "/_longshore/renew";
/// Largest report: a thousand targets take a quarter of it.
const REPORT_BYTES: usize = 1024 * 1024;

/// Where these endpoints live.
pub(crate) const PREFIX: &str = "/_longshore/";

/// Answers an operator's request.
pub(crate) async fn answer(
    server: Arc<Server>,
    from: &Connection,
    request: Request<Incoming>,
) -> front::Answer {
    if request.headers().contains_key(HOP) {
        return whole(answer_hop(&server, &request));
    }
    if (request.method(), request.uri().path()) == (&Method::POST, REPORT) {
        return whole(report(&server, from, request).await);
    }
    match (request.method(), request.uri().path()) {
        (&Method::POST, JOIN) => return whole(join::redeem(&server, from, request).await),
        (&Method::POST, RENEW) => return whole(join::renew(&server, from, request).await),
        _ => {}
    }
    let (principal, scope) = match caller_of(&server, &request, b"") {
        Ok(caller) => caller,
        Err(error) => return whole(unknown_caller(&error)),
    };
    let query = crate::session::parse_query(request.uri().query().unwrap_or_default());
    let path = request.uri().path().trim_start_matches(PREFIX);
    let call = Call::of_ours(&server, from.origin(request.headers()), principal, scope.clone());
    let Some(endpoint) = operator::endpoint(request.method(), path) else {
        let error = format!("no such endpoint: {} {PREFIX}{path}", request.method());
        return whole(json(StatusCode::NOT_FOUND, &serde_json::json!({ "error": error })));
    };
    if let Some(refusal) = refusal(&call, endpoint, query.get("cluster").map(String::as_str)) {
        return whole(refusal);
    }
    whole(match (request.method(), path) {
        (&Method::GET, "explain") => {
            // Only the leader has tried.
            match crate::members::look(&call, path_of(&request)).await {
                Some((status, body)) => text(status, "application/json", body),
                None => explain::answer(&server, &scope, &query),
            }
        }
        (&Method::GET, "balancers/routing") => {
            let after = query.get("after").and_then(|after| after.parse().ok());
            crate::balancers::routing(&call, after.unwrap_or_default()).await
        }
        (&Method::GET, "ca") => match crate::acm::authority_certificate(&server).await {
            Ok(pem) => json(StatusCode::OK, &serde_json::json!({ "certificate": pem })),
            Err(error) => {
                let error = serde_json::json!({ "error": error.message });
                json(StatusCode::SERVICE_UNAVAILABLE, &error)
            }
        },
        (&Method::GET, "waits") => waits::answer(&server, &scope, &query),
        (&Method::GET, "members") => members::answer(&server).await,
        (&Method::GET, "at") => at::answer(&server, &scope, &query).await,
        (&Method::GET, "events") => match events::answer(&server, &scope, &query).await {
            Ok(lines) => return lines.map(Either::Right),
            Err(refusal) => refusal,
        },
        (&Method::GET, "backup") => match backup::answer(&call) {
            Ok(lines) => return lines.map(Either::Right),
            Err(error) => json(StatusCode::FORBIDDEN, &serde_json::json!({ "error": error })),
        },
        (method @ (&Method::GET | &Method::POST), "consolidate") => {
            consolidate::answer(&server, &scope, method, &query).await
        }
        (&Method::POST, "join-token") => join::create(&call, &query).await,
        (&Method::POST, "reset") => reset::answer(&server).await,
        (_, "audit/verify") => trail::verify(&server).await,
        (_, "iam/explain") => trail::explain(&server, &scope, &query).await,
        (_, "iam/suggest") => trail::suggest(&server, &scope, &query).await,
        (_, "iam/who-can") => who_can::run(&server, &scope, &query).await,
        (_, _) => {
            let error = "this endpoint is not answered here";
            json(StatusCode::NOT_FOUND, &serde_json::json!({ "error": error }))
        }
    })
}

/// The refusal of a caller that may not use an endpoint; what it changes is recorded.
fn refusal(call: &Call, endpoint: &Endpoint, cluster: Option<&str>) -> Option<Reply> {
    let entry = &endpoint.entry;
    let name = entry.action.trim_start_matches("longshore:");
    let Err(denied) = call.may_use(entry, cluster) else {
        // What takes more than this is asked and recorded where that is known.
        if entry.also.is_empty() {
            call.note("longshore", name, entry.is_read(), None);
        }
        return None;
    };
    let answer = auth::AuthError::from(denied).response(auth::Protocol::Query);
    let reason = Reason { code: answer.code.to_owned(), message: answer.message.clone() };
    let id = call.note("longshore", name, entry.is_read(), Some(reason));
    Some(denial(call, &answer, &id))
}

/// What a caller is told who may not.
fn denial(call: &Call, answer: &auth::ErrorResponse, request_id: &str) -> Reply {
    let error = serde_json::json!({
        "code": answer.code, "error": answer.message, "requestId": request_id,
    });
    let mut reply = json(StatusCode::FORBIDDEN, &error);
    if let Some(why) = message::of(&call.server, &call.trace) {
        reply.headers_mut().insert(message::HEADER, why);
    }
    reply
}

/// Takes in the report of a node of balancers.
async fn report(server: &Arc<Server>, from: &Connection, request: Request<Incoming>) -> Reply {
    let refused = |status, error: String| json(status, &serde_json::json!({ "error": error }));
    let (parts, body) = request.into_parts();
    let body = match front::read(server, body, REPORT_BYTES).await {
        Ok(body) => body,
        Err(error) => return refused(error.status(), error.to_string()),
    };
    let request = Request::from_parts(parts, ());
    let (principal, scope) = match caller_of(server, &request, &body) {
        Ok(caller) => caller,
        Err(error) => return unknown_caller(&error),
    };
    let call = Call::of_ours(server, from.origin(request.headers()), principal, scope);
    let endpoint = operator::endpoint(&Method::POST, REPORT.trim_start_matches(PREFIX));
    if let Some(refusal) = endpoint.and_then(|endpoint| refusal(&call, endpoint, None)) {
        return refusal;
    }
    match serde_json::from_slice(&body) {
        Err(error) => refused(StatusCode::BAD_REQUEST, error.to_string()),
        Ok(said) => match crate::balancers::report(server, &said).await {
            Ok(()) => text(StatusCode::NO_CONTENT, "application/json", ""),
            Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        },
    }
}

/// Answers what another server asks of this one as the leader; it goes no further.
fn answer_hop(server: &Server, request: &Request<Incoming>) -> Reply {
    let path = path_of(request);
    let explains = request.uri().path() == "/_longshore/explain";
    match server.members.onlooker(request.headers(), path) {
        Ok(Caller { scope, .. }) if explains && request.method() == Method::GET => {
            let query = crate::session::parse_query(request.uri().query().unwrap_or_default());
            explain::answer(server, &scope, &query)
        }
        Err(Refused::Misdirected) => {
            json(NOT_LEADER, &serde_json::json!({ "error": "meant for another server" }))
        }
        Ok(_) | Err(Refused::Forged) => {
            let error = "the seal of the request is not valid";
            json(StatusCode::FORBIDDEN, &serde_json::json!({ "error": error }))
        }
    }
}

fn path_of(request: &Request<Incoming>) -> &str {
    request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
}

fn unknown_caller(error: &auth::AuthError) -> Reply {
    let answer = error.response(auth::Protocol::Json);
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::FORBIDDEN);
    json(status, &serde_json::json!({ "code": answer.code, "error": answer.message }))
}

fn caller_of<B>(
    server: &Server,
    request: &Request<B>,
    body: &[u8],
) -> Result<(auth::Principal, Scope), auth::AuthError> {
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let uri = request.uri();
    let query = uri.query().unwrap_or_default();
    let parts = auth::RequestParts::new(request.method().as_str(), uri.path(), query, headers);
    let expected = auth::Expected { region: None, service: None };
    let now_s = clock::now().as_millis() / 1000;
    let body = auth::PayloadHash::of(body);
    let principal = server.identity.identify(&parts, &body, &expected, now_s)?;
    let region = auth::peek(&parts).and_then(|peeked| peeked.region.parse().ok());
    let scope = Scope {
        account: principal.account.as_str().parse().unwrap_or_default(),
        region: region.unwrap_or_else(|| server.region.clone()),
    };
    Ok((principal, scope))
}

fn json(status: StatusCode, body: &serde_json::Value) -> Reply {
    text(status, "application/json", format!("{body}\n"))
}
