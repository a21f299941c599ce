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
}

impl Default for Life {
    fn default() -> Self {
        Self { ended: Arc::new(watch::Sender::new(false)), fuse: Arc::default() }
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

    /// A step: something that the outside can see is about to happen, or has just happened. A
    /// process that dies here never comes back from it.
    pub async fn step(&self) {
        let left = self.fuse.load(Ordering::Relaxed);
        if left > 0 {
            self.fuse.store(left - 1, Ordering::Relaxed);
            if left == 1 {
                self.end();
            }
        }
        if self.is_over() {
            pending::<()>().await;
        }
    }
}
