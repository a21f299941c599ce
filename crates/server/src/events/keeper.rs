//! The keeper of the journal: what is older than the history that is kept, is forgotten.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::limits;
use longshore_store::{StateError, StoreRevision};

use crate::{Server, clock};

/// How often the keeper looks.
const EVERY: Duration = Duration::from_secs(60);

/// Keeps the journal for `history`, until the server stops.
pub(crate) fn spawn(server: &Arc<Server>, history: Duration) {
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let mut shutdown = server.shutdown.subscribe();
        let keep = async {
            loop {
                tokio::time::sleep(EVERY).await;
                if let Err(error) = forget(&server, history).await {
                    tracing::warn!(%error, "cannot shorten the journal");
                }
            }
        };
        tokio::select! {
            biased;
            () = crate::stopped(&mut shutdown) => {}
            () = keep => {}
        }
    });
}

/// Forgets all that is too old.
async fn forget(server: &Server, history: Duration) -> Result<(), StateError> {
    let journal = server.state.journal();
    let newest = server.state.view().revision.0;
    let kept = StoreRevision(newest.saturating_sub(limits::JOURNAL_REVISIONS));
    while journal.forget(clock::now() - history, kept).await? {}
    Ok(())
}
