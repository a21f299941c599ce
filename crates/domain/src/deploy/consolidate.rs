//! Consolidation: which instances could be emptied, where their tasks would go, and why others stay
//! as they are.
//!
//! The rule: a plan is a proposal. It moves nothing by itself; an instance is emptied by draining it,
//! so that minimum and maximum percent, health and protection hold as for any other drain. Emptiest
//! instances come first, and one that is to take tasks is not emptied in the same plan. What it leaves
//! out: ending the machines, and tasks that no service would replace.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::bounds::Bounds;
use crate::ids::{Family, InstanceId, Revision, ServiceName, TaskId};
use crate::record::{
    ContainerInstance, DAEMON_GROUP, DeploymentController, InstanceStatus, SchedulingStrategy,
    Service, ServiceStatus, Task, TaskSpec, TaskStatus,
};
use crate::schedule::{Amount, Constraints, Fleet, Node, PlacementRequest, place};
use crate::time::Timestamp;

/// A cluster as it stands.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    /// Its container instances.
    pub instances: &'a [&'a ContainerInstance],
    /// Its tasks.
    pub tasks: &'a [&'a Task],
    /// Its services by name.
    pub services: &'a BTreeMap<ServiceName, &'a Service>,
    /// Specifications of the tasks' definitions.
    pub specs: &'a BTreeMap<(Family, Revision), &'a TaskSpec>,
    /// The time.
    pub now: Timestamp,
}

/// What could be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consolidation {
    /// Instances that nothing runs on but daemons: they can go as they are.
    pub empty: Vec<InstanceId>,
    /// Instances that could be emptied, in this order.
    pub drains: Vec<Drain>,
    /// Instances that stay, and why.
    pub keeps: Vec<(InstanceId, String)>,
}

/// An instance that could be emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The instance.
    pub instance: InstanceId,
    /// How much of it is used, in percent of CPU or memory, whichever is more.
    pub used_percent: u32,
    /// Where its tasks would find room. The scheduler decides anew when they move.
    pub moves: Vec<Move>,
}

/// A task that would be replaced elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The task.
    pub task: TaskId,
    /// Its service.
    pub service: ServiceName,
    /// An instance that has room for its replacement.
    pub to: InstanceId,
}

