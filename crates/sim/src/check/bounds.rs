//! What the scheduler may do to a service: never too few because of it, never too many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_domain::ids::TaskId;
use longshore_domain::record::{
    DeploymentController, DesiredStatus, SchedulingStrategy, Service, ServiceStatus, StopCode, Task,
};
use longshore_store::View;
use longshore_store::tables::{ServiceKey, TaskIndex};

use super::{Checker, Step, serves};
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
            if let Some(before) = before.filter(|before| served(step.before, before)) {
                self.healthy.insert(before.id, now);
            }
        }
        for row in step.before.targets.iter() {
            let key = longshore_store::Record::key(&row.record);
            let after = step.after.targets.get(&key).map(|row| row.mod_revision);
            let Some(target) = row.task.as_ref().filter(|_| after != Some(row.mod_revision)) else {
                continue;
            };
            let task = step.before.tasks.iter().find(|task| task.id == target.task);
            if task.is_some_and(|task| served(step.before, task)) {
                self.healthy.insert(target.task, now);
            }
        }
        let (mut stopped, mut started) = (BTreeMap::new(), BTreeMap::new());
        for (before, after) in &step.tasks {
            match before {
                Some(before) if is_stopped_by_scheduler(before, after) => {
                    let healthy = served(step.before, before);
                    *stopped.entry(after.group.as_str()).or_insert(0) += usize::from(healthy);
                }
                None => _ = started.insert(after.started_by.as_deref(), *after),
                Some(_) => {}
            }
        }
        let mut wrong = Vec::new();
        for (group, healthy) in stopped {
            wrong.extend(self.too_few(step, group, healthy));
        }
        for task in started.into_values() {
            wrong.extend(too_many(step, task));
        }
        wrong
    }
}

impl Bounds {
    fn too_few(&self, step: &Step<'_>, group: &str, lost: usize) -> Option<String> {
        let service = service(step.after, group)?;
        let replica = service.scheduling_strategy == SchedulingStrategy::Replica
            && service.controller == DeploymentController::Ecs;
        if lost == 0 || !replica || service.status != ServiceStatus::Active {
            return None;
        }
        let now = world::elapsed();
        let recently = |task: &Task| {
            serves(step.after, service, task)
                || self.healthy.get(&task.id).is_some_and(|at| now < *at + MOMENT)
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

fn too_many(step: &Step<'_>, started: &Task) -> Option<String> {
    let group = started.group.as_str();
    let label = started.started_by.as_deref();
    let started_by: Option<(&str, u64)> =
        label.and_then(|label| Some((label, label.strip_prefix("ecs-svc/")?.parse().ok()?)));
    if group.starts_with("daemon:") {
        let there = step.after.tasks.iter().filter(|t| t.group == group && !t.is_stopped());
        let mut places = BTreeSet::new();
        let twice = there.map(|task| task.instance).find(|place| !places.insert(*place))?;
        return Some(format!("{group} is twice on {twice}"));
    }
    let service = service(step.after, group)?;
    let there: Vec<&Task> = tasks(step.after, service).filter(|task| !task.is_stopped()).collect();
    if service.scheduling_strategy == SchedulingStrategy::Daemon {
        let mut places = BTreeSet::new();
        let twice = there.iter().find(|task| !places.insert(task.instance))?;
        return Some(format!("daemon {} is twice on {}", service.name, twice.instance));
    }
    let percent = service.deployment_configuration.maximum_percent;
    let most = |count: u32| usize::try_from(count * percent / 100).unwrap_or(usize::MAX);
    if service.controller == DeploymentController::External {
        // Each set is replaced within its own share; one that shrinks takes its time.
        let (label, id) = started_by?;
        let set = service.task_sets.iter().find(|set| set.deployment.id == id)?;
        let of_set = there.iter().filter(|task| task.started_by.as_deref() == Some(label)).count();
        let max = most(set.deployment.desired_count);
        let text = || format!("task set {label}: {of_set} tasks after a start, maximum {max}");
        return (of_set > max).then(text);
    }
    let max = most(service.desired_count);
    (there.len() > max).then(|| {
        format!("service {}: {} tasks after a start, maximum {max}", service.name, there.len())
    })
}

/// Whether a task that belongs to a service has served.
fn served(view: &View, task: &Task) -> bool {
    service(view, &task.group).is_some_and(|service| serves(view, service, task))
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
