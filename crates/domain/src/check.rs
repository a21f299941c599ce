//! Judges plans with code of its own, for tests and the simulator.
//!
//! It shares nothing with the planners but the records and the meaning of a cluster query
//! expression: it counts anew, task by task, in the plainest way. A violation is a bug of ours.

mod deployment;
mod shift;
mod task_sets;

pub use deployment::{DeploymentViolation, deployment};

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::ids::{InstanceId, TaskId};
use crate::record::{
    ContainerInstance, DesiredStatus, InstanceStatus, LaunchType, PortClaim, Protocol, Task,
    TaskStatus,
};
use crate::schedule::query::Facts;
use crate::schedule::{Placement, PlacementRequest};

/// What is wrong with a placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Placed and unplaced tasks together are not the tasks of the request, in its order.
    Tasks,
    /// A task is on an instance that does not exist, or may not take it at all.
    Instance(TaskId),
    /// An instance lacks a required attribute.
    Attribute(TaskId),
    /// A `memberOf` expression was false when the task was placed.
    MemberOf(TaskId),
    /// Two tasks of the group are on one instance under `distinctInstance`.
    DistinctInstance(TaskId),
    /// The tasks of an instance take more than it has.
    Capacity(InstanceId),
    /// A host port is held twice, or is the agent's.
    Port(InstanceId, PortClaim),
    /// Some tasks have no place although this instance could take one.
    Room(InstanceId),
    /// The report does not say why this instance took no task.
    Unexplained(InstanceId),
}

/// Judges a placement by the records that it was planned from.
pub fn placement(
    instances: &[ContainerInstance],
    tasks: &[Task],
    request: &PlacementRequest<'_>,
    placement: &Placement,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let placed = placement.assigned.iter().map(|(task, _)| task);
    if !placed.chain(&placement.unplaced).eq(request.tasks) {
        violations.push(Violation::Tasks);
    }
    let mut world = World { tasks, request, placed: BTreeMap::new() };
    for (task, id) in &placement.assigned {
        let Some(instance) = instances.iter().find(|instance| instance.id == *id) else {
            violations.push(Violation::Instance(*task));
            continue;
        };
        violations.extend(world.objections(instance, *task));
        *world.placed.entry(*id).or_insert(0) += 1;
    }
    for instance in instances {
        violations.extend(world.overload(instance));
    }
    if !placement.unplaced.is_empty() {
        violations.extend(instances.iter().filter_map(|i| world.lack_of_reason(i, placement)));
    }
    violations
}

/// The records, and what the placement has put on each instance so far.
struct World<'a> {
    tasks: &'a [Task],
    request: &'a PlacementRequest<'a>,
    placed: BTreeMap<InstanceId, u32>,
}

impl<'a> World<'a> {
    fn placed_on(&self, instance: &ContainerInstance) -> u32 {
        self.placed.get(&instance.id).copied().unwrap_or(0)
    }

