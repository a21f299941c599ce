//! Nothing waits without a reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::ids::TaskId;
use longshore_domain::record::{
    Cause, ContainerInstance, Daemon, DaemonStatus, DeploymentController, DesiredStatus,
    InstanceStatus, RolloutState, SchedulingStrategy, Service, ServiceStatus, Task, TaskStatus,
};
use longshore_store::tables::TaskIndex;
use longshore_store::{Row, View};

use super::{Checker, End, Step, is_healthy};
use crate::images;
use crate::world;

/// How long things may be on their way: the slowest pull, or a task that must prove itself.
const ON_THE_WAY: Duration = Duration::from_secs(100);

/// At the end every service is steady and every task runs, or a reason is in the records that
/// is true.
#[derive(Default)]
pub(super) struct Stuck {
    /// When each task last changed, since the run began.
    changed: BTreeMap<TaskId, Duration>,
    /// When each service or a task of it last changed.
    services: BTreeMap<String, Duration>,
}

impl Checker for Stuck {
    fn name(&self) -> &'static str {
        "nothing stuck without a reason"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        for (_, task) in &step.tasks {
            self.changed.insert(task.id, world::elapsed());
            self.services.insert(task.group.clone(), world::elapsed());
        }
        for service in step.after.services.iter() {
            if service.mod_revision == step.after.revision {
                self.services.insert(format!("service:{}", service.name), world::elapsed());
            }
        }
        Vec::new()
    }

    fn end(&mut self, end: &End<'_>) -> Vec<String> {
        let tasks = end.view.tasks.iter().filter(|task| self.is_stuck(end.view, task));
        let tasks = tasks.map(|task| {
            let last = self.changed.get(&task.id);
            format!(
                "task {} of {} is {:?} since {last:?}",
                task.id, task.family, task.observed.status
            )
        });
        let services = end.view.services.iter().filter_map(|service| self.unsteady(end, service));
        let daemons = end.view.daemons.iter().flat_map(|daemon| self.missing(end, daemon));
        tasks.chain(services).chain(daemons).collect()
    }
}

impl Stuck {
    fn long_ago(at: Option<&Duration>) -> bool {
        at.is_none_or(|at| world::elapsed() > *at + ON_THE_WAY)
    }

    fn is_stuck(&self, view: &View, task: &Task) -> bool {
        let instance = view.container_instances.iter().find(|row| row.id == task.instance);
        let connected = instance.is_some_and(|row| row.connection.connected);
        task.desired == DesiredStatus::Running
            && task.observed.status < TaskStatus::Running
            && connected
            && Self::long_ago(self.changed.get(&task.id))
    }

    /// Why a service should be steady and is not.
    fn unsteady(&self, end: &End<'_>, service: &Service) -> Option<String> {
        // Sets of tasks are steady one by one, by whoever made them.
        let ours = service.controller == DeploymentController::Ecs;
        if service.status != ServiceStatus::Active || !ours {
            return None;
        }
        let group = format!("service:{}", service.name);
        let index = TaskIndex::service(&service.scope, &service.cluster, &service.name);
        let tasks: Vec<&Task> = end.view.tasks.by(&index).map(|row| &row.record).collect();
        let wanted = tasks.iter().filter(|task| task.desired == DesiredStatus::Running);
        let running = wanted.filter(|task| is_healthy(task)).count();
        let desired = usize::try_from(service.desired_count).unwrap_or(usize::MAX);
        let steady = running == desired && service.deployments.len() == 1;
        if steady || excused(end, service, &tasks) {
            return None;
        }
        if !Self::long_ago(self.services.get(&group)) {
            return None;
        }
        let deployments: Vec<String> = service
            .deployments
            .iter()
            .map(|d| format!("{} of {} {:?}", d.id, d.family, d.rollout))
            .collect();
        Some(format!(
            "service {}: {running} of {desired} tasks run, deployments [{}], notices {:?}",
            service.name,
            deployments.join(", "),
            service.notices.iter().map(|notice| notice.cause).collect::<Vec<_>>()
        ))
    }

