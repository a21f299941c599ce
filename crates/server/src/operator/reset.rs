//! `POST /_longshore/reset`: a development server forgets everything but its instances and the
//! default cluster; agents stop what is no longer wanted.

use http::StatusCode;
use longshore_domain::record::{ClusterStatus, DesiredStatus, StopCode, StopOrder, Task};
use longshore_store::{RecordTxn, TxnOutcome, View};
use serde_json::json;

use super::json;
use crate::front::Reply;
use crate::{Server, clock};

/// Records changed by one transaction; a store takes 128.
const BATCH: usize = 100;

/// Empties the state. Refused unless the server is a development one.
pub(super) async fn answer(server: &Server) -> Reply {
    if !server.open {
        let error = "reset is for development servers (identity provider `open`) only";
        return json(StatusCode::FORBIDDEN, &json!({ "error": error }));
    }
    loop {
        let view = server.state.view();
        let (txn, more) = next_batch(&view);
        if txn.is_empty() {
            return json(StatusCode::OK, &json!({ "reset": true }));
        }
        match server.commit(txn).await {
            Ok(TxnOutcome::Committed { .. }) if !more => {
                return json(StatusCode::OK, &json!({ "reset": true }));
            }
            Ok(_) => {}
            Err(error) => {
                return json(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.message }));
            }
        }
    }
}

/// The next records to remove, and whether more follow.
///
/// Services go first, so that no controller starts tasks anew. Tasks are ordered to stop and
/// forgotten by retention; an agent stops containers only for tasks that it is told of.
fn next_batch(view: &View) -> (RecordTxn, bool) {
    let mut txn = RecordTxn::new();
    macro_rules! remove {
        ($table:ident) => {
            for row in view.$table.iter() {
                if txn.len() >= BATCH {
                    return (txn, true);
                }
                txn.remove(row);
            }
        };
    }
    remove!(services);
    remove!(service_events);
    remove!(client_tokens);
    remove!(account_settings);
    let now = clock::now();
    let mut waiting = false;
    for row in view.tasks.iter() {
        if txn.len() >= BATCH {
            return (txn, true);
        }
        if row.is_stopped() {
            txn.remove(row);
        } else if row.desired == DesiredStatus::Running {
            let reason = "The development server was reset".to_owned();
            let task = Task {
                desired: DesiredStatus::Stopped,
                stop: Some(StopOrder { code: StopCode::UserInitiated, reason, at: now }),
                version: row.version + 1,
                ..row.record.clone()
            };
            txn.update(row, &task);
            waiting = true;
        } else {
            waiting = true;
        }
    }
    if waiting {
        // Definitions stay as long as tasks need them; the next reset removes them.
        return (txn, false);
    }
    remove!(task_definitions);
    for row in view.clusters.iter() {
        let in_use = view
            .container_instances
            .iter()
            .any(|instance| instance.cluster == row.name && instance.scope == row.scope);
        if !in_use && row.name.as_str() != "default" && row.status == ClusterStatus::Active {
            txn.remove(row);
        }
    }
    (txn, false)
}
