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
use std::time::Instant;

use arc_swap::ArcSwap;
use longshore_domain::ids::InstanceId;
use longshore_domain::time::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use self::figures::Figures;
use self::figures::{Answered, Counters};
use self::follow::Follower;
pub use self::wakes::InstanceChanges;
use self::wakes::Wakes;
use crate::StoreError;
use crate::contract::{Key, Store, StoreRevision, TxnOutcome};
use crate::journal::Journal;
use crate::limits;
use crate::record::RecordError;
use crate::record_txn::RecordTxn;
use crate::view::{Kind, View};

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

#[derive(Clone, Debug, Default)]
struct Progress {
    revision: StoreRevision,
    /// Revision of the last change of each table, in the order of [`Kind::ALL`].
    changed: [StoreRevision; Kind::ALL.len()],
    /// Why the view follows no more.
    stopped: Option<Arc<StateError>>,
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
    /// The view follows the store no more; the reason was logged when it happened.
    #[error("the view of the store has stopped; restart longshore")]
    Stopped(#[source] Arc<StateError>),
    /// Other writers got in between each time.
    #[error("{key} changed under {attempts} attempts in a row; try again")]
    Contended {
        /// What changed the last time.
        key: Key,
        /// Number of attempts.
        attempts: u32,
    },
}

impl State {
    /// Reads all of `store`, and follows it from then on.
    ///
    /// # Errors
    /// The store fails, or holds what is no record.
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
    /// when the view cannot reach the revision; the transaction may have happened.
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
        self.reached(*revision).await?;
        counters.viewed(since.elapsed());
        Ok(outcome)
    }

    /// What it has done so far, in numbers.
    pub fn figures(&self) -> Figures {
        self.published.counters.read(self.view().revision)
    }

    /// Decides and commits, again with a newer view as long as others get in between. The
    /// refusal of `decide` is the inner error; a decision that changes nothing is not sent.
    ///
    /// # Errors
    /// Those of [`State::commit`], and [`StateError::Contended`] after
    /// [`limits::COMMIT_ATTEMPTS`].
    pub async fn decide<T, E>(
        &self,
        mut decide: impl FnMut(&View, &mut RecordTxn) -> Result<T, E>,
    ) -> Result<Result<T, E>, StateError> {
        let mut contended = None;
        for _ in 0..limits::COMMIT_ATTEMPTS {
            let mut txn = RecordTxn::new();
            let decision = match decide(&self.view(), &mut txn) {
                Ok(decision) => decision,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if txn.is_empty() {
                return Ok(Ok(decision));
            }
            match self.commit(txn).await? {
                TxnOutcome::Committed { .. } => return Ok(Ok(decision)),
                TxnOutcome::Conflict { key, .. } => contended = Some(key),
            }
        }
        let key = contended.unwrap_or_else(|| "/".into());
        Err(StateError::Contended { key, attempts: limits::COMMIT_ATTEMPTS })
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
