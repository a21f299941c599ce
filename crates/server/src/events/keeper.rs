//! The keeper of the journal: what is older than the history that is kept, is forgotten.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::limits;
use longshore_store::{StateError, StoreRevision};
use tokio::task::JoinSet;

use crate::members::Term;
use crate::{Server, clock};

/// How often the keeper looks.
const EVERY: Duration = Duration::from_secs(60);

/// Keeps the journal for `history`, as one of the `parts` of a term.
pub(crate) fn spawn(
    server: &Arc<Server>,
    term: &Arc<Term>,
    history: Duration,
    parts: &mut JoinSet<()>,
) {
    let (server, term) = (Arc::clone(server), Arc::clone(term));
    parts.spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = forget(&server, &term, history).await {
                tracing::warn!(%error, "cannot shorten the journal");
            }
        }
    });
}

/// Forgets all that is too old.
async fn forget(server: &Server, term: &Term, history: Duration) -> Result<(), StateError> {
    let journal = server.state.journal().fenced(term.fence());
    let newest = server.state.view().revision.0;
    let kept = StoreRevision(newest.saturating_sub(limits::JOURNAL_REVISIONS));
    while journal.forget(clock::now() - history, kept).await? {}
    Ok(())
}
