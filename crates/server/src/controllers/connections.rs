//! Sessions of servers that are gone: an instance whose agent did not come back is disconnected.
//!
//! A server that stops, or dies, leaves `agentConnected` as it was, because its agents reconnect
//! within seconds and placements should not be refused meanwhile. Those that do not are marked
//! here, some time after their server was seen to leave; or after this one began to lead, if nobody
//! saw it. The session of a server that is there is its own business.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::record::{AgentConnection, ContainerInstance};
use longshore_domain::time::Timestamp;
use longshore_store::{Kind, RecordTxn, View};

use super::driver::{Controller, Pass};
use crate::Server;

/// How long agents may take to find another server; their backoff reaches a minute.
pub(super) const RECONNECT: Duration = Duration::from_secs(90);
/// Instances marked by one transaction; a store takes 128 writes.
const BATCH: usize = 100;

/// Marks instances whose session died with its server.
pub(super) struct Connections {
    /// Knows which servers are there.
    pub(super) server: Arc<Server>,
    /// When this one began to lead.
    pub(super) began: Timestamp,
}

impl Controller for Connections {
    const NAME: &'static str = "connections";
    const READS: &'static [Kind] = &[];

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let mut pass = Pass::default();
        let roster = self.server.members.roster();
        let mut txn = RecordTxn::new();
        for row in view.container_instances.iter() {
            let AgentConnection { connected, server, .. } = row.connection;
            let Some(left) = roster.left_at(server, self.began).filter(|_| connected) else {
                continue;
            };
            if now < left + RECONNECT {
                pass.look_again(left + RECONNECT);
                continue;
            }
            let of = format!("{server:016x}");
            tracing::info!(instance = %row.id, server = of, "its server is gone, and it did not come back");
            let connection = AgentConnection { connected: false, since: now, server };
            let record =
                ContainerInstance { connection, version: row.version + 1, ..row.record.clone() };
            txn.update(row, &record);
            if txn.len() == BATCH {
                pass.push(std::mem::take(&mut txn));
            }
        }
        pass.push(txn);
        pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::test_server::{add_instance, server};

    #[tokio::test]
    async fn only_sessions_of_servers_that_are_gone_end() {
        let server = server().await;
        add_instance(&server, 1000).await;
        add_instance(&server, 1000).await;
        let view = server.state.view();
        let row = view.container_instances.iter().next().expect("an instance");
        let connection = AgentConnection { server: 2, ..row.connection };
        let mut txn = RecordTxn::new();
        txn.update(row, &ContainerInstance { connection, ..row.record.clone() });
        let outcome = server.commit(txn).await.expect("the store works");
        assert!(matches!(outcome, longshore_store::TxnOutcome::Committed { .. }));

        let view = server.state.view();
        let began = clock::now();
        let controller = Connections { server: Arc::clone(&server), began };
        let early = controller.pass(&view, began + RECONNECT / 2);
        assert_eq!((early.works.len(), early.next), (0, Some(began + RECONNECT)));
        let due = controller.pass(&view, began + RECONNECT);
        assert_eq!(
            due.works.iter().map(|work| work.last.len()).sum::<usize>(),
            1,
            "not the other one's"
        );
    }
}
