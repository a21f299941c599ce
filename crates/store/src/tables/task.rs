//! Tasks, by cluster and id.

use longshore_domain::ids::{
    ClusterName, Family, InstanceId, Revision, Scope, ServiceName, TaskId,
};
use longshore_domain::journal;
use longshore_domain::record::Task;

use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskKey {
    /// Account and region.
    pub scope: Scope,
    /// Cluster.
    pub cluster: ClusterName,
    /// Id.
    pub id: TaskId,
}

impl TaskKey {
    /// All tasks of a cluster.
    pub fn in_cluster(scope: &Scope, cluster: &ClusterName) -> KeyPrefix<Task> {
        KeyPath::new(scope, Kind::Task).part(cluster).prefix()
    }
}

impl RecordKey for TaskKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::Task).part(&self.cluster).part(self.id).key()
    }
}

/// What tasks can be found by. Stopped tasks are found too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskIndex {
    /// Instance that it was placed on.
    Instance(InstanceId),
    /// Task group.
    Group(Scope, ClusterName, String),
    /// `startedBy`.
    StartedBy(Scope, ClusterName, String),
    /// Family of its task definition.
    Family(Scope, ClusterName, Family),
    /// Task definition revision, in any cluster.
    TaskDefinition(Scope, Family, Revision),
    /// Daemon task definition revision, in any cluster.
    DaemonTaskDefinition(Scope, Family, Revision),
}

impl TaskIndex {
    /// Tasks of a service.
    pub fn service(scope: &Scope, cluster: &ClusterName, service: &ServiceName) -> Self {
        Self::Group(scope.clone(), cluster.clone(), format!("service:{service}"))
    }
}

impl Record for Task {
    const KIND: Kind = Kind::Task;
    const VERSION: u32 = 1;
    type Key = TaskKey;
    type Index = TaskIndex;

    fn key(&self) -> TaskKey {
        TaskKey { scope: self.scope.clone(), cluster: self.cluster.clone(), id: self.id }
    }

    fn indexes(&self) -> Vec<TaskIndex> {
        let scope = || self.scope.clone();
        let cluster = || self.cluster.clone();
        let mut indexes = vec![
            TaskIndex::Instance(self.instance),
            TaskIndex::Group(scope(), cluster(), self.group.clone()),
            TaskIndex::Family(scope(), cluster(), self.family.clone()),
            if self.daemon().is_some() {
                TaskIndex::DaemonTaskDefinition(scope(), self.family.clone(), self.revision)
            } else {
                TaskIndex::TaskDefinition(scope(), self.family.clone(), self.revision)
            },
        ];
        if let Some(started_by) = self.started_by.clone() {
            indexes.push(TaskIndex::StartedBy(scope(), cluster(), started_by));
        }
        indexes
    }

    /// What sessions and the scheduler read at each change. The others are as large as a fleet.
    fn holds_rows(index: &TaskIndex) -> bool {
        matches!(index, TaskIndex::Instance(_) | TaskIndex::Group(..))
    }

    /// A list that is read from JSON has room for four.
    fn shrink(&mut self) {
        self.observed.containers.shrink_to_fit();
        for container in &mut self.observed.containers {
            container.bindings.shrink_to_fit();
        }
        self.demand.ports.shrink_to_fit();
    }

    fn is_told(&self, old: Option<&Self>) -> bool {
        journal::tells_task(old, self)
    }

    fn tells_removal(old: Option<&Self>) -> bool {
        !old.is_some_and(journal::task_is_over)
    }
}
