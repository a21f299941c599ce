//! Places identical tasks in one pass.
//!
//! Attributes and constraints are asked once per instance. Candidates stand in a tree: one level
//! for each attribute that the strategies spread over, one branch for each of its values. The tasks
//! counted for a value add the same number to the scores of its whole branch, so they never change
//! the order inside it, and placing a task looks at one path of the tree. What that task adds to the
//! same value in other branches is noticed when they come up. With one such attribute, or with few
//! values before many (zones, then racks), `n` tasks on `m` instances cost `O((n + m) log m)`.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::ControlFlow;

use super::constraint::Constraints;
use super::explain::Report;
use super::fleet::{Fleet, Node};
use super::query::Facts;
use super::rank::{self, Own, Score};
use super::reason::{Reason, Refusal, Shortfall};
use super::resource::{Amount, is_reserved};
use crate::ids::{InstanceId, TaskId};
use crate::record::{
    ContainerInstance, DAEMON_GROUP, Demand, InstanceStatus, LaunchType, PlacementStrategy,
};

/// Attribute of instances that registered as external ones.
const EXTERNAL: &str = "ecs.capability.external";
/// Attribute that holds an instance's availability zone.
pub const ZONE: &str = "ecs.availability-zone";

/// Index of the tree's root.
const ROOT: usize = 0;

/// Identical tasks that want a place.
#[derive(Clone, Copy, Debug)]
pub struct PlacementRequest<'a> {
    /// One id for each task; the order of placement.
    pub tasks: &'a [TaskId],
    /// Group of the tasks; spread and `distinctInstance` count within it.
    pub group: &'a str,
    /// What each task takes.
    pub demand: &'a Demand,
    /// Attributes that an instance must have; a `None` value takes any.
    pub required_attributes: &'a [(alloc::string::String, Option<alloc::string::String>)],
    /// Constraints of the task definition and of the request.
    pub constraints: &'a Constraints,
    /// Strategies in order; none means the default.
    pub strategies: &'a [PlacementStrategy],
    /// Launch type.
    pub launch_type: LaunchType,
    /// Only instances of this capacity provider are considered, if set.
    pub capacity_provider: Option<&'a str>,
    /// Availability zones of the task's subnets; none means anywhere.
    pub zones: &'a [alloc::string::String],
}

/// Where tasks go, and why others have no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Instance of each placed task, in the order of the request.
    pub assigned: Vec<(TaskId, InstanceId)>,
    /// Tasks without place, in the order of the request.
    pub unplaced: Vec<TaskId>,
    /// Why, as things stand after the placed ones; empty when all have a place.
    pub report: Report,
}

/// Places as many tasks as fit.
pub fn place(request: &PlacementRequest<'_>, fleet: &Fleet<'_>) -> Placement {
    let strategies = rank::effective(request.strategies);
    let mut planner = Planner::new(request, fleet, &strategies);
    let mut assigned = Vec::with_capacity(request.tasks.len());
    for task in request.tasks {
        let Some(instance) = planner.place_one() else { break };
        assigned.push((*task, instance));
    }
    let unplaced: Vec<TaskId> = request.tasks.iter().skip(assigned.len()).copied().collect();
    let report = if unplaced.is_empty() { Report::default() } else { planner.report() };
    Placement { assigned, unplaced, report }
}

/// Everything that speaks against one more task of the request on one instance.
pub fn refusals(request: &PlacementRequest<'_>, node: &Node<'_>) -> Vec<Reason> {
    all_reasons(request, node, 0)
}

/// The launch type that tasks on an instance have.
pub fn launch_type_of(instance: &ContainerInstance) -> LaunchType {
    if instance.attributes.contains_key(EXTERNAL) { LaunchType::External } else { LaunchType::Ec2 }
}

fn all_reasons(request: &PlacementRequest<'_>, node: &Node<'_>, placed: u32) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut collect = |reason| {
        reasons.push(reason);
        ControlFlow::Continue(())
    };
    // The collector never breaks.
    let _ = standing(request, node, &mut collect);
    let _ = passing(request, node, placed, &mut collect);
    reasons
}

type Visit<'v> = &'v mut dyn FnMut(Reason) -> ControlFlow<()>;

