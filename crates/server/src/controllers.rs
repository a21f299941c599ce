//! Controllers: level-triggered loops that bring records where they should be.
//!
//! A controller reads a view, makes one batch of changes, and is woken by any change of the
//! tables that it reads or by the next deadline in the records. Wake-ups carry no data, and a
//! pass may run twice.

mod connections;
mod daemons;
mod driver;
mod idle;
mod lost;
#[cfg(feature = "measure")]
pub mod measure;
mod orphans;
mod renewals;
mod retention;
mod services;
mod targets;
#[cfg(test)]
pub(crate) mod test_services;

use std::sync::Arc;

use tokio::task::JoinSet;

pub use retention::Retention;
pub(crate) use services::{definitions, refused_roles, rules};
pub(crate) use targets::{drains_until, of as targets_of};

use crate::Server;
use crate::members::Term;

/// Starts all controllers of a term, among its other `parts`.
pub(crate) fn spawn(
    server: &Arc<Server>,
    term: &Arc<Term>,
    retention: Retention,
    parts: &mut JoinSet<()>,
) {
    let mut drive = Drive { server, term, parts };
    let began = term.began;
    drive.spawn(connections::Connections { server: Arc::clone(server), began });
    drive.spawn(orphans::Orphans);
    let after = server.fidelity.replace_lost_instances;
    drive.spawn(lost::Lost { after, server: Arc::clone(server), began });
    // Before services, so that an instance that joins has its daemons first.
    drive.spawn(daemons::Daemons::new(server, term));
    drive.spawn(services::Services::new(server, term));
    drive.spawn(targets::Targets { server: Arc::clone(server), began });
    drive.spawn(idle::Idle);
    drive.spawn(renewals::Renewals);
    drive.spawn(retention::Reaper { retention });
}

/// Starts controllers.
struct Drive<'a> {
    server: &'a Arc<Server>,
    term: &'a Arc<Term>,
    parts: &'a mut JoinSet<()>,
}

impl Drive<'_> {
    fn spawn(&mut self, controller: impl driver::Controller) {
        let (server, term) = (Arc::clone(self.server), Arc::clone(self.term));
        self.parts.spawn(async move { driver::run(&server, &term, &controller).await });
    }
}
