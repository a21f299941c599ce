//! Tasks of services as targets of balancers: which become one, which leave, and which of those that
//! stop have nothing under way any more.
//!
//! Like every plan this looks at how things are, never at what happened. A task that runs and is to
//! go on running is a target of each group that its deployment names. Any other leaves: it gets
//! nothing new, and is gone when nothing is under way, or when its group's deregistration delay is
//! over. Only then is its agent told to stop it ([`Task::told`]).
//!
//! What it leaves out: health of targets, which balancers find out and `domain::deploy` acts by;
//! and targets that somebody registered by hand.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::deploy::balancers_of;
use crate::ids::{EventId, Family, IdSource, InstanceId, Revision, TaskId};
use crate::record::{
    ContainerInstance, DesiredStatus, NetworkMode, Protocol, Service, ServiceBalancer,
    ServiceEvent, Task, TaskSpec, TaskStatus,
};
use crate::time::Timestamp;

/// Everything that a decision about the targets of a service reads.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The service.
    pub service: &'a Service,
    /// All of its tasks that there are records of.
    pub tasks: &'a [&'a Task],
    /// The task definitions of its tasks.
    pub specs: &'a BTreeMap<(Family, Revision), &'a TaskSpec>,
    /// The instances of its tasks.
    pub instances: &'a BTreeMap<InstanceId, &'a ContainerInstance>,
    /// The targets that were made of its tasks.
    pub targets: &'a [Registered],
    /// Now.
    pub now: Timestamp,
}

/// Names a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// ARN of its group.
    pub target_group: String,
    /// Instance id.
    pub id: String,
    /// Host port.
    pub port: u16,
    /// The task that it is.
    pub task: TaskId,
}

/// A target that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its name.
    pub target: Target,
    /// When it was deregistered.
    pub deregistered_at: Option<Timestamp>,
    /// How long what is under way may take then.
    pub delay: Duration,
    /// Whether every balancer knows that it was deregistered, and has nothing under way to it.
    pub is_idle: bool,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Targets to make.
    pub register: Vec<Target>,
    /// Targets that get nothing new from now on.
    pub deregister: Vec<Target>,
    /// Targets that are gone.
    pub remove: Vec<Target>,
    /// Tasks that have nothing under way any more, so that they may stop.
    pub release: Vec<TaskId>,
    /// What is told of it.
    pub events: Vec<ServiceEvent>,
    /// When to look again although nothing has changed.
    pub next: Option<Timestamp>,
}

impl Plan {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.register.is_empty()
            && self.deregister.is_empty()
            && self.remove.is_empty()
            && self.release.is_empty()
    }
}

/// Decides what becomes of the targets of a service.
pub fn plan(situation: &Situation<'_>, ids: &mut dyn IdSource) -> Plan {
    let mut plan = Plan::default();
    let wanted = wanted(situation);
    let known: BTreeSet<&Target> = situation.targets.iter().map(|known| &known.target).collect();
    plan.register = wanted.iter().filter(|target| !known.contains(target)).cloned().collect();
    let mut busy = BTreeSet::new();
    for known in situation.targets {
        if known.deregistered_at.is_none() && wanted.contains(&known.target) {
            continue;
        }
        leave(situation, known, &mut busy, &mut plan);
    }
    let drained = |task: &&&Task| task.draining_until.is_some() && !busy.contains(&task.id);
    plan.release = situation.tasks.iter().filter(drained).map(|task| task.id).collect();
    plan.events = events(situation, &plan, ids);
    plan
}

/// What becomes of a target that is not wanted.
fn leave(
    situation: &Situation<'_>,
    known: &Registered,
    busy: &mut BTreeSet<TaskId>,
    plan: &mut Plan,
) {
    let task = situation.tasks.iter().find(|task| task.id == known.target.task);
    // Nothing can be under way to what does not run.
    let over = task.is_none_or(|task| task.is_stopped());
    let Some(since) = known.deregistered_at else {
        if over {
            plan.remove.push(known.target.clone());
        } else {
            busy.insert(known.target.task);
        }
        return plan.deregister.push(known.target.clone());
    };
    let end = since + known.delay;
    if over || known.is_idle || end <= situation.now {
        plan.remove.push(known.target.clone());
    } else {
        busy.insert(known.target.task);
        plan.next = Some(plan.next.map_or(end, |next| next.min(end)));
    }
}

/// The targets that there should be.
fn wanted(situation: &Situation<'_>) -> BTreeSet<Target> {
    let runs = |task: &&&Task| {
        task.desired == DesiredStatus::Running && task.observed.status == TaskStatus::Running
    };
    let tasks = situation.tasks.iter().filter(runs);
    tasks.flat_map(|task| targets_of(situation, task)).collect()
}

fn targets_of(situation: &Situation<'_>, task: &Task) -> Vec<Target> {
    let spec = situation.specs.get(&(task.family.clone(), task.revision));
    let (Some(spec), Some(instance)) = (spec, situation.instances.get(&task.instance)) else {
        return Vec::new();
    };
    let target = |balancer: &ServiceBalancer| {
        Some(Target {
            target_group: balancer.target_group.clone(),
            id: instance.ec2_instance_id.clone(),
            port: host_port(task, spec, balancer)?,
            task: task.id,
        })
    };
    balancers_of(situation.service, task).iter().filter_map(target).collect()
}

/// The port of the host that leads to a port of a container; not known before it is bound.
fn host_port(task: &Task, spec: &TaskSpec, balancer: &ServiceBalancer) -> Option<u16> {
    if spec.network_mode == NetworkMode::Host {
        return Some(balancer.port);
    }
    let container = task.observed.containers.iter().find(|c| c.name == balancer.container)?;
    let bound = container.bindings.iter().filter(|b| b.protocol == Protocol::Tcp);
    let mut own = bound.filter(|binding| binding.container_port == Some(balancer.port));
    own.find_map(|binding| binding.host_port)
}

fn events(situation: &Situation<'_>, plan: &Plan, ids: &mut dyn IdSource) -> Vec<ServiceEvent> {
    let service = situation.service;
    let mut texts = Vec::new();
    for (what, targets) in [("deregistered", &plan.deregister), ("registered", &plan.register)] {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for target in targets {
            *counts.entry(&target.target_group).or_default() += 1;
        }
        texts.extend(counts.into_iter().map(|(group, count)| {
            format!("(service {}) {what} {count} targets in (target-group {group})", service.name)
        }));
    }
    // Events of one moment are in the order of their ids.
    let mut fresh: Vec<EventId> = texts.iter().map(|_| EventId::fresh(ids)).collect();
    fresh.sort_unstable();
    let event = |(id, message): (EventId, String)| ServiceEvent {
        scope: service.scope.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        id,
        created_at: situation.now,
        message,
        action: None,
    };
    fresh.into_iter().zip(texts).map(event).collect()
}
