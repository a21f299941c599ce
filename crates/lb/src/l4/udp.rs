//! Datagrams: the datagrams of a client are a flow, which stays with its target.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use super::{group, target};
use crate::limits;
use crate::listeners::Slot;
use crate::node::Node;
use crate::table::Listening;
use crate::target::{Flight, Target};

/// A flow.
struct Flow {
    upstream: Arc<UdpSocket>,
    target: Arc<Target>,
    last: Arc<std::sync::Mutex<Instant>>,
    back: JoinHandle<()>,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.back.abort();
    }
}

fn touch(last: &std::sync::Mutex<Instant>) {
    *last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
}

fn age(last: &std::sync::Mutex<Instant>) -> std::time::Duration {
    last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed()
}

/// Serves datagrams until aborted.
pub(crate) async fn serve(_node: Arc<Node>, slot: Arc<Slot>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut flows: BTreeMap<SocketAddr, Flow> = BTreeMap::new();
    let mut datagram = vec![0; limits::DATAGRAM_BYTES];
    let mut sweep = interval(limits::FLOW_IDLE / 8);
    loop {
        tokio::select! {
            biased;
            _ = sweep.tick() => flows.retain(|_, flow| age(&flow.last) < limits::FLOW_IDLE),
            received = socket.recv_from(&mut datagram) => {
                // An error here is one of an earlier datagram.
                let Ok((len, client)) = received else { continue };
                let listening = slot.now();
                let lives = flows.get(&client).is_some_and(|flow| flow.target.takes());
                if !lives {
                    if flows.len() >= limits::FLOWS {
                        let oldest = flows.iter().max_by_key(|(_, flow)| age(&flow.last));
                        let oldest = oldest.map(|(client, _)| *client);
                        oldest.and_then(|client| flows.remove(&client));
                    }
                    match begin(&socket, &listening, client).await {
                        Some(flow) => flows.insert(client, flow),
                        None => flows.remove(&client),
                    };
                }
                if let Some(flow) = flows.get(&client) {
                    touch(&flow.last);
                    let _ = flow.upstream.send(&datagram[..len]).await;
                }
            }
        }
    }
}

/// A new flow.
async fn begin(socket: &Arc<UdpSocket>, listening: &Listening, client: SocketAddr) -> Option<Flow> {
    let group = group(listening)?;
    group.use_now();
    let target = target(&group, client, None)?;
    let address = target.key.address?;
    let any: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let upstream = Arc::new(UdpSocket::bind(any).await.ok()?);
    upstream.connect(address).await.ok()?;
    listening.balancer.stats.answered(0, std::time::Duration::ZERO);
    let last = Arc::new(std::sync::Mutex::new(Instant::now()));
    let flight = Flight::begin(Arc::clone(&target));
    let back = {
        let (upstream, socket, last) =
            (Arc::clone(&upstream), Arc::clone(socket), Arc::clone(&last));
        tokio::spawn(async move {
            let _flight = flight;
            let mut datagram = vec![0; limits::DATAGRAM_BYTES];
            loop {
                match upstream.recv(&mut datagram).await {
                    Ok(len) => {
                        touch(&last);
                        let _ = socket.send_to(&datagram[..len], client).await;
                    }
                    // The target's port is closed, which may pass.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
    };
    Some(Flow { upstream, target, last, back })
}
