//! Records that have had their time: stopped tasks, deleted clusters and services, deregistered
//! instances, deleted task definitions, client tokens, join tokens, old events, daemon deployments.

mod daemons;

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_domain::deploy::leaves_traffic;
use longshore_domain::limits;
use longshore_domain::record::{
    ClusterStatus, InstanceStatus, ServiceStatus, TaskDefinition, TaskDefinitionStatus, TaskStatus,
};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{ServiceIndex, TaskDefinitionKey, TaskIndex};
use longshore_store::{Kind, Record, RecordTxn, Row, View};

use super::driver::{Controller, Pass};

/// Records removed by one transaction; a store takes 128 writes.
const BATCH: usize = 100;

/// How long records are kept after their end.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Stopped tasks.
    pub stopped_tasks: Duration,
    /// Deleted clusters and services, deregistered instances.
    pub inactive: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { stopped_tasks: limits::STOPPED_TASK_RETENTION, inactive: limits::INACTIVE_RETENTION }
    }
}

impl Retention {
    /// The same, with stopped tasks kept at least for `history`.
    pub(crate) fn at_least(self, history: Option<Duration>) -> Self {
        let stopped_tasks = history.map_or(self.stopped_tasks, |keep| keep.max(self.stopped_tasks));
        Self { stopped_tasks, ..self }
    }
}

/// Removes what has had its time.
pub(super) struct Reaper {
    /// How long things are kept.
    pub(super) retention: Retention,
}

/// Collects removals into transactions.
struct Bin {
    pass: Pass,
    txn: RecordTxn,
    now: Timestamp,
}

impl Bin {
    /// Removes `row` if it ended `keep` ago, else looks again when it will have.
    fn consider<R: Record>(&mut self, row: &Row<R>, ended: Option<Timestamp>, keep: Duration) {
        let Some(ended) = ended else { return };
        if ended + keep <= self.now {
            self.change(|txn| {
                txn.remove(row);
            });
        } else {
            self.pass.look_again(ended + keep);
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut RecordTxn)) {
        change(&mut self.txn);
        if self.txn.len() >= BATCH {
            self.pass.push(std::mem::take(&mut self.txn));
        }
    }
}

impl Controller for Reaper {
    const NAME: &'static str = "retention";
    // Nothing here is urgent, and a pass looks at everything: only the removal of a task
    // definition that somebody asked for does not wait for the next round.
    const READS: &'static [Kind] = &[Kind::TaskDefinition, Kind::DaemonTaskDefinition];

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let Retention { stopped_tasks, inactive } = self.retention;
        let mut bin = Bin { pass: Pass::default(), txn: RecordTxn::new(), now };
        for row in view.tasks.iter().filter(|row| row.observed.status == TaskStatus::Stopped) {
            bin.consider(row, row.observed.stopped_at, stopped_tasks);
        }
        for row in view.clusters.iter().filter(|row| row.status == ClusterStatus::Inactive) {
            bin.consider(row, row.deleted_at, inactive);
        }
        for row in view.services.iter().filter(|row| row.status == ServiceStatus::Inactive) {
            bin.consider(row, row.deleted_at, inactive);
        }
        for row in view.container_instances.iter() {
            if row.status == InstanceStatus::Inactive {
                bin.consider(row, row.deregistered_at, inactive);
            }
        }
        for row in view.client_tokens.iter() {
            bin.consider(row, Some(row.expires_at), Duration::ZERO);
        }
        for row in view.join_tokens.iter() {
            bin.consider(row, Some(row.expires_at), Duration::ZERO);
        }
        events(view, &mut bin);
        deployments(view, &mut bin);
        definitions(view, &mut bin);
        daemons::deployments(view, &mut bin);
        daemons::definitions(view, &mut bin);
        let Bin { mut pass, txn, .. } = bin;
        pass.push(txn);
        pass
    }
}

