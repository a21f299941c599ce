//! The control plane of Longshore.
//!
//! The life of a request: `front` (bytes, identity) → `ecs` (one file per operation: decide on a
//! snapshot, commit one transaction) → the view changes → `session` tells agents, `controllers`
//! reconcile. Everything that must outlive the process is in the store; everything here can be
//! rebuilt from it.

pub mod access;
mod acm;
pub mod audit;
mod balancers;
mod call;
mod clock;
mod controllers;
pub mod ecs;
mod elbv2;
mod events;
mod front;
mod hooks;
mod iam;
mod identity;
mod members;
mod operator;
mod session;
#[cfg(feature = "simulation")]
mod simulation;
mod sts;
#[cfg(any(test, feature = "measure"))]
#[cfg_attr(not(test), expect(dead_code, reason = "tests use more of it"))]
mod test_records;
#[cfg(any(test, feature = "measure"))]
#[cfg_attr(not(test), expect(dead_code, reason = "tests use more of it"))]
mod test_server;
mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use identity::{Iam, Uses, Vault, VaultError};
pub use ipnet::Ipv4Net;
use longshore_auth::IdentityProvider;
use longshore_domain::fidelity::Fidelity;
use longshore_domain::ids::{AccountId, ClusterName, Region, Scope};
use longshore_domain::limits;
use longshore_domain::record::{Cluster, ClusterStatus, Tags};
use longshore_domain::throttle::Attempts;
use longshore_store::tables::ClusterKey;
use longshore_store::{RecordTxn, State, StateError, Store, TxnOutcome, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::ErrorCode;
use members::Duties;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub use front::{FrontError, Listening, TlsFiles};
#[cfg(feature = "simulation")]
pub use simulation::simulate;

/// How a server is set up.
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS.
    pub tls: Tls,
    /// Connections at the same time, at most [`limits::CONNECTIONS`]; more wait to be accepted. As many
    /// as the process may have open files, less what it needs itself.
    pub connections: usize,
    /// Region of requests that name none.
    pub region: Region,
    /// Who callers are.
    pub identity: Identity,
    /// What secrets of access keys and sessions are sealed with; without it there are none.
    pub identity_key: Option<MasterKey>,
    /// Whether `identity` accepts everybody: then only loopback addresses are served, and
    /// `POST /_longshore/reset` is allowed.
    pub open: bool,
    /// What is kept, and for how long.
    pub retention: Retention,
    /// How far to be like ECS.
    pub fidelity: Fidelity,
    /// Where events are posted to.
    pub event_webhook: Option<Webhook>,
    /// How it takes part in its control plane.
    pub membership: Membership,
    /// Whether callers are held to the rates of ECS.
    pub throttle: bool,
    /// Addresses of balancers; each gets one of its own. Every node of balancers has them.
    pub balancer_addresses: Ipv4Net,
    /// How long credentials of tasks last ([`ROLE_LIFE`]); at half of it there are others.
    pub role_life: Duration,
    /// The audit log, if one is kept.
    pub audit: Option<audit::Config>,
}

/// How long credentials of tasks last (ECS: six hours).
pub const ROLE_LIFE: Duration = Duration::from_secs(6 * 3600);

