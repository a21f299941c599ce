//! From requests and records to a placement, and the tasks in flight between decision and store.
//!
//! Placement runs on one server, the leader. Two calls at the same time must not both take the
//! last free port: one decides at a time, against the view plus the tasks that were placed and are
//! not in the view yet. The turn lasts only while deciding, so that commits still go to the store in
//! groups.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_domain::ids::{ClusterName, InstanceId, Scope, TaskId};
use longshore_domain::limits;
use longshore_domain::record::{
    ConstraintKind, ContainerInstance, Demand, NetworkMode, PlacementConstraint, PlacementStrategy,
    Spread, StrategyField, Task,
};
use longshore_domain::schedule::query::{Expression, Facts};
use longshore_domain::schedule::{Amount, Fleet, Node};
use longshore_store::tables::{ContainerInstanceKey, TaskIndex, TaskKey};
use longshore_store::{State, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs;
use longshore_wire::ecs::enums::{PlacementConstraintType, PlacementStrategyType};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{daemons, invalid_parameter};

/// Decides on places, one decision at a time, and knows the tasks that were placed and are not in the
/// view yet.
#[derive(Debug)]
pub(crate) struct Placer {
    in_flight: Mutex<BTreeMap<TaskId, Arc<InFlight>>>,
    /// Held while deciding, by whoever has the turn.
    deciding: Mutex<()>,
    turns: Semaphore,
}

/// The turn to decide, until it is dropped.
pub(crate) struct Turn<'p>(
    #[expect(dead_code, reason = "held, not read")] Option<SemaphorePermit<'p>>,
);

impl Default for Placer {
    fn default() -> Self {
        Self { in_flight: Mutex::default(), deciding: Mutex::default(), turns: Semaphore::new(1) }
    }
}

/// A task that was placed and may not be in the view yet.
#[derive(Debug)]
struct InFlight {
    key: TaskKey,
    instance: InstanceId,
    group: String,
    demand: Demand,
}

impl Placer {
    /// Waits for the turn to decide. Without it a decision is right too, but waits for the one before
    /// on the thread that it is made on.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        // Never closed.
        Turn(self.turns.acquire().await.ok())
    }

    /// Decides with exclusive access, on the newest view: what has landed is in it.
    pub(crate) fn exclusively<T>(
        &self,
        state: &State,
        decide: impl FnOnce(&mut Placing<'_>) -> T,
    ) -> T {
        let _alone = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let (in_flight, view) = {
            let in_flight = self.in_flight();
            // What lands from now on is neither in this view nor forgotten here.
            (in_flight.values().map(Arc::clone).collect(), state.view())
        };
        let mut placing =
            Placing { view: &view, in_flight, fleets: BTreeMap::new(), placed: Vec::new() };
        let result = decide(&mut placing);
        let placed = placing.placed;
        self.in_flight().extend(placed.into_iter().map(|task| (task.key.id, task)));
        result
    }

    fn in_flight(&self) -> MutexGuard<'_, BTreeMap<TaskId, Arc<InFlight>>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for a single decision.
    pub(crate) fn place<T>(
        &self,
        state: &State,
        scope: &Scope,
        cluster: &ClusterName,
        group: Option<&str>,
        decide: impl FnOnce(&Fleet<'_>) -> (Vec<Task>, T),
    ) -> (Vec<Task>, T) {
        self.exclusively(state, |placing| {
            let (tasks, result) = decide(placing.fleet(scope, cluster, group));
            placing.took(&tasks);
            (tasks, result)
        })
    }

    /// The tasks are in the view, or will never be.
    pub(crate) fn landed(&self, tasks: &[Task]) {
        let mut in_flight = self.in_flight();
        for task in tasks {
            in_flight.remove(&task.id);
        }
    }
}

/// The right to place tasks. Fleets are made once, and know of what was placed since.
pub(crate) struct Placing<'v> {
    view: &'v View,
    in_flight: Vec<Arc<InFlight>>,
    fleets: BTreeMap<(Scope, ClusterName), Known<'v>>,
    placed: Vec<Arc<InFlight>>,
}

