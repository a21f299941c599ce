//! How a server comes to lead, and what it does then.
//!
//! It waits until nobody leads and takes the office. Before its first decision its view shows all
//! that leaders before it have done. It renews at a third of its time, and stops by itself when it
//! could not for all of it. On a wish to stop it hands over first: the next leader begins at once.

use std::sync::Arc;
use std::time::Duration;

use longshore_store::StateError;
use tokio::task::JoinSet;

use super::Term;
use crate::controllers::{self, Retention};
use crate::{Server, Webhook, events, hooks};

/// Pause after a failure of the store.
const RETRY: Duration = Duration::from_millis(500);
/// Pause before an attempt to renew is repeated.
const RENEW_AGAIN: Duration = Duration::from_millis(100);
/// How long handing over may take; the office ends by itself then.
const RELEASE: Duration = Duration::from_secs(1);

/// What a leader does.
#[derive(Clone, Debug)]
pub(crate) struct Duties {
    /// How long records are kept after their end.
    pub(crate) retention: Retention,
    /// How long the journal is kept.
    pub(crate) history: Duration,
    /// Where events go.
    pub(crate) webhook: Option<Webhook>,
}

impl Duties {
    fn begin(&self, server: &Arc<Server>, term: &Arc<Term>, parts: &mut JoinSet<()>) {
        controllers::spawn(server, term, self.retention, parts);
        hooks::spawn(server, term, parts);
        events::keeper::spawn(server, term, self.history, parts);
        if let Some(webhook) = &self.webhook {
            events::webhook::spawn(server, term, webhook, parts);
        }
    }
}

/// Leads whenever nobody else does, until the server stops.
pub(crate) fn spawn(server: &Arc<Server>, duties: Duties) {
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let mut resigned = server.members.resigned.subscribe();
        let campaign = async {
            loop {
                if let Err(error) = campaign(&server, &duties).await {
                    tracing::warn!(%error, "cannot take part in the election of a leader");
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = crate::stopped(&mut resigned) => {}
            () = campaign => {}
        }
        // Whatever was led is led no more: its parts ended with `campaign`.
        hand_over(&server).await;
        server.members.campaign_ended.send_replace(true);
    });
}

async fn campaign(server: &Arc<Server>, duties: &Duties) -> Result<(), StateError> {
    let members = &server.members;
    let mut standing = members.standing.subscribe();
    // The sender lives as long as the server.
    let _ = standing.wait_for(|in_it| *in_it).await;
    let office = members.office(server.state.store());
    let leader = tokio::select! {
        biased;
        // It comes back under another name.
        _ = standing.wait_for(|in_it| !in_it) => return Ok(()),
        acquired = office.acquire() => acquired?,
    };
    server.state.reached(leader.since()).await?;
    let term = members.take_office(leader);
    tracing::info!(name = members.name, term = %term.leader.since(), "this server leads");
    server.metrics.leads.set(1);
    let mut parts = JoinSet::new();
    duties.begin(server, &term, &mut parts);
    tokio::select! {
        biased;
        () = term.found_over() => {}
        () = term.runs_out() => tracing::warn!("the office could not be renewed in time"),
        () = renew(&term) => tracing::warn!("the office is lost"),
        _ = standing.wait_for(|in_it| !in_it) => {}
    }
    drop(parts);
    hand_over(server).await;
    Ok(())
}

/// Renews until the office is lost.
async fn renew(term: &Term) {
    let mut pause = term.leader.ttl() / 3;
    loop {
        tokio::time::sleep(pause).await;
        match term.leader.renew().await {
            Ok(()) => pause = term.leader.ttl() / 3,
            Err(longshore_store::StoreError::LeaseNotFound(_)) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot renew the office");
                pause = RENEW_AGAIN;
            }
        }
    }
}

/// Ends the term of this server, if it has one, for the next to begin at once.
async fn hand_over(server: &Server) {
    let Some(term) = server.members.leave_office() else { return };
    term.end();
    server.metrics.leads.set(0);
    match tokio::time::timeout(RELEASE, term.leader.release()).await {
        Ok(Ok(()) | Err(longshore_store::StoreError::LeaseNotFound(_))) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the office ends by itself"),
        Err(_) => tracing::warn!("the office ends by itself: the store does not answer"),
    }
    tracing::info!("this server does not lead any more");
}

/// Hands over, and takes no part in elections any more.
pub(crate) async fn resign(server: &Server) {
    server.members.resigned.send_replace(true);
    let mut ended = server.members.campaign_ended.subscribe();
    // The task that does it bounds the time it takes.
    crate::stopped(&mut ended).await;
}
