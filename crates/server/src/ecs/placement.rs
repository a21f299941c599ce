//! From requests and records to a placement, and the tasks in flight between decision and store.
//!
//! Placement runs on one server, the leader. Two calls at the same time must not both take the
//! last free port: a placement is made under a lock against the view plus the tasks that were
//! placed and are not in the view yet. The lock is held only while deciding, so that commits
//! still go to the store in groups.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use longshore_domain::ids::{ClusterName, Scope, TaskId};
use longshore_domain::limits;
use longshore_domain::record::{
    ConstraintKind, ContainerInstance, NetworkMode, PlacementConstraint, PlacementStrategy, Spread,
    StrategyField, Task,
};
use longshore_domain::schedule::query::{Expression, Facts};
use longshore_domain::schedule::{Amount, Fleet, Node};
use longshore_store::tables::{ContainerInstanceKey, TaskIndex, TaskKey};
use longshore_store::{State, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs;
use longshore_wire::ecs::enums::{PlacementConstraintType, PlacementStrategyType};

use super::{daemons, invalid_parameter};

/// Tasks that were placed and are not in the view yet.
#[derive(Debug, Default)]
pub(crate) struct Placer {
    in_flight: Mutex<BTreeMap<TaskId, Task>>,
}

impl Placer {
    /// Decides with exclusive access: `decide` sees the fleet with all tasks in flight, and the
    /// tasks that it makes stay in flight until [`Placer::landed`]. The view is taken under the
    /// lock: what has landed is in it.
    pub(crate) fn place<T>(
        &self,
        state: &State,
        scope: &Scope,
        cluster: &ClusterName,
        group: Option<&str>,
        decide: impl FnOnce(&Fleet<'_>) -> (Vec<Task>, T),
    ) -> (Vec<Task>, T) {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let view = state.view();
        let (tasks, result) = {
            let pending: Vec<&Task> = in_flight
                .values()
                .filter(|task| task.scope == *scope && task.cluster == *cluster)
                .filter(|task| view.tasks.get(&key(task)).is_none())
                .collect();
            let fleet = fleet(&view, scope, cluster, group, &pending);
            decide(&fleet)
        };
        in_flight.extend(tasks.iter().map(|task| (task.id, task.clone())));
        (tasks, result)
    }

    /// The tasks are in the view, or will never be.
    pub(crate) fn landed(&self, tasks: &[Task]) {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        for task in tasks {
            in_flight.remove(&task.id);
        }
    }
}

fn key(task: &Task) -> TaskKey {
    TaskKey { scope: task.scope.clone(), cluster: task.cluster.clone(), id: task.id }
}

/// The fleet of a cluster. Loads come from the view's aggregate; tasks are counted by group for
/// `group` alone, or for every group where an expression may ask for any (`None`).
pub(crate) fn fleet<'a>(
    view: &'a View,
    scope: &Scope,
    cluster: &ClusterName,
    group: Option<&str>,
    pending: &[&'a Task],
) -> Fleet<'a> {
    let instances: Vec<&'a ContainerInstance> = view
        .container_instances
        .range(&ContainerInstanceKey::in_cluster(scope, cluster))
        .map(|row| &row.record)
        .collect();
    let waiting = daemons::waiting(view, scope, cluster);
    let Some(group) = group else {
        let tasks = view.tasks.range(&TaskKey::in_cluster(scope, cluster)).map(|row| &row.record);
        let fleet = Fleet::new(instances, tasks.chain(pending.iter().copied()));
        return fleet.holding_back(waiting);
    };
    let nodes = instances.into_iter().map(|instance| node(view, instance));
    let index = TaskIndex::Group(scope.clone(), cluster.clone(), group.to_owned());
    let of_group = view.tasks.by(&index).map(|row| &row.record);
    Fleet::with_loads(nodes, of_group, pending.iter().copied()).holding_back(waiting)
}

/// An instance with the view's aggregate of its load, tasks not yet counted by group.
fn node<'a>(view: &View, instance: &'a ContainerInstance) -> Node<'a> {
    let mut node = Node::new(instance);
    if let Some(used) = view.used(instance.id) {
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        node.used = Amount {
            cpu_units: narrow(used.cpu_units),
            memory_mib: narrow(used.memory_mib),
            gpus: narrow(used.gpus),
        };
        node.ports = used.ports.keys().copied().collect();
        node.running_tasks = used.tasks;
    }
    node
}

