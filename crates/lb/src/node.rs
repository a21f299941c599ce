//! What all parts of a node share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::group::Group;
use crate::log::AccessLog;
use crate::table::{SocketKey, Table};

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Names it in reports.
    pub(crate) id: u64,
    pub(crate) table: ArcSwap<Table>,
    /// Told when there is something to report at once.
    pub(crate) news: Arc<Notify>,
    /// Groups for which requests wait, since the last report.
    pub(crate) wanted: Mutex<BTreeSet<String>>,
    /// Listeners whose sockets could not be opened, and why.
    pub(crate) unopened: Mutex<BTreeMap<SocketKey, (String, String)>>,
    /// Threads that serve connections.
    pub(crate) workers: Vec<Handle>,
    /// Connections of clients that are open.
    pub(crate) connections: AtomicUsize,
    /// What is under way: requests, and connections of layer 4.
    pub(crate) active: AtomicUsize,
    /// Connections are to end after what is under way.
    pub(crate) draining: AtomicBool,
    /// The same, for those who wait.
    pub(crate) drain: watch::Sender<bool>,
    pub(crate) log: AccessLog,
    /// Lines of the access log that were dropped.
    pub(crate) dropped: Arc<AtomicU64>,
    next_worker: AtomicUsize,
}

impl Node {
    pub(crate) fn new(id: u64, workers: Vec<Handle>, log: AccessLog) -> Self {
        Self {
            id,
            table: ArcSwap::default(),
            news: Arc::new(Notify::new()),
            wanted: Mutex::default(),
            unopened: Mutex::default(),
            workers,
            connections: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            drain: watch::Sender::new(false),
            dropped: Arc::clone(&log.dropped),
            log,
            next_worker: AtomicUsize::new(0),
        }
    }

    /// The worker of the next connection.
    pub(crate) fn next_worker(&self) -> usize {
        self.next_worker.fetch_add(1, Relaxed) % self.workers.len().max(1)
    }

    /// Asks the control plane for targets of a group.
    pub(crate) fn want(&self, group: &Group) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.insert(group.record.arn.clone()) {
            self.news.notify_one();
        }
    }

    /// Lets connections end.
    pub(crate) fn begin_to_drain(&self) {
        self.draining.store(true, Relaxed);
        self.drain.send_replace(true);
    }
}

/// Counts something for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted<F: Fn(&Node) -> &AtomicUsize> {
    node: Arc<Node>,
    which: F,
}

impl<F: Fn(&Node) -> &AtomicUsize> Counted<F> {
    pub(crate) fn new(node: &Arc<Node>, which: F) -> Self {
        which(node).fetch_add(1, Relaxed);
        Self { node: Arc::clone(node), which }
    }
}

impl<F: Fn(&Node) -> &AtomicUsize> Drop for Counted<F> {
    fn drop(&mut self) {
        (self.which)(&self.node).fetch_sub(1, Relaxed);
    }
}
