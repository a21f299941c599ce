//! The listening socket: TLS when asked for, graceful shutdown always.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use longshore_domain::limits;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Connection;
use crate::tls::{Local, Tls};
use crate::{Server, clock};

/// How long a client may take to send its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to finish the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Where fewer than one in so many places for connections are left, no connection is kept for a next
/// request: whoever comes back after a restart would wait until it has been idle for long enough.
const SCARCE: usize = 8;
/// What a client is told that speaks plain HTTP where TLS is spoken.
const PLAIN_HTTP: &str = "This port speaks HTTPS, and the request came by plain HTTP: use a URL that \
                          begins with https://.";
/// How long requests in flight may take to finish at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Certificate chain and private key, as PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Why the front cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The address is taken, or not one of this machine.
    #[error("cannot listen on {address}: {source}; choose another address, or stop what uses it")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The identity provider `open` accepts everybody, so nobody else may reach it.
    #[error(
        "refusing to listen on {address} without authentication: the identity provider `open` \
         works on loopback addresses only; listen on 127.0.0.1, or configure access keys"
    )]
    OpenBeyondLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Certificate or key cannot be used.
    #[error("cannot use the TLS files: {0}")]
    Tls(String),
}

/// A bound front that does not answer yet.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    /// The bound address, with the port that was chosen for port 0.
    pub address: SocketAddr,
    speaks: Speaks,
    connections: usize,
}

/// How connections are spoken over.
#[derive(Clone, Debug)]
enum Speaks {
    /// Plain HTTP.
    Plain,
    /// TLS with a certificate of files.
    Tls(Arc<rustls::ServerConfig>),
    /// TLS with certificates of the control plane's own authority, once there are any.
    Local(Option<(Arc<Local>, Arc<rustls::ServerConfig>)>),
}

/// Binds the address.
///
/// # Errors
/// See [`FrontError`].
pub async fn bind(
    address: SocketAddr,
    open_identity: bool,
    tls: &Tls,
) -> Result<Listening, FrontError> {
    if open_identity && !address.ip().is_loopback() {
        return Err(FrontError::OpenBeyondLoopback { address });
    }
    let speaks = match tls {
        Tls::Off => Speaks::Plain,
        Tls::Files(files) => Speaks::Tls(tls_config(files)?),
        Tls::Local { .. } => Speaks::Local(None),
    };
    let fail = |source| FrontError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok(Listening { listener, address, speaks, connections: limits::CONNECTIONS })
}

fn tls_config(files: &TlsFiles) -> Result<Arc<rustls::ServerConfig>, FrontError> {
    let fail = |what: &PathBuf, error: &dyn std::fmt::Display| {
        FrontError::Tls(format!("{}: {error}", what.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|e| fail(&files.certificate, &e))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| fail(&files.key, &e))?;
    let config = server_config().with_single_cert(chain, key);
    Ok(Arc::new(config.map_err(|e| fail(&files.certificate, &e))?))
}

/// TLS of a server, but for its certificate.
fn server_config() -> rustls::ConfigBuilder<rustls::ServerConfig, rustls::server::WantsServerCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual protocol versions")
        .with_no_client_auth()
}

/// The place of a connection among those that there may be. An agent's session takes it over.
pub(crate) struct Place {
    server: Arc<Server>,
    _permit: Option<OwnedSemaphorePermit>,
    /// On while few places are left, where they are counted.
    scarce: watch::Receiver<bool>,
    /// The other end.
    pub(crate) peer: Option<IpAddr>,
}

impl Place {
    /// A place; without a permit it is not counted against the limit.
    pub(crate) fn new(server: &Arc<Server>, permit: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        Self::of(server, permit, watch::Sender::new(false).subscribe(), None)
    }

    fn of(
        server: &Arc<Server>,
        permit: Option<OwnedSemaphorePermit>,
        scarce: watch::Receiver<bool>,
        peer: Option<IpAddr>,
    ) -> Arc<Self> {
        server.metrics.connections.inc();
        Arc::new(Self { server: Arc::clone(server), _permit: permit, scarce, peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.metrics.connections.dec();
    }
}

impl Listening {
    /// The URL that clients use.
    pub fn url(&self) -> String {
        let scheme = if matches!(self.speaks, Speaks::Plain) { "http" } else { "https" };
        format!("{scheme}://{}", self.address)
    }

    /// The same, with fewer connections at the same time.
    pub(crate) fn with_connections(self, connections: usize) -> Self {
        Self { connections: connections.clamp(1, limits::CONNECTIONS), ..self }
    }

    /// The same with the certificates for which [`Tls::Local`] has bound it.
    pub(crate) fn with_local(self, local: Option<Arc<Local>>) -> Self {
        let Some(local) = local else { return self };
        let config = server_config().with_cert_resolver(Arc::clone(&local) as _);
        Self { speaks: Speaks::Local(Some((local, Arc::new(config)))), ..self }
    }

    /// Answers requests until `shutdown` completes, then lets those in flight finish.
    pub async fn serve(self, server: Arc<Server>, shutdown: impl Future<Output = ()>) {
        // Each connection holds a sender; when all are gone, the channel ends.
        let (open, mut all_closed) = mpsc::channel::<()>(1);
        let stop = watch::Sender::new(false);
        // Nobody closes it.
        let places = Arc::new(Semaphore::new(self.connections));
        let scarce = watch::Sender::new(false);
        tokio::pin!(shutdown);
        loop {
            let place = tokio::select! {
                biased;
                () = &mut shutdown => break,
                place = Arc::clone(&places).acquire_owned() => place.ok(),
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let is_scarce = places.available_permits() < self.connections / SCARCE;
                        scarce.send_if_modified(|was| std::mem::replace(was, is_scarce) != is_scarce);
                        let peer = Some(peer.ip());
                        let place = Place::of(&server, place, scarce.subscribe(), peer);
                        self.spawn(place, stream, open.clone(), stop.subscribe());
                    }
                    // Out of file descriptors, mostly; the next accept may work.
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        stop.send_replace(true);
        drop(open);
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, all_closed.recv()).await.is_err() {
            tracing::warn!("requests were still running when the server stopped");
        }
    }

    fn spawn(
        &self,
        place: Arc<Place>,
        stream: TcpStream,
        open: mpsc::Sender<()>,
        stop: watch::Receiver<bool>,
    ) {
        // Small answers must not wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let (local, config) = match self.speaks.clone() {
            Speaks::Plain => {
                tokio::spawn(async move {
                    connection(place, false, stream, stop).await;
                    drop(open);
                });
                return;
            }
            Speaks::Tls(config) => (None, config),
            Speaks::Local(Some((local, config))) => (Some(local), config),
            Speaks::Local(None) => return,
        };
        tokio::spawn(async move {
            let accept = accept(local, config, stream);
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, accept).await {
                Ok(Ok(Some(stream))) => connection(place, true, stream, stop).await,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake timed out"),
            }
            drop(open);
        });
    }
}

