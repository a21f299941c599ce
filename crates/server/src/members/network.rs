//! How a server reaches another: HTTP over whatever connections the network gives.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::tls;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// Bytes of an answer: the largest page of an operation stays far below.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A connection of any kind.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// Opens connections to other servers.
pub trait Network: fmt::Debug + Send + Sync + 'static {
    /// Connects to a port of a host, by name or address.
    fn connect(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>>;
}

/// TCP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Network for Tcp {
    fn connect(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            // Small requests must not wait for an acknowledgement.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Duplex>)
        })
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    /// The request did not leave.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// What became of the request is not known.
    #[error("it did not answer: {0}")]
    Silent(String),
}

/// A client of other servers.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    http: Client<HttpsConnector<Connector>, Full<Bytes>>,
}

impl Peers {
    pub(super) fn new(network: Arc<dyn Network>, authority: Option<&str>) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client(authority))
            .https_or_http()
            .enable_http1()
            .wrap_connector(Connector(network));
        Self { http: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends a request, and reads the whole answer.
    pub(super) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Response<Bytes>, PeerError> {
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|error| {
                let text = longshore_wire::with_causes(&error);
                if error.is_connect() {
                    PeerError::Unreachable(text)
                } else {
                    PeerError::Silent(text)
                }
            })?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| PeerError::Silent(error.to_string()))?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        let late = |_| PeerError::Silent(format!("no answer within {}s", patience.as_secs()));
        tokio::time::timeout(patience, exchange).await.map_err(late)?
    }
}

/// A network as hyper's client wants it.
#[derive(Clone, Debug)]
struct Connector(Arc<dyn Network>);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Link>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let connecting = self.0.connect(host, uri.port_u16().unwrap_or(default));
        Box::pin(async move {
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            let stream = tokio::time::timeout(CONNECT, connecting).await.map_err(late)??;
            Ok(TokioIo::new(Link(stream)))
        })
    }
}

/// A connection, for hyper's client.
struct Link(Box<dyn Duplex>);

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
