//! Services that scale to zero: when one goes to sleep, and what wakes it.
//!
//! A tag marks the service and says after what time without a request it is to sleep ([`TAG`]). To
//! sleep is to have the desired count 0; what it was before is remembered ([`Idle::count`]) and comes
//! back with the first request, which nodes of balancers hold meanwhile and report. So everything
//! that goes by the desired count, the API's answers and the deployments among it, needs to know
//! nothing of this.
//!
//! When a service was last used is in its record, but not to the second: a report is written down
//! only when it moves that time by a [grain](Marked::grain). The deadline allows for that, and for
//! the time between two reports, so that no service goes to sleep too early.
//!
//! What it leaves out: to hold requests (`longshore lb`), and to start and stop tasks ([`deploy`]).
//!
//! [`deploy`]: crate::deploy

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use crate::ids::{EventId, IdSource};
use crate::record::{
    DeploymentController, Idle, IdleState, Obstacle, RolloutState, SchedulingStrategy, Service,
    ServiceEvent, ServiceStatus, Tags,
};
use crate::time::Timestamp;

/// The tag that marks a service; its value is the time without requests.
pub const TAG: &str = "longshore:scale-to-zero";
/// The tag that says how long a request may wait for a task.
pub const HOLD_TAG: &str = "longshore:scale-to-zero-hold";
/// How long a request may wait unless the service says otherwise: as long as ALB's idle timeout.
pub const HOLD: Duration = Duration::from_secs(60);
/// Requests that may wait at each node.
pub const QUEUE: u32 = 1024;
/// The shortest and the longest time without requests.
const AFTER: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30 * 24 * 3600)];
/// The shortest and the longest time that a request waits.
const HOLDS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];
/// Nodes of balancers report no more rarely than this.
const REPORT: Duration = Duration::from_secs(10);

/// How a service is to scale to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Time without requests after which it sleeps.
    pub after: Duration,
    /// How long a request may wait for a task.
    pub hold: Duration,
}

impl Marked {
    /// What tags say; `None` where a service does not scale to zero.
    pub fn of(tags: &Tags) -> Option<Self> {
        let after = time(tags.get(TAG)?, AFTER)?;
        let hold = tags.get(HOLD_TAG).and_then(|text| time(text, HOLDS)).unwrap_or(HOLD);
        Some(Self { after, hold })
    }

    /// By how much the time of last use moves when it is written down.
    fn grain(self) -> Duration {
        (self.after / 4).min(Duration::from_secs(300))
    }

    /// When a service sleeps that was last seen to be used at some time.
    fn due(self, used_at: Timestamp) -> Timestamp {
        used_at + self.after + self.grain() + REPORT
    }
}

/// Why a tag that means something here cannot be taken.
pub fn refusal(key: &str, value: &str) -> Option<String> {
    let bounds = match key {
        TAG => AFTER,
        HOLD_TAG => HOLDS,
        _ => return None,
    };
    let [least, most] = bounds.map(|bound| bound.as_secs());
    time(value, bounds).is_none().then(|| {
        format!(
            "Tag '{key}' must be a time between {least} and {most} seconds, such as 90s, 15m, 2h \
             or 1d; it is '{value}'."
        )
    })
}

/// A time such as `90s`, `15m`, `2h` or `1d`; a number alone counts seconds.
fn time(text: &str, [least, most]: [Duration; 2]) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    let number: u64 = Some(digits).filter(|d| d.len() < 10)?.parse().ok()?;
    let time = Duration::from_secs(number.checked_mul(unit)?);
    (least <= time && time <= most).then_some(time)
}

/// Everything that a decision reads.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The service.
    pub service: &'a Service,
    /// Whether one of its target groups takes datagrams.
    pub takes_datagrams: bool,
    /// Whether a node of balancers is there: else nobody knows of requests.
    pub is_watched: bool,
    /// Now.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The service as it becomes.
    pub service: Option<Service>,
    /// What is told of it.
    pub event: Option<ServiceEvent>,
    /// When to look again although nothing has changed.
    pub next: Option<Timestamp>,
}