/// Answers the handshake of a client; one that does not begin any is told to.
async fn accept(
    local: Option<Arc<Local>>,
    config: Arc<rustls::ServerConfig>,
    stream: TcpStream,
) -> std::io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first[0].is_ascii_alphabetic() {
        // No handshake begins with a letter, and every request does.
        tell_plain(stream).await;
        return Ok(None);
    }
    if let Some(local) = local {
        local.prepare(stream.local_addr()?.ip(), clock::now());
    }
    TlsAcceptor::from(config).accept(stream).await.map(Some)
}

/// Tells a client that speaks plain HTTP that this port speaks TLS.
async fn tell_plain(stream: TcpStream) {
    let service = service_fn(async |_: Request<Incoming>| {
        let told = json!({ "__type": "PlainHttp", "message": PLAIN_HTTP, "error": PLAIN_HTTP });
        let kind = "application/x-amz-json-1.1";
        let answer = super::text(StatusCode::BAD_REQUEST, kind, told.to_string());
        Ok::<_, std::convert::Infallible>(answer)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a client that speaks no TLS left");
    }
}

/// Answers the requests of one connection; once `stop` is on, or places for connections are scarce, the one
/// in flight is its last.
pub(crate) async fn connection(
    place: Arc<Place>,
    secure: bool,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    mut stop: watch::Receiver<bool>,
) {
    let mut scarce = place.scarce.clone();
    let from = Connection { secure, peer: place.peer };
    let asked = Arc::new(Notify::new());
    let asks = Arc::clone(&asked);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let server = Arc::clone(&place.server);
        asks.notify_one();
        if request.headers().contains_key(header::UPGRADE) {
            request.extensions_mut().insert(Arc::clone(&place));
        }
        // Boxed: hyper keeps the place of the future for as long as the connection lives, and thousands of
        // connections are idle.
        Box::pin(async move {
            Ok::<_, std::convert::Infallible>(super::answer(server, from, request).await)
        })
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    let last_request = async {
        tokio::select! {
            biased;
            () = crate::stopped(&mut stop) => {}
            // A client that has just come has not asked for anything yet.
            () = async { asked.notified().await; on(&mut scarce).await } => {}
        }
    };
    let result = tokio::select! {
        biased;
        result = &mut serving => result,
        () = last_request => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

/// Completes when the switch is on.
async fn on(switch: &mut watch::Receiver<bool>) {
    if switch.wait_for(|on| *on).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::test_server;

    #[tokio::test]
    async fn connections_are_kept_until_places_are_scarce() {
        let server = test_server::server().await;
        let (stop, scarce) = (watch::Sender::new(false), watch::Sender::new(false));
        let (mut client, ours) = tokio::io::duplex(1024);
        let place = Place::of(&server, None, scarce.subscribe(), None);
        let serving = tokio::spawn(connection(place, false, ours, stop.subscribe()));
        let mut ask = async || {
            client.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await.ok()?;
            let mut answer = vec![0; 1024];
            let read = client.read(&mut answer).await.expect("an answer, or the end");
            let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
            answer.starts_with("HTTP/1.1 200").then_some(())
        };
        assert_eq!((ask().await, ask().await), (Some(()), Some(())));
        scarce.send_replace(true);
        serving.await.expect("the idle connection ends by itself");
        assert_eq!(ask().await, None);
    }

    #[tokio::test]
    async fn a_connection_made_while_places_are_scarce_has_one_request() {
        let server = test_server::server().await;
        let (stop, scarce) = (watch::Sender::new(false), watch::Sender::new(true));
        let (mut client, ours) = tokio::io::duplex(1024);
        let place = Place::of(&server, None, scarce.subscribe(), None);
        let serving = tokio::spawn(connection(place, false, ours, stop.subscribe()));
        // It waits for the request, which must not be taken for one that is idle.
        tokio::task::yield_now().await;
        client.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("written");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer, and then the end");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serving.await.expect("no panic");
    }
}
