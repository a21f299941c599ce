//! A term: the time for which a server leads.
//!
//! Whatever only a leader may do needs the term that it is done in: the tasks in flight are kept
//! here, so that nothing is placed without one, and [`Server::commit_in`] commits only if the
//! office is still held. A server that was paused and does not know that its time is over can
//! therefore change nothing.

use longshore_domain::time::Timestamp;
use longshore_store::{Compare, Leader, RecordTxn, TxnOutcome};
use longshore_wire::ServiceError;
use longshore_wire::ecs::ErrorCode;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Server;
use crate::ecs::placement::Placer;

/// What a caller is told whose call was not done because the leader changed.
const MOVED: &str = "The control plane is electing a leader; nothing was changed. Try again.";

/// The time for which this server leads.
#[derive(Debug)]
pub(crate) struct Term {
    pub(super) leader: Leader,
    /// When it began.
    pub(crate) began: Timestamp,
    /// Tasks that were placed in this term and are not in the view yet.
    pub(crate) placer: Placer,
    over: watch::Sender<bool>,
}

impl Term {
    pub(super) fn new(leader: Leader, began: Timestamp) -> Self {
        Self { leader, began, placer: Placer::default(), over: watch::Sender::new(false) }
    }

    /// Whether it is over: another may lead.
    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow() || Instant::now() >= self.leader.until()
    }

    /// Ends it here and now.
    pub(crate) fn end(&self) {
        self.over.send_replace(true);
    }

    /// Completes when somebody found that it is over.
    pub(super) async fn found_over(&self) {
        crate::stopped(&mut self.over.subscribe()).await;
    }

    /// Completes when it was not renewed in time.
    pub(super) async fn runs_out(&self) {
        loop {
            let until = self.leader.until();
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// The condition that it is not over.
    pub(crate) fn fence(&self) -> Compare {
        self.leader.fence()
    }
}

/// The error of what was not done because this server does not lead.
pub(crate) fn moved() -> ServiceError {
    ErrorCode::ServerException.error(MOVED)
}

/// Whether nothing was done because the leader changed.
pub(super) fn has_moved(error: &ServiceError) -> bool {
    error.message == MOVED
}

impl Server {
    /// Commits what only a leader may decide, as [`Server::commit`]. Nothing happens when the
    /// term is over.
    pub(crate) async fn commit_in(
        &self,
        term: &Term,
        mut txn: RecordTxn,
    ) -> Result<TxnOutcome, ServiceError> {
        if term.is_over() {
            return Err(moved());
        }
        let fence = term.fence();
        txn.expect(fence.clone());
        let outcome = self.commit(txn).await?;
        match &outcome {
            TxnOutcome::Conflict { key, .. } if key == fence.key() => {
                tracing::warn!("a decision came after the end of this server's term");
                term.end();
                Err(moved())
            }
            _ => Ok(outcome),
        }
    }
}
