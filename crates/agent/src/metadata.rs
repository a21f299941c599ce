//! What containers may ask their agent, over HTTP: metadata, credentials, task protection.
//!
//! Containers know one address, 169.254.170.2. It is put on the loopback interface, where the
//! containers of a bridge reach it through the host, so no address translation is needed. All
//! agents of a process share the one listener; the ids in the paths cannot be guessed and tell
//! which agent is meant. Where another process has the address, one beside it serves for metadata;
//! without the right to add addresses, the host's address on the bridge does.

mod address;
mod document;
pub(crate) mod introspection;
mod protection;
mod serve;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use crate::engine::{Event, Query};
use crate::hands::Hands;

/// One agent, as the endpoint reaches it.
#[derive(Clone)]
pub(crate) struct AgentHandle {
    pub(crate) hands: Arc<Hands>,
    pub(crate) events: mpsc::Sender<Event>,
}

impl AgentHandle {
    /// Asks the agent's engine; nothing when it has ended.
    async fn ask<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Query(query(reply))).await.ok()?;
        answer.await.ok()
    }
}

/// The listener that containers reach, shared by the agents of this process.
pub(crate) struct Endpoint {
    base: String,
    well_known: bool,
    routes: Mutex<BTreeMap<String, AgentHandle>>,
    rates: serve::Rates,
    listener: Mutex<Option<tokio::task::AbortHandle>>,
}

impl Endpoint {
    /// Base URL as containers see it, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The address of it, to be taken again at the next start.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.base.strip_prefix("http://")?.parse().ok()
    }

    /// Whether it is the address that SDKs know by themselves.
    pub(crate) fn is_well_known(&self) -> bool {
        self.well_known
    }

    fn agent(&self, id: &str) -> Option<AgentHandle> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(id).cloned()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let listener = self.listener.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener.take() {
            listener.abort();
        }
    }
}

/// The part of the endpoint that belongs to one agent.
pub(crate) struct Routes {
    endpoint: Arc<Endpoint>,
    agent: AgentHandle,
}

impl Routes {
    pub(crate) fn new(endpoint: Arc<Endpoint>, agent: AgentHandle) -> Self {
        Self { endpoint, agent }
    }

    /// Sends whoever names this id to the agent.
    pub(crate) fn add(&self, id: &str) {
        let mut routes = self.endpoint.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.insert(id.to_owned(), self.agent.clone());
    }

    /// Knows the id no more.
    pub(crate) fn remove(&self, id: &str) {
        let mut routes = self.endpoint.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.remove(id);
    }
}

impl Drop for Routes {
    fn drop(&mut self) {
        let mut routes = self.endpoint.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|_, agent| !agent.events.same_channel(&self.agent.events));
    }
}

static SHARED: AsyncMutex<Weak<Endpoint>> = AsyncMutex::const_new(Weak::new());

/// The endpoint of this process, opened if need be; nothing, with a warning, where none can be.
/// `gateway` is the host's address on the bridge; `before` is where containers that still run were
/// told to look; `host` is the address of the first agent that asks, if it has one of its own.
pub(crate) async fn shared(
    gateway: Option<&str>,
    before: Option<IpAddr>,
    host: Option<IpAddr>,
) -> Option<Arc<Endpoint>> {
    let mut shared = SHARED.lock().await;
    if let Some(endpoint) = shared.upgrade() {
        return Some(endpoint);
    }
    let Some((listener, base, well_known)) = address::open(gateway, before, host).await else {
        tracing::warn!("no address for the metadata endpoint; containers will not find it");
        return None;
    };
    tracing::info!(base, "metadata endpoint");
    let endpoint = Arc::new(Endpoint {
        base,
        well_known,
        routes: Mutex::default(),
        rates: serve::Rates::default(),
        listener: Mutex::default(),
    });
    let serving = tokio::spawn(serve::run(listener, Arc::downgrade(&endpoint)));
    *endpoint.listener.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(serving.abort_handle());
    *shared = Arc::downgrade(&endpoint);
    Some(endpoint)
}
