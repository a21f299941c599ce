//! Calls to the control plane's API, signed.
//!
//! One client for all of an agent's calls, and for the command-line tools; connections are kept. It
//! knows no retries: whoever calls knows how long the matter may take ([`ApiError::is_temporary`]
//! tells whether to try). But of several servers it asks the next when one cannot be reached, and
//! leaves one that does not do its work ([`Endpoints`]).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use longshore_auth::{Credentials, PayloadHash, RequestParts, sign};
use longshore_wire::codec::{json, query};
use longshore_wire::{Operation, Peer, ecs, elbv2};
use serde_json::Value;

use crate::endpoints::Endpoints;
use crate::keys::Keys;
use crate::network::{Connector, Network, Tcp};
use crate::trust::{self, Distrust};
use crate::{AgentError, Trust, clock, limits};

/// Name and version, as servers see them.
const USER_AGENT: &str = concat!("longshore-agent/", env!("CARGO_PKG_VERSION"));

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The service answered with an error.
    #[error("{code}: {message}")]
    Service {
        /// Name of the exception.
        code: String,
        /// Text.
        message: String,
        /// HTTP status.
        status: u16,
    },
    /// What is there is not whom this client trusts; nothing was sent.
    #[error("{at} is not trusted: {why}")]
    Untrusted {
        /// Where.
        at: String,
        /// Why.
        why: String,
    },
    /// There was no answer.
    #[error("the control plane did not answer: {0}")]
    Transport(String),
    /// The answer has not the shape of the operation's.
    #[error("the control plane's answer cannot be read: {0}")]
    Answer(String),
}

impl ApiError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            // Whoever is there now may be gone by then.
            Self::Transport(_) | Self::Untrusted { .. } => true,
            Self::Service { code, status, .. } => {
                *status >= 500 || code.contains("Throttl") || code == "ServerException"
            }
            Self::Answer(_) => false,
        }
    }

    /// Whether this is the exception of that name.
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Self::Service { code, .. } if code == name)
    }
}

type Http = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// The API of one control plane, as one instance role.
#[derive(Clone, Debug)]
pub struct Api {
    http: Http,
    /// For what is no control plane.
    others: Http,
    endpoints: Arc<Endpoints>,
    region: String,
    keys: Keys,
}

/// A call to a service other than ECS that speaks the same protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SideCall<'a> {
    /// Base URL; the control plane's when absent.
    pub(crate) endpoint: Option<&'a str>,
    /// Name in the signature.
    pub(crate) service: &'a str,
    /// `X-Amz-Target`.
    pub(crate) target: &'a str,
    /// Region; the agent's when absent.
    pub(crate) region: Option<&'a str>,
    /// Keys; the instance role's when absent.
    pub(crate) credentials: Option<&'a Credentials>,
}

impl Api {
    /// A client of the control plane at the base URL `endpoint`, or at several with commas between
    /// them, which is known by `trust`. Nothing is sent yet.
    ///
    /// # Errors
    /// When `endpoint` is not made of `http` or `https` URLs.
    pub fn connect(
        endpoint: &str,
        region: &str,
        credentials: Credentials,
        trust: &Trust,
    ) -> Result<Self, AgentError> {
        Self::new(Arc::new(Tcp), endpoint, region, Keys::new(credentials), &trust.tls()?)
    }

    /// The same over another network than TCP, with the roots that the system trusts.
    ///
    /// # Errors
    /// When `endpoint` is not an `http` or `https` URL.
    pub fn connect_over(
        network: Arc<dyn Network>,
        endpoint: &str,
        region: &str,
        credentials: Credentials,
    ) -> Result<Self, AgentError> {
        Self::new(network, endpoint, region, Keys::new(credentials), &trust::system()?)
    }

