//! Tasks as targets of balancers: whether a service can go on with them.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Situation;
use super::buckets::{Buckets, Condition};
use super::draft::Draft;
use crate::ids::TaskId;
use crate::record::{Cause, Service, ServiceBalancer, Task};
use crate::route::{Health, HealthState, Probe};
use crate::time::Timestamp;

/// What the balancers know of a task in one target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOf {
    /// ARN of the target group.
    pub target_group: String,
    /// Port, as it was registered.
    pub port: u16,
    /// How it does there.
    pub health: Health,
    /// How it was asked when that was found out.
    pub probe: Option<Probe>,
    /// Whether it was deregistered.
    pub is_leaving: bool,
    /// How long what is under way may take once it is deregistered.
    pub deregistration_delay: Duration,
    /// How long it takes until it gets its full share of requests.
    pub slow_start: Duration,
}

/// The targets of each task.
pub type Targets = BTreeMap<TaskId, Vec<TargetOf>>;

/// How a task does in all of its target groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// It is no target, and is not to be one.
    Alone,
    /// Not a healthy target everywhere yet, or not healthy while that may still be.
    Waiting,
    /// Healthy everywhere, with its full share of requests from then on.
    Healthy(Timestamp),
    /// Not healthy in this group.
    Unhealthy(&'a str),
}

/// How a running task does as a target.
pub(crate) fn standing<'a>(situation: &Situation<'a>, task: &Task) -> Standing<'a> {
    let wanted = balancers_of(situation.service, task);
    if wanted.is_empty() {
        return Standing::Alone;
    }
    let targets = situation.targets.get(&task.id).map(Vec::as_slice).unwrap_or_default();
    let bad = targets.iter().find(|target| target.health.state == HealthState::Unhealthy);
    if let Some(bad) = bad.filter(|_| grace_ends(situation.service, task) <= situation.now) {
        return Standing::Unhealthy(&bad.target_group);
    }
    let mut full_at = Timestamp::default();
    for balancer in wanted {
        let found = targets.iter().find(|target| target.target_group == balancer.target_group);
        // A group without listener, or whose checks are off, has nothing against it.
        match found.map(|target| (target, target.health.state)) {
            Some((target, HealthState::Healthy)) => {
                full_at = full_at.max(target.health.since + target.slow_start);
            }
            Some((_, HealthState::Unused | HealthState::Unavailable)) => {}
            _ => return Standing::Waiting,
        }
    }
    Standing::Healthy(full_at)
}

/// Where a task is to be a target: as its deployment or its task set says.
pub(crate) fn balancers_of<'s>(service: &'s Service, task: &Task) -> &'s [ServiceBalancer] {
    let own = |label: String| task.started_by.as_ref() == Some(&label);
    let of_sets = service.task_sets.iter().map(|set| &set.deployment);
    let mut deployments = service.deployments.iter().chain(of_sets);
    let deployment = deployments.find(|deployment| own(deployment.label()));
    deployment.map(|deployment| deployment.balancers.as_slice()).unwrap_or_default()
}

/// When health checks of balancers begin to matter.
pub(super) fn grace_ends(service: &Service, task: &Task) -> Timestamp {
    let seconds = u64::from(service.health_check_grace_period_s.unwrap_or(0));
    task.observed.started_at.unwrap_or(task.created_at) + Duration::from_secs(seconds)
}

/// Until when a task that stops now may finish what balancers have sent it.
pub(super) fn drains_until(situation: &Situation<'_>, task: &Task) -> Option<Timestamp> {
    let delays = situation.targets.get(&task.id)?.iter().map(|target| target.deregistration_delay);
    delays.max().map(|delay| situation.now + delay)
}

/// Tells of the tasks that are not healthy in a target group.
pub(super) fn tell(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    for live in buckets.live.iter().filter(|live| live.condition == Condition::Unhealthy) {
        let targets = draft.situation.targets.get(&live.task.id).into_iter().flatten();
        for target in targets.filter(|target| target.health.state == HealthState::Unhealthy) {
            let detail = format!("{}:{}:{}", live.task.id, target.port, target.target_group);
            let message = draft.subject.target_unhealthy(live.task.id, target);
            draft.conditions.push((Cause::TargetUnhealthy, detail, message));
        }
    }
}
