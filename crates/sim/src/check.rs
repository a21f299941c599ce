//! Checkers: what must hold after every step, and at the end.
//!
//! They read records as they are committed, and machines as they are, and share no code with
//! what decides. A step is one transaction of the store.

mod bounds;
mod capacity;
mod drained;
mod ends;
mod forward;
mod leaders;
mod places;
mod stuck;

use std::sync::Arc;

use longshore_domain::record::{
    ContainerInstance, Deployment, HealthStatus, Service, ServiceBalancer, Task, TaskStatus,
};
use longshore_domain::route::HealthState;
use longshore_domain::time::Timestamp;
use longshore_store::{Row, View};

use crate::balancer::Nodes;
use crate::images;
use crate::machine::Machine;

/// One transaction.
pub struct Step<'a> {
    /// The life of the process that made it; nobody where a lease ended.
    pub author: Option<&'a str>,
    /// The life of the process that led until then.
    pub leader: Option<&'a str>,
    /// Whether its author leads from now on.
    pub takes_office: bool,
    /// Everything before it.
    pub before: &'a View,
    /// Everything after it.
    pub after: &'a View,
    /// Tasks that it changed or made.
    pub tasks: Vec<(Option<&'a Task>, &'a Task)>,
    /// The wall clock.
    pub now: Timestamp,
    /// The machines.
    pub machines: &'a [Machine],
}

/// The end of a run, some minutes after the last fault and the last call.
pub struct End<'a> {
    /// Everything.
    pub view: &'a View,
    /// The wall clock.
    pub now: Timestamp,
    /// The machines, all repaired.
    pub machines: &'a [Machine],
    /// ARNs of the tasks that RunTask has given out.
    pub acknowledged: &'a [String],
}

/// Judges a run.
pub trait Checker: Send {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// What is wrong after a step.
    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        let _ = step;
        Vec::new()
    }

    /// What is wrong at the end.
    fn end(&mut self, end: &End<'_>) -> Vec<String> {
        let _ = end;
        Vec::new()
    }
}

/// All checkers.
pub fn all(nodes: &Nodes) -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(places::OneInstance),
        Box::new(places::NoLeaks),
        Box::new(places::Kept),
        Box::new(capacity::Capacity),
        Box::new(bounds::Bounds::default()),
        Box::new(bounds::Protection),
        Box::new(drained::Drained::new(nodes)),
        Box::new(forward::Forward),
        Box::new(leaders::Leaders),
        Box::new(ends::Breaker::default()),
        Box::new(ends::Deletion::default()),
        Box::new(stuck::Stuck::default()),
    ]
}

/// Whether clients of a task would call it well.
fn is_healthy(task: &Task) -> bool {
    let checked = images::WITH_CHECK.contains(&task.family.as_str());
    let health = task.observed.containers.first().map(|container| container.health);
    task.observed.status == TaskStatus::Running
        && (!checked || health == Some(HealthStatus::Healthy))
}

/// Whether a task of a service serves: it is well, and where its deployment has balancers they say so.
fn serves(view: &View, service: &Service, task: &Task) -> bool {
    let by = |deployment: &&Deployment| task.started_by.as_ref() == Some(&deployment.label());
    let sets = service.task_sets.iter().map(|set| &set.deployment);
    let own = service.deployments.iter().chain(sets).find(by);
    let groups = own.map(|deployment| deployment.balancers.as_slice()).unwrap_or_default();
    let well = |group: &ServiceBalancer| {
        view.targets.iter().any(|row| {
            let of_task = row.task.as_ref().is_some_and(|target| target.task == task.id);
            of_task
                && group.target_group.ends_with(&format!("/{}", row.group))
                && row.deregistered_at.is_none()
                && !row.seen.is_empty()
                && row.seen.values().all(|seen| seen.health.state == HealthState::Healthy)
        })
    };
    is_healthy(task) && groups.iter().all(well)
}

/// The container instance of a machine that is in use.
pub(crate) fn instance_of<'v>(
    view: &'v View,
    machine: &Machine,
) -> Option<&'v Arc<Row<ContainerInstance>>> {
    let of_machine = view.container_instances.iter().filter(|row| {
        let name = row.attributes.get("machine").and_then(Option::as_deref);
        name == Some(&machine.name) && row.deregistered_at.is_none()
    });
    // Whoever sets a machine up anew may leave behind what was about to be registered.
    of_machine.max_by_key(|row| row.create_revision)
}
