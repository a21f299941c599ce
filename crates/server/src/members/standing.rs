//! A server's own record: it is a member as long as the store hears of it, and its view follows
//! the store.
//!
//! The record lives by a lease. A server whose time is over cannot know what goes on: if others
//! are there, it ends the sessions of its agents, so that they find one that does, and comes back
//! under another id, so that nobody takes sessions of before for sessions of now.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_store::{Lease, StateError, StoreError, Txn, TxnOutcome};
use tokio::time::Instant;

use super::{Members, fresh_id, roster};
use crate::Server;

/// How long a server that is not heard of is a member. Long enough for a store that has trouble,
/// short against the minutes in which an agent gives up a silent server.
const LIFE: Duration = Duration::from_secs(15);
/// Pause before a sign of life is repeated.
const AGAIN: Duration = Duration::from_millis(500);
/// How long taking the record away at the end may take; it goes by itself then.
const LEAVE: Duration = Duration::from_secs(1);

/// How a server last saw that it follows the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    /// When it asked.
    pub(crate) at: Instant,
    /// How long it took until the view showed what the store had when it was asked.
    pub(crate) behind: Duration,
}

impl Pulse {
    /// Whether it is recent enough to believe.
    pub(crate) fn is_fresh(&self) -> bool {
        self.at.elapsed() < LIFE
    }
}

/// Makes this server a member, and keeps it one until it stops.
///
/// # Errors
/// The store fails.
pub(crate) async fn stand(server: &Arc<Server>) -> Result<(), StateError> {
    let first = enter(server).await?;
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let mut shutdown = server.shutdown.subscribe();
        let mut current = first;
        loop {
            tokio::select! {
                biased;
                () = crate::stopped(&mut shutdown) => break,
                () = remain(&server, &current) => {}
            }
            server.members.fall();
            tokio::select! {
                biased;
                () = crate::stopped(&mut shutdown) => break,
                again = return_to(&server) => current = again,
            }
        }
        let leaving = server.state.store().revoke_lease(current.id);
        // Whatever comes of it, the record ends soon.
        let _ = tokio::time::timeout(LEAVE, leaving).await;
    });
    Ok(())
}

/// Writes the record, under the id that the server has.
async fn enter(server: &Server) -> Result<Lease, StateError> {
    let store = server.state.store();
    let lease = store.grant_lease(LIFE).await?;
    let member = server.members.record();
    let value = serde_json::to_vec(&member).expect("a member is a structure with text keys");
    let txn = Txn::default().put_leased(&roster::key(member.id), value, lease.id);
    // It compares nothing, so it cannot conflict.
    let (TxnOutcome::Committed { .. } | TxnOutcome::Conflict { .. }) = store.txn(txn).await?;
    follow(server).await?;
    server.members.rise();
    let id = format!("{:016x}", member.id);
    tracing::info!(name = member.name, id, "this server is a member of the control plane");
    Ok(lease)
}

/// Completes when the server is no member any more.
async fn remain(server: &Server, lease: &Lease) {
    let mut until = Instant::now() + lease.ttl;
    let mut pause = lease.ttl / 3;
    loop {
        tokio::time::sleep(pause).await;
        let asked = Instant::now();
        let beat = async {
            server.state.store().keep_alive(lease.id).await?;
            follow(server).await
        };
        match tokio::time::timeout_at(until, beat).await {
            Ok(Ok(())) => {
                until = asked + lease.ttl;
                pause = lease.ttl / 3;
            }
            Ok(Err(StateError::Store(error @ StoreError::LeaseNotFound(_)))) => {
                return tracing::warn!(%error, "the store has not heard of this server for too long");
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot tell the store of this server");
                pause = AGAIN;
            }
            Err(_) => return tracing::warn!("the store cannot be followed"),
        }
        if Instant::now() >= until {
            return;
        }
    }
}

/// Becomes a member again, however long it takes.
async fn return_to(server: &Server) -> Lease {
    loop {
        match enter(server).await {
            Ok(lease) => return lease,
            Err(error) => {
                tracing::warn!(%error, "cannot become a member again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Waits until the view shows what the store has now.
async fn follow(server: &Server) -> Result<(), StateError> {
    let at = Instant::now();
    server.state.current().await?;
    let behind = at.elapsed();
    server.metrics.follow_ms.set(i64::try_from(behind.as_millis()).unwrap_or(i64::MAX));
    server.members.pulse.send_replace(Some(Pulse { at, behind }));
    Ok(())
}

impl Members {
    fn rise(&self) {
        self.standing.send_replace(true);
        if !self.is_resigned() {
            self.closed.send_replace(false);
        }
    }

    fn fall(&self) {
        // Alone there is nowhere to go for agents, and nobody who could take them over.
        if self.roster().members.keys().any(|id| *id != self.id()) {
            self.closed.send_replace(true);
            self.me.store(fresh_id(), Ordering::Relaxed);
        }
        self.standing.send_replace(false);
    }
}
