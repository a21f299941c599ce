//! The follower: reads the store in pages, then applies its watch, and publishes views.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::{FutureExt, StreamExt};
use longshore_domain::ids::InstanceId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Counters, Progress, Published, StateError, Wakes};
use crate::archive::UNFINISHED;
use crate::contract::{Batch, Event, Page, Range, Store, StoreRevision, Watch};
use crate::view::{Applied, Kind, View};
use crate::{Retry, StoreError, limits};

/// Follows a store.
pub(super) struct Follower {
    store: Arc<dyn Store>,
    published: Arc<Published>,
    /// What is published, and what is applied since.
    view: View,
    progress: Progress,
    /// Instances for whose agents there is news since.
    news: BTreeSet<InstanceId>,
    watch: Watch,
}

impl Follower {
    /// Reads all of `store`.
    pub(super) async fn start(store: Arc<dyn Store>) -> Result<Self, StateError> {
        let (view, watch) = list(&store).await?;
        let progress = Progress::of_list(view.revision);
        let published = Arc::new(Published {
            view: ArcSwap::from_pointee(view.clone()),
            progress: watch::Sender::new(progress.clone()),
            wakes: Wakes::default(),
            counters: Counters::default(),
        });
        Ok(Self { store, published, view, progress, news: BTreeSet::new(), watch })
    }

    pub(super) fn published(&self) -> Arc<Published> {
        self.published.clone()
    }

    /// Follows the store until it fails for good.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(error) = self.follow().await
                && let Err(error) = self.recover(error).await
            {
                tracing::error!(%error, "the view follows the store no more");
                let stopped = Some(Arc::new(error));
                self.published.progress.send_modify(|progress| progress.stopped = stopped);
                self.published.wakes.wake_all();
                return;
            }
        }
    }

    /// Applies what the watch has, at least one batch, and publishes.
    async fn follow(&mut self) -> Result<(), StateError> {
        let mut next = self.watch.next().await;
        let mut applied = 0;
        loop {
            // A watch ends only after an error.
            match next.unwrap_or(Err(StoreError::Closed)) {
                Ok(batch) => self.apply(&batch)?,
                Err(error) => {
                    self.publish();
                    return Err(error.into());
                }
            }
            applied += 1;
            // What is taken from the watch must be applied, so it is asked last.
            if applied == limits::VIEW_BATCHES {
                break;
            }
            match self.watch.next().now_or_never() {
                Some(more) => next = more,
                None => break,
            }
        }
        self.publish();
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) -> Result<(), StateError> {
        for event in batch.events.iter() {
            if let Some(Applied { kind, news }) = self.view.apply(event)? {
                self.progress.mark(kind, batch.revision);
                self.news.extend(news);
            }
        }
        self.view.revision = batch.revision;
        self.progress.revision = batch.revision;
        Ok(())
    }

    fn publish(&mut self) {
        // The view first: whoever wakes finds it.
        self.published.view.store(Arc::new(self.view.clone()));
        self.published.wakes.wake(std::mem::take(&mut self.news));
        self.published.progress.send_replace(self.progress.clone());
    }

    /// Reads the store again after `error`, as long as errors may pass.
    async fn recover(&mut self, mut error: StateError) -> Result<(), StateError> {
        let mut pause = limits::RETRY_PAUSE.0;
        loop {
            match &error {
                StateError::Store(StoreError::Compacted { .. }) => {
                    tracing::info!(%error, "the view reads the store again");
                }
                StateError::Store(store) if store.retry() != Retry::Never => {
                    tracing::warn!(%error, ?pause, "the view will ask the store again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(limits::RETRY_PAUSE.1);
                }
                _ => return Err(error),
            }
            match list(&self.store).await {
                Ok((view, watch)) => {
                    // Nobody knows what has changed in between, so everything may have.
                    self.progress = Progress::of_list(view.revision);
                    self.view = view;
                    self.watch = watch;
                    self.publish();
                    self.published.wakes.wake_all();
                    return Ok(());
                }
                Err(again) => error = again,
            }
        }
    }
}

impl Progress {
    fn of_list(revision: StoreRevision) -> Self {
        Self { revision, changed: [revision; Kind::ALL.len()], stopped: None }
    }
}

/// Reads all of `store`, with the watch that goes on from there.
async fn list(store: &Arc<dyn Store>) -> Result<(View, Watch), StateError> {
    loop {
        match try_list(store).await {
            Err(StateError::Store(error @ StoreError::Compacted { .. })) => {
                tracing::info!(%error, "the store changed faster than the view could read it");
            }
            other => return other,
        }
    }
}

async fn try_list(store: &Arc<dyn Store>) -> Result<(View, Watch), StateError> {
    let mut view = View::default();
    let mut first = None;
    let mut next = Some(fetch(store, records()));
    while let Some(fetched) = next {
        // A task ends without an answer only while everything shuts down.
        let page = fetched.await.unwrap_or(Err(StoreError::Closed))?;
        first = first.or(Some(page.revision));
        view.revision = page.revision;
        // The store reads the next page while this one is decoded.
        let last = page.kvs.last().filter(|_| page.more);
        next = last.map(|last| fetch(store, records().after(&last.key)));
        for kv in page.kvs {
            if &*kv.key == UNFINISHED {
                return Err(StateError::Unfinished);
            }
            view.apply(&Event::Put(kv))?;
        }
    }
    // Pages were read at different revisions; what happened in between makes them one.
    let target = view.revision;
    let mut reached = first.unwrap_or(target);
    let mut watch = store.watch("/", reached);
    while reached < target {
        let batch = watch.next().await.unwrap_or(Err(StoreError::Closed))?;
        for event in batch.events.iter() {
            view.apply(event)?;
        }
        reached = batch.revision;
    }
    view.revision = reached;
    Ok((view, watch))
}

/// Where records are: accounts are digits, and the control plane's own keys, its long journal
/// among them, come after all of them.
fn records() -> Range {
    Range::between("/", "/longshore/")
}

fn fetch(store: &Arc<dyn Store>, range: Range) -> JoinHandle<Result<Page, StoreError>> {
    let store = store.clone();
    tokio::spawn(async move { store.range(range).await })
}