/// A fleet and the groups whose tasks it counts.
struct Known<'v> {
    fleet: Fleet<'v>,
    groups: Groups,
}

/// Groups whose tasks are counted.
enum Groups {
    These(BTreeSet<String>),
    All,
}

impl<'v> Placing<'v> {
    /// The fleet of a cluster with all tasks in flight; tasks are counted by group for `group` at
    /// least, or for every group where an expression may ask for any (`None`).
    pub(crate) fn fleet(
        &mut self,
        scope: &Scope,
        cluster: &ClusterName,
        group: Option<&str>,
    ) -> &Fleet<'v> {
        let (view, in_flight, placed) = (self.view, &self.in_flight, &self.placed);
        let make = |(scope, cluster): &(Scope, ClusterName)| {
            let mut fleet = bare_fleet(view, scope, cluster);
            let is_missing = |task: &&Arc<InFlight>| view.tasks.get(&task.key).is_none();
            let pending = in_flight.iter().filter(is_missing).chain(placed);
            for task in pending.filter(|t| t.key.scope == *scope && t.key.cluster == *cluster) {
                fleet.put(task.instance, &task.group, &task.demand);
            }
            Known { fleet, groups: Groups::These(BTreeSet::new()) }
        };
        let name = (scope.clone(), cluster.clone());
        let known = self.fleets.entry(name).or_insert_with_key(make);
        known.count(view, scope, cluster, group);
        &known.fleet
    }

    /// These tasks were placed.
    pub(crate) fn took(&mut self, tasks: &[Task]) {
        for task in tasks {
            let known = self.fleets.get_mut(&(task.scope.clone(), task.cluster.clone()));
            if let Some(known) = known {
                known.fleet.put(task.instance, &task.group, &task.demand);
            }
            self.placed.push(Arc::new(InFlight {
                key: TaskKey {
                    scope: task.scope.clone(),
                    cluster: task.cluster.clone(),
                    id: task.id,
                },
                instance: task.instance,
                group: task.group.clone(),
                demand: task.demand.clone(),
            }));
        }
    }
}

impl<'v> Known<'v> {
    /// Counts the tasks of the view that are in `group`, or in any.
    fn count(&mut self, view: &'v View, scope: &Scope, cluster: &ClusterName, group: Option<&str>) {
        match (&mut self.groups, group) {
            (Groups::All, _) => {}
            (Groups::These(groups), Some(group)) => {
                if groups.insert(group.to_owned()) {
                    let index = TaskIndex::Group(scope.clone(), cluster.clone(), group.to_owned());
                    self.fleet.count(view.tasks.by(&index).map(|row| &row.record));
                }
            }
            (Groups::These(groups), None) => {
                let tasks = view.tasks.range(&TaskKey::in_cluster(scope, cluster));
                let tasks = tasks.map(|row| &row.record);
                self.fleet.count(tasks.filter(|task| !groups.contains(&task.group)));
                self.groups = Groups::All;
            }
        }
    }
}

/// The fleet of a cluster with every task of the view counted by group.
pub(crate) fn fleet<'a>(view: &'a View, scope: &Scope, cluster: &ClusterName) -> Fleet<'a> {
    let mut fleet = bare_fleet(view, scope, cluster);
    let tasks = view.tasks.range(&TaskKey::in_cluster(scope, cluster));
    fleet.count(tasks.map(|row| &row.record));
    fleet
}

/// The instances of a cluster with their loads, tasks not counted by group.
fn bare_fleet<'a>(view: &'a View, scope: &Scope, cluster: &ClusterName) -> Fleet<'a> {
    let instances =
        view.container_instances.range(&ContainerInstanceKey::in_cluster(scope, cluster));
    let nodes = instances.map(|row| node(view, &row.record));
    Fleet::of_nodes(nodes).holding_back(daemons::waiting(view, scope, cluster))
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
            *groups.entry(Cow::from(task.group.as_str())).or_default() += 1;
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
