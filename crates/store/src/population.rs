//! How many tasks each cluster has, kept up to date as they come and go: a description of a cluster
//! counts nothing.

use imbl::OrdMap;
use longshore_domain::ids::{ClusterName, Scope};
use longshore_domain::record::{LaunchType, Task, TaskStatus};

/// How many tasks of one cluster run, and how many are on their way there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// RUNNING, with launch type EC2.
    pub running: usize,
    /// PROVISIONING, PENDING or ACTIVATING, with launch type EC2.
    pub pending: usize,
    /// RUNNING, with launch type EXTERNAL.
    pub running_external: usize,
    /// PROVISIONING, PENDING or ACTIVATING, with launch type EXTERNAL.
    pub pending_external: usize,
}

impl TaskCounts {
    fn counter(&mut self, task: &Task) -> Option<&mut usize> {
        let external = task.launch_type == LaunchType::External;
        match task.observed.status {
            TaskStatus::Running if external => Some(&mut self.running_external),
            TaskStatus::Running => Some(&mut self.running),
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => {
                Some(if external { &mut self.pending_external } else { &mut self.pending })
            }
            _ => None,
        }
    }
}

/// The counts, by cluster. A cluster that never had a task is not in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Population(OrdMap<(Scope, ClusterName), TaskCounts>);

impl Population {
    pub(crate) fn get(&self, scope: &Scope, cluster: &ClusterName) -> TaskCounts {
        self.0.get(&(scope.clone(), cluster.clone())).copied().unwrap_or_default()
    }

    /// Counts `new` instead of `old`.
    pub(crate) fn replace(&mut self, old: Option<&Task>, new: Option<&Task>) {
        let counted = |task: &Task| (task.observed.status, task.launch_type);
        if old.map(counted) == new.map(counted) {
            return;
        }
        let Some(task) = new.or(old) else { return };
        let counts = self.0.entry((task.scope.clone(), task.cluster.clone())).or_default();
        if let Some(count) = new.and_then(|task| counts.counter(task)) {
            *count += 1;
        }
        if let Some(count) = old.and_then(|task| counts.counter(task)) {
            *count -= 1;
        }
    }
}
