//! Websocket sessions with the control plane: ACS for orders, TCS for telemetry.
//!
//! This module opens them: it finds the address, signs the upgrade request, and reads why one is
//! refused. What is said in a session is in its own module.

pub(crate) mod acs;
pub(crate) mod tcs;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use longshore_auth::{PayloadHash, RequestParts, sign};
use longshore_wire::agent::Rejection;
use longshore_wire::ecs::{self, op};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use crate::api::{Api, ApiError};
use crate::network::{self, Network};
use crate::trust::Distrust;
use crate::{clock, limits};

/// An open session.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Characters that stand for themselves in a query value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Why a session could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The control plane does not say where to connect.
    #[error("the address of the session is not known: {0}")]
    Discover(#[from] ApiError),
    /// There is no connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    /// The control plane refuses.
    #[error("the session was refused with status {0}: {1}")]
    Refused(StatusCode, String),
    /// The instance is not registered any more.
    #[error("this container instance is not active any more: {0}")]
    Inactive(String),
    /// The connection broke.
    #[error("the session broke: {0}")]
    Broken(String),
    /// The other side was silent for too long.
    #[error("nothing was heard for too long")]
    Silent,
}

/// How a session that was open ended.
#[derive(Debug)]
pub(crate) enum End {
    /// In a way after which a new one is opened at once.
    Normal,
    /// In another way.
    Failed(SessionError),
}

/// Where the sessions are, and as whom they are opened.
pub(crate) struct Links {
    api: Api,
    network: Arc<dyn Network>,
    tls: TlsConnector,
    cluster: String,
    container_instance_arn: String,
    docker_version: String,
    tls_only: bool,
    found: Mutex<Option<(Instant, Addresses)>>,
}

/// Base URLs of the two sessions.
#[derive(Clone, Debug)]
struct Addresses {
    acs: String,
    tcs: String,
}

impl Links {
    pub(crate) fn new(
        api: Api,
        network: Arc<dyn Network>,
        tls: &Arc<rustls::ClientConfig>,
        cluster: &str,
        container_instance_arn: &str,
        docker_version: &str,
    ) -> Self {
        Self {
            api,
            network,
            tls: TlsConnector::from(Arc::clone(tls)),
            cluster: cluster.to_owned(),
            container_instance_arn: container_instance_arn.to_owned(),
            docker_version: docker_version.to_owned(),
            tls_only: false,
            found: Mutex::new(None),
        }
    }

