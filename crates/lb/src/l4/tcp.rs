//! Connections of TCP, with TLS ended here where the listener says so.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;
use std::time::Duration;

use longshore_domain::route::{HealthState, Protocol};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, sleep_until, timeout};

use super::{group, proxy_protocol, target};
use crate::alarm::Alarm;
use crate::connect::connect;
use crate::group::Group;
use crate::http::{Body, Pump};
use crate::node::{Counted, Node};
use crate::stream::Stream;
use crate::table::Listening;
use crate::target::{Flight, Target};
use crate::{clock, hold};

/// Time after which a target that listens will not stop to, as it may that has just been started.
const SETTLED: Duration = Duration::from_secs(5);

fn active(node: &Node) -> &AtomicUsize {
    &node.active
}

/// Serves a connection until either side ends it.
pub(crate) async fn serve(
    node: Arc<Node>,
    listening: Arc<Listening>,
    client: SocketAddr,
    mut stream: Stream,
) {
    let _active = Counted::new(&node, active);
    let began = Instant::now();
    let Some(mut group) = group(&listening) else { return };
    group.use_now();
    let hold_until = hold::deadline(&group);
    let (mut upstream, flight) = loop {
        if let Some(until) = hold_until.filter(|_| !group.has_target()) {
            match hold::target(&node, &listening, &group, until).await {
                Some(newest) => group = newest,
                None => return,
            }
        }
        if let Some(opened) = open(&group, client).await {
            break opened;
        }
        // What has only just been started may not listen yet.
        let Some(until) = hold_until else { return };
        let next = Instant::now() + hold::PAUSE;
        if next >= until {
            return;
        }
        sleep_until(next).await;
    };
    if group.record.attributes.proxy_protocol_v2 {
        let here = match &stream {
            Stream::Plain(tcp) => tcp.local_addr(),
            Stream::Tls(tls) => tls.get_ref().0.local_addr(),
        };
        let Ok(here) = here else { return };
        if upstream.put_all(&proxy_protocol::header(client, here)).await.is_err() {
            return;
        }
    }
    let idle = Duration::from_secs(listening.record.attributes.tcp_idle_s.into());
    both_ways(&mut stream, &mut upstream, &flight.target, idle).await;
    listening.balancer.stats.answered(0, began.elapsed());
    flight.target.stats.answered(0, began.elapsed());
}

/// A connection to the client's target, or to another one if that refuses.
async fn open(group: &Group, client: SocketAddr) -> Option<(Stream, Flight)> {
    let tls = group.record.protocol == Protocol::Tls;
    let mut tried = None;
    for _ in 0..2 {
        let target: Arc<Target> = target(group, client, tried.as_ref())?;
        let flight = Flight::begin(Arc::clone(&target));
        let connected = connect(target.key.address?, tls, false).await;
        let started = group.record.on_demand.is_some()
            && (target.state() == HealthState::Initial
                || clock::now().saturating_since(target.since()) < SETTLED);
        match connected {
            Ok(stream) if !started || stays(&stream).await => {
                target.accepted();
                return Some((stream, flight));
            }
            // It is expected to be there in a moment, and must not be passed over then.
            _ if started => {}
            _ => target.refused(clock::now()),
        }
        tried = Some(target);
    }
    None
}

/// Whether a target that has just been started keeps a connection: Docker's proxy takes it before the container
/// listens, and closes it at once.
async fn stays(stream: &Stream) -> bool {
    let Stream::Plain(tcp) = stream else { return true };
    let looked = timeout(hold::PAUSE, tcp.peek(&mut [0])).await;
    !matches!(looked, Ok(Ok(0) | Err(_)))
}

/// Moves bytes until both sides have said that they are done, or one is gone.
async fn both_ways(client: &mut Stream, upstream: &mut Stream, target: &Target, idle: Duration) {
    let close = || Pump::new(Body::Close { over: false });
    let (mut there, mut back) = (close(), close());
    // Whether a direction is over, and its end has been passed on.
    let mut over = [false; 2];
    let mut seen = (0, 0);
    let mut alarm = Alarm::default();
    let mut deadline = Instant::now() + idle;
    let mut ended = std::pin::pin!(target.terminate.notified());
    std::future::poll_fn(|cx| {
        for (at, over) in over.iter_mut().enumerate().filter(|(_, over)| !**over) {
            let (pump, from, to) = if at == 0 {
                (&mut there, &mut *client, &mut *upstream)
            } else {
                (&mut back, &mut *upstream, &mut *client)
            };
            match pump.poll(cx, from, to) {
                Poll::Ready(Ok(())) => {
                    *over = Pin::new(to).poll_shutdown(cx).is_ready();
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        if over == [true; 2] || Future::poll(ended.as_mut(), cx).is_ready() {
            return Poll::Ready(());
        }
        if seen != (there.moved, back.moved) {
            seen = (there.moved, back.moved);
            deadline = Instant::now() + idle;
        }
        alarm.poll(cx, deadline)
    })
    .await;
}
