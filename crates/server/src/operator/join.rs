//! `POST /_longshore/join-token?role=R&ttl=S` makes a token by which a machine joins;
//! `POST /_longshore/join` takes one in place of a signature, and gives keys;
//! `POST /_longshore/renew`, signed with such keys, gives others.
//!
//! Renewing takes no permission, as `sts:GetCallerIdentity` takes none: the new keys may what the old ones
//! may, and end when those would.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use longshore_auth as auth;
use longshore_domain::ids::Scope;
use longshore_domain::limits;
use longshore_store::{RecordTxn, StateError, View};
use serde::Deserialize;
use serde_json::json;

use super::{caller_of, denial, json as answer};
use crate::audit::Reason;
use crate::call::Call;
use crate::front::{self, Connection, Reply};
use crate::identity::join::{self, Former, JoinError, Joined, Wanted};
use crate::{Server, clock};

/// Largest request to join: the former keys are the most of it, and they are some kilobytes.
const JOIN_BYTES: usize = 16 * 1024;
/// Role of a machine, unless another one is named.
const ROLE: &str = "ecsInstanceRole";
/// Life of a token, unless another one is named.
const TTL_S: u64 = 3600;
/// Why there are no tokens.
const NOT_IAM: &str = "This server does not know its callers by the users and roles of IAM (--identity \
                       iam), so nobody can join by a token: give agents an access key.";

/// Makes a token; the caller may use this endpoint, and now must also be allowed to hand on the role.
pub(super) async fn create(call: &Call, query: &BTreeMap<String, String>) -> Reply {
    let (server, now) = (&call.server, clock::now());
    if !server.is_iam {
        return refused(StatusCode::BAD_REQUEST, "InvalidRequest", NOT_IAM);
    }
    let wrong = |text: &str| refused(StatusCode::BAD_REQUEST, "InvalidParameterValue", text);
    let named = query.get("role").map_or(ROLE, String::as_str);
    let life = match query.get("ttl").map_or(Ok(TTL_S), |text| text.parse()) {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => return wrong("ttl is a number of seconds."),
    };
    if life.is_zero() || life > limits::JOIN_TOKEN_LIFE_MAX {
        return wrong("A join token lasts from a second to seven days.");
    }
    if let Err(denied) = call.may_pass(named, "ec2.amazonaws.com") {
        let error = auth::AuthError::from(denied).response(auth::Protocol::Query);
        let reason = Reason { code: error.code.to_owned(), message: error.message.clone() };
        let id = call.note("longshore", "CreateJoinToken", false, Some(reason));
        return denial(call, &error, &id);
    }
    call.note("longshore", "CreateJoinToken", false, None);
    let (account, by) = (call.scope.account, call.principal.arn.as_str());
    let wanted = Wanted { account, role: named, life, by, now };
    let decide = |view: &View, txn: &mut RecordTxn| join::create(view, txn, &wanted);
    match server.state.decide(decide).await {
        Ok(Ok(token)) => answer(
            StatusCode::OK,
            &json!({
                "id": token.id,
                "secret": token.secret,
                "endpoint": server.members.advertised(),
                "certificateAuthority": server.local_tls.as_ref().map(|tls| tls.authority_pem()),
                "expiresAt": (now + life).to_string(),
            }),
        ),
        Ok(Err(error)) => failed(&error),
        Err(error) => no_store(&error),
    }
}

/// What a machine sends that joins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    id: String,
    secret: String,
    former: Option<Keys>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    session_token: String,
    /// Of the secret that goes with it; the secret itself does not travel.
    proof: String,
}