pub use controllers::Retention;
#[cfg(feature = "measure")]
pub use controllers::measure;
pub use events::webhook::Webhook;
pub use identity::{
    Identity, InitError, Initialized, Keypair, MasterKey, initialize, is_initialized, reset_root,
};
pub use members::{Duplex, Membership, Network, Tcp};
pub use tls::Tls;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The front cannot listen.
    #[error(transparent)]
    Front(#[from] FrontError),
    /// The store cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The audit log cannot be kept.
    #[error("cannot keep the audit log: {0}")]
    Audit(std::io::Error),
    /// The identity key is not the one of the store, or missing.
    #[error(transparent)]
    Identity(#[from] InitError),
    /// The first records could not be written.
    #[error("cannot prepare the store: {0}")]
    Prepare(ServiceError),
}

/// A running control plane: what front, operations, sessions and controllers share.
pub struct Server {
    state: State,
    identity: Box<dyn IdentityProvider>,
    /// Whether callers are users and roles of the store.
    is_iam: bool,
    vault: Option<Arc<Vault>>,
    /// Its certificates, where they are of the control plane's own authority.
    local_tls: Option<Arc<tls::Local>>,
    uses: Arc<Uses>,
    web_keys: sts::WebKeys,
    region: Region,
    open: bool,
    fidelity: Fidelity,
    members: members::Members,
    refusals: operator::Refusals,
    sessions: session::Sessions,
    metrics: front::Metrics,
    admission: front::Admission,
    bodies: front::Bodies,
    join_attempts: Mutex<Attempts>,
    audit: audit::Audit,
    balancers: balancers::Balancers,
    balancer_addresses: Ipv4Net,
    role_life: Duration,
    shutdown: watch::Sender<bool>,
}

impl Server {
    /// Decides and commits, as [`State::decide`], with errors as an API caller sees them.
    async fn decide<T>(
        &self,
        decide: impl FnMut(&View, &mut RecordTxn) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        self.state.decide(decide).await.map_err(|error| server_exception(&error))?
    }

    /// Decides and commits, as [`State::decide_as_seen`], with errors as an API caller sees them.
    async fn decide_as_seen<T>(
        &self,
        decide: impl FnMut(&View, &mut RecordTxn) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        self.state.decide_as_seen(decide).await.map_err(|error| server_exception(&error))?
    }

    /// Commits, as [`State::commit`], with errors as an API caller sees them.
    async fn commit(&self, txn: RecordTxn) -> Result<TxnOutcome, ServiceError> {
        self.state.commit(txn).await.map_err(|error| server_exception(&error))
    }
}

impl Server {
    /// What seals secrets and sessions.
    fn vault(&self) -> Result<&Vault, VaultError> {
        self.vault.as_deref().ok_or(VaultError::NoKey)
    }

    /// Ends sessions, connections, and all that goes on by itself.
    fn stop(&self) {
        self.members.close();
        self.shutdown.send_replace(true);
    }
}

/// Completes when the switch is on, or gone.
async fn stopped(switch: &mut watch::Receiver<bool>) {
    let _ = switch.wait_for(|on| *on).await;
}

/// What a caller learns of a failing store; the operator finds the cause in the log.
fn server_exception(error: &StateError) -> ServiceError {
    tracing::error!(%error, "the store failed");
    ErrorCode::ServerException.error(if error.may_have_happened() {
        "The service did not learn whether its store has made the change. Look whether it was \
         made before you try again."
    } else {
        "The service cannot reach its store at the moment; nothing was changed. Try again."
    })
}

/// A server that listens and does not answer yet.
pub struct Started {
    server: Arc<Server>,
    listening: Listening,
}

/// Opens the store, binds the address, and becomes a member of the control plane.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config, store: Arc<dyn Store>) -> Result<Started, StartError> {
    let listening = front::bind(config.listen, config.open, &config.tls).await?;
    let listening = listening.with_connections(config.connections);
    let audit = match config.audit.clone() {
        Some(audit) => audit::Audit::open(audit).map_err(StartError::Audit)?,
        None => audit::Audit::off(),
    };
    let server = build(config, store, &listening.url(), audit).await?;
    let listening = listening.with_local(server.local_tls.clone());
    Ok(Started { server, listening })
}

/// Opens the store and becomes a member of the control plane.
async fn build(
    config: Config,
    store: Arc<dyn Store>,
    url: &str,
    audit: audit::Audit,
) -> Result<Arc<Server>, StartError> {
    let state = State::open(store).await?.with_journal(clock::now);
    let vault = config.identity_key.as_ref().map(|key| Arc::new(Vault::new(key)));
    if let Some(vault) = &vault {
        identity::check_key(&state.view(), vault)?;
    }
    let uses = Arc::<Uses>::default();
    // Only now: what is not wholly imported is not touched.
    let key = match vault.as_deref() {
        // All servers have the identity key then, and neither the store nor a backup has.
        Some(vault) if identity::shows_initialized(&state.view()) => vault.hop_key(),
        _ => members::key(&**state.store()).await.map_err(StateError::from)?,
    };
    let place = (config.listen.ip(), config.membership.advertise.as_deref());
    let found = tls::find(&config.tls, place, &state, vault.as_deref()).await?;
    let is_iam = matches!(config.identity, Identity::Iam);
    let identity: Box<dyn IdentityProvider> = match config.identity {
        Identity::Given(provider) => provider,
        Identity::Iam => {
            let vault = vault.clone().ok_or(InitError::Vault(VaultError::NoKey))?;
            let iam = Iam::new(state.clone(), vault, Arc::clone(&uses));
            Box::new(iam.map_err(InitError::Vault)?)
        }
    };
    let server = Arc::new(Server {
        state,
        identity,
        is_iam,
        vault,
        local_tls: found.local,
        uses,
        web_keys: sts::WebKeys::default(),
        region: config.region,
        open: config.open,
        fidelity: config.fidelity,
        members: members::Members::new(config.membership, url, key, found.authority.as_deref()),
        refusals: operator::Refusals::default(),
        sessions: session::Sessions::default(),
        metrics: front::Metrics::default(),
        admission: front::Admission::new(config.throttle),
        bodies: front::Bodies::default(),
        join_attempts: Mutex::default(),
        audit,
        balancers: balancers::Balancers::default(),
        balancer_addresses: config.balancer_addresses,
        role_life: config.role_life,
        shutdown: watch::Sender::new(false),
    });
    let duties = Duties {
        retention: config.retention.at_least(config.fidelity.history),
        history: config.fidelity.history.unwrap_or(limits::JOURNAL_RETENTION),
        webhook: config.event_webhook,
    };
    members::join(&server, duties).await?;
    balancers::spawn(&server);
    if is_iam {
        identity::spawn_uses(&server);
    }
    Ok(server)
}