    pub(crate) fn new(
        network: Arc<dyn Network>,
        endpoint: &str,
        region: &str,
        keys: Keys,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Self, AgentError> {
        let endpoints = Arc::new(Endpoints::parse(endpoint)?);
        let http = http(Arc::clone(&network), tls);
        let system = trust::system()?;
        let others =
            if Arc::ptr_eq(tls, &system) { http.clone() } else { self::http(network, &system) };
        Ok(Self { http, others, endpoints, region: region.to_owned(), keys })
    }

    /// Asks another server from now on, if there is one.
    pub(crate) fn leave_server(&self) {
        self.endpoints.leave(self.endpoints.current().0);
    }

    /// `usual`, or less where another server may be quicker.
    pub(crate) fn patience(&self, usual: Duration) -> Duration {
        self.endpoints.patience(usual)
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The newest keys.
    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        self.keys.newest()
    }

    /// Calls an ECS operation.
    ///
    /// # Errors
    /// With the service's error, or why there is no answer.
    pub async fn call<O: Operation>(&self, input: &O::Input) -> Result<O::Output, ApiError> {
        self.call_as::<O>(input, &self.keys.newest()).await
    }

    /// Calls an ECS operation with other keys.
    pub(crate) async fn call_as<O: Operation>(
        &self,
        input: &O::Input,
        credentials: &Credentials,
    ) -> Result<O::Output, ApiError> {
        let target = format!("{}.{}", ecs::SERVICE.target_prefix, O::INFO.name);
        let side = SideCall {
            endpoint: None,
            service: ecs::SERVICE.signing_name,
            target: &target,
            region: None,
            credentials: Some(credentials),
        };
        let answer = self.send(side, json::encode(input)).await?;
        json::decode(&answer, Peer::Server).map_err(|error| ApiError::Answer(error.to_string()))
    }

    /// Calls an operation of Elastic Load Balancing.
    ///
    /// # Errors
    /// With the service's error, or why there is no answer.
    pub async fn call_elbv2<O: Operation>(&self, input: &O::Input) -> Result<O::Output, ApiError> {
        let (service, name) = (&elbv2::SERVICE, O::INFO.name);
        let side = SideCall {
            endpoint: None,
            service: service.signing_name,
            target: "",
            region: None,
            credentials: None,
        };
        let headers = [("content-type", query::FORM)];
        let target = Target { method: "POST", path: "/", query: "", headers: &headers };
        let body = query::encode_request(input, name, service.api_version);
        let answer = self.exchange(side, &target, body).await?;
        query::decode(&answer, name).map_err(|error| ApiError::Answer(error.to_string()))
    }

    /// Calls another service of the same protocol.
    pub(crate) async fn call_side(
        &self,
        side: SideCall<'_>,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let answer = self.send(side, body.to_string().into_bytes()).await?;
        serde_json::from_slice(&answer).map_err(|error| ApiError::Answer(error.to_string()))
    }

    /// Calls one of the control plane's own endpoints: `/_longshore/PATH`, without a body.
    ///
    /// # Errors
    /// See [`ApiError`]; a refusal is [`ApiError::Service`] with the HTTP status.
    pub async fn operator(&self, method: &str, path: &str) -> Result<Value, ApiError> {
        let answer = self.operator_with(method, path, Vec::new()).await?;
        serde_json::from_slice(&answer).map_err(|error| ApiError::Answer(error.to_string()))
    }

    /// The same with a body; gives the answer's.
    ///
    /// # Errors
    /// See [`Api::operator`].
    pub async fn operator_with(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, ApiError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = format!("/_longshore/{path}");
        let target = Target { method, path: &path, query, headers: &[] };
        let side = SideCall {
            endpoint: None,
            service: ecs::SERVICE.signing_name,
            target: "",
            region: None,
            credentials: None,
        };
        self.exchange(side, &target, body).await
    }

    /// Reads one of the control plane's own endpoints line by line: `GET /_longshore/PATH`.
    ///
    /// # Errors
    /// See [`ApiError`]; a refusal is [`ApiError::Service`] with the HTTP status.
    pub async fn operator_lines(&self, path: &str) -> Result<Lines, ApiError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = format!("/_longshore/{path}");
        let target = Target { method: "GET", path: &path, query, headers: &[] };
        let side = SideCall {
            endpoint: None,
            service: ecs::SERVICE.signing_name,
            target: "",
            region: None,
            credentials: None,
        };
        let answer = self.answer(side, &target, Vec::new()).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Lines { body: answer.into_body(), read: Vec::new() });
        }
        let body = Limited::new(answer.into_body(), limits::ANSWER_BYTES).collect();
        let body = body.await.map_err(|e| ApiError::Transport(e.to_string()))?.to_bytes();
        Err(refusal(status, &body))
    }

    async fn send(&self, side: SideCall<'_>, body: Vec<u8>) -> Result<Bytes, ApiError> {
        let headers = [("content-type", json::CONTENT_TYPE), ("x-amz-target", side.target)];
        let target = Target { method: "POST", path: "/", query: "", headers: &headers };
        self.exchange(side, &target, body).await
    }

    /// Sends a request and reads the whole answer.
    async fn exchange(
        &self,
        side: SideCall<'_>,
        target: &Target<'_>,
        body: Vec<u8>,
    ) -> Result<Bytes, ApiError> {
        let response = self.answer(side, target, body).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::ANSWER_BYTES).collect();
        let body = tokio::time::timeout(limits::API_CALL, body).await;
        let body = body.map_err(|_| late(limits::API_CALL))?;
        let body = body.map_err(|e| ApiError::Transport(e.to_string()))?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        Err(refusal(status, &body))
    }

    /// Sends a request; gives the answer before its body. Of several servers the next one is asked
    /// if one cannot be reached, and from now on if one fails.
    async fn answer(
        &self,
        side: SideCall<'_>,
        target: &Target<'_>,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, ApiError> {
        let body = Bytes::from(body);
        if let Some(endpoint) = side.endpoint {
            let wrong = |e: http::uri::InvalidUri| ApiError::Transport(e.to_string());
            let base = endpoint.parse().map_err(wrong)?;
            let request = self.signed(side, target, &base, body)?;
            return self.ask(&self.others, request).await.map_err(|(error, _)| error);
        }
        let mut last = None;
        for _ in 0..self.endpoints.len() {
            let (number, base) = self.endpoints.current();
            let request = self.signed(side, target, base, body.clone())?;
            match self.ask(&self.http, request).await {
                Ok(answer) => {
                    if answer.status().is_server_error() {
                        self.endpoints.leave(number);
                    }
                    return Ok(answer);
                }
                Err((error, left)) => {
                    self.endpoints.leave(number);
                    if left {
                        return Err(error);
                    }
                    last = match (last, error) {
                        // One that is away may be the right one.
                        (Some(away), ApiError::Untrusted { .. }) => Some(away),
                        (_, error) => Some(error),
                    };
                }
            }
        }
        Err(last.unwrap_or_else(|| late(Duration::ZERO)))
    }

    /// Sends a request; with an error comes whether it may have arrived.
    async fn ask(
        &self,
        client: &Http,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (ApiError, bool)> {
        let patience = self.patience(limits::API_CALL);
        let uri = request.uri().clone();
        match tokio::time::timeout(patience, client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let left = !error.is_connect();
                let host = uri.authority().map_or("", http::uri::Authority::as_str);
                let at = format!("{}://{host}", uri.scheme_str().unwrap_or("http"));
                let error = match Distrust::of(&error) {
                    Some(Distrust::Stranger(why)) => ApiError::Untrusted { at, why },
                    Some(Distrust::Other(why)) => ApiError::Transport(format!("{at}: {why}")),
                    None => ApiError::Transport(longshore_wire::with_causes(&error)),
                };
                Err((error, left))
            }
            Err(_) => Err((late(patience), true)),
        }
    }

    fn signed(
        &self,
        side: SideCall<'_>,
        target: &Target<'_>,
        base: &Uri,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ApiError> {
        let wrong = |error: &dyn std::fmt::Display| ApiError::Transport(error.to_string());
        let host = base.authority().map_or("", http::uri::Authority::as_str).to_owned();
        let path_and_query = match target.query {
            "" => target.path.to_owned(),
            query => format!("{}?{query}", target.path),
        };
        let scheme = base.scheme_str().unwrap_or("http");
        let own = target.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        let headers = std::iter::once(("host", host.as_bytes())).chain(own);
        let parts = RequestParts::new(target.method, target.path, target.query, headers);
        let newest = self.keys.newest();
        let keys = side.credentials.unwrap_or(&newest);
        let region = side.region.unwrap_or(&self.region);
        let (hash, now_s) = (PayloadHash::of(&body), clock::now().as_millis() / 1000);
        // Who has no keys yet asks for some, unsigned.
        let added = if keys.access_key_id.is_empty() {
            Vec::new()
        } else {
            sign(&parts, &hash, keys, region, side.service, now_s)
        };
        let mut request = Request::builder()
            .method(target.method)
            .uri(format!("{scheme}://{host}{path_and_query}"))
            .header(header::HOST, host)
            .header(header::USER_AGENT, USER_AGENT);
        for (name, value) in target.headers {
            request = request.header(*name, *value);
        }
        for (name, value) in added {
            request = request.header(name, value);
        }
        request.body(Full::new(body)).map_err(|e| wrong(&e))
    }
}

