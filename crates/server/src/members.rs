//! The servers of a control plane: who is there, who leads, and how one asks another.
//!
//! Every server answers the whole API from its own view of the store. One leads: it alone runs
//! controllers and places tasks, and what it commits as leader holds only as long as it leads
//! ([`Term`]). Others forward to it the calls that place tasks. A server that the store does not
//! hear of for a while is no member any more, gives up its sessions, and comes back as a new one.
//!
//! One server alone is no special case: it is the only member, and leads.

mod campaign;
mod hop;
mod network;
mod placing;
mod roster;
mod standing;
mod term;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use longshore_auth::{SealKey, Window};
use longshore_domain::ids::IdSource;
use longshore_domain::time::Timestamp;
use longshore_store::{Leader, Leadership, StateError, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::Server;
use crate::clock::{self, RandomIds};

pub(crate) use campaign::{Duties, resign};
pub(crate) use hop::{Caller, HOP, NOT_LEADER, REVISION, Refused, key};
pub use network::{Duplex, Network, Tcp};
pub(crate) use placing::{Passed, Placed, look, place, places};
pub(crate) use roster::Roster;
pub(crate) use standing::Pulse;
pub(crate) use term::{Term, moved};

/// The office that the leader holds.
const OFFICE: &str = "control-plane";
/// How long a leader that is not heard of leads on: etcd's shortest. A third of it passes between two
/// renewals, and a store may take a second more to notice; a new leader is to act within five.
const TERM: Duration = Duration::from_secs(2);
/// The same in a store whose leases end with this process: nobody waits for that.
const TERM_ALONE: Duration = Duration::from_secs(60);

/// How a server takes part in its control plane.
#[derive(Clone, Debug)]
pub struct Membership {
    /// What operators call it.
    pub name: String,
    /// URL by which agents and other servers reach it; when absent, where it listens.
    pub advertise: Option<String>,
    /// How it reaches others.
    pub network: Arc<dyn Network>,
}

impl Default for Membership {
    fn default() -> Self {
        Self { name: "longshore".to_owned(), advertise: None, network: Arc::new(Tcp) }
    }
}

/// A server as its record in the store says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Member {
    /// Random number of this membership: a server that was away comes back with another.
    pub(crate) id: u64,
    /// What operators call it.
    pub(crate) name: String,
    /// How agents and other servers reach it.
    pub(crate) url: String,
    /// Version of its code.
    pub(crate) version: String,
    /// When its process started.
    pub(crate) started_at: Timestamp,
}

/// What a server knows of its control plane, and is in it.
pub(crate) struct Members {
    me: AtomicU64,
    name: String,
    url: String,
    advertise: Option<String>,
    started_at: Timestamp,
    key: SealKey,
    /// Opens connections to other servers.
    peers: network::Peers,
    /// Number of the last message to another server.
    sent: AtomicU64,
    /// Which messages were taken, by the sender's id.
    taken: Mutex<BTreeMap<u64, Window>>,
    /// Whether the store hears of this server, and it of the store.
    standing: watch::Sender<bool>,
    /// Whether sessions are to end, and no new ones to begin.
    closed: watch::Sender<bool>,
    /// Whether the process is to give up what it leads, for good.
    resigned: watch::Sender<bool>,
    /// Whether it leads no more, and never will.
    campaign_ended: watch::Sender<bool>,
    roster: watch::Sender<Arc<Roster>>,
    term: watch::Sender<Option<Arc<Term>>>,
    pulse: watch::Sender<Option<Pulse>>,
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members = f.debug_struct("Members");
        members.field("me", &self.id()).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Members {
    /// A server that listens at `url` and shares `key` with the others; it knows them by the control
    /// plane's authority (PEM) too, if there is one.
    pub(crate) fn new(
        membership: Membership,
        url: &str,
        key: SealKey,
        authority: Option<&str>,
    ) -> Self {
        let Membership { name, advertise, network } = membership;
        Self {
            me: AtomicU64::new(fresh_id()),
            name,
            url: advertise.clone().unwrap_or_else(|| url.to_owned()),
            advertise,
            started_at: clock::now(),
            key,
            peers: network::Peers::new(network, authority),
            sent: AtomicU64::new(0),
            taken: Mutex::default(),
            standing: watch::Sender::new(false),
            closed: watch::Sender::new(false),
            resigned: watch::Sender::new(false),
            campaign_ended: watch::Sender::new(false),
            roster: watch::Sender::default(),
            term: watch::Sender::new(None),
            pulse: watch::Sender::new(None),
        }
    }

    /// The only member, with an id that a test can know.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) fn alone(id: u64) -> Self {
        let key = SealKey::new([0; 32]);
        let members = Self::new(Membership::default(), "http://127.0.0.1", key, None);
        members.me.store(id, Ordering::Relaxed);
        let record = members.record();
        members.roster.send_modify(|roster| {
            _ = Arc::make_mut(roster).members.insert(id, record);
        });
        members
    }

    /// The id of this server's membership.
    pub(crate) fn id(&self) -> u64 {
        self.me.load(Ordering::Relaxed)
    }

    /// This server.
    fn record(&self) -> Member {
        Member {
            id: self.id(),
            name: self.name.clone(),
            url: self.url.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
        }
    }

    /// URL that agents are told, when one was given.
    pub(crate) fn advertised(&self) -> Option<&str> {
        self.advertise.as_deref()
    }

    /// Who is there, as last seen.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// Tells when that changes.
    pub(crate) fn roster_changes(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    /// The term of this server, if it leads.
    pub(crate) fn term(&self) -> Option<Arc<Term>> {
        self.term.borrow().as_ref().filter(|term| !term.is_over()).cloned()
    }

    /// Completes when sessions of this server are to end.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Whether it takes sessions.
    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Ends all sessions.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Whether it is about to stop.
    pub(crate) fn is_resigned(&self) -> bool {
        *self.resigned.borrow()
    }

    /// How it last saw that it follows the store.
    pub(crate) fn pulse(&self) -> Option<Pulse> {
        *self.pulse.borrow()
    }

    /// Leads from now on.
    pub(crate) fn take_office(&self, leader: Leader) -> Arc<Term> {
        let term = Arc::new(Term::new(leader, clock::now()));
        self.term.send_replace(Some(Arc::clone(&term)));
        term
    }

    /// Leads no more; gives the term that was, if any.
    fn leave_office(&self) -> Option<Arc<Term>> {
        self.term.send_replace(None)
    }

    /// Asks another server something that needs no seal.
    pub(crate) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Response<Bytes>, String> {
        self.peers.ask(request, patience).await.map_err(|error| error.to_string())
    }

    /// The office, as this server would hold it.
    pub(crate) fn office(&self, store: &Arc<dyn Store>) -> Leadership {
        let term = if store.is_exclusive() { TERM_ALONE } else { TERM };
        Leadership::new(Arc::clone(store), OFFICE, &format!("{:016x}", self.id()), term)
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u64, Window>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a server a member, which leads when nobody else does.
///
/// # Errors
/// The store fails.
pub(crate) async fn join(server: &Arc<Server>, duties: Duties) -> Result<(), StateError> {
    standing::stand(server).await?;
    roster::spawn(server);
    campaign::spawn(server, duties);
    Ok(())
}

/// An id that no server had before.
fn fresh_id() -> u64 {
    u64::try_from(RandomIds.next_id() >> 65).unwrap_or(1)
}