/// Keeps the newest events of each service, and none of services that are gone.
fn events(view: &View, bin: &mut Bin) {
    let mut newest_first: Vec<_> = view.service_events.iter().collect();
    newest_first.reverse();
    let mut current = None;
    let mut kept = 0;
    for row in newest_first {
        let owner = (&row.scope, &row.cluster, &row.service);
        if current != Some(owner) {
            (current, kept) = (Some(owner), 0);
        }
        kept += 1;
        let gone =
            crate::ecs::lookup::service(view, &row.scope, &row.cluster, &row.service).is_none();
        if gone || kept > limits::SERVICE_EVENTS {
            bin.change(|txn| {
                txn.remove(row);
            });
        }
    }
}

/// Service deployments and revisions go with their service; those of a service that lives when
/// they ended long ago.
fn deployments(view: &View, bin: &mut Bin) {
    let service = |scope, cluster, name| crate::ecs::lookup::service(view, scope, cluster, name);
    for row in view.service_deployments.iter() {
        let Some(service) = service(&row.scope, &row.cluster, &row.service) else {
            bin.change(|txn| {
                txn.remove(row);
            });
            continue;
        };
        // Where it has left traffic is known from it until there is a newer one.
        if service.service_deployment != Some(row.id) || !leaves_traffic(row) {
            bin.consider(row, row.finished_at, limits::SERVICE_DEPLOYMENT_RETENTION);
        }
    }
    for row in view.service_revisions.iter() {
        if service(&row.scope, &row.cluster, &row.service).is_none() {
            bin.change(|txn| {
                txn.remove(row);
            });
        }
    }
}

/// Removes task definitions whose deletion was asked for, once nothing uses them.
fn definitions(view: &View, bin: &mut Bin) {
    let mut deleting = BTreeSet::new();
    for row in view.task_definitions.iter() {
        if row.status != TaskDefinitionStatus::DeleteInProgress {
            continue;
        }
        let (scope, family) = (&row.scope, &row.family);
        let of_tasks = TaskIndex::TaskDefinition(scope.clone(), family.clone(), row.revision);
        let of_services = ServiceIndex::TaskDefinition(scope.clone(), family.clone(), row.revision);
        let in_use = view.tasks.count_by(&of_tasks) > 0 || view.services.count_by(&of_services) > 0;
        if in_use || !deleting.insert((scope, family, row.revision)) {
            continue;
        }
        let last = view.task_definitions.range(&TaskDefinitionKey::in_family(scope, family)).last();
        if last.is_some_and(|last| last.revision == row.revision) {
            // The highest number stays behind, so that it is not given out again.
            let tombstone =
                TaskDefinition { status: TaskDefinitionStatus::Deleted, ..row.record.clone() };
            bin.change(|txn| {
                txn.update(row, &tombstone);
            });
        } else {
            bin.change(|txn| {
                txn.remove(row);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_domain::ids::AccountId;
    use longshore_domain::record::JoinToken;

    use super::*;
    use crate::test_server;

    #[tokio::test]
    async fn join_tokens_go_when_they_expire() {
        let server = test_server::server().await;
        let at = |after_s| Timestamp::from_millis(1_790_000_000_000) + Duration::from_secs(after_s);
        let mut txn = RecordTxn::new();
        txn.insert(&JoinToken {
            account: AccountId::default(),
            id: "1".into(),
            digest: "0".repeat(64),
            role: "AROAAAAAAAAAAAAAAAAAA".parse().expect("an id"),
            created_at: at(0),
            expires_at: at(10),
            created_by: "arn:aws:iam::000000000000:root".into(),
        });
        let _ = server.commit(txn).await.expect("commits");
        let reaper = Reaper { retention: Retention::default() };
        let early = reaper.pass(&server.state.view(), at(9));
        assert_eq!((early.works.len(), early.next), (0, Some(at(10))));
        let late = reaper.pass(&server.state.view(), at(10));
        assert_eq!(late.works.len(), 1);
    }
}