    /// The same where no session goes over plain HTTP, whatever the control plane says.
    pub(crate) fn over_tls_only(self) -> Self {
        Self { tls_only: true, ..self }
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(crate) fn container_instance_arn(&self) -> &str {
        &self.container_instance_arn
    }

    /// Opens the ACS session.
    pub(crate) async fn acs(&self, send_credentials: bool) -> Result<Socket, SessionError> {
        let version = format!("DockerVersion: {}", self.docker_version);
        let query = [
            ("agentHash", "longshore"),
            ("agentVersion", env!("CARGO_PKG_VERSION")),
            ("clusterArn", &self.cluster),
            ("containerInstanceArn", &self.container_instance_arn),
            ("dockerVersion", &version),
            ("protocolVersion", "2"),
            ("sendCredentials", if send_credentials { "true" } else { "false" }),
            ("seqNum", "1"),
        ];
        let base = self.addresses().await?.acs;
        self.open(&base, &query).await
    }

    /// Opens the TCS session.
    pub(crate) async fn tcs(&self) -> Result<Socket, SessionError> {
        let query = [
            ("agentHash", "longshore"),
            ("agentVersion", env!("CARGO_PKG_VERSION")),
            ("cluster", self.cluster.as_str()),
            ("containerInstance", &self.container_instance_arn),
            ("dockerVersion", &self.docker_version),
        ];
        let base = self.addresses().await?.tcs;
        self.open(&base, &query).await
    }

    /// Headers that sign a frame to TCS.
    pub(crate) fn frame_headers(&self, body: &[u8]) -> Vec<(&'static str, String)> {
        let parts = RequestParts::new("GET", "/ws", "", [("host", &b"tcs"[..])]);
        let now = clock::now().as_millis() / 1000;
        let (api, hash) = (&self.api, PayloadHash::of(body));
        let mut headers = sign(&parts, &hash, &api.credentials(), api.region(), "ecs", now);
        headers.push(("host", "tcs".to_owned()));
        headers
    }

    /// The addresses, asked for once in a while. Old ones are better than none.
    async fn addresses(&self) -> Result<Addresses, SessionError> {
        let mut found = self.found.lock().await;
        if let Some((at, addresses)) = &*found
            && at.elapsed() < limits::POLL_ENDPOINT_LIFE
        {
            return Ok(addresses.clone());
        }
        let input = ecs::DiscoverPollEndpointRequest {
            cluster: Some(self.cluster.clone()),
            container_instance: Some(self.container_instance_arn.clone()),
        };
        match self.api.call::<op::DiscoverPollEndpoint>(&input).await {
            Ok(answer) => {
                let acs = answer.endpoint.unwrap_or_default();
                let tcs = answer.telemetry_endpoint.unwrap_or_else(|| acs.clone());
                let addresses = Addresses { acs, tcs };
                *found = Some((Instant::now(), addresses.clone()));
                Ok(addresses)
            }
            Err(error) => match &*found {
                Some((_, addresses)) => Ok(addresses.clone()),
                None => Err(error.into()),
            },
        }
    }

    async fn open(&self, base: &str, query: &[(&str, &str)]) -> Result<Socket, SessionError> {
        let broken = |text: String| SessionError::Connect(base.to_owned(), text);
        let opening = self.connect(base, query);
        let result = timeout(self.api.patience(limits::SESSION_IO), opening).await;
        let result = result.unwrap_or_else(|_| Err(broken("no answer in time".to_owned())));
        let gone = match &result {
            Err(SessionError::Connect(..)) => true,
            Err(SessionError::Refused(status, _)) => status.is_server_error(),
            _ => false,
        };
        if gone {
            // The control plane may have moved, and of several servers another may do; the next
            // attempt asks where it is.
            let mut found = self.found.lock().await;
            if found.take().is_some() {
                self.api.leave_server();
            }
        }
        result
    }

    async fn connect(&self, base: &str, query: &[(&str, &str)]) -> Result<Socket, SessionError> {
        let broken = |error: &dyn std::fmt::Display| {
            SessionError::Connect(base.to_owned(), error.to_string())
        };
        let uri: Uri = base.parse().map_err(|e| broken(&e))?;
        let secure = matches!(uri.scheme_str(), Some("https" | "wss"));
        if self.tls_only && !secure {
            return Err(broken(&"it is plain HTTP, and this machine joined over TLS"));
        }
        let authority = uri.authority().ok_or_else(|| broken(&"no host in it"))?.clone();
        let (host, port) = network::host_and_port(&uri).ok_or_else(|| broken(&"no host in it"))?;
        let tcp = self.network.connect(host, port).await.map_err(|e| broken(&e))?;
        let path = format!("{}/ws", uri.path().trim_end_matches('/'));
        if secure {
            let name = rustls::pki_types::ServerName::try_from(host.to_owned());
            let name = name.map_err(|e| broken(&e))?;
            let stream = self.tls.connect(name, tcp).await.map_err(|e| {
                let why = Distrust::of(&e).map_or_else(|| e.to_string(), Distrust::into_text);
                broken(&why)
            })?;
            self.upgrade(stream, authority.as_str(), &path, query, base).await
        } else {
            self.upgrade(tcp, authority.as_str(), &path, query, base).await
        }
    }

    async fn upgrade<S>(
        &self,
        stream: S,
        host: &str,
        path: &str,
        query: &[(&str, &str)],
        base: &str,
    ) -> Result<Socket, SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let broken = |error: &dyn std::fmt::Display| {
            SessionError::Connect(base.to_owned(), error.to_string())
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken(&e))?;
        drop(tokio::spawn(connection.with_upgrades()));
        let key = generate_key();
        let request = self.request(host, path, query, &key).map_err(|e| broken(&e))?;
        let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let body = Limited::new(response.into_body(), limits::ANSWER_BYTES).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Err(refusal(status, &String::from_utf8_lossy(&body)));
        }
        let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accepted
            .is_none_or(|value| value.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes())
        {
            return Err(broken(&"the answer to the upgrade is not for this request"));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|e| broken(&e))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(limits::SOCKET_BUFFER_BYTES)
            .max_message_size(Some(limits::FRAME_BYTES))
            .max_frame_size(Some(limits::FRAME_BYTES));
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config))
            .await)
    }

    fn request(
        &self,
        host: &str,
        path: &str,
        query: &[(&str, &str)],
        key: &str,
    ) -> Result<Request<Empty<Bytes>>, http::Error> {
        let pairs = query
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN)));
        let query = pairs.collect::<Vec<_>>().join("&");
        let parts = RequestParts::new("GET", path, &query, [("host", host.as_bytes())]);
        let api = &self.api;
        let added = sign(
            &parts,
            &PayloadHash::of(b""),
            &api.credentials(),
            api.region(),
            "ecs",
            clock::now().as_millis() / 1000,
        );
        let mut request = Request::builder()
            .uri(format!("{path}?{query}"))
            .header(header::HOST, host)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, key)
            .body(Empty::new())?;
        for (name, value) in added {
            request.headers_mut().insert(name, HeaderValue::from_str(&value)?);
        }
        Ok(request)
    }
}

fn refusal(status: StatusCode, body: &str) -> SessionError {
    match Rejection::decode(body) {
        Some(rejection) if rejection.code.contains(Rejection::INACTIVE_INSTANCE) => {
            SessionError::Inactive(rejection.message)
        }
        _ if body.contains(Rejection::INACTIVE_INSTANCE) => SessionError::Inactive(body.to_owned()),
        _ => SessionError::Refused(status, body.chars().take(200).collect()),
    }
}

/// Whether a new session is opened at once after a close like this.
fn is_normal_close(frame: Option<&CloseFrame>) -> bool {
    frame.is_none_or(|frame| matches!(u16::from(frame.code), 1000 | 1001 | 1006 | 1011))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inactive_instance_is_told_from_other_refusals() {
        let inactive = refusal(StatusCode::BAD_REQUEST, r#"{"InactiveInstanceException":"gone"}"#);
        assert!(matches!(inactive, SessionError::Inactive(text) if text == "gone"));
        let other = refusal(StatusCode::FORBIDDEN, r#"{"AccessDeniedException":"no"}"#);
        assert!(matches!(other, SessionError::Refused(StatusCode::FORBIDDEN, _)));
    }
}
