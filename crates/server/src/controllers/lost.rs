//! Instances that are lost: an agent that has been away for too long does not keep its tasks.
//!
//! Only with the fidelity switch `replace-lost-instances`. The tasks end with the stop code
//! `InfrastructureHealth`, and services replace them; the instance keeps their ids as its fence,
//! which its session tells the agent to stop when it comes back (`session::acs`), and while which it
//! is given no new tasks. A report of their end lifts it (`ecs::submit_state_change`).

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::lifecycle;
use longshore_domain::record::{ContainerInstance, InstanceStatus};
use longshore_domain::time::Timestamp;
use longshore_store::tables::TaskIndex;
use longshore_store::{Kind, RecordTxn, Row, View};

use super::connections::RECONNECT;
use super::driver::{Controller, Pass};
use crate::Server;

/// Tasks ended by one transaction, which also tells the journal of each; a store takes 1.5 MiB.
const BATCH: usize = 50;
/// How long an agent that is back may leave its fence standing: it was told time and again, so it
/// no longer knows these tasks.
const FENCE: Duration = Duration::from_secs(600);

/// Ends tasks whose instance has been without its agent for too long.
pub(super) struct Lost {
    /// How long that is; without it nothing is lost, and only fences fall.
    pub(super) after: Option<Duration>,
    /// Knows which servers are there.
    pub(super) server: Arc<Server>,
    /// When this one began to lead: before, agents may have had nobody to reach.
    pub(super) began: Timestamp,
}

impl Controller for Lost {
    const NAME: &'static str = "lost";
    const READS: &'static [Kind] = &[Kind::ContainerInstance];

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let mut pass = Pass::default();
        let roster = self.server.members.roster();
        for row in view.container_instances.iter() {
            if row.status == InstanceStatus::Inactive {
                continue;
            }
            if row.connection.connected {
                expire_fence(row, now, &mut pass);
            } else if let Some(after) = self.after {
                let mut due = row.connection.since + after;
                if let Some(left) = roster.left_at(row.connection.server, self.began) {
                    // It may be back already, and nobody was there to see it.
                    due = due.max(left + RECONNECT);
                }
                give_up(view, row, due, now, &mut pass);
            }
        }
        pass
    }
}

/// Ends the tasks of an instance, if it is time.
fn give_up(
    view: &View,
    row: &Row<ContainerInstance>,
    due: Timestamp,
    now: Timestamp,
    pass: &mut Pass,
) {
    let tasks = || view.tasks.by(&TaskIndex::Instance(row.id)).filter(|task| !task.is_stopped());
    if tasks().next().is_none() {
        return;
    }
    if now < due {
        return pass.look_again(due);
    }
    let silence = now.saturating_since(row.connection.since);
    // What does not fit follows in the next pass, which this one's commit wakes.
    let mut instance = row.record.clone();
    let mut txn = RecordTxn::new();
    for task in tasks().take(BATCH) {
        if let Some(ended) = lifecycle::unreachable(task, silence, now) {
            instance.fence.insert(task.id);
            txn.update(task, &ended);
        }
    }
    instance.version += 1;
    tracing::warn!(
        instance = %row.id,
        cluster = %row.cluster,
        seconds = silence.as_secs(),
        tasks = txn.len(),
        "the instance is lost; its tasks are given up"
    );
    // Should the agent come back at this moment, nothing happens.
    txn.update(row, &instance);
    pass.push(txn);
}

fn expire_fence(row: &Row<ContainerInstance>, now: Timestamp, pass: &mut Pass) {
    if row.fence.is_empty() {
        return;
    }
    let end = row.connection.since + FENCE;
    if now < end {
        return pass.look_again(end);
    }
    let mut instance = row.record.clone();
    instance.fence.clear();
    instance.version += 1;
    let mut txn = RecordTxn::new();
    txn.update(row, &instance);
    pass.push(txn);
}

#[cfg(test)]
mod tests;