/// Looks for instances of which at most `below_percent` is used and whose tasks fit elsewhere.
pub fn consolidate(cluster: &Cluster<'_>, below_percent: u32) -> Consolidation {
    let mut plan = Consolidation::default();
    let active: Vec<&ContainerInstance> = cluster
        .instances
        .iter()
        .copied()
        .filter(|i| i.status == InstanceStatus::Active && i.connection.connected)
        .collect();
    let fleet = Fleet::new(active.iter().copied(), cluster.tasks.iter().copied());
    let mut candidates: Vec<(u32, &Node<'_>)> =
        fleet.nodes().iter().map(|node| (used_percent(node), node)).collect();
    candidates.sort_by_key(|(used, node)| (*used, node.instance.id));
    // Tasks as they would be after the moves so far.
    let mut tasks: Vec<Task> = cluster.tasks.iter().map(|task| (*task).clone()).collect();
    let mut leaving = BTreeSet::new();
    let mut taking = BTreeSet::new();
    for (used_percent, node) in candidates {
        let id = node.instance.id;
        let here = movable(cluster, &tasks, id);
        if matches!(&here, Ok(tasks) if tasks.is_empty()) {
            plan.empty.push(id);
            leaving.insert(id);
            continue;
        }
        if used_percent > below_percent {
            let why = format!("{used_percent} % of it is used, more than {below_percent} %");
            plan.keeps.push((id, why));
            continue;
        }
        if taking.contains(&id) {
            plan.keeps.push((id, "it takes tasks of other instances".to_string()));
            continue;
        }
        let others = active.iter().copied().filter(|i| i.id != id && !leaving.contains(&i.id));
        let others: Vec<&ContainerInstance> = others.collect();
        match here.and_then(|here| moves(cluster, &others, &tasks, &here)) {
            Ok(moves) => {
                for step in &moves {
                    taking.insert(step.to);
                    if let Some(task) = tasks.iter_mut().find(|task| task.id == step.task) {
                        task.instance = step.to;
                    }
                }
                leaving.insert(id);
                plan.drains.push(Drain { instance: id, used_percent, moves });
            }
            Err(why) => plan.keeps.push((id, why)),
        }
    }
    plan
}

/// How much of an instance is used, in percent of CPU or memory, whichever is more.
fn used_percent(node: &Node<'_>) -> u32 {
    let all = Amount::registered(node.instance);
    let share = |used: u32, of: u32| {
        let percent = (u64::from(used) * 100).div_ceil(u64::from(of.max(1)));
        u32::try_from(percent).unwrap_or(u32::MAX)
    };
    share(node.used.cpu_units, all.cpu_units).max(share(node.used.memory_mib, all.memory_mib))
}

/// The tasks of an instance that would have to go elsewhere.
///
/// # Errors
/// Why one of them cannot.
fn movable(
    cluster: &Cluster<'_>,
    tasks: &[Task],
    instance: InstanceId,
) -> Result<Vec<Task>, String> {
    let mut movable = Vec::new();
    for task in tasks.iter().filter(|task| task.instance == instance && !task.is_stopped()) {
        if task.group.starts_with(DAEMON_GROUP) {
            continue;
        }
        let id = task.id;
        let Some(service) = task.service().and_then(|name| {
            cluster.services.get(&name.parse().ok()?).filter(|s| s.status == ServiceStatus::Active)
        }) else {
            return Err(format!("task {id} of {} belongs to no service in use", task.group));
        };
        if service.scheduling_strategy == SchedulingStrategy::Daemon {
            continue;
        }
        if service.controller != DeploymentController::Ecs || service.deployments.len() != 1 {
            return Err(format!("service {} is being deployed, or by somebody else", service.name));
        }
        if task.is_protected(cluster.now) {
            let until = task.protection.map(|protection| protection.expires_at);
            let until = until.unwrap_or(cluster.now);
            return Err(format!(
                "task {id} of service {} is protected until {until}",
                service.name
            ));
        }
        if task.observed.status != TaskStatus::Running {
            return Err(format!("task {id} is {}", task.observed.status.as_str()));
        }
        let bounds = Bounds::of(&service.deployment_configuration, service.desired_count);
        let desired = usize::try_from(service.desired_count).unwrap_or(usize::MAX);
        if bounds.max <= desired && bounds.min >= desired {
            return Err(format!(
                "minimumHealthyPercent and maximumPercent of service {} leave no room to move a task",
                service.name
            ));
        }
        movable.push(task.clone());
    }
    Ok(movable)
}

/// Where the tasks `here` would go.
///
/// # Errors
/// Why one of them has no place.
fn moves(
    cluster: &Cluster<'_>,
    others: &[&ContainerInstance],
    tasks: &[Task],
    here: &[Task],
) -> Result<Vec<Move>, String> {
    let mut after = tasks.to_vec();
    let mut moves = Vec::new();
    for task in here {
        let service = task.service().and_then(|name| cluster.services.get(&name.parse().ok()?));
        let spec = cluster.specs.get(&(task.family.clone(), task.revision));
        let (Some(service), Some(spec)) = (service, spec) else {
            return Err(format!("the task definition of task {} is gone", task.id));
        };
        let all = service.placement_constraints.iter().chain(&spec.placement_constraints);
        let constraints = Constraints::parse(all).map_err(|error| error.to_string())?;
        let request = PlacementRequest {
            tasks: &[task.id],
            group: &task.group,
            demand: &task.demand,
            required_attributes: &spec.requires_attributes,
            constraints: &constraints,
            strategies: &service.placement_strategy,
            launch_type: service.launch_type,
            capacity_provider: None,
            zones: &[],
        };
        let fleet = Fleet::new(others.iter().copied(), after.iter());
        let placement = place(&request, &fleet);
        let Some((_, to)) = placement.assigned.first().copied() else {
            let fix = placement.report.nearest_fix();
            let fix = fix.unwrap_or_else(|| "there is no other instance".to_string());
            return Err(format!("task {} of service {}: {fix}", task.id, service.name));
        };
        if let Some(moved) = after.iter_mut().find(|other| other.id == task.id) {
            moved.instance = to;
        }
        moves.push(Move { task: task.id, service: service.name.clone(), to });
    }
    Ok(moves)
}