/// Whether an instance satisfies an expression, as it stands.
pub(crate) fn matches(view: &View, instance: &ContainerInstance, filter: &Expression) -> bool {
    let mut groups = BTreeMap::new();
    let mut running_tasks = 0;
    for task in view.tasks.by(&TaskIndex::Instance(instance.id)) {
        if !task.is_stopped() {
            *groups.entry(task.group.as_str()).or_default() += 1;
            running_tasks += 1;
        }
    }
    filter.holds(&Facts { instance, running_tasks, groups: &groups, placed: ("", 0) })
}

/// Placement constraints of a request.
///
/// # Errors
/// `InvalidParameterException` for too many, or one that is malformed.
pub(crate) fn constraints(
    list: Option<Vec<ecs::PlacementConstraint>>,
) -> Result<Vec<PlacementConstraint>, ServiceError> {
    let list: Vec<PlacementConstraint> = list
        .unwrap_or_default()
        .into_iter()
        .map(|constraint| {
            let kind = match constraint.r#type {
                Some(PlacementConstraintType::DistinctInstance) => ConstraintKind::DistinctInstance,
                Some(PlacementConstraintType::MemberOf) => ConstraintKind::MemberOf,
                None => return Err(invalid_parameter("Placement constraint type is missing.")),
            };
            let expression = constraint.expression.filter(|text| !text.is_empty());
            Ok(PlacementConstraint { kind, expression })
        })
        .collect::<Result<_, _>>()?;
    parsed(&list)?;
    Ok(list)
}

/// The group whose tasks a fleet must count: `group`, or every group (`None`) where an
/// expression may ask for any.
pub(crate) fn counted_group<'a>(
    constraints: &longshore_domain::schedule::Constraints,
    group: &'a str,
) -> Option<&'a str> {
    let any = constraints.member_of.iter().any(Expression::depends_on_tasks);
    (!any).then_some(group)
}

/// Constraints ready for placement.
pub(crate) fn parsed<'a>(
    list: impl IntoIterator<Item = &'a PlacementConstraint>,
) -> Result<longshore_domain::schedule::Constraints, ServiceError> {
    longshore_domain::schedule::Constraints::parse(list)
        .map_err(|error| invalid_parameter(format!("Invalid placement constraint: {error}.")))
}

/// Placement strategies of a request.
///
/// # Errors
/// `InvalidParameterException` for too many, or an unknown field.
pub(crate) fn strategies(
    list: Option<Vec<ecs::PlacementStrategy>>,
) -> Result<Vec<PlacementStrategy>, ServiceError> {
    let list = list.unwrap_or_default();
    if list.len() > limits::PLACEMENT_STRATEGIES {
        return Err(invalid_parameter(format!(
            "At most {} placement strategies are allowed.",
            limits::PLACEMENT_STRATEGIES
        )));
    }
    list.into_iter().map(strategy).collect()
}

fn strategy(strategy: ecs::PlacementStrategy) -> Result<PlacementStrategy, ServiceError> {
    let field = strategy.field.unwrap_or_default();
    let unknown = |kind: &str| {
        invalid_parameter(format!("Invalid field '{field}' for the placement strategy {kind}."))
    };
    match strategy.r#type {
        None => Err(invalid_parameter("Placement strategy type is missing.")),
        Some(PlacementStrategyType::Random) => Ok(PlacementStrategy::Random),
        Some(PlacementStrategyType::Binpack) => match field.to_ascii_lowercase().as_str() {
            "cpu" => Ok(PlacementStrategy::Binpack(StrategyField::Cpu)),
            "memory" => Ok(PlacementStrategy::Binpack(StrategyField::Memory)),
            _ => Err(unknown("binpack")),
        },
        Some(PlacementStrategyType::Spread) => {
            if field.eq_ignore_ascii_case("instanceId") || field.eq_ignore_ascii_case("host") {
                return Ok(PlacementStrategy::Spread(Spread::InstanceId));
            }
            match field.strip_prefix("attribute:") {
                Some(name) if !name.is_empty() => {
                    Ok(PlacementStrategy::Spread(Spread::Attribute(name.to_owned())))
                }
                _ => Err(unknown("spread")),
            }
        }
    }
}

/// Docker's word for a network mode; awsvpc is arranged by the agent, not by Docker.
pub(crate) fn narrow_mode(mode: NetworkMode) -> &'static str {
    match mode {
        NetworkMode::Bridge => "bridge",
        NetworkMode::Host => "host",
        NetworkMode::Awsvpc => "awsvpc",
        NetworkMode::None => "none",
    }
}
