//! Sockets that are listened on: opened and closed as the table says, connections untouched.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::http::{h1, h2};
use crate::node::{Counted, Node};
use crate::stream::Stream;
use crate::table::{Listening, SocketKey, Table};
use crate::{l4, limits};

/// Connections that may wait to be accepted; the kernel's own limit is lower on most machines.
const BACKLOG: i32 = 16_384;

/// What is served on a socket; connections look here at each request.
#[derive(Debug)]
pub(crate) struct Slot {
    now: ArcSwap<Listening>,
    gone: AtomicBool,
}

impl Slot {
    /// The listener as the newest table has it.
    pub(crate) fn now(&self) -> Arc<Listening> {
        self.now.load_full()
    }

    /// Whether the listener is no more; connections end after what is under way.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
}

/// The sockets by what they are bound to, for whoever takes over.
pub(crate) type Sockets = Arc<Mutex<BTreeMap<SocketKey, OwnedFd>>>;

/// The open listeners.
pub(crate) struct Listeners {
    node: Arc<Node>,
    open: BTreeMap<SocketKey, (Arc<Slot>, JoinHandle<()>)>,
    pub(crate) sockets: Sockets,
    /// From the process before, not yet used.
    pub(crate) inherited: BTreeMap<SocketKey, OwnedFd>,
}

impl Listeners {
    pub(crate) fn new(node: Arc<Node>, inherited: BTreeMap<SocketKey, OwnedFd>) -> Self {
        Self { node, open: BTreeMap::new(), sockets: Sockets::default(), inherited }
    }

    /// Does what the table says. What cannot be opened is noted, and tried again at the next call.
    pub(crate) fn apply(&mut self, table: &Table) {
        let node = Arc::clone(&self.node);
        let sockets = Arc::clone(&self.sockets);
        self.open.retain(|key, (slot, task)| {
            let stays = table.listeners.contains_key(key);
            if !stays {
                slot.gone.store(true, Relaxed);
                task.abort();
                sockets.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
            }
            stays
        });
        let mut failed = BTreeMap::new();
        for (key, listening) in &table.listeners {
            if let Some((slot, _)) = self.open.get(key) {
                slot.now.store(Arc::clone(listening));
                continue;
            }
            match self.open(*key, listening) {
                Ok(opened) => {
                    self.open.insert(*key, opened);
                }
                Err(error) => {
                    let why = format!("cannot listen on {}: {error}", key.address);
                    failed.insert(*key, (listening.record.arn.clone(), why));
                }
            }
        }
        let mut unopened = node.unopened.lock().unwrap_or_else(PoisonError::into_inner);
        if *unopened != failed {
            for (arn, why) in failed.values() {
                tracing::warn!(listener = arn, why, "a listener is not open");
            }
            *unopened = failed;
            node.news.notify_one();
        }
    }

    fn open(
        &mut self,
        key: SocketKey,
        listening: &Arc<Listening>,
    ) -> io::Result<(Arc<Slot>, JoinHandle<()>)> {
        let socket = match self.inherited.remove(&key) {
            Some(fd) => Socket::from(fd),
            None => bind(key)?,
        };
        socket.set_nonblocking(true)?;
        let kept: OwnedFd = socket.try_clone()?.into();
        let slot = Arc::new(Slot {
            now: ArcSwap::new(Arc::clone(listening)),
            gone: AtomicBool::new(false),
        });
        let node = Arc::clone(&self.node);
        let task = if key.udp {
            let udp = tokio::net::UdpSocket::from_std(socket.into())?;
            tokio::spawn(l4::udp::serve(node, Arc::clone(&slot), udp))
        } else {
            let tcp = TcpListener::from_std(socket.into())?;
            tokio::spawn(accept(node, Arc::clone(&slot), tcp))
        };
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).insert(key, kept);
        Ok((slot, task))
    }

    /// Accepts nothing more; what waits in the kernel is another process's, if it has the sockets.
    pub(crate) fn close(&mut self) {
        for (_, (_, task)) in std::mem::take(&mut self.open) {
            task.abort();
        }
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn bind(key: SocketKey) -> io::Result<Socket> {
    let domain = Domain::for_address(key.address);
    let (kind, protocol) =
        if key.udp { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    if key.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if key.udp {
        // Room for a burst while flows are made.
        let _ = socket.set_recv_buffer_size(1024 * 1024);
    } else {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&key.address.into())?;
    if !key.udp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// Accepts connections, and deals them to the workers.
async fn accept(node: Arc<Node>, slot: Arc<Slot>, socket: TcpListener) {
    loop {
        // A worker has its own reactor, so the connection moves there as a plain descriptor.
        let accepted = socket.accept().await;
        let accepted = accepted.and_then(|(stream, client)| Ok((stream.into_std()?, client)));
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                // Out of descriptors: some will come free.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                continue;
            }
        };
        if node.connections.load(Relaxed) >= limits::CONNECTIONS {
            continue;
        }
        let worker = node.next_worker();
        let Some(handle) = node.workers.get(worker) else { return };
        let (node, slot) = (Arc::clone(&node), Arc::clone(&slot));
        handle.spawn(serve(node, slot, worker, stream, client));
    }
}

fn connections(node: &Node) -> &std::sync::atomic::AtomicUsize {
    &node.connections
}

/// Serves a connection.
async fn serve(
    node: Arc<Node>,
    slot: Arc<Slot>,
    worker: usize,
    stream: std::net::TcpStream,
    client: SocketAddr,
) {
    let _counted = Counted::new(&node, connections);
    let Ok(tcp) = TcpStream::from_std(stream) else { return };
    let _ = tcp.set_nodelay(true);
    let listening = slot.now();
    // All but plain HTTP is boxed, so that a connection of that takes no room for the others.
    if let Some(config) = listening.tls.clone() {
        Box::pin(serve_tls(node, slot, worker, client, tcp, config)).await;
    } else if listening.is_http() {
        drop(listening);
        h1::Session::new(node, slot, worker, client, Stream::Plain(tcp), None).run().await;
    } else {
        Box::pin(l4::tcp::serve(node, listening, client, Stream::Plain(tcp))).await;
    }
}

/// Serves a connection with TLS.
async fn serve_tls(
    node: Arc<Node>,
    slot: Arc<Slot>,
    worker: usize,
    client: SocketAddr,
    tcp: TcpStream,
    config: Arc<rustls::ServerConfig>,
) {
    let listening = slot.now();
    let accepting = Box::pin(TlsAcceptor::from(config).accept(tcp));
    let Ok(Ok(tls)) = timeout(limits::HANDSHAKE, accepting).await else { return };
    let said = said(tls.get_ref().1);
    let two = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = Stream::Tls(Box::new(TlsStream::Server(tls)));
    if !listening.is_http() {
        Box::pin(l4::tcp::serve(node, listening, client, stream)).await;
    } else if two {
        let connection = h2::Connection { node, slot, worker, client, tls: Some(said) };
        Box::pin(h2::serve(connection, stream)).await;
    } else {
        drop(listening);
        h1::Session::new(node, slot, worker, client, stream, Some(said)).run().await;
    }
}

/// Version and cipher suite of a connection.
fn said(connection: &rustls::ServerConnection) -> (&'static str, &'static str) {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    (version, suite.unwrap_or("-"))
}