impl Plan {
    fn of(service: Service) -> Self {
        Self { service: Some(service), ..Self::default() }
    }

    fn telling(service: Service, text: &str, now: Timestamp, ids: &mut dyn IdSource) -> Self {
        let event = ServiceEvent {
            scope: service.scope.clone(),
            cluster: service.cluster.clone(),
            service: service.name.clone(),
            id: EventId::fresh(ids),
            created_at: now,
            message: format!("(service {}) {text}", service.name),
            action: None,
        };
        Self { service: Some(service), event: Some(event), next: None }
    }
}

/// Decides whether a service sleeps.
pub fn plan(situation: &Situation<'_>, ids: &mut dyn IdSource) -> Plan {
    let Situation { service, now, .. } = *situation;
    if service.status != ServiceStatus::Active {
        return Plan::default();
    }
    let marked = Marked::of(&service.tags);
    let obstacle = obstacle(situation);
    match (marked, obstacle, service.idle) {
        (None, _, None) => Plan::default(),
        (None, _, Some(_)) => {
            let mut next = restored(service);
            next.idle = None;
            if next.desired_count == service.desired_count {
                return Plan::of(next);
            }
            let count = next.desired_count;
            let text = format!("does not scale to zero any more: desired count {count}.");
            Plan::telling(next, &text, now, ids)
        }
        (Some(_), Some(obstacle), idle) => {
            let state = IdleState::Unable(obstacle);
            if idle.is_some_and(|idle| idle.state == state) {
                return Plan::default();
            }
            let mut next = restored(service);
            next.idle = Some(Idle { used_at: now, count: next.desired_count, state });
            let text = format!("is tagged {TAG}, but cannot scale to zero: {}.", why(obstacle));
            Plan::telling(next, &text, now, ids)
        }
        (Some(marked), None, idle) => able(situation, marked, idle, ids),
    }
}

/// Decides for a service that can sleep.
fn able(
    situation: &Situation<'_>,
    marked: Marked,
    idle: Option<Idle>,
    ids: &mut dyn IdSource,
) -> Plan {
    let Situation { service, now, .. } = *situation;
    let known = idle.filter(|idle| !matches!(idle.state, IdleState::Unable(_)));
    let Some(idle) = known else {
        return Plan::of(Service { idle: Some(fresh(service, now)), ..service.clone() });
    };
    let desired = service.desired_count;
    let becomes = |idle| Plan::of(Service { idle: Some(idle), ..service.clone() });
    match idle.state {
        IdleState::Awake if desired == 0 => {
            becomes(Idle { state: IdleState::Emptied(now), ..idle })
        }
        // Somebody has changed it, and wants to see something of it.
        IdleState::Awake if desired == idle.count => sleep(situation, marked, idle, ids),
        IdleState::Asleep(_) | IdleState::Emptied(_) if desired == 0 => Plan::default(),
        _ => becomes(fresh(service, now)),
    }
}

/// Lets a service sleep that was not used for long.
fn sleep(situation: &Situation<'_>, marked: Marked, idle: Idle, ids: &mut dyn IdSource) -> Plan {
    let Situation { service, now, .. } = *situation;
    // Without tasks a deployment would be completed that nobody has seen work.
    let [deployment] = service.deployments.as_slice() else { return Plan::default() };
    if deployment.rollout == RolloutState::InProgress || !situation.is_watched {
        return Plan::default();
    }
    let due = marked.due(idle.used_at.max(deployment.updated_at));
    if now < due {
        return Plan { next: Some(due), ..Plan::default() };
    }
    let text = format!(
        "has had no request for {} seconds and scales to zero: desired count 0 instead of {}.",
        marked.after.as_secs(),
        idle.count
    );
    let state = IdleState::Asleep(now);
    let idle = Some(Idle { state, ..idle });
    Plan::telling(Service { desired_count: 0, idle, ..service.clone() }, &text, now, ids)
}

