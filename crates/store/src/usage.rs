//! What tasks take of each container instance, kept up to date as tasks come and go, so that
//! placement does not sum them up each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use longshore_domain::ids::InstanceId;
use longshore_domain::record::{PortClaim, Task};

/// What the tasks of one instance take that are not stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Number of tasks.
    pub tasks: u32,
    /// CPU units.
    pub cpu_units: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Number of GPUs.
    pub gpus: u64,
    /// Fixed host ports, with the number of tasks that claim each: never more than one, unless
    /// a placement went wrong.
    pub ports: BTreeMap<PortClaim, u32>,
}

impl Used {
    fn add(&mut self, task: &Task) {
        let demand = &task.demand;
        self.tasks += 1;
        self.cpu_units += u64::from(demand.cpu_units);
        self.memory_mib += u64::from(demand.memory_mib);
        self.gpus += u64::from(demand.gpus);
        for port in &demand.ports {
            *self.ports.entry(*port).or_default() += 1;
        }
    }

    fn subtract(&mut self, task: &Task) {
        let demand = &task.demand;
        self.tasks -= 1;
        self.cpu_units -= u64::from(demand.cpu_units);
        self.memory_mib -= u64::from(demand.memory_mib);
        self.gpus -= u64::from(demand.gpus);
        for port in &demand.ports {
            if let Some(claims) = self.ports.get_mut(port) {
                *claims -= 1;
                if *claims == 0 {
                    self.ports.remove(port);
                }
            }
        }
    }
}

/// What is used, by instance. An instance without tasks is not in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage(OrdMap<InstanceId, Arc<Used>>);

impl Usage {
    pub(crate) fn get(&self, instance: InstanceId) -> Option<&Arc<Used>> {
        self.0.get(&instance)
    }

    /// Replaces what `old` took by what `new` takes.
    pub(crate) fn replace(&mut self, old: Option<&Task>, new: Option<&Task>) {
        let takes = |task: &&Task| !task.is_stopped();
        let (old, new) = (old.filter(takes), new.filter(takes));
        if let (Some(old), Some(new)) = (old, new)
            && old.instance == new.instance
            && old.demand == new.demand
        {
            return;
        }
        if let Some(task) = new {
            Arc::make_mut(self.0.entry(task.instance).or_default()).add(task);
        }
        if let Some(task) = old
            && let Some(used) = self.0.get_mut(&task.instance)
        {
            Arc::make_mut(used).subtract(task);
            if used.tasks == 0 {
                self.0.remove(&task.instance);
            }
        }
    }
}