fn http(network: Arc<dyn Network>, tls: &Arc<rustls::ClientConfig>) -> Http {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config((**tls).clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(Connector(network));
    Client::builder(TokioExecutor::new()).build(connector)
}

fn late(patience: Duration) -> ApiError {
    ApiError::Transport(format!("no answer within {}s", patience.as_secs()))
}

/// The error of an answer.
fn refusal(status: StatusCode, body: &[u8]) -> ApiError {
    let read = json::decode_error(body).or_else(|| query::decode_error(body));
    let read = read.or_else(|| own_error(status, body));
    let (code, message) = read.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        (format!("HTTP {}", status.as_u16()), text)
    });
    ApiError::Service { code, message, status: status.as_u16() }
}

/// The error of one of the control plane's own endpoints.
fn own_error(status: StatusCode, body: &[u8]) -> Option<(String, String)> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let code = value["code"].as_str().map(str::to_owned);
    let code = code.unwrap_or_else(|| format!("HTTP {}", status.as_u16()));
    Some((code, value["error"].as_str()?.to_owned()))
}

/// An answer that comes line by line, for as long as the server likes.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    /// What came after the last whole line.
    read: Vec<u8>,
}

impl Lines {
    /// The next line, without its end; `None` after the last one.
    ///
    /// # Errors
    /// [`ApiError::Transport`] when the connection breaks, [`ApiError::Answer`] when a line is too
    /// long.
    pub async fn next(&mut self) -> Result<Option<String>, ApiError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                let line = std::mem::replace(&mut self.read, rest);
                return Ok(Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()));
            }
            if self.read.len() > limits::ANSWER_BYTES {
                return Err(ApiError::Answer("a line is too long".to_owned()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.map_err(|error| {
                        ApiError::Transport(longshore_wire::with_causes(&error))
                    })?;
                    self.read.extend(frame.into_data().unwrap_or_default());
                }
            }
        }
    }
}

/// Where a request goes, and the headers that it has besides the usual ones.
struct Target<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: &'a [(&'a str, &'a str)],
}