/// What nodes of balancers say about the target groups of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When the last request came.
    pub used_at: Timestamp,
    /// Whether requests wait because there is no target.
    pub is_wanted: bool,
}

/// Takes in what nodes say: a service that sleeps wakes, and one that does not stays awake.
pub fn heard(service: &Service, heard: Heard, now: Timestamp, ids: &mut dyn IdSource) -> Plan {
    let Some(marked) = Marked::of(&service.tags) else { return Plan::default() };
    if service.status != ServiceStatus::Active {
        return Plan::default();
    }
    let idle = service.idle.unwrap_or_else(|| fresh(service, now));
    match idle.state {
        IdleState::Unable(_) => Plan::default(),
        // Whether or not anybody has noted yet that it is at zero.
        _ if service.desired_count == 0 => {
            if !heard.is_wanted {
                return Plan::default();
            }
            let count = idle.count.max(1);
            let idle = Some(Idle { used_at: now, count, state: IdleState::Awake });
            let text = format!("is woken by a request: desired count {count} instead of 0.");
            let next = Service { desired_count: count, idle, ..service.clone() };
            Plan::telling(next, &text, now, ids)
        }
        IdleState::Awake | IdleState::Asleep(_) | IdleState::Emptied(_) => {
            let used_at = heard.used_at.min(now);
            if used_at < idle.used_at + marked.grain() {
                return Plan::default();
            }
            Plan::of(Service { idle: Some(Idle { used_at, ..idle }), ..service.clone() })
        }
    }
}

/// Since when a service sleeps, and how many tasks wake it up.
pub fn asleep(service: &Service) -> Option<(Timestamp, u32)> {
    let idle = service.idle.filter(|_| service.desired_count == 0)?;
    match idle.state {
        IdleState::Asleep(since) | IdleState::Emptied(since) => Some((since, idle.count.max(1))),
        IdleState::Awake | IdleState::Unable(_) => None,
    }
}

/// The desired count that somebody has given a service, whether it sleeps or not.
pub fn given_count(service: &Service) -> u32 {
    match service.idle {
        Some(Idle { state: IdleState::Asleep(_), count, .. }) if service.desired_count == 0 => {
            count
        }
        _ => service.desired_count,
    }
}

/// The ARNs of all target groups of a service, some more than once.
pub fn target_groups(service: &Service) -> impl Iterator<Item = &str> {
    let of_deployments = service.deployments.iter().flat_map(|d| &d.balancers);
    service.balancers.iter().chain(of_deployments).map(|b| b.target_group.as_str())
}

/// What is known of a service that is looked at for the first time.
fn fresh(service: &Service, now: Timestamp) -> Idle {
    let count = service.desired_count;
    let state = if count == 0 { IdleState::Emptied(now) } else { IdleState::Awake };
    Idle { used_at: now, count, state }
}

/// A service that does not sleep any more; what somebody has emptied stays empty.
fn restored(service: &Service) -> Service {
    Service { desired_count: given_count(service), ..service.clone() }
}

fn obstacle(situation: &Situation<'_>) -> Option<Obstacle> {
    let service = situation.service;
    if service.scheduling_strategy == SchedulingStrategy::Daemon {
        Some(Obstacle::Daemon)
    } else if service.controller == DeploymentController::External {
        Some(Obstacle::External)
    } else if target_groups(service).next().is_none() {
        Some(Obstacle::NoBalancer)
    } else if situation.takes_datagrams {
        Some(Obstacle::Datagrams)
    } else {
        None
    }
}

fn why(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Daemon => "the DAEMON strategy has no desired count",
        Obstacle::External => "its deployment controller is EXTERNAL",
        Obstacle::NoBalancer => "it has no load balancer that could hold a request",
        Obstacle::Datagrams => "a target group of it takes UDP, which cannot be held",
    }
}
