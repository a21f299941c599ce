//! What the scheduler may do to a service: never too few because of it, never too many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_domain::ids::TaskId;
use longshore_domain::record::{
    DesiredStatus, SchedulingStrategy, Service, ServiceStatus, StopCode, Task,
};
use longshore_store::View;
use longshore_store::tables::{ServiceKey, TaskIndex};

use super::{Checker, Step, is_healthy};
use crate::world;

/// A decision is made on what was known a moment before it becomes true; a task that failed
/// within this moment is not its fault.
const MOMENT: Duration = Duration::from_millis(500);

/// Stops leave the minimum healthy, starts stay within the maximum.
#[derive(Default)]
pub(super) struct Bounds {
    /// When each task was last seen healthy, since the run began.
    healthy: BTreeMap<TaskId, Duration>,
}

impl Checker for Bounds {
    fn name(&self) -> &'static str {
        "never under the minimum or over the maximum by a decision"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        let now = world::elapsed();
        for (before, _) in &step.tasks {
            if let Some(before) = before.filter(|before| is_healthy(before)) {
                self.healthy.insert(before.id, now);
            }
        }
        let (mut stopped, mut started) = (BTreeMap::new(), BTreeSet::new());
        for (before, after) in &step.tasks {
            match before {
                Some(before) if is_stopped_by_scheduler(before, after) => {
                    let healthy = is_healthy(before);
                    *stopped.entry(after.group.as_str()).or_insert(0) += usize::from(healthy);
                }
                None => _ = started.insert(after.group.as_str()),
                Some(_) => {}
            }
        }
        let mut wrong = Vec::new();
        for (group, healthy) in stopped {
            wrong.extend(self.too_few(step, group, healthy));
        }
        for group in started {
            wrong.extend(too_many(step, group));
        }
        wrong
    }
}

impl Bounds {
    fn too_few(&self, step: &Step<'_>, group: &str, lost: usize) -> Option<String> {
        let service = service(step.after, group)?;
        let replica = service.scheduling_strategy == SchedulingStrategy::Replica;
        if lost == 0 || !replica || service.status != ServiceStatus::Active {
            return None;
        }
        let now = world::elapsed();
        let recently = |task: &Task| {
            is_healthy(task) || self.healthy.get(&task.id).is_some_and(|at| now < *at + MOMENT)
        };
        // What ended by itself or by a user a moment ago was there when the scheduler decided.
        let stopped = |t: &Task| t.stop.as_ref().map(|stop| stop.code);
        let ours = |t: &Task| stopped(t) == Some(StopCode::ServiceSchedulerInitiated);
        let wanted = tasks(step.after, service).filter(|task| !ours(task));
        let left = wanted.filter(|task| recently(task)).count();
        let percent = service.deployment_configuration.minimum_healthy_percent;
        let min = (service.desired_count * percent).div_ceil(100);
        let below = left < usize::try_from(min).unwrap_or(usize::MAX);
        below.then(|| {
            let name = &service.name;
            format!("service {name}: {lost} healthy tasks stopped, {left} left, minimum {min}")
        })
    }
}

fn too_many(step: &Step<'_>, group: &str) -> Option<String> {
    let service = service(step.after, group)?;
    let there: Vec<&Task> = tasks(step.after, service).filter(|task| !task.is_stopped()).collect();
    if service.scheduling_strategy == SchedulingStrategy::Daemon {
        let mut places = BTreeSet::new();
        let twice = there.iter().find(|task| !places.insert(task.instance))?;
        return Some(format!("daemon {} is twice on {}", service.name, twice.instance));
    }
    let percent = service.deployment_configuration.maximum_percent;
    let max = service.desired_count * percent / 100;
    let above = there.len() > usize::try_from(max).unwrap_or(usize::MAX);
    above.then(|| {
        format!("service {}: {} tasks after a start, maximum {max}", service.name, there.len())
    })
}

/// The scheduler stops no protected task.
pub(super) struct Protection;

impl Checker for Protection {
    fn name(&self) -> &'static str {
        "protected tasks are left alone"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (before, after) in &step.tasks {
            let Some(before) = before else { continue };
            let in_use = service(step.after, &after.group)
                .is_some_and(|service| service.status == ServiceStatus::Active);
            // A second more, for the moment between a decision and its commit.
            let protected = before.is_protected(step.now + Duration::from_secs(1));
            if in_use && protected && is_stopped_by_scheduler(before, after) {
                wrong.push(format!("task {} was stopped in spite of its protection", after.id));
            }
        }
        wrong
    }
}

fn is_stopped_by_scheduler(before: &Task, after: &Task) -> bool {
    let code = after.stop.as_ref().map(|stop| stop.code);
    before.desired == DesiredStatus::Running
        && after.desired == DesiredStatus::Stopped
        && code == Some(StopCode::ServiceSchedulerInitiated)
}

fn service<'v>(view: &'v View, group: &str) -> Option<&'v Service> {
    let name = group.strip_prefix("service:")?.parse().ok()?;
    let key = ServiceKey { scope: crate::cluster::scope(), cluster: crate::cluster::name(), name };
    view.services.get(&key).map(|row| &row.record)
}

fn tasks<'v>(view: &'v View, service: &Service) -> impl Iterator<Item = &'v Task> {
    let index = TaskIndex::service(&service.scope, &service.cluster, &service.name);
    view.tasks.by(&index).map(|row| &row.record)
}
