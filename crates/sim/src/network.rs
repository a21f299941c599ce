//! The network: connections to servers that take time, stall and break.
//!
//! Bytes arrive in order or not at all, as TCP has it. A partition holds them back until it heals;
//! the end of a process breaks its connections.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use longshore_agent::network::{Network, Stream};
use longshore_server::{Detached, Duplex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;

use crate::life::Life;
use crate::world;

/// Bytes that a direction holds.
const BUFFER: usize = 64 * 1024;
/// After how long a connection attempt that nobody answers fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a message is on its way, in milliseconds.
const LATENCY_MS: std::ops::Range<u64> = 0..8;

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

/// The network of a run. Clones are the same network.
#[derive(Clone, Default)]
pub struct Net {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Servers that answer, by host.
    servers: BTreeMap<String, (Detached, Life)>,
    /// Nodes that are cut off, while the switch is on.
    cut_off: BTreeMap<String, watch::Sender<bool>>,
}

impl Net {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What answers at `host` from now on.
    pub fn set_server(&self, host: &str, server: Option<(Detached, Life)>) {
        let servers = &mut self.state().servers;
        match server {
            Some(server) => servers.insert(host.to_owned(), server),
            None => servers.remove(host),
        };
    }

    /// Cuts a node off, or heals the cut.
    pub fn set_cut_off(&self, node: &str, on: bool) {
        let mut state = self.state();
        state.cut_off.entry(node.to_owned()).or_default().send_replace(on);
    }

    /// Waits until the node is not cut off.
    pub async fn reachable(&self, node: &str) {
        let mut switch = self.state().cut_off.entry(node.to_owned()).or_default().subscribe();
        // The sender lives as long as the network.
        let _ = switch.wait_for(|cut_off| !cut_off).await;
    }

    /// The network as a process on `node` sees it.
    pub fn on(&self, node: &str, life: &Life) -> Leg {
        Leg { net: self.clone(), node: node.to_owned(), life: life.clone() }
    }

    async fn connect(self, node: String, life: Life, host: String) -> io::Result<DuplexStream> {
        life.step().await;
        tokio::time::sleep(world::millis(LATENCY_MS)).await;
        let reachable = async {
            self.reachable(&node).await;
            self.reachable(&host).await;
        };
        let reachable = tokio::time::timeout(CONNECT_TIMEOUT, reachable);
        reachable.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (server, of_server) = self.state().servers.get(&host).cloned().ok_or_else(refused)?;
        let (near, near_end) = duplex(BUFFER);
        let (far_end, far) = duplex(BUFFER);
        tokio::spawn(async move { server.serve(far).await });
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = life.ended() => {}
                () = of_server.ended() => {}
                () = relay(&self, [&node, &host], &of_server, near_end, far_end) => {}
            }
        });
        Ok(near)
    }
}

async fn relay(net: &Net, nodes: [&str; 2], server: &Life, near: DuplexStream, far: DuplexStream) {
    let (from_near, to_near) = split(near);
    let (from_far, to_far) = split(far);
    tokio::join!(
        carry(net, nodes, server, from_near, to_far),
        carry(net, nodes, server, from_far, to_near)
    );
}

async fn carry(
    net: &Net,
    nodes: [&str; 2],
    server: &Life,
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        tokio::time::sleep(world::millis(LATENCY_MS)).await;
        for node in nodes {
            net.reachable(node).await;
        }
        server.moves().await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown().await;
}

/// The network as one process sees it.
pub struct Leg {
    net: Net,
    node: String,
    life: Life,
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leg").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Leg {
    fn open(&self, host: String) -> BoxFuture<'static, io::Result<DuplexStream>> {
        Box::pin(self.net.clone().connect(self.node.clone(), self.life.clone(), host))
    }
}

impl Network for Leg {
    fn connect<'a>(&'a self, host: &'a str, _port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        let opening = self.open(host.to_owned());
        Box::pin(async move { opening.await.map(Stream::new) })
    }
}

impl longshore_server::Network for Leg {
    fn connect(&self, host: String, _: u16) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        let opening = self.open(host);
        Box::pin(async move { opening.await.map(|stream| Box::new(stream) as Box<dyn Duplex>) })
    }
}
