//! The loop that every controller runs in.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use longshore_domain::record::Task;
use longshore_domain::time::Timestamp;
use longshore_store::{Kind, RecordTxn, TxnOutcome, View};

use crate::members::Term;
use crate::{Server, clock};

/// Portions of one service that are on their way to the store at the same time: what agents report
/// waits behind them, and a pass may have a hundred.
const PORTIONS: usize = 3;
/// Pause after a pass that failed, so that a broken store is not hammered.
const RETRY: Duration = Duration::from_secs(1);
/// Longest time without a pass: a safety net, nothing depends on it.
const RESYNC: Duration = Duration::from_secs(60);

/// For how many times what it took to decide a controller rests, so that in a large cluster it does
/// not think about each of many changes alone. Short decisions are not put off.
const REST: u32 = 3;
/// The longest rest.
const REST_MAX: Duration = Duration::from_millis(250);
/// Shorter rests are left out.
const REST_MIN: Duration = Duration::from_millis(1);

/// Works of one pass whose transactions are on their way at the same time.
const COMMITS: usize = 64;

/// What a pass decided.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// What to commit; one does not wait for another.
    pub(super) works: Vec<Work>,
    /// Tasks in these transactions that hold their place until then.
    pub(super) placed: Vec<Task>,
    /// When the records give a reason to look again.
    pub(super) next: Option<Timestamp>,
}

/// Transactions that belong together.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// These first, in any order.
    pub(super) ahead: Vec<RecordTxn>,
    /// This one when all of them are committed.
    pub(super) last: RecordTxn,
}

impl Work {
    /// Commits them; whether nobody was in the way.
    pub(super) async fn commit(self, server: &Server, term: &Term) -> bool {
        let ahead = self.ahead.into_iter().map(|txn| server.commit_in(term, txn));
        let went = |outcome| matches!(outcome, Ok(TxnOutcome::Committed { .. }));
        let ahead: Vec<bool> =
            stream::iter(ahead).buffer_unordered(PORTIONS).map(went).collect().await;
        ahead.into_iter().all(|went| went) && went(server.commit_in(term, self.last).await)
    }
}

impl Pass {
    /// Adds a transaction that changes something.
    pub(super) fn push(&mut self, txn: RecordTxn) {
        if !txn.is_empty() {
            self.works.push(Work { ahead: Vec::new(), last: txn });
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
    /// Whether it places tasks.
    const PLACES: bool = false;

    /// Decides what to change; a function of view and time.
    fn pass(&self, view: &View, now: Timestamp) -> Pass;
}

/// Runs a controller for as long as the term lasts; whoever spawned it ends it.
pub(super) async fn run<C: Controller>(server: &Server, term: &Term, controller: &C) {
    let mut changes = server.state.changes();
    let mut roster = server.members.roster_changes();
    loop {
        roster.mark_unchanged();
        let wait = match pass(server, term, controller).await {
            Some(next) => next.map_or(RESYNC, |at| at.saturating_since(clock::now()).min(RESYNC)),
            None => RETRY,
        };
        tokio::select! {
            biased;
            woken = changes.changed(C::READS) => if let Err(error) = woken {
                tracing::error!(controller = C::NAME, %error, "controller stops");
                return;
            },
            // Servers come and go rarely, and with them what is known of their sessions. The sender
            // lives as long as the server.
            _ = roster.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One pass; `None` when it has to be tried again soon.
pub(super) async fn pass<C: Controller>(
    server: &Server,
    term: &Term,
    controller: &C,
) -> Option<Option<Timestamp>> {
    let started = Instant::now();
    let turn = if C::PLACES { Some(term.placer.turn().await) } else { None };
    let view = server.state.view();
    // By the runtime's clock, so that simulated time decides in no time.
    let thinking = tokio::time::Instant::now();
    let Pass { works, placed, next } = controller.pass(&view, clock::now());
    let rest = (thinking.elapsed() * REST).min(REST_MAX);
    drop(turn);
    // Together, so that the store can write them in groups.
    let commits = works.into_iter().map(|work| work.commit(server, term));
    let went: Vec<bool> = stream::iter(commits).buffer_unordered(COMMITS).collect().await;
    // Not even the lock is needed for nothing.
    if !placed.is_empty() {
        term.placer.landed(&placed);
    }
    server.metrics.pass(C::NAME, started.elapsed());
    if rest >= REST_MIN {
        tokio::time::sleep(rest).await;
    }
    // Where somebody else was faster, the next pass sees what they did.
    went.iter().all(|went| *went).then_some(next)
}
