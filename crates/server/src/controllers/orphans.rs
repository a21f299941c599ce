//! Tasks of instances that are gone: nobody will ever report them, so the records end here.

use longshore_domain::lifecycle;
use longshore_domain::record::InstanceStatus;
use longshore_domain::time::Timestamp;
use longshore_store::tables::TaskIndex;
use longshore_store::{Kind, RecordTxn, View};

use super::driver::{Controller, Pass};

/// AWS's reason for tasks of an instance that was deregistered by force.
const DEREGISTERED: &str = "Container instance deregistration forced by user";
/// Tasks ended by one transaction, which also tells the journal of each; a store takes 1.5 MiB.
const BATCH: usize = 50;

/// Ends tasks whose instance is INACTIVE or gone.
pub(super) struct Orphans;

impl Controller for Orphans {
    const NAME: &'static str = "orphans";
    const READS: &'static [Kind] = &[Kind::ContainerInstance];

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let mut pass = Pass::default();
        let mut txn = RecordTxn::new();
        for instance in view.container_instances.iter() {
            if instance.status != InstanceStatus::Inactive {
                continue;
            }
            for task in view.tasks.by(&TaskIndex::Instance(instance.id)) {
                if let Some(ended) = lifecycle::lost(task, DEREGISTERED, now) {
                    txn.update(task, &ended);
                    if txn.len() == BATCH {
                        pass.push(std::mem::take(&mut txn));
                    }
                }
            }
        }
        pass.push(txn);
        pass
    }
}