/// A server without a listening socket, for programs that bring their own connections.
#[derive(Clone)]
pub struct Detached {
    server: Arc<Server>,
}

/// Opens the store and becomes a member of the control plane; `listen`, `tls` and `audit` of
/// `config` mean nothing.
///
/// # Errors
/// The store cannot be read.
pub async fn start_detached(config: Config, store: Arc<dyn Store>) -> Result<Detached, StartError> {
    Ok(Detached { server: build(config, store, "", audit::Audit::off()).await? })
}

impl Detached {
    /// Makes sure that a cluster exists.
    ///
    /// # Errors
    /// [`StartError::Prepare`].
    pub async fn ensure_cluster(&self, scope: &Scope, name: ClusterName) -> Result<(), StartError> {
        ensure_cluster(&self.server, scope, name).await.map_err(StartError::Prepare)
    }

    /// Answers the requests of one connection, until it or the server ends.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let stop = self.server.shutdown.subscribe();
        front::connection(front::Place::new(&self.server, None), false, stream, stop).await;
    }

    /// Ends controllers, sessions and connections.
    pub fn stop(&self) {
        self.server.stop();
    }
}

impl Started {
    /// The URL that clients use.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// The certificate by which clients are to know this server, PEM, where it is of the control plane's
    /// own authority.
    pub fn certificate_authority(&self) -> Option<&str> {
        self.server.local_tls.as_ref().map(|local| local.authority_pem())
    }

    /// Makes sure that a cluster exists; `dev` starts with `default`.
    ///
    /// # Errors
    /// [`StartError::Prepare`].
    pub async fn ensure_cluster(&self, scope: &Scope, name: ClusterName) -> Result<(), StartError> {
        ensure_cluster(&self.server, scope, name).await.map_err(StartError::Prepare)
    }

    /// Keys for a development server: that of the first administrator, if it still has one, and one for
    /// the parts that run beside the server. They are made where they are not there.
    ///
    /// # Errors
    /// [`StartError::Identity`].
    pub async fn development_keys(
        &self,
        account: AccountId,
    ) -> Result<(Option<Keypair>, Keypair), StartError> {
        let vault = self.server.vault().map_err(InitError::Vault)?;
        Ok(identity::development(&self.server.state, vault, account).await?)
    }

    /// Answers requests until `shutdown` completes; agents are told to come back later.
    ///
    /// # Errors
    /// The store can be followed no more: what the process shows would go stale, so it must end
    /// and be started again.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), StateError> {
        let Self { server, listening } = self;
        let (stopping, state) = (Arc::clone(&server), server.state.clone());
        let mut result = Ok(());
        let until = async {
            // No table is waited for, so this completes only when the view has stopped.
            let mut changes = state.changes();
            tokio::select! {
                biased;
                () = shutdown => {}
                stopped = changes.changed(&[]) => result = stopped.map(drop),
            }
            // Another one leads before this one is gone.
            members::resign(&stopping).await;
            stopping.stop();
        };
        listening.serve(Arc::clone(&server), until).await;
        server.audit.flush().await;
        result
    }
}

async fn ensure_cluster(
    server: &Server,
    scope: &Scope,
    name: ClusterName,
) -> Result<(), ServiceError> {
    let now = clock::now();
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
        let key = ClusterKey { scope: scope.clone(), name: name.clone() };
        let known = view.clusters.get(&key);
        if known.is_some_and(|cluster| cluster.status == ClusterStatus::Active) {
            return Ok(());
        }
        let cluster = Cluster {
            scope: scope.clone(),
            name: name.clone(),
            status: ClusterStatus::Active,
            created_at: now,
            deleted_at: None,
            settings: vec![("containerInsights".into(), "disabled".into())],
            configuration: None,
            service_connect_defaults: None,
            capacity_providers: Vec::new(),
            default_capacity_provider_strategy: None,
            tags: Tags::new(),
        };
        match known {
            Some(deleted) => txn.update(deleted, &cluster),
            None => txn.insert(&cluster),
        };
        Ok(())
    };
    server.decide(decide).await
}
