//! The state of the control plane as one process sees it: a store, and the view that follows
//! it.
//!
//! Reads take the view; a commit returns after the view has reached it, so that a process
//! reads what it wrote. Wake-ups carry no data: they say which tables changed, and whoever
//! wakes reads the view.

mod figures;
mod follow;
mod wakes;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use longshore_domain::ids::InstanceId;
use longshore_domain::time::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

pub use self::figures::Figures;
use self::figures::{Answered, Counters};
use self::follow::Follower;
pub use self::wakes::InstanceChanges;
use self::wakes::Wakes;
use crate::contract::{Key, Range, Store, StoreRevision, TxnOutcome};
use crate::journal::Journal;
use crate::limits;
use crate::record::{KeyPrefix, Record, RecordError, Row, decode};
use crate::record_txn::RecordTxn;
use crate::view::{Kind, View};
use crate::{Retry, StoreError};

/// A store with the view that follows it. Clones share both; the view stops following when
/// the last clone is dropped.
#[derive(Clone)]
pub struct State {
    store: Arc<dyn Store>,
    /// The time of what the journal tells; without it there is no journal.
    now: Option<fn() -> Timestamp>,
    published: Arc<Published>,
    _follower: Arc<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.view().revision;
        f.debug_struct("State").field("revision", &revision).finish_non_exhaustive()
    }
}

/// Where the follower puts what it has.
struct Published {
    view: ArcSwap<View>,
    progress: watch::Sender<Progress>,
    wakes: Wakes,
    counters: Counters,
}

#[derive(Clone, Debug)]
struct Progress {
    revision: StoreRevision,
    /// Revision of the last change of each table, in the order of [`Kind::ALL`].
    changed: [StoreRevision; Kind::ALL.len()],
    /// Why the view follows no more.
    stopped: Option<Arc<StateError>>,
}

// The library has it for arrays of up to 32.
impl Default for Progress {
    fn default() -> Self {
        let none = StoreRevision::default();
        Self { revision: none, changed: [none; Kind::ALL.len()], stopped: None }
    }
}

/// Why the state cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds what is no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store is not whole yet.
    #[error(
        "an import into this store was interrupted; finish it (longshore ctl store import, with the \
         same file), or begin with an empty store"
    )]
    Unfinished,
    /// The view follows the store no more; the reason was logged when it happened.
    #[error("the view of the store has stopped; restart longshore")]
    Stopped(#[source] Arc<StateError>),
    /// The view has not reached a revision in time, since the store does not tell of it.
    #[error(
        "the view has not reached revision {revision} of the store within {waited:?}; look at the \
         store and the network"
    )]
    Behind {
        /// The revision.
        revision: StoreRevision,
        /// How long that was waited for.
        waited: Duration,
    },
    /// Other writers got in between each time.
    #[error("{key} changed under {attempts} attempts in a row; try again")]
    Contended {
        /// What changed the last time.
        key: Key,
        /// Number of attempts.
        attempts: u32,
    },
}

impl StateError {
    /// Whether what was asked for may have happened, as far as anybody knows.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Store(error) => error.retry() == Retry::AfterReading,
            Self::Stopped(_) | Self::Behind { .. } => true,
            Self::Record(_) | Self::Unfinished | Self::Contended { .. } => false,
        }
    }
}

