//! A target group: which of its targets takes what comes next.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwap;
use longshore_domain::route::{HealthState, Stickiness, TargetGroup};
use longshore_domain::time::Timestamp;
use tokio::sync::Notify;

use crate::clock;
use crate::select::{self, Chance};
use crate::target::{Target, TargetKey, group_token};

/// A target group.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its record, without targets.
    pub(crate) record: TargetGroup,
    /// Names it in cookies.
    pub(crate) token: String,
    pub(crate) targets: Vec<Arc<Target>>,
    /// Those that get requests, as positions in `targets`; made anew when a state changes.
    eligible: ArcSwap<Eligible>,
    /// What goes on from table to table.
    pub(crate) live: Arc<Live>,
}

/// What a group keeps when its record changes.
#[derive(Debug, Default)]
pub(crate) struct Live {
    turn: AtomicUsize,
    /// Requests that wait for a target.
    pub(crate) waiting: AtomicU32,
    /// Told when a target may take requests that wait.
    pub(crate) ready: Notify,
    /// When the last request for it came, in milliseconds.
    pub(crate) used: AtomicI64,
}

#[derive(Debug, Default)]
struct Eligible {
    positions: Vec<usize>,
    /// Some are warming up, until then.
    warming_until: Option<Timestamp>,
    /// No target is well; these get requests all the same.
    open: bool,
}

impl Group {
    pub(crate) fn new(
        record: &TargetGroup,
        old: Option<&Self>,
        known: &BTreeMap<&TargetKey, &Arc<Target>>,
        workers: usize,
        news: &Arc<Notify>,
    ) -> Self {
        let arn: Arc<str> = record.arn.as_str().into();
        let targets = record.targets.iter().map(|one| {
            let key = TargetKey {
                group: Arc::clone(&arn),
                id: one.id.clone(),
                port: one.port,
                address: one.address,
            };
            let target = known.get(&key).map_or_else(
                || Arc::new(Target::new(key.clone(), one, workers, Arc::clone(news))),
                |known| Arc::clone(known),
            );
            target.set_deregistered(one.deregistered_at);
            target
        });
        let targets: Vec<_> = targets.collect();
        let group = Self {
            token: group_token(&record.arn),
            targets,
            eligible: ArcSwap::default(),
            live: old.map_or_else(Arc::default, |old| Arc::clone(&old.live)),
            record: TargetGroup { targets: Vec::new(), ..record.clone() },
        };
        group.look_again();
        group
    }

    /// Makes anew which targets get requests.
    pub(crate) fn look_again(&self) {
        let at = |wanted: &[HealthState]| -> Vec<usize> {
            let all = self.targets.iter().enumerate();
            all.filter(|(_, target)| target.takes() && wanted.contains(&target.state()))
                .map(|(at, _)| at)
                .collect()
        };
        let mut open = false;
        let mut positions = at(&[HealthState::Healthy, HealthState::Unavailable]);
        if positions.is_empty() {
            positions = at(&[HealthState::Initial]);
            if positions.is_empty() {
                // Nobody is well: ALB lets requests through to all.
                positions = at(&[HealthState::Unhealthy]);
                open = true;
            }
        }
        let slow = self.record.attributes.slow_start_s;
        // When all are new there is nobody to spare them for.
        let warming_until = (slow > 0)
            .then(|| {
                let ends = positions.iter().map(|at| {
                    self.targets[*at].since() + std::time::Duration::from_secs(slow.into())
                });
                ends.max()
            })
            .flatten();
        let usable = !open && !positions.is_empty();
        self.eligible.store(Arc::new(Eligible { positions, warming_until, open }));
        if usable {
            self.live.ready.notify_waiters();
        }
    }

    /// Whether a target is well, or may soon be.
    pub(crate) fn has_target(&self) -> bool {
        let eligible = self.eligible.load();
        !eligible.open && !eligible.positions.is_empty()
    }

    /// The target with a cookie's token, if it gets requests.
    pub(crate) fn by_token(&self, token: &str) -> Option<Arc<Target>> {
        let eligible = self.eligible.load();
        let mut targets = eligible.positions.iter().map(|at| &self.targets[*at]);
        targets.find(|target| target.token == token).map(Arc::clone)
    }

    /// The target that comes next; not `tried`, unless there is no other.
    pub(crate) fn next(&self, tried: Option<&Arc<Target>>) -> Option<Arc<Target>> {
        let eligible = self.eligible.load();
        let positions = &eligible.positions;
        let now = clock::now();
        let warming = eligible.warming_until.is_some_and(|until| now < until);
        let attributes = &self.record.attributes;
        let mut chosen = None;
        // An ejected target is passed over as long as another can be found.
        for _ in 0..positions.len().min(8) {
            let turn = self.live.turn.fetch_add(1, Relaxed);
            let at = |at: usize| &self.targets[positions[at]];
            let position = select::choose(
                attributes.algorithm,
                positions.len(),
                warming,
                |i| select::ramp(at(i).since(), attributes.slow_start_s, now),
                |i| {
                    let passed =
                        at(i).is_ejected(now) || tried.is_some_and(|t| Arc::ptr_eq(t, at(i)));
                    if passed { u32::MAX } else { at(i).in_flight.load(Relaxed) }
                },
                Chance { turn, random: clock::random() },
            )?;
            let target = at(position);
            let again = tried.is_some_and(|tried| Arc::ptr_eq(tried, target));
            if !again && !target.is_ejected(now) {
                return Some(Arc::clone(target));
            }
            if !again || chosen.is_none() {
                chosen = Some(Arc::clone(target));
            }
        }
        chosen
    }

    /// The target of a client, by its address and, unless clients are to stay, its port.
    pub(crate) fn by_client(&self, ip: IpAddr, port: u16) -> Option<Arc<Target>> {
        let sticky = self.record.attributes.stickiness == Some(Stickiness::SourceIp);
        let bits = match ip {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => {
                let all = u128::from(v6);
                #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed")]
                let mixed = (all >> 64) as u64 ^ all as u64;
                mixed
            }
        };
        let port = if sticky { 0 } else { u64::from(port) };
        let eligible = self.eligible.load();
        let tokens = eligible.positions.iter().map(|at| self.targets[*at].hash);
        let position = select::by_hash(bits ^ port.rotate_left(48), tokens)?;
        Some(Arc::clone(&self.targets[eligible.positions[position]]))
    }

    /// Milliseconds since something was under way, as far as it is known: a request that lasts is use
    /// all the time. `None` where there never was anything.
    pub(crate) fn unused_for(&self) -> Option<u64> {
        let waits = self.live.waiting.load(Relaxed) > 0;
        if waits || self.targets.iter().any(|target| target.in_flight.load(Relaxed) > 0) {
            self.use_now();
        }
        let at = self.live.used.load(Relaxed);
        (at != 0).then(|| u64::try_from(clock::now().as_millis() - at).unwrap_or(0))
    }

    /// Notes that a request came.
    pub(crate) fn use_now(&self) {
        if self.record.on_demand.is_some() {
            self.live.used.store(clock::now().as_millis(), Relaxed);
        }
    }
}
