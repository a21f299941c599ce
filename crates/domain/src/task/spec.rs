//! What a task consists of, checked once: names resolve and the start order has no cycle.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// Position of a container in its task.
pub type ContainerIndex = usize;

/// What the state machine needs to know of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Name within the task.
    pub name: String,
    /// Whether the task ends with it.
    pub essential: bool,
    /// What must come first: `dependsOn`, links ([`Condition::Start`]) and volumes from other
    /// containers ([`Condition::Create`]).
    pub depends_on: Vec<(String, Condition)>,
    /// How long dependants wait for it to meet their condition, counted from its start.
    pub start_timeout: Option<Duration>,
    /// Time between the stop signal and the kill.
    pub stop_timeout: Duration,
    /// Restarts on the spot.
    pub restart: Option<RestartPolicy>,
}

/// What a dependency must have reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Made.
    Create,
    /// Started.
    Start,
    /// Exited with any code.
    Complete,
    /// Exited with code 0.
    Success,
    /// Passes its health check.
    Healthy,
}

impl Condition {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Start => "START",
            Self::Complete => "COMPLETE",
            Self::Success => "SUCCESS",
            Self::Healthy => "HEALTHY",
        }
    }
}

/// An edge of the start order, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The container that comes first.
    pub on: ContainerIndex,
    /// What it must have reached.
    pub condition: Condition,
}

/// Restarts of a container that exits while its task should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Exit codes after which it stays stopped.
    pub ignored_exit_codes: Vec<i32>,
    /// How long it must have run since its last start.
    pub attempt_period: Duration,
}

/// What happens when an image cannot be pulled, and when one is pulled at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullBehavior {
    /// Always pull; a cached image is used when that fails.
    #[default]
    Default,
    /// Always pull; a failure ends the task.
    Always,
    /// Pull unless this agent has pulled it before; a failure ends the task.
    Once,
    /// Pull only what is not there.
    PreferCached,
}

impl PullBehavior {
    /// Whether a failed pull ends the task rather than leaving it to the image at hand.
    pub fn failure_is_final(self) -> bool {
        matches!(self, Self::Always | Self::Once)
    }
}

/// A task whose start order is known to make sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    containers: Vec<ContainerSpec>,
    dependencies: Vec<Vec<Dependency>>,
    dependants: Vec<Vec<ContainerIndex>>,
    pull: PullBehavior,
}

/// Why a task cannot be run as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// It has no container.
    Empty,
    /// Two containers have this name.
    DuplicateName(String),
    /// The first container depends on the second, which does not exist.
    UnknownDependency(String, String),
    /// These containers wait for each other.
    Cycle(Vec<String>),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the task has no containers"),
            Self::DuplicateName(name) => write!(f, "two containers are named {name}"),
            Self::UnknownDependency(name, on) => {
                write!(f, "container {name} depends on {on}, which is not part of the task")
            }
            Self::Cycle(names) => {
                write!(f, "containers wait for each other: {}", names.join(", "))
            }
        }
    }
}

impl core::error::Error for SpecError {}

impl TaskSpec {
    /// Checks the containers of a task.
    ///
    /// # Errors
    /// When the start order names a container that does not exist or goes in a circle, a name is
    /// used twice, or there is no container.
    pub fn new(containers: Vec<ContainerSpec>, pull: PullBehavior) -> Result<Self, SpecError> {
        if containers.is_empty() {
            return Err(SpecError::Empty);
        }
        let mut by_name = BTreeMap::new();
        for (index, container) in containers.iter().enumerate() {
            if by_name.insert(container.name.as_str(), index).is_some() {
                return Err(SpecError::DuplicateName(container.name.clone()));
            }
        }
        let mut dependencies = Vec::with_capacity(containers.len());
        for container in &containers {
            let mut edges = Vec::with_capacity(container.depends_on.len());
            for (name, condition) in &container.depends_on {
                let on = *by_name.get(name.as_str()).ok_or_else(|| {
                    SpecError::UnknownDependency(container.name.clone(), name.clone())
                })?;
                edges.push(Dependency { on, condition: *condition });
            }
            edges.sort_unstable();
            edges.dedup();
            dependencies.push(edges);
        }
        let mut dependants = vec![Vec::new(); containers.len()];
        for (index, edges) in dependencies.iter().enumerate() {
            for edge in edges {
                if dependants[edge.on].last() != Some(&index) {
                    dependants[edge.on].push(index);
                }
            }
        }
        if let Some(members) = cycle(&dependencies) {
            let name = |index: &ContainerIndex| containers[*index].name.clone();
            return Err(SpecError::Cycle(members.iter().map(name).collect()));
        }
        Ok(Self { containers, dependencies, dependants, pull })
    }

    /// The containers, in their order.
    pub fn containers(&self) -> &[ContainerSpec] {
        &self.containers
    }

    /// What `container` depends on.
    pub fn dependencies(&self, container: ContainerIndex) -> &[Dependency] {
        &self.dependencies[container]
    }

    /// The containers that depend on `container`.
    pub fn dependants(&self, container: ContainerIndex) -> &[ContainerIndex] {
        &self.dependants[container]
    }

    /// What a failed pull means.
    pub fn pull(&self) -> PullBehavior {
        self.pull
    }

    /// Position of the container called `name`.
    pub fn index_of(&self, name: &str) -> Option<ContainerIndex> {
        self.containers.iter().position(|container| container.name == name)
    }
}

/// The containers that can never be started in any order, if there are some: take away whatever
/// has all its dependencies taken away, until nothing moves.
fn cycle(dependencies: &[Vec<Dependency>]) -> Option<Vec<ContainerIndex>> {
    let mut left: Vec<ContainerIndex> = (0..dependencies.len()).collect();
    loop {
        let before = left.len();
        let waiting = left.clone();
        left.retain(|index| dependencies[*index].iter().any(|edge| waiting.contains(&edge.on)));
        if left.is_empty() {
            return None;
        }
        if left.len() == before {
            return Some(left);
        }
    }
}
