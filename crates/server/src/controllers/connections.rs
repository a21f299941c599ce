//! Sessions of servers that are gone: an instance whose agent did not come back is disconnected.
//!
//! A server that stops, or dies, leaves `agentConnected` as it was, because its agents reconnect
//! within seconds and placements should not be refused meanwhile. Those that do not are marked
//! here, once, some time after this server has started.

use std::time::Duration;

use longshore_domain::record::{AgentConnection, ContainerInstance};
use longshore_domain::time::Timestamp;
use longshore_store::{Kind, RecordTxn, View};

use super::driver::{Controller, Pass};

/// How long agents may take to find a server that was restarted; their backoff reaches a minute.
pub(super) const RECONNECT: Duration = Duration::from_secs(90);
/// Instances marked by one transaction; a store takes 128 writes.
const BATCH: usize = 100;

/// Marks instances whose session died with another server process.
pub(super) struct Connections {
    /// This server process.
    pub(super) boot: u64,
    /// When it started.
    pub(super) started_at: Timestamp,
}

impl Controller for Connections {
    const NAME: &'static str = "connections";
    const READS: &'static [Kind] = &[];

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let mut pass = Pass::default();
        let due = self.started_at + RECONNECT;
        let mut txn = RecordTxn::new();
        for row in view.container_instances.iter() {
            if !row.connection.connected || row.connection.server == self.boot {
                continue;
            }
            if now < due {
                pass.look_again(due);
                return pass;
            }
            let connection = AgentConnection { connected: false, since: now, server: self.boot };
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
