//! The loop that every controller runs in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use longshore_domain::record::Task;
use longshore_domain::time::Timestamp;
use longshore_store::{Kind, RecordTxn, TxnOutcome, View};

use crate::{Server, clock};

/// Pause after a pass that failed, so that a broken store is not hammered.
const RETRY: Duration = Duration::from_secs(1);
/// Longest time without a pass: a safety net, nothing depends on it.
const RESYNC: Duration = Duration::from_secs(60);

/// Transactions of one pass that are on their way at the same time.
const COMMITS: usize = 64;

/// What a pass decided.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Transactions to commit, each by itself.
    pub(super) txns: Vec<RecordTxn>,
    /// Tasks in these transactions that hold their place until then.
    pub(super) placed: Vec<Task>,
    /// When the records give a reason to look again.
    pub(super) next: Option<Timestamp>,
}

impl Pass {
    /// Adds a transaction that changes something.
    pub(super) fn push(&mut self, txn: RecordTxn) {
        if !txn.is_empty() {
            self.txns.push(txn);
        }
    }

    /// Looks again at `at` at the latest.
    pub(super) fn look_again(&mut self, at: Timestamp) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// The same where there is a time.
    pub(super) fn look_again_if(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.look_again(at);
        }
    }
}

/// A controller: a name, the tables that it reads, and a pure pass.
pub(super) trait Controller: Send + Sync + 'static {
    /// Name in logs and metrics.
    const NAME: &'static str;
    /// Tables whose changes wake it.
    const READS: &'static [Kind];

    /// Decides what to change; a function of view and time.
    fn pass(&self, view: &View, now: Timestamp) -> Pass;
}

/// Runs a controller until the server stops.
pub(super) fn spawn<C: Controller>(server: &Arc<Server>, controller: C) {
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let mut shutdown = server.shutdown.subscribe();
        tokio::select! {
            biased;
            () = crate::stopped(&mut shutdown) => {}
            () = run(&server, &controller) => {}
        }
    });
}

async fn run<C: Controller>(server: &Server, controller: &C) {
    let mut changes = server.state.changes();
    loop {
        let wait = match pass(server, controller).await {
            Some(next) => next.map_or(RESYNC, |at| at.saturating_since(clock::now()).min(RESYNC)),
            None => RETRY,
        };
        tokio::select! {
            biased;
            woken = changes.changed(C::READS) => if let Err(error) = woken {
                tracing::error!(controller = C::NAME, %error, "controller stops");
                return;
            },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One pass; `None` when it has to be tried again soon.
pub(super) async fn pass<C: Controller>(
    server: &Server,
    controller: &C,
) -> Option<Option<Timestamp>> {
    let started = Instant::now();
    let view = server.state.view();
    let Pass { txns, placed, next } = controller.pass(&view, clock::now());
    // Together, so that the store can write them in groups.
    let commits = txns.into_iter().map(|txn| server.commit(txn));
    let outcomes: Vec<_> = stream::iter(commits).buffer_unordered(COMMITS).collect().await;
    // Not even the lock is needed for nothing.
    if !placed.is_empty() {
        server.placer.landed(&placed);
    }
    // Where somebody else was faster, the next pass sees what they did.
    let again = outcomes.iter().any(|outcome| !matches!(outcome, Ok(TxnOutcome::Committed { .. })));
    server.metrics.pass(C::NAME, started.elapsed());
    (!again).then_some(next)
}
