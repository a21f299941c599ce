//! The life of a process: while it lasts, its handles work; after its end they do nothing.
//!
//! A process that is killed leaves tokio tasks behind for a moment. They cannot do harm, because
//! store, network, disk and runtime answer a dead process never.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;

/// The life of one process. Clones are the same life.
#[derive(Clone)]
pub struct Life {
    ended: Arc<watch::Sender<bool>>,
    /// Steps until it ends; zero is never.
    fuse: Arc<AtomicU32>,
    /// Whether it stands still, as a process that is stopped or whose machine is overloaded.
    paused: Arc<watch::Sender<bool>>,
    /// Decisions until it stands still; zero is never.
    brake: Arc<AtomicU32>,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            ended: Arc::new(watch::Sender::new(false)),
            fuse: Arc::default(),
            paused: Arc::new(watch::Sender::new(false)),
            brake: Arc::default(),
        }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("ended", &*self.ended.borrow()).finish_non_exhaustive()
    }
}

impl Life {
    /// Ends it, here and now.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        *self.ended.borrow()
    }

    /// Completes at its end.
    pub async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as this.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Lets it end before its next step but `steps`, wherever that is.
    pub fn set_fuse(&self, steps: u32) {
        self.fuse.store(steps + 1, Ordering::Relaxed);
    }

    /// Lets it stand still before its next decision but `decisions`, until it is resumed: there a
    /// process is that has decided something when another one takes its place.
    pub fn set_brake(&self, decisions: u32) {
        self.brake.store(decisions + 1, Ordering::Relaxed);
    }

    /// Something that was decided is about to be sent to the store.
    pub async fn decides(&self) {
        if counted_down(&self.brake) {
            self.paused.send_replace(true);
        }
        self.moves().await;
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.brake.store(0, Ordering::Relaxed);
        self.paused.send_replace(false);
    }

    /// Whether it stands still.
    pub fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Waits while it stands still.
    pub async fn moves(&self) {
        if self.is_paused() {
            // The sender lives as long as this.
            let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
        }
    }

    /// A step: something that the outside can see is about to happen, or has just happened. A
    /// process that dies here never comes back from it.
    pub async fn step(&self) {
        if counted_down(&self.fuse) {
            self.end();
        }
        self.moves().await;
        if self.is_over() {
            pending::<()>().await;
        }
    }
}

/// Whether this was the last of the steps that were counted.
fn counted_down(steps: &AtomicU32) -> bool {
    let left = steps.load(Ordering::Relaxed);
    steps.store(left.saturating_sub(1), Ordering::Relaxed);
    left == 1
}
