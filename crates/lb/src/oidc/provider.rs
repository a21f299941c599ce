//! What is asked of the provider: tokens for a code, and claims for a token.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use longshore_domain::route::AuthenticateOidc;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::PROVIDER_FAILED;
use super::seal::Seal;
use super::session::{self, Session};
use crate::clock;
use crate::http::plan::Answer;

/// Longest wait for an answer of the provider.
const WAIT: Duration = Duration::from_secs(10);
/// Bytes of an answer of the provider.
const BYTES: usize = 256 * 1024;

/// A client that comes back with a code.
pub(crate) struct LogIn {
    pub(super) oidc: AuthenticateOidc,
    pub(super) seal: Seal,
    pub(super) code: String,
    /// Where it came back to, as the provider was told.
    pub(super) callback: String,
    /// What it had asked for.
    pub(super) target: String,
    /// Attributes of cookies.
    pub(super) guards: &'static str,
}

impl std::fmt::Debug for LogIn {
    /// Without what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogIn").field("target", &self.target).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    id_token: Option<String>,
}

impl LogIn {
    /// Logs the client in, and sends it where it wanted to go.
    pub(crate) async fn finish(&self) -> Answer {
        let session = match self.session().await {
            Ok(session) => session,
            Err(why) => {
                tracing::warn!(issuer = self.oidc.issuer, why, "a log-in has failed");
                return Answer::page(PROVIDER_FAILED);
            }
        };
        let Some(parts) = session::written(&self.seal, &session) else {
            tracing::warn!(
                issuer = self.oidc.issuer,
                "tokens and claims are too large for cookies"
            );
            return Answer::page(PROVIDER_FAILED);
        };
        let (lasts, guards) = (self.oidc.session_timeout_s, self.guards);
        let cookie = |(part, value): (usize, String)| {
            format!("{}={value}; Max-Age={lasts}; {guards}", session::name(&self.oidc, part))
        };
        // The nonce stays until it expires: another page of this client may be at the provider with it.
        let cookies = parts.into_iter().enumerate().map(cookie).collect();
        Answer { location: Some(self.target.clone()), cookies, ..Answer::page(302) }
    }

    async fn session(&self) -> Result<Session, String> {
        let oidc = &self.oidc;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", &self.code)
            .append_pair("redirect_uri", &self.callback)
            .finish();
        // RFC 6749, section 2.3.1.
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = (encoded(&oidc.client_id), encoded(&oidc.client_secret));
        let basic = format!("Basic {}", BASE64.encode(format!("{id}:{secret}").as_bytes()));
        let tokens = ask(Method::POST, &oidc.token_endpoint, &basic, Some(form)).await?;
        let tokens: Tokens = serde_json::from_slice(&tokens)
            .map_err(|_| "the token endpoint gave no access token".to_owned())?;
        let bearer = format!("Bearer {}", tokens.access_token);
        let claims = ask(Method::GET, &oidc.user_info_endpoint, &bearer, None).await?;
        let claims: Map<String, Value> = serde_json::from_slice(&claims)
            .map_err(|_| "the user info endpoint gave no claims".to_owned())?;
        let subject = claims.get("sub").and_then(Value::as_str);
        let subject = subject.ok_or("the claims name no subject")?;
        if let Some(token) = &tokens.id_token {
            check_id_token(token, oidc, subject)?;
        }
        let lasts = i64::try_from(oidc.session_timeout_s).unwrap_or(i64::MAX / 2000);
        let until = clock::now().as_millis().saturating_add(lasts.saturating_mul(1000));
        Ok(Session { access_token: tokens.access_token, claims, until })
    }
}

/// The token came from the provider itself, by TLS, so its signature is not asked for (OpenID Connect
/// Core, section 3.1.3.7); whom it is for is.
fn check_id_token(token: &str, oidc: &AuthenticateOidc, subject: &str) -> Result<(), String> {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = BASE64URL_NOPAD.decode(payload.trim_end_matches('=').as_bytes());
    let payload: Value = bytes
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or("the ID token cannot be read")?;
    let audience = match &payload["aud"] {
        Value::Array(many) => many.iter().any(|one| *one == oidc.client_id.as_str()),
        one => *one == oidc.client_id.as_str(),
    };
    if payload["iss"] != oidc.issuer.as_str() || !audience || payload["sub"] != subject {
        return Err("the ID token is for somebody else".to_owned());
    }
    Ok(())
}

type Provider = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// One for the process. It keeps no connections: workers come and go.
fn client() -> Result<&'static Provider, String> {
    static CLIENT: OnceLock<Result<Provider, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        let roots = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots();
        let connector = roots.map_err(|error| error.to_string())?;
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    });
    made.as_ref().map_err(Clone::clone)
}

async fn ask(
    method: Method,
    url: &str,
    authorization: &str,
    form: Option<String>,
) -> Result<Bytes, String> {
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .header(header::AUTHORIZATION, authorization)
        .header(header::ACCEPT, "application/json");
    if form.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let request = request.body(Full::new(Bytes::from(form.unwrap_or_default())));
    let request = request.map_err(|error| format!("{url}: {error}"))?;
    let asking = async {
        let response = client()?.request(request).await;
        let response = response.map_err(|error| format!("{url}: {error}"))?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("{url}: HTTP {status}"));
        }
        let body = Limited::new(response.into_body(), BYTES).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| format!("{url}: {error}"))
    };
    timeout(WAIT, asking).await.unwrap_or_else(|_| Err(format!("{url}: no answer")))
}