/// Takes a token, and gives keys.
pub(super) async fn redeem(
    server: &Arc<Server>,
    from: &Connection,
    request: Request<Incoming>,
) -> Reply {
    let (parts, body) = request.into_parts();
    let body = match front::read(server, body, JOIN_BYTES).await {
        Ok(body) => body,
        Err(error) => return refused(error.status(), error.code(), &error.to_string()),
    };
    let (true, Ok(vault)) = (server.is_iam, server.vault()) else {
        return refused(StatusCode::BAD_REQUEST, "InvalidRequest", NOT_IAM);
    };
    let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
        let text = "A request to join is JSON with id and secret.";
        return refused(StatusCode::BAD_REQUEST, "InvalidRequest", text);
    };
    let Some(mut attempt) = Attempt::begin(server, from.peer) else {
        server.metrics.refused("throttled");
        return refused(StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded");
    };
    let former = asked
        .former
        .as_ref()
        .map(|keys| Former { session_token: &keys.session_token, proof: &keys.proof });
    let (token, now) = ((asked.id.as_str(), asked.secret.as_str()), clock::now());
    let decide = |view: &View, txn: &mut RecordTxn| {
        join::redeem(view, txn, vault, token, former.as_ref(), now)
    };
    let decided = server.state.decide(decide).await;
    attempt.failed = matches!(decided, Ok(Err(JoinError::Refused)));
    drop(attempt);
    match decided {
        Ok(Ok(joined)) => {
            let kind = auth::PrincipalKind::AssumedRole {
                role: joined.role.clone(),
                session: joined.session.clone(),
            };
            let account: auth::Account = joined.account.to_string().parse().unwrap_or_default();
            let session = auth::Session {
                role_arn: Some(joined.role_arn.clone()),
                ..auth::Session::default()
            };
            let principal = auth::Principal {
                session: Some(Box::new(session)),
                ..auth::Principal::new(account, kind, None)
            };
            tracing::info!(who = principal.arn, "a machine joined");
            let scope = Scope { account: joined.account, region: server.region.clone() };
            let origin = from.origin(&parts.headers);
            Call::of_ours(server, origin, principal, scope).note("longshore", "Join", false, None);
            given(&joined)
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "a machine did not join");
            failed(&error)
        }
        Err(error) => no_store(&error),
    }
}

/// One attempt to join. What is not told to have failed was none, also where its client went away.
struct Attempt<'s> {
    server: &'s Server,
    from: Option<IpAddr>,
    failed: bool,
}

impl<'s> Attempt<'s> {
    /// Nothing if too many failed that came from there. Agents take the refusal as temporary.
    fn begin(server: &'s Server, from: Option<IpAddr>) -> Option<Self> {
        let mut attempts = server.join_attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let may = from.is_none_or(|from| attempts.begin(from, clock::now()));
        may.then(|| Self { server, from, failed: false })
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(from) = self.from.filter(|_| !self.failed) {
            let mut attempts =
                self.server.join_attempts.lock().unwrap_or_else(PoisonError::into_inner);
            attempts.succeeded(from, clock::now());
        }
    }
}

/// Gives other keys to a machine that joined.
pub(super) async fn renew(
    server: &Arc<Server>,
    from: &Connection,
    request: Request<Incoming>,
) -> Reply {
    let (parts, body) = request.into_parts();
    let body = match front::read(server, body, JOIN_BYTES).await {
        Ok(body) => body,
        Err(error) => return refused(error.status(), error.code(), &error.to_string()),
    };
    let request = Request::from_parts(parts, ());
    let (principal, scope) = match caller_of(server, &request, &body) {
        Ok(caller) => caller,
        Err(error) => {
            let error = error.response(auth::Protocol::Json);
            return refused(StatusCode::FORBIDDEN, error.code, &error.message);
        }
    };
    let (true, Ok(vault)) = (server.is_iam, server.vault()) else {
        return refused(StatusCode::BAD_REQUEST, "InvalidRequest", NOT_IAM);
    };
    match join::renew(&server.state.view(), vault, &principal, clock::now()) {
        Ok(joined) => {
            let origin = from.origin(request.headers());
            let call = Call::of_ours(server, origin, principal, scope);
            call.note("longshore", "RenewKeys", false, None);
            given(&joined)
        }
        Err(error) => failed(&error),
    }
}

fn given(joined: &Joined) -> Reply {
    answer(
        StatusCode::OK,
        &json!({
            "accessKeyId": joined.keys.access_key_id,
            "secretAccessKey": joined.keys.secret_access_key,
            "sessionToken": joined.keys.session_token,
            "expiresAtS": joined.expires_at_s,
        }),
    )
}

fn failed(error: &JoinError) -> Reply {
    let (status, code) = match error {
        JoinError::NoRole(_) => (StatusCode::NOT_FOUND, "NoSuchEntity"),
        JoinError::Untrusted(_) => (StatusCode::BAD_REQUEST, "InvalidParameterValue"),
        JoinError::TooMany => (StatusCode::CONFLICT, "LimitExceeded"),
        JoinError::Refused | JoinError::NotJoined => (StatusCode::FORBIDDEN, "AccessDenied"),
        JoinError::Vault(_) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
    };
    refused(status, code, &error.to_string())
}

fn no_store(error: &StateError) -> Reply {
    let error = crate::server_exception(error);
    refused(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &error.message)
}

/// As the services with JSON have it, so that clients read it as any other error.
fn refused(status: StatusCode, code: &str, message: &str) -> Reply {
    answer(status, &json!({ "__type": code, "message": message }))
}
