//! A target as this node knows it: where it is, how it does, what is under way.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use longshore_domain::route::{HealthState, Probe, Target as Record};
use longshore_domain::time::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::health::Machine;
use crate::http::h2::Senders;
use crate::limits;
use crate::stats::Stats;
use crate::stream::Stream;

/// What names a target: group, id, port and address. With another address it is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TargetKey {
    pub(crate) group: Arc<str>,
    pub(crate) id: String,
    pub(crate) port: u16,
    pub(crate) address: Option<SocketAddr>,
}

/// A target. Lives as long as snapshots name it, or something is under way.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) key: TargetKey,
    /// Names it in cookies, and tells nothing about it.
    pub(crate) token: String,
    /// The same for hashing.
    pub(crate) hash: u64,
    /// Requests, or connections on layer 4.
    pub(crate) in_flight: AtomicU32,
    state: AtomicU8,
    /// Since when it has been healthy, in milliseconds.
    healthy_since: AtomicI64,
    /// When it was deregistered, in milliseconds; 0 while it is registered.
    deregistered_at: AtomicI64,
    refused: AtomicU32,
    ejected_until: AtomicI64,
    /// What its prober last found.
    pub(crate) found: Mutex<(Machine, Option<Probe>)>,
    /// Idle connections, by worker.
    idle: Box<[Mutex<Vec<Idle>>]>,
    /// Connections of HTTP/2, by worker.
    pub(crate) senders: Box<[Mutex<Senders>]>,
    pub(crate) stats: Stats,
    /// Told when a target that is deregistered has nothing under way any more.
    news: Arc<Notify>,
    /// Told when what is under way is to end.
    pub(crate) terminate: Notify,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

impl Target {
    pub(crate) fn new(key: TargetKey, record: &Record, workers: usize, news: Arc<Notify>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(key.group.as_bytes());
        hasher.update([0]);
        hasher.update(key.id.as_bytes());
        hasher.update(key.port.to_be_bytes());
        let digest = hasher.finalize();
        let mut hash = [0; 8];
        hash.copy_from_slice(&digest[..8]);
        let target = Self {
            key,
            token: hex::encode(&digest[..20]),
            hash: u64::from_be_bytes(hash),
            in_flight: AtomicU32::new(0),
            state: AtomicU8::new(0),
            healthy_since: AtomicI64::new(record.health.since.as_millis()),
            deregistered_at: AtomicI64::new(0),
            refused: AtomicU32::new(0),
            ejected_until: AtomicI64::new(0),
            found: Mutex::new((Machine::new(record.health.clone()), None)),
            idle: (0..workers).map(|_| Mutex::new(Vec::new())).collect(),
            senders: (0..workers).map(|_| Mutex::new(Senders::default())).collect(),
            stats: Stats::default(),
            news,
            terminate: Notify::new(),
        };
        target.set_state(record.health.state);
        target
    }

    /// Its health.
    pub(crate) fn state(&self) -> HealthState {
        match self.state.load(Relaxed) {
            1 => HealthState::Healthy,
            2 => HealthState::Unhealthy,
            3 => HealthState::Unavailable,
            _ => HealthState::Initial,
        }
    }

    fn set_state(&self, state: HealthState) {
        let number = match state {
            HealthState::Healthy => 1,
            HealthState::Unhealthy => 2,
            HealthState::Unavailable => 3,
            HealthState::Initial | HealthState::Unused | HealthState::Draining => 0,
        };
        self.state.store(number, Relaxed);
    }

    /// Takes over what a prober has found.
    pub(crate) fn found(&self, machine: Machine, probe: Option<Probe>) {
        self.set_state(machine.health.state);
        self.healthy_since.store(machine.health.since.as_millis(), Relaxed);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = (machine, probe);
    }

    /// Since when it has been in its state.
    pub(crate) fn since(&self) -> Timestamp {
        Timestamp::from_millis(self.healthy_since.load(Relaxed))
    }

    /// When it was deregistered.
    pub(crate) fn deregistered_at(&self) -> Option<Timestamp> {
        let at = self.deregistered_at.load(Relaxed);
        (at != 0).then(|| Timestamp::from_millis(at))
    }

    /// As the control plane says; a target may be registered again.
    pub(crate) fn set_deregistered(&self, at: Option<Timestamp>) {
        self.deregistered_at.store(at.map_or(0, Timestamp::as_millis), Relaxed);
    }

    /// Whether something new may go there.
    pub(crate) fn takes(&self) -> bool {
        self.key.address.is_some() && self.deregistered_at().is_none()
    }

    /// Whether it gets nothing for now because it refused connections.
    pub(crate) fn is_ejected(&self, now: Timestamp) -> bool {
        let until = self.ejected_until.load(Relaxed);
        until != 0 && now.as_millis() < until
    }

    /// A connection was refused.
    pub(crate) fn refused(&self, now: Timestamp) {
        self.stats.connect_errors.fetch_add(1, Relaxed);
        self.failed(now);
    }

    /// A new connection was refused, or ended without a byte: what stands before a container that has ended (a
    /// proxy on the host, such as Docker's) takes connections and closes them.
    pub(crate) fn failed(&self, now: Timestamp) {
        if self.refused.fetch_add(1, Relaxed) + 1 >= limits::REFUSALS {
            self.ejected_until.store((now + limits::EJECTED).as_millis(), Relaxed);
        }
    }

    /// A new connection came to something.
    pub(crate) fn accepted(&self) {
        if self.refused.load(Relaxed) != 0 {
            self.refused.store(0, Relaxed);
            self.ejected_until.store(0, Relaxed);
        }
    }

    /// An idle connection that still lives.
    pub(crate) fn take_idle(&self, worker: usize) -> Option<Stream> {
        let mut idle = self.idle.get(worker)?.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(last) = idle.pop() {
            if last.since.elapsed() < limits::IDLE_TARGET && last.stream.is_quiet() {
                return Some(last.stream);
            }
        }
        None
    }

    /// Keeps a connection that is ready for another request.
    pub(crate) fn keep(&self, worker: usize, stream: Stream) {
        if !self.takes() {
            return;
        }
        if let Some(idle) = self.idle.get(worker) {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < limits::IDLE_PER_TARGET {
                idle.push(Idle { stream, since: Instant::now() });
            }
        }
    }

    /// Closes connections that have been idle for long, or all of a target that takes nothing.
    pub(crate) fn sweep(&self) {
        let takes = self.takes();
        for idle in &self.idle {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|one| takes && one.since.elapsed() < limits::IDLE_TARGET);
        }
    }
}

/// Something under way at a target; ends when dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    /// The target.
    pub(crate) target: Arc<Target>,
}

impl Flight {
    /// One more.
    pub(crate) fn begin(target: Arc<Target>) -> Self {
        target.in_flight.fetch_add(1, Relaxed);
        Self { target }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let before = self.target.in_flight.fetch_sub(1, Relaxed);
        if before == 1 && self.target.deregistered_at().is_some() {
            self.target.news.notify_one();
        }
    }
}

/// The token of a group, for cookies.
pub(crate) fn group_token(arn: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"group");
    hasher.update(arn.as_bytes());
    hex::encode(&hasher.finalize()[..20])
}
