//! What instances have and what their tasks take.

use std::collections::BTreeSet;

use longshore_domain::ids::InstanceId;
use longshore_store::View;
use longshore_store::tables::TaskIndex;

use super::{Checker, Step};

/// No instance is promised twice: CPU, memory and host ports of its tasks fit.
pub(super) struct Capacity;

impl Checker for Capacity {
    fn name(&self) -> &'static str {
        "capacity and ports never exceeded"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        let touched: BTreeSet<InstanceId> =
            step.tasks.iter().map(|(_, task)| task.instance).collect();
        touched.into_iter().flat_map(|instance| overload(step.after, instance)).collect()
    }
}

fn overload(view: &View, id: InstanceId) -> Vec<String> {
    let Some(instance) = view.container_instances.iter().find(|row| row.id == id) else {
        return vec![format!("instance {id} has tasks and no record")];
    };
    let (mut cpu, mut memory, mut ports) = (0, 0, BTreeSet::new());
    let mut wrong = Vec::new();
    for task in view.tasks.by(&TaskIndex::Instance(id)).filter(|task| !task.is_stopped()) {
        cpu += task.demand.cpu_units;
        memory += task.demand.memory_mib;
        for claim in &task.demand.ports {
            if !ports.insert(*claim) {
                wrong.push(format!("port {} of instance {id} is taken twice", claim.port));
            }
        }
    }
    let has = &instance.registered;
    if cpu > has.cpu_units || memory > has.memory_mib {
        wrong.push(format!(
            "tasks of instance {id} take {cpu} CPU units and {memory} MiB; it has {} and {}",
            has.cpu_units, has.memory_mib
        ));
    }
    wrong
}