impl State {
    /// Reads all of `store`, and follows it from then on.
    ///
    /// # Errors
    /// The store fails, holds what is no record, or is not wholly imported.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, StateError> {
        let follower = Follower::start(store.clone()).await?;
        let published = follower.published();
        let task = tokio::spawn(follower.run());
        let follower = Arc::new(AbortOnDrop(task.abort_handle()));
        Ok(Self { store, now: None, published, _follower: follower })
    }

    /// The same, which tells the journal of everything that it commits. `now` gives the time.
    #[must_use]
    pub fn with_journal(self, now: fn() -> Timestamp) -> Self {
        Self { now: Some(now), ..self }
    }

    /// The journal of the store.
    pub fn journal(&self) -> Journal {
        Journal::new(Arc::clone(&self.store))
    }

    /// The newest view.
    pub fn view(&self) -> Arc<View> {
        self.published.view.load_full()
    }

    /// The store itself, for leadership.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Commits `txn`. Whatever the outcome, the view has reached its revision afterwards: after
    /// a commit it shows what was written, after a conflict what was in the way.
    ///
    /// # Errors
    /// [`StateError::Store`]; what [`StoreError::retry`] says decides. [`StateError::Stopped`]
    /// and [`StateError::Behind`] when the view cannot reach the revision, or not in time; the
    /// transaction may have happened.
    pub async fn commit(&self, txn: RecordTxn) -> Result<TxnOutcome, StateError> {
        let txn = match self.now {
            Some(now) => txn.into_told_txn(now()),
            None => txn.into_txn(),
        };
        let counters = &self.published.counters;
        let waiting = counters.waits();
        let answer = self.store.txn(txn).await;
        drop(waiting);
        counters.answered(match &answer {
            Ok(TxnOutcome::Committed { revision }) => Answered::Committed(*revision),
            Ok(TxnOutcome::Conflict { revision, .. }) => Answered::Conflict(*revision),
            Err(_) => Answered::Failed,
        });
        let outcome = answer?;
        let (TxnOutcome::Committed { revision } | TxnOutcome::Conflict { revision, .. }) = &outcome;
        let since = Instant::now();
        self.reached_in_time(*revision).await?;
        counters.viewed(since.elapsed());
        Ok(outcome)
    }

    /// What it has done so far, in numbers.
    pub fn figures(&self) -> Figures {
        self.published.counters.read(self.view().revision)
    }

    /// Decides and commits, again with a newer view as long as others get in between. The
    /// refusal of `decide` is the inner error; a decision that changes nothing is not sent. One
    /// that may have happened is not made again: whoever asked must look first.
    ///
    /// What is refused, or needs no change, is so as the store is now, and not as this process
    /// happens to see it: where others write too, the view is brought up to date before it is
    /// believed.
    ///
    /// # Errors
    /// Those of [`State::commit`], and [`StateError::Contended`] after
    /// [`limits::COMMIT_ATTEMPTS`].
    pub async fn decide<T, E>(
        &self,
        decide: impl FnMut(&View, &mut RecordTxn) -> Result<T, E>,
    ) -> Result<Result<T, E>, StateError> {
        self.decide_from(decide, self.store.is_exclusive()).await
    }

    /// The same, for decisions that are made time and again: what needs no change as this process
    /// sees it is believed, and costs nothing.
    ///
    /// # Errors
    /// Those of [`State::decide`].
    pub async fn decide_as_seen<T, E>(
        &self,
        decide: impl FnMut(&View, &mut RecordTxn) -> Result<T, E>,
    ) -> Result<Result<T, E>, StateError> {
        self.decide_from(decide, true).await
    }

    async fn decide_from<T, E>(
        &self,
        mut decide: impl FnMut(&View, &mut RecordTxn) -> Result<T, E>,
        mut up_to_date: bool,
    ) -> Result<Result<T, E>, StateError> {
        let mut contended = None;
        for _ in 0..limits::COMMIT_ATTEMPTS {
            let mut txn = RecordTxn::new();
            let view = self.view();
            let decision = decide(&view, &mut txn);
            if decision.is_err() || txn.is_empty() {
                if up_to_date || self.current().await?.revision == view.revision {
                    return Ok(decision);
                }
                up_to_date = true;
                continue;
            }
            match self.commit(txn).await? {
                TxnOutcome::Committed { .. } => return Ok(decision),
                TxnOutcome::Conflict { key, .. } => contended = Some(key),
            }
            // The view shows what was in the way, so it is newer than the call.
            up_to_date = true;
        }
        let key = contended.unwrap_or_else(|| "/".into());
        Err(StateError::Contended { key, attempts: limits::COMMIT_ATTEMPTS })
    }

    /// A view that shows all that was acknowledged before this call, by whichever process.
    ///
    /// # Errors
    /// The store fails, and [`StateError::Stopped`] and [`StateError::Behind`].
    pub async fn current(&self) -> Result<Arc<View>, StateError> {
        let anything = Range::prefix("/").limit(1);
        let revision = self.store.range(anything).await?.revision;
        self.reached_in_time(revision).await
    }

    async fn reached_in_time(&self, revision: StoreRevision) -> Result<Arc<View>, StateError> {
        let waited = limits::VIEW_REACH;
        let reached = timeout(waited, self.reached(revision)).await;
        reached.unwrap_or(Err(StateError::Behind { revision, waited }))
    }

    /// Waits until the view has reached `revision`, and returns it.
    ///
    /// # Errors
    /// [`StateError::Stopped`].
    pub async fn reached(&self, revision: StoreRevision) -> Result<Arc<View>, StateError> {
        let view = self.published.view.load();
        if view.revision >= revision {
            return Ok(Arc::clone(&view));
        }
        drop(view);
        let mut progress = self.published.progress.subscribe();
        let there = |p: &Progress| p.revision >= revision || p.stopped.is_some();
        // The sender lives as long as this state.
        let stopped = match progress.wait_for(there).await {
            Ok(now) if now.revision < revision => now.stopped.clone(),
            _ => None,
        };
        match stopped {
            Some(why) => Err(StateError::Stopped(why)),
            None => Ok(self.view()),
        }
    }

    /// Tells of changes from now on.
    pub fn changes(&self) -> Changes {
        let progress = self.published.progress.subscribe();
        let seen = progress.borrow().revision;
        Changes { progress, seen }
    }

    /// Lets those who listen for news of `instance` look again.
    pub fn wake(&self, instance: InstanceId) {
        self.published.wakes.wake([instance]);
    }

    /// Tells of news for the agent of `instance` from now on.
    pub fn changes_for(&self, instance: InstanceId) -> InstanceChanges {
        InstanceChanges::new(&self.published, instance)
    }
}

