//! The service scheduler and retention, for tests of operations that ask something of them.

use std::sync::Arc;

use super::driver;
use super::retention::{Reaper, Retention};
use super::services::Services;
use crate::Server;
use crate::members::Term;
use crate::test_server::term;

/// The service scheduler.
pub(crate) struct Scheduler(Services, Arc<Term>);

impl Scheduler {
    pub(crate) fn new(server: &Arc<Server>) -> Self {
        let term = term(server);
        Self(Services::new(server, &term), term)
    }

    /// Passes until nothing changes any more.
    pub(crate) async fn settle(&self, server: &Arc<Server>) {
        for _ in 0..50 {
            let before = server.state.view().revision;
            assert!(
                driver::pass(server, &self.1, &self.0).await.is_some(),
                "nobody gets in the way"
            );
            if server.state.view().revision == before {
                return;
            }
        }
        panic!("the scheduler never rests");
    }
}

/// Removes what has had its time.
pub(crate) async fn reap(server: &Arc<Server>) {
    let reaper = Reaper { retention: Retention::default() };
    assert!(driver::pass(server, &term(server), &reaper).await.is_some(), "nobody gets in the way");
}
