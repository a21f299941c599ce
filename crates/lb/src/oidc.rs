//! Log-ins by OpenID Connect, as ALB has them: the authorization code flow.
//!
//! A client without a session is sent to the provider, and comes back with a code ([`CALLBACK`]), which
//! becomes tokens and claims; they go into a sealed cookie, so that every node knows the client again and
//! none remembers it. Targets are told who it is by three headers.
//!
//! What it leaves out: tokens are not refreshed, a session ends when its time is over.

mod provider;
mod seal;
mod session;
mod signer;

pub(crate) use provider::LogIn;
pub(crate) use session::Identity;

use longshore_domain::route::{Action, AuthenticateOidc, Protocol, Unauthenticated};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::http::plan::{Answer, Asked, cookie_of};
use crate::table::Listening;
use seal::{Purpose, Seal};

/// Where clients come back to.
const CALLBACK: &str = "/oauth2/idpresponse";
/// Where the keys are that targets verify `X-Amzn-Oidc-Data` by; their ids follow.
const KEYS: &str = "/oauth2/public-keys/";
/// Binds a log-in to the client that began it.
const NONCE: &str = "AWSALBAuthNonce";
/// For how long somebody may be about to log in (ALB: 15 minutes).
const PATIENCE_S: i64 = 15 * 60;
/// ALB's status when the provider does not do its part.
const PROVIDER_FAILED: u16 = 561;

/// What is to be done with a request that a rule asks a log-in of.
pub(crate) enum Verdict {
    /// It comes from this client.
    Known(Identity),
    /// It may come from anybody.
    Nobody,
    Answer(Answer),
}

/// A log-in that is under way, as the client carries it.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    nonce: String,
    /// Path and query that were asked for.
    target: String,
    /// Milliseconds since the epoch.
    until: i64,
}

/// How clients reach a listener.
fn origin(listening: &Listening, host: &str) -> String {
    let port = listening.record.port;
    let (scheme, usual) =
        if listening.record.protocol == Protocol::Https { ("https", 443) } else { ("http", 80) };
    if port == usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
}

/// Who asks, or what to answer instead.
pub(crate) fn judge(listening: &Listening, oidc: &AuthenticateOidc, asked: &Asked<'_>) -> Verdict {
    let seal = Seal::of(oidc);
    let now = clock::now();
    let session = seal.as_ref().and_then(|seal| {
        session::read(seal, now, |part| cookie_of(asked, &session::name(oidc, part)))
    });
    if let Some(session) = session {
        let identity = session::identity(&session, oidc, &listening.balancer.record.arn, now);
        return Verdict::Known(identity);
    }
    match (oidc.unauthenticated, seal) {
        (Unauthenticated::Allow, _) => Verdict::Nobody,
        (Unauthenticated::Deny, _) => Verdict::Answer(Answer::page(401)),
        (Unauthenticated::Authenticate, None) => Verdict::Answer(Answer::page(PROVIDER_FAILED)),
        (Unauthenticated::Authenticate, Some(seal)) => {
            Verdict::Answer(sent_to_log_in(listening, oidc, &seal, asked))
        }
    }
}

fn sent_to_log_in(
    listening: &Listening,
    oidc: &AuthenticateOidc,
    seal: &Seal,
    asked: &Asked<'_>,
) -> Answer {
    let question = if asked.query.is_empty() { "" } else { "?" };
    // Several pages of one client may begin to log in: they share its nonce.
    let known = cookie_of(asked, NONCE).filter(|nonce| is_nonce(nonce));
    let nonce = known.unwrap_or_else(|| hex::encode(seal::random::<16>()));
    let begun = Begun {
        nonce: nonce.clone(),
        target: format!("{}{question}{}", asked.path, asked.query),
        until: clock::now().as_millis() + PATIENCE_S * 1000,
    };
    let state = seal.close(Purpose::State, &serde_json::to_vec(&begun).unwrap_or_default());
    let callback = format!("{}{CALLBACK}", origin(listening, asked.host));
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("client_id", &oidc.client_id)
        .append_pair("redirect_uri", &callback)
        .append_pair("response_type", "code")
        .append_pair("scope", &oidc.scope)
        .append_pair("state", &state);
    for (name, value) in &oidc.extra_parameters {
        query.append_pair(name, value);
    }
    let endpoint = &oidc.authorization_endpoint;
    let and = if endpoint.contains('?') { '&' } else { '?' };
    Answer {
        location: Some(format!("{endpoint}{and}{}", query.finish())),
        cookies: vec![format!("{NONCE}={nonce}; Max-Age={PATIENCE_S}; {}", guards(listening))],
        ..Answer::page(302)
    }
}

fn is_nonce(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Attributes of cookies that are not for scripts.
fn guards(listening: &Listening) -> &'static str {
    match listening.record.protocol {
        Protocol::Https => "Path=/; Secure; HttpOnly; SameSite=None",
        _ => "Path=/; HttpOnly",
    }
}

/// What the balancer itself answers where clients log in, if this is such a request.
pub(crate) enum Own {
    Answer(Answer),
    LogIn(Box<LogIn>),
}

/// Looks whether a request is for the balancer itself: on listeners with such rules only.
pub(crate) fn own(listening: &Listening, asked: &Asked<'_>) -> Option<Own> {
    if !asked.path.starts_with("/oauth2/") {
        return None;
    }
    let actions = || listening.record.rules.iter().flat_map(|rule| &rule.actions);
    let mut asks = actions().filter_map(|action| match action {
        Action::AuthenticateOidc(oidc) => Some(&**oidc),
        _ => None,
    });
    if let Some(id) = asked.path.strip_prefix(KEYS) {
        let _ = asks.next()?;
        let key = signer::public_key(id);
        let body = key.map(|pem| (Some("text/plain".to_owned()), pem));
        let status = if body.is_some() { 200 } else { 404 };
        return Some(Own::Answer(Answer { body, ..Answer::page(status) }));
    }
    if asked.path != CALLBACK {
        return None;
    }
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(asked.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let mut any = false;
    let state = parameter("state").unwrap_or_default();
    let found = asks.inspect(|_| any = true).find_map(|oidc| {
        let seal = Seal::of(oidc)?;
        let begun: Begun = serde_json::from_slice(&seal.open(Purpose::State, &state)?).ok()?;
        Some((oidc, seal, begun))
    });
    let Some((oidc, seal, begun)) = found else {
        return any.then(|| Own::Answer(Answer::page(401)));
    };
    let is_own = cookie_of(asked, NONCE).is_some_and(|nonce| nonce == begun.nonce);
    let (true, Some(code)) = (is_own && begun.until > clock::now().as_millis(), parameter("code"))
    else {
        return Some(Own::Answer(Answer::page(401)));
    };
    let origin = origin(listening, asked.host);
    Some(Own::LogIn(Box::new(LogIn {
        oidc: oidc.clone(),
        seal,
        code,
        callback: format!("{origin}{CALLBACK}"),
        target: format!("{origin}{}", begun.target),
        guards: guards(listening),
    })))
}