    /// Instances that should have a managed daemon and have not.
    fn missing(&self, end: &End<'_>, daemon: &Daemon) -> Vec<String> {
        let group = format!("daemon:{}", daemon.name);
        let newest = end.view.tasks.iter().filter(|task| task.group == group);
        let Some(newest) = newest.max_by_key(|task| task.created_at) else { return Vec::new() };
        let family = newest.family.as_str();
        // A first deployment that failed has nothing to go back to, and says so.
        let active = daemon.status == DaemonStatus::Active
            && daemon.current.is_some()
            && !images::HOPELESS.contains(&family);
        if !active || !Self::long_ago(self.services.get(&group)) {
            return Vec::new();
        }
        let lacks = |row: &&Arc<Row<ContainerInstance>>| {
            let mut here = end.view.tasks.by(&TaskIndex::Instance(row.id));
            row.status == InstanceStatus::Active
                && row.connection.connected
                && !here.any(|task| task.group == group && is_healthy(task))
                && has_room_on(end.view, row, family)
        };
        let lacking = end.view.container_instances.iter().filter(lacks);
        lacking.map(|row| format!("{} has no {group} of {family}", row.id)).collect()
    }
}

/// Whether a reason that is true is in the records.
fn excused(end: &End<'_>, service: &Service, tasks: &[&Task]) -> bool {
    let told = |cause: Cause| service.notices.iter().any(|notice| notice.cause == cause);
    let primary = service.deployments.first();
    let hopeless = primary.is_none_or(|primary| {
        images::HOPELESS.contains(&primary.family.as_str())
            || primary.rollout == RolloutState::Failed
    });
    let throttled = service.retry_at.is_some_and(|at| at > end.now);
    let no_room = told(Cause::Unplaced)
        && primary.is_some_and(|primary| !has_room(end.view, primary.family.as_str()));
    let bounds = service.deployment_configuration;
    let desired = service.desired_count;
    let frozen = (desired * bounds.minimum_healthy_percent).div_ceil(100)
        >= desired * bounds.maximum_percent / 100;
    let protected = tasks.iter().any(|task| task.is_protected(end.now));
    // A daemon waits for its instance; what is lost with an instance stays until somebody
    // says that it is gone.
    let out_of_reach = tasks.iter().any(|task| {
        let on = end.view.container_instances.iter().find(|row| row.id == task.instance);
        !task.is_stopped() && on.is_none_or(|row| !row.connection.connected)
    });
    let daemon = service.scheduling_strategy == SchedulingStrategy::Daemon;
    let without =
        |row: &ContainerInstance| !tasks.iter().any(|t| t.instance == row.id && !t.is_stopped());
    let daemon = daemon
        && end.view.container_instances.iter().any(|row| {
            let disconnected = !row.connection.connected;
            let full = primary.is_some_and(|p| !has_room_on(end.view, row, p.family.as_str()));
            row.status == InstanceStatus::Active && (disconnected || (without(row) && full))
        });
    hopeless
        || throttled
        || no_room
        || (frozen && told(Cause::DeploymentBlocked))
        || protected
        || out_of_reach
        || daemon
}

/// Whether some instance could take one more task of the family.
fn has_room(view: &View, family: &str) -> bool {
    view.container_instances.iter().any(|row| {
        let usable = row.status == InstanceStatus::Active && row.connection.connected;
        usable && has_room_on(view, row, family)
    })
}

/// Whether an instance could take one more task of the family.
fn has_room_on(view: &View, instance: &ContainerInstance, family: &str) -> bool {
    let demand = view.tasks.iter().find(|task| task.family.as_str() == family);
    let Some(demand) = demand.map(|task| &task.demand) else { return false };
    let here = view.tasks.by(&TaskIndex::Instance(instance.id));
    let here: Vec<&Task> = here.map(|row| &row.record).filter(|t| !t.is_stopped()).collect();
    let cpu: u32 = here.iter().map(|task| task.demand.cpu_units).sum();
    let memory: u32 = here.iter().map(|task| task.demand.memory_mib).sum();
    let taken = |claim| here.iter().any(|task| task.demand.ports.contains(claim));
    cpu + demand.cpu_units <= instance.registered.cpu_units
        && memory + demand.memory_mib <= instance.registered.memory_mib
        && !demand.ports.iter().any(taken)
}