/// What no placement of this request can change.
fn standing(request: &PlacementRequest<'_>, node: &Node<'_>, visit: Visit<'_>) -> ControlFlow<()> {
    let instance = node.instance;
    if instance.status != InstanceStatus::Active {
        visit(Reason::Status(instance.status))?;
    }
    if !instance.connection.connected {
        visit(Reason::AgentDisconnected)?;
    } else if !instance.fence.is_empty() {
        visit(Reason::Fenced(instance.fence.len()))?;
    }
    if let Some(name) = &node.waits_for
        && !request.group.starts_with(DAEMON_GROUP)
    {
        visit(Reason::Daemon { name: name.clone() })?;
    }
    if launch_type_of(instance) != request.launch_type {
        visit(Reason::LaunchType(request.launch_type))?;
    }
    for (name, wanted) in request.required_attributes {
        let found = instance.attributes.get(name);
        let has = found.is_some_and(|value| wanted.is_none() || value == wanted);
        if !has {
            visit(Reason::Attribute {
                name: name.clone(),
                wanted: wanted.clone(),
                found: found.map(|value| value.clone().unwrap_or_default()),
            })?;
        }
    }
    let zone = instance.attributes.get(ZONE).and_then(Option::as_ref);
    if !request.zones.is_empty() && !zone.is_some_and(|zone| request.zones.contains(zone)) {
        visit(Reason::Location { found: zone.cloned() })?;
    }
    for expression in request.constraints.member_of.iter().filter(|e| !e.depends_on_tasks()) {
        if !expression.holds(&node.facts()) {
            visit(Reason::MemberOf { expression: expression.source().into() })?;
        }
    }
    ControlFlow::Continue(())
}

/// What `placed` tasks of this request on the instance can change.
fn passing(
    request: &PlacementRequest<'_>,
    node: &Node<'_>,
    placed: u32,
    visit: Visit<'_>,
) -> ControlFlow<()> {
    let constraints = request.constraints;
    for expression in constraints.member_of.iter().filter(|e| e.depends_on_tasks()) {
        let facts = Facts { placed: (request.group, placed), ..node.facts() };
        if !expression.holds(&facts) {
            visit(Reason::MemberOf { expression: expression.source().into() })?;
        }
    }
    if constraints.distinct_instance && (placed > 0 || node.tasks_of(request.group) > 0) {
        visit(Reason::DistinctInstance)?;
    }
    let (demand, registered) = (request.demand, Amount::registered(node.instance));
    let available = available(request, node, placed);
    let short = |wanted, available, registered| {
        (wanted > available).then_some(Shortfall { wanted, available, registered })
    };
    if let Some(cpu) = short(demand.cpu_units, available.cpu_units, registered.cpu_units) {
        visit(Reason::Cpu(cpu))?;
    }
    if let Some(memory) = short(demand.memory_mib, available.memory_mib, registered.memory_mib) {
        visit(Reason::Memory(memory))?;
    }
    if let Some(gpu) = short(demand.gpus, available.gpus, registered.gpus) {
        visit(Reason::Gpu(gpu))?;
    }
    for claim in &demand.ports {
        if is_reserved(node.instance, *claim) {
            visit(Reason::PortReserved(*claim))?;
        } else if placed > 0 || node.ports.contains(claim) {
            visit(Reason::PortInUse(*claim))?;
        }
    }
    ControlFlow::Continue(())
}

fn available(request: &PlacementRequest<'_>, node: &Node<'_>, placed: u32) -> Amount {
    node.available().minus(Amount::of(request.demand).times(placed))
}

/// Candidates that agree on the first attributes that the strategies spread over.
#[derive(Default)]
struct Branch {
    /// Level in the score, and tally, of the last attribute agreed on; none at the root.
    value: Option<(usize, usize)>,
    /// Branches for each value of the next attribute, by their best score: exact, or lower than it
    /// is now.
    branches: BinaryHeap<Reverse<(Score, usize, usize)>>,
    /// Where all attributes are agreed on: positions in the fleet by their own share of the score.
    leaves: BinaryHeap<Reverse<(Score, usize)>>,
}

struct Planner<'p, 'a> {
    request: &'p PlacementRequest<'p>,
    fleet: &'p Fleet<'a>,
    own: Own<'p>,
    /// Tasks placed by this request, by position in the fleet.
    placed: Vec<u32>,
    /// Tasks of the group, for each value of each attribute that is spread over.
    tallies: Vec<u32>,
    /// The tree; its root is the first.
    tree: Vec<Branch>,
}

impl<'p, 'a> Planner<'p, 'a> {
    fn new(
        request: &'p PlacementRequest<'p>,
        fleet: &'p Fleet<'a>,
        strategies: &'p [PlacementStrategy],
    ) -> Self {
        let seed = request.tasks.first().map_or(0, |task| rank::fold(task.bits()));
        let mut planner = Self {
            request,
            fleet,
            own: Own { strategies, seed },
            placed: alloc::vec![0; fleet.nodes().len()],
            tallies: Vec::new(),
            tree: alloc::vec![Branch::default()],
        };
        planner.grow();
        planner
    }

