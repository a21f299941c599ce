//! The instances of a cluster with what their tasks take of them.

use alloc::borrow::{Cow, ToOwned};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::query::Facts;
use super::resource::Amount;
use crate::ids::InstanceId;
use crate::record::{ContainerInstance, Demand, DesiredStatus, PortClaim, Task};

/// The instances of one cluster, sorted by id, with their load.
#[derive(Clone, Debug, Default)]
pub struct Fleet<'a> {
    nodes: Vec<Node<'a>>,
}

/// One instance with its load.
///
/// A task holds its resources until it is STOPPED. It counts for its group, and as running, while
/// it should run.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// The instance.
    pub instance: &'a ContainerInstance,
    /// What its tasks hold.
    pub used: Amount,
    /// Host ports that its tasks hold.
    pub ports: BTreeSet<PortClaim>,
    /// Tasks that should run, by group.
    pub groups: BTreeMap<Cow<'a, str>, u32>,
    /// Tasks that should run.
    pub running_tasks: u32,
    /// A critical managed daemon that does not run there yet; until it does, the instance takes
    /// tasks of daemons only.
    pub waits_for: Option<String>,
}

impl<'a> Fleet<'a> {
    /// A fleet of these instances; tasks on other instances are left out.
    pub fn new(
        instances: impl IntoIterator<Item = &'a ContainerInstance>,
        tasks: impl IntoIterator<Item = &'a Task>,
    ) -> Self {
        let mut nodes: Vec<Node<'a>> = instances.into_iter().map(Node::new).collect();
        nodes.sort_by_key(|node| node.instance.id);
        let mut fleet = Self { nodes };
        for task in tasks {
            if let Some(node) = fleet.position(task.instance).and_then(|i| fleet.nodes.get_mut(i)) {
                node.add(task);
            }
        }
        fleet
    }

    /// A fleet of nodes whose loads are known already, tasks not counted by group yet.
    pub fn of_nodes(nodes: impl IntoIterator<Item = Node<'a>>) -> Self {
        let mut nodes: Vec<Node<'a>> = nodes.into_iter().collect();
        nodes.sort_by_key(|node| node.instance.id);
        Self { nodes }
    }

    /// Counts tasks by group whose load is known already.
    pub fn count(&mut self, tasks: impl IntoIterator<Item = &'a Task>) {
        for task in tasks {
            if !task.is_stopped()
                && task.desired == DesiredStatus::Running
                && let Some(node) = self.node_mut(task.instance)
            {
                *node.groups.entry(Cow::Borrowed(&task.group)).or_default() += 1;
            }
        }
    }

    /// Puts a task that is to run on an instance, with its load.
    pub fn put(&mut self, instance: InstanceId, group: &str, demand: &Demand) {
        if let Some(node) = self.node_mut(instance) {
            node.put(Cow::Owned(group.to_owned()), demand);
        }
    }

    /// Every instance, by id.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// One instance.
    pub fn node(&self, id: InstanceId) -> Option<&Node<'a>> {
        self.nodes.get(self.position(id)?)
    }

    /// Instances take no tasks but those of daemons until the named daemon runs there.
    #[must_use]
    pub fn holding_back(mut self, waiting: BTreeMap<InstanceId, String>) -> Self {
        for (instance, daemon) in waiting {
            if let Some(node) = self.node_mut(instance) {
                node.waits_for = Some(daemon);
            }
        }
        self
    }

    fn node_mut(&mut self, id: InstanceId) -> Option<&mut Node<'a>> {
        let position = self.position(id)?;
        self.nodes.get_mut(position)
    }

    fn position(&self, id: InstanceId) -> Option<usize> {
        self.nodes.binary_search_by_key(&id, |node| node.instance.id).ok()
    }
}

impl<'a> Node<'a> {
    /// An instance without tasks.
    pub fn new(instance: &'a ContainerInstance) -> Self {
        Self {
            instance,
            used: Amount::default(),
            ports: BTreeSet::new(),
            groups: BTreeMap::new(),
            running_tasks: 0,
            waits_for: None,
        }
    }

    /// Counts a task that is on the instance.
    pub fn add(&mut self, task: &'a Task) {
        if task.is_stopped() {
            return;
        }
        if task.desired == DesiredStatus::Running {
            self.put(Cow::Borrowed(&task.group), &task.demand);
        } else {
            self.load(&task.demand);
        }
    }

    fn put(&mut self, group: Cow<'a, str>, demand: &Demand) {
        self.load(demand);
        *self.groups.entry(group).or_default() += 1;
        self.running_tasks += 1;
    }

    fn load(&mut self, demand: &Demand) {
        self.used = self.used.plus(Amount::of(demand));
        self.ports.extend(demand.ports.iter().copied());
    }

    /// What is left for new tasks (AWS's `remainingResources`).
    pub fn available(&self) -> Amount {
        Amount::registered(self.instance).minus(self.used)
    }

    /// Tasks of a group that should run there.
    pub fn tasks_of(&self, group: &str) -> u32 {
        self.groups.get(group).copied().unwrap_or(0)
    }

    /// What a cluster query expression sees.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            instance: self.instance,
            running_tasks: self.running_tasks,
            groups: &self.groups,
            placed: ("", 0),
        }
    }
}