    /// Tasks of the records that are not STOPPED.
    fn present(&self, instance: &ContainerInstance) -> impl Iterator<Item = &'a Task> {
        let id = instance.id;
        self.tasks
            .iter()
            .filter(move |task| task.instance == id && task.observed.status != TaskStatus::Stopped)
    }

    fn objections(&self, instance: &ContainerInstance, task: TaskId) -> Vec<Violation> {
        let request = self.request;
        let mut found = Vec::new();
        let external = instance.attributes.contains_key("ecs.capability.external");
        let zone = instance.attributes.get("ecs.availability-zone").cloned().flatten();
        let right = instance.status == InstanceStatus::Active
            && instance.connection.connected
            && external == matches!(request.launch_type, LaunchType::External)
            && request
                .capacity_provider
                .is_none_or(|name| instance.capacity_provider.as_deref() == Some(name))
            && (request.zones.is_empty() || zone.is_some_and(|zone| request.zones.contains(&zone)));
        if !right {
            found.push(Violation::Instance(task));
        }
        for (name, wanted) in request.required_attributes {
            match (instance.attributes.get(name), wanted) {
                (Some(_), None) => {}
                (Some(value), wanted) if value == wanted => {}
                _ => found.push(Violation::Attribute(task)),
            }
        }
        let mut groups: BTreeMap<Cow<'_, str>, u32> = BTreeMap::new();
        let mut running_tasks = 0;
        for task in self.present(instance).filter(|t| t.desired == DesiredStatus::Running) {
            *groups.entry(Cow::from(&task.group)).or_insert(0) += 1;
            running_tasks += 1;
        }
        let placed = self.placed_on(instance);
        if request.constraints.distinct_instance
            && (placed > 0 || groups.contains_key(request.group))
        {
            found.push(Violation::DistinctInstance(task));
        }
        let facts =
            Facts { instance, running_tasks, groups: &groups, placed: (request.group, placed) };
        if !request.constraints.member_of.iter().all(|expression| expression.holds(&facts)) {
            found.push(Violation::MemberOf(task));
        }
        found
    }

    /// Whether all tasks, old and new, fit. An instance that was too full before takes nothing new.
    fn overload(&self, instance: &ContainerInstance) -> Vec<Violation> {
        let placed = self.placed_on(instance);
        if placed == 0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        if !self.fits(instance, placed) {
            found.push(Violation::Capacity(instance.id));
        }
        let mut held: BTreeSet<PortClaim> = BTreeSet::new();
        held.extend(self.present(instance).flat_map(|task| task.demand.ports.iter().copied()));
        for claim in (0..placed).flat_map(|_| &self.request.demand.ports) {
            if !held.insert(*claim) || is_the_agents(instance, *claim) {
                found.push(Violation::Port(instance.id, *claim));
            }
        }
        found
    }

    fn fits(&self, instance: &ContainerInstance, placed: u32) -> bool {
        let demand = self.request.demand;
        let total = |of_task: fn(&Task) -> u32, one: u32| {
            let present: u64 = self.present(instance).map(|task| u64::from(of_task(task))).sum();
            // A resource that the new tasks do not take may be short without their fault.
            if one == 0 { 0 } else { present + u64::from(one) * u64::from(placed) }
        };
        let gpus = u64::try_from(instance.registered.gpus.len()).unwrap_or(u64::MAX);
        total(|t| t.demand.cpu_units, demand.cpu_units) <= u64::from(instance.registered.cpu_units)
            && total(|t| t.demand.memory_mib, demand.memory_mib)
                <= u64::from(instance.registered.memory_mib)
            && total(|t| t.demand.gpus, demand.gpus) <= gpus
    }

    /// When tasks are left over, every instance must be full or wrong, and the report must say so.
    fn lack_of_reason(
        &self,
        instance: &ContainerInstance,
        placement: &Placement,
    ) -> Option<Violation> {
        let held: BTreeSet<PortClaim> =
            self.present(instance).flat_map(|task| task.demand.ports.iter().copied()).collect();
        let placed = self.placed_on(instance);
        let port_free = |claim: &&PortClaim| {
            placed == 0 && !held.contains(*claim) && !is_the_agents(instance, **claim)
        };
        let ports = &self.request.demand.ports;
        let another = self.objections(instance, TaskId::new(0)).is_empty()
            && self.fits(instance, placed + 1)
            && ports.iter().filter(port_free).count() == ports.len();
        if another {
            return Some(Violation::Room(instance.id));
        }
        let provider = self.request.capacity_provider;
        let considered = provider.is_none() || instance.capacity_provider.as_deref() == provider;
        let explained = placement
            .report
            .refusals
            .iter()
            .any(|refusal| refusal.instance == instance.id && !refusal.reasons.is_empty());
        (considered && !explained).then_some(Violation::Unexplained(instance.id))
    }
}

fn is_the_agents(instance: &ContainerInstance, claim: PortClaim) -> bool {
    match claim.protocol {
        Protocol::Tcp => instance.registered.reserved_tcp_ports.contains(&claim.port),
        Protocol::Udp => instance.registered.reserved_udp_ports.contains(&claim.port),
    }
}