    /// Counts every instance's tasks, and puts the candidates into the tree.
    fn grow(&mut self) {
        let (fleet, request) = (self.fleet, self.request);
        let mut tally_of: BTreeMap<(usize, Option<&str>), usize> = BTreeMap::new();
        let mut child_of: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let strategies = self.own.strategies;
        let shared: Vec<(usize, &str)> = (0..)
            .zip(strategies)
            .filter_map(|(level, strategy)| Some((level, rank::shared_attribute(strategy)?)))
            .collect();
        let mut path = Vec::with_capacity(shared.len());
        for (position, node) in fleet.nodes().iter().enumerate() {
            path.clear();
            for (level, name) in &shared {
                let value = node.instance.attributes.get(*name).and_then(Option::as_deref);
                let fresh = self.tallies.len();
                let tally = *tally_of.entry((*level, value)).or_insert(fresh);
                if tally == fresh {
                    self.tallies.push(0);
                }
                self.tallies[tally] += node.tasks_of(request.group);
                path.push((*level, tally));
            }
            let first = &mut |_| ControlFlow::Break(());
            let admitted = self.considers(node)
                && standing(request, node, first).is_continue()
                && passing(request, node, 0, first).is_continue();
            if admitted {
                let branch = path.iter().fold(ROOT, |parent, value| {
                    let fresh = self.tree.len();
                    let child = *child_of.entry((parent, value.1)).or_insert(fresh);
                    if child == fresh {
                        self.tree.push(Branch { value: Some(*value), ..Branch::default() });
                    }
                    child
                });
                let score = self.share(position, Score::default());
                self.tree[branch].leaves.push(Reverse((score, position)));
            }
        }
        // Children stand after their parents, so each is whole when its parent hears of it.
        let mut edges: Vec<(usize, usize)> =
            child_of.into_iter().map(|((parent, _), child)| (child, parent)).collect();
        edges.sort_unstable();
        for (child, parent) in edges.into_iter().rev() {
            self.announce(parent, child);
        }
    }

    /// Whether an instance is of the capacity provider that was asked for.
    fn considers(&self, node: &Node<'_>) -> bool {
        let wanted = self.request.capacity_provider;
        wanted.is_none() || node.instance.capacity_provider.as_deref() == wanted
    }

    fn share(&self, position: usize, before: Score) -> Score {
        let node = &self.fleet.nodes()[position];
        let placed = self.placed[position];
        let available = available(self.request, node, placed);
        let tasks = node.tasks_of(self.request.group) + placed;
        self.own.score(node, available, tasks, placed, before)
    }

    /// Brings the top of a branch up to date, and gives its best score and that one's position.
    fn best_of(&mut self, branch: usize) -> Option<(Score, usize)> {
        while let Some(Reverse((score, position, child))) = self.tree[branch].branches.peek() {
            let (stated, child) = (Some((*score, *position)), *child);
            let best = self.best_of(child);
            if best == stated {
                return self.counted(branch, best);
            }
            // Counts only grow: an entry that is still right beats all others, and this one is not.
            self.tree[branch].branches.pop();
            self.announce(branch, child);
        }
        let leaf = self.tree[branch].leaves.peek().map(|Reverse(leaf)| *leaf);
        self.counted(branch, leaf)
    }

    /// With the tasks that are counted for the branch's value.
    fn counted(&self, branch: usize, best: Option<(Score, usize)>) -> Option<(Score, usize)> {
        let (score, position) = best?;
        let Some((level, tally)) = self.tree[branch].value else { return best };
        Some((score.with(level, self.tallies[tally]), position))
    }

    fn announce(&mut self, parent: usize, child: usize) {
        if let Some((score, position)) = self.best_of(child) {
            self.tree[parent].branches.push(Reverse((score, position, child)));
        }
    }

    fn place_one(&mut self) -> Option<InstanceId> {
        self.best_of(ROOT)?;
        let mut path = alloc::vec![ROOT];
        let mut branch = ROOT;
        while let Some(Reverse((_, _, child))) = self.tree[branch].branches.pop() {
            path.push(child);
            branch = child;
        }
        let Reverse((own, position)) = self.tree[branch].leaves.pop()?;
        self.placed[position] += 1;
        for branch in &path {
            if let Some((_, tally)) = self.tree[*branch].value {
                self.tallies[tally] += 1;
            }
        }
        let node = &self.fleet.nodes()[position];
        let first = &mut |_| ControlFlow::Break(());
        if passing(self.request, node, self.placed[position], first).is_continue() {
            let score = self.share(position, own);
            self.tree[branch].leaves.push(Reverse((score, position)));
        }
        for pair in path.windows(2).rev() {
            self.announce(pair[0], pair[1]);
        }
        Some(node.instance.id)
    }

    fn report(&self) -> Report {
        let considered = self.fleet.nodes().iter().zip(&self.placed);
        let refusals = considered.filter(|(node, _)| self.considers(node)).map(|(node, placed)| {
            let reasons = all_reasons(self.request, node, *placed);
            Refusal { instance: node.instance.id, reasons }
        });
        Report {
            refusals: refusals.collect(),
            in_capacity_provider: self.request.capacity_provider.is_some(),
        }
    }
}