/// Records whose keys begin with `prefix`, straight from a store: for a look at a few of them before all
/// of it is read. At most a page.
///
/// # Errors
/// The store fails, or holds what is no record.
pub async fn peek<R: Record>(
    store: &dyn Store,
    prefix: &KeyPrefix<R>,
) -> Result<Vec<Row<R>>, StateError> {
    let page = store.range(Range::prefix(prefix.as_str())).await?;
    let rows = page.kvs.iter().map(decode).collect::<Result<_, _>>();
    rows.map_err(StateError::Record)
}

/// Tells that tables have changed, not how.
#[derive(Clone, Debug)]
pub struct Changes {
    progress: watch::Receiver<Progress>,
    seen: StoreRevision,
}

impl Changes {
    /// Waits until one of `kinds` has changed since the last call (or since this was made),
    /// and returns the revision that the view has reached.
    ///
    /// # Errors
    /// [`StateError::Stopped`] when the view follows the store no more.
    pub async fn changed(&mut self, kinds: &[Kind]) -> Result<StoreRevision, StateError> {
        let seen = self.seen;
        let changed = |progress: &Progress| {
            progress.stopped.is_some() || kinds.iter().any(|&kind| progress.of(kind) > seen)
        };
        let closed = || StateError::Store(StoreError::Closed);
        let now = self.progress.wait_for(changed).await.map_err(|_| closed())?;
        if let Some(why) = &now.stopped {
            return Err(StateError::Stopped(why.clone()));
        }
        self.seen = now.revision;
        Ok(now.revision)
    }

    /// Revision of the last change of `kind` that the view shows.
    pub fn last_change(&self, kind: Kind) -> StoreRevision {
        self.progress.borrow().of(kind)
    }
}

impl Progress {
    fn of(&self, kind: Kind) -> StoreRevision {
        self.changed.get(kind as usize).copied().unwrap_or_default()
    }

    fn mark(&mut self, kind: Kind, revision: StoreRevision) {
        if let Some(changed) = self.changed.get_mut(kind as usize) {
            *changed = revision;
        }
    }
}
