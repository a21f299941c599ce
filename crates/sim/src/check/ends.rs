//! What must come to an end: broken deployments and deletions.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_domain::ids::TaskId;
use longshore_domain::record::{
    Cause, DesiredStatus, InstanceStatus, RolloutState, SchedulingStrategy, ServiceStatus, Task,
};

use super::{Checker, End, Step, instance_of};
use crate::images;
use crate::world;

/// How long the circuit breaker of a small service takes at most, with all its pauses.
const BREAKER_TIME: Duration = Duration::from_secs(180);
/// How long a stop takes at most: the longest stop timeout, and some tries.
const STOP_TIME: Duration = Duration::from_secs(120);

/// A deployment that cannot succeed is failed by its circuit breaker.
#[derive(Default)]
pub(super) struct Breaker {
    /// When each deployment was first seen with a task that failed, since the run began.
    failing: BTreeMap<u64, Duration>,
}

impl Checker for Breaker {
    fn name(&self) -> &'static str {
        "the circuit breaker ends what is hopeless"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        for (before, after) in &step.tasks {
            if !after.is_stopped() || before.is_some_and(Task::is_stopped) {
                continue;
            }
            let deployment = after.started_by.as_deref().and_then(|by| by.strip_prefix("ecs-svc/"));
            if let Some(id) = deployment.and_then(|id| id.parse().ok()) {
                self.failing.entry(id).or_insert_with(world::elapsed);
            }
        }
        Vec::new()
    }

    fn end(&mut self, end: &End<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        for service in end.view.services.iter() {
            let breaker = service.deployment_configuration.circuit_breaker;
            let Some(primary) = service.deployments.first() else { continue };
            let hopeless = [images::MISSING, images::BROKEN].contains(&primary.family.as_str());
            let in_progress = primary.rollout == RolloutState::InProgress;
            let replica = service.scheduling_strategy == SchedulingStrategy::Replica;
            let active = service.status == ServiceStatus::Active && service.desired_count > 0;
            let since = self.failing.get(&primary.id);
            let long = since.is_some_and(|at| world::elapsed() > *at + BREAKER_TIME);
            let hinders = |cause| matches!(cause, Cause::Unplaced | Cause::DeploymentBlocked);
            let placed = !service.notices.iter().any(|notice| hinders(notice.cause));
            if breaker.enable && hopeless && in_progress && replica && active && long && placed {
                wrong.push(format!(
                    "service {}: deployment {} of {} goes on, with {} failures that count",
                    service.name, primary.id, primary.family, primary.breaker_failures
                ));
            }
        }
        wrong
    }
}

/// What was asked to end has ended.
#[derive(Default)]
pub(super) struct Deletion {
    /// When each task was first wanted stopped, since the run began.
    stopping: BTreeMap<TaskId, Duration>,
}

impl Checker for Deletion {
    fn name(&self) -> &'static str {
        "every deletion finishes"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        for (_, after) in &step.tasks {
            if after.desired == DesiredStatus::Stopped {
                self.stopping.entry(after.id).or_insert_with(world::elapsed);
            }
        }
        Vec::new()
    }

    fn end(&mut self, end: &End<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        let reachable = |id| {
            let mut instances = end.machines.iter().filter_map(|m| instance_of(end.view, m));
            let found = instances.find(|instance| instance.id == id);
            found.is_some_and(|instance| instance.connection.connected)
        };
        let inactive = |id| {
            let mut rows = end.view.container_instances.iter();
            rows.find(|row| row.id == id).is_none_or(|row| row.status == InstanceStatus::Inactive)
        };
        for task in end.view.tasks.iter().filter(|task| !task.is_stopped()) {
            let Some(since) = self.stopping.get(&task.id) else { continue };
            let long = world::elapsed() > *since + STOP_TIME;
            if long && (reachable(task.instance) || inactive(task.instance)) {
                wrong.push(format!("task {} should have stopped {since:?} into the run", task.id));
            }
        }
        for service in end.view.services.iter() {
            if service.status == ServiceStatus::Draining {
                let prefix = format!("service:{}", service.name);
                let mut tasks = end.view.tasks.iter().filter(|task| task.group == prefix);
                if tasks.all(|task| task.is_stopped()) {
                    wrong.push(format!("service {} drains and has no task", service.name));
                }
            }
        }
        wrong
    }
}
