//! Controllers: level-triggered loops that bring records where they should be.
//!
//! A controller reads a view, makes one batch of changes, and is woken by any change of the
//! tables that it reads or by the next deadline in the records. Wake-ups carry no data, and a
//! pass may run twice.

mod connections;
mod daemons;
mod driver;
mod lost;
#[cfg(feature = "measure")]
pub mod measure;
mod orphans;
mod retention;
mod services;
#[cfg(test)]
pub(crate) mod test_services;

use std::sync::Arc;

pub use retention::Retention;
pub(crate) use services::definitions;

use crate::{Server, clock};

/// Starts all controllers; they end with the server.
pub(crate) fn spawn(server: &Arc<Server>, retention: Retention) {
    let connections = connections::Connections { boot: server.boot, started_at: clock::now() };
    driver::spawn(server, connections);
    driver::spawn(server, orphans::Orphans);
    let after = server.fidelity.replace_lost_instances;
    driver::spawn(server, lost::Lost { after, boot: server.boot, started_at: clock::now() });
    // Before services, so that an instance that joins has its daemons first.
    driver::spawn(server, daemons::Daemons::new(server));
    driver::spawn(server, services::Services::new(server));
    driver::spawn(server, retention::Reaper { retention });
}
