//! The connection: to one member at a time, judged before it is used and for as long as it is.
//!
//! A member that is paused, cut off or gone is noticed within seconds and another one is taken.
//! A connection that broke is never mended in place, because what answers after that may be
//! another store: a cluster that was restored from a backup, or made anew. Before a connection
//! is used, what this process has seen must be part of what the member tells.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, GetOptions, GetResponse, Identity,
    KvClient, LeaseClient, ResponseHeader, TlsOptions, Txn, TxnOp, WatchClient,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::fault::Fault;
use super::keys::{Keys, revision};
use super::options::{EtcdOptions, Tls};
use crate::contract::{StoreId, StoreRevision};
use crate::{StoreError, limits};

/// A connection to one member.
pub(super) struct Link {
    pub(super) kv: KvClient,
    pub(super) watch: WatchClient,
    pub(super) lease: LeaseClient,
    member: String,
    /// Somebody has waited too long.
    doubt: Notify,
    dead: watch::Sender<bool>,
}

impl Link {
    /// Makes a request, and gives up when the connection breaks or `limit` is over.
    pub(super) async fn call<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Fault> {
        let mut dead = self.dead.subscribe();
        tokio::select! {
            biased;
            answer = request => answer.map_err(|error| {
                if !from_etcd(&error) {
                    self.kill();
                }
                error.into()
            }),
            _ = dead.wait_for(|dead| *dead) => Err(self.broke()),
            () = sleep(limit) => {
                self.doubt.notify_one();
                Err(Fault::late(limit))
            }
        }
    }

    /// Ends it: all who wait for an answer on it are told.
    pub(super) fn kill(&self) {
        self.dead.send_replace(true);
    }

    /// Completes when it has ended.
    pub(super) async fn died(&self) {
        // The sender lives as long as this link.
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    fn broke(&self) -> Fault {
        Fault::Lost(format!("the connection to {} broke", self.member))
    }
}

/// Whether etcd said this, and not the connection.
fn from_etcd(error: &etcd_client::Error) -> bool {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            let text = status.message();
            text.starts_with("etcdserver:") || text.starts_with("auth:")
        }
        etcd_client::Error::LeaseKeepAliveError(_) => true,
        _ => false,
    }
}

/// The newest change that this process has seen: whoever has the same history knows it.
#[derive(Clone, Debug)]
pub(super) struct Beacon {
    pub(super) key: Vec<u8>,
    pub(super) revision: StoreRevision,
    /// Whether it put the key, and did not delete it.
    pub(super) put: bool,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
enum Absence {
    /// No member serves, so far.
    Unreachable(String),
    Denied(String),
    /// The member serves, and what is looked for is not there.
    NoStore,
    /// For good.
    Replaced(String),
}

#[derive(Clone)]
struct Current {
    link: Option<Arc<Link>>,
    absence: Absence,
}

/// What this process knows of the store that it has opened.
#[derive(Clone, Copy)]
struct Opened {
    id: StoreId,
    cluster: u64,
}

/// Keeps a connection.
pub(super) struct Links {
    pub(super) options: EtcdOptions,
    pub(super) keys: Keys,
    current: watch::Sender<Current>,
    opened: OnceLock<Opened>,
    /// Newest revision of any answer.
    seen: AtomicU64,
    beacon: Mutex<Option<Beacon>>,
}

impl Links {
    pub(super) fn new(options: EtcdOptions) -> Self {
        let keys = Keys::new(&options.namespace);
        let absence = Absence::Unreachable("no member has answered yet".into());
        Self {
            options,
            keys,
            current: watch::Sender::new(Current { link: None, absence }),
            opened: OnceLock::new(),
            seen: AtomicU64::new(0),
            beacon: Mutex::default(),
        }
    }

    /// The id of the store, once there has been a connection.
    pub(super) fn id(&self) -> Option<StoreId> {
        self.opened.get().map(|opened| opened.id)
    }

    /// Newest revision of any answer.
    pub(super) fn seen(&self) -> StoreRevision {
        StoreRevision(self.seen.load(Ordering::Relaxed))
    }

    /// Takes note of an answer, and gives the revision of the store that it names.
    pub(super) fn note(&self, header: Option<&ResponseHeader>) -> StoreRevision {
        let named = revision(header.map_or(0, ResponseHeader::revision));
        self.seen.fetch_max(named.0, Ordering::Relaxed);
        named
    }

    /// Takes note of a change.
    pub(super) fn remember(&self, beacon: Beacon) {
        *self.beacon.lock().unwrap_or_else(PoisonError::into_inner) = Some(beacon);
    }

    /// The connection, as soon as there is one.
    ///
    /// # Errors
    /// There is none until `deadline`, or there will be none.
    pub(super) async fn link(&self, deadline: Instant) -> Result<Arc<Link>, StoreError> {
        let mut current = self.current.subscribe();
        let decided = |current: &Current| {
            current.link.is_some() || !matches!(current.absence, Absence::Unreachable(_))
        };
        // The sender lives as long as this.
        let _ = timeout_at(deadline, current.wait_for(decided)).await;
        let Current { link, absence } = current.borrow().clone();
        link.ok_or_else(|| match absence {
            Absence::Unreachable(detail) => {
                StoreError::Unreachable { endpoints: self.options.endpoints(), detail }
            }
            Absence::Denied(detail) => Fault::Denied(detail).error(&self.options),
            Absence::NoStore => Fault::NoStore.error(&self.options),
            Absence::Replaced(detail) => StoreError::Replaced { detail },
        })
    }

    /// Why what answers is not the store that was opened, if that is so.
    pub(super) async fn replaced(&self) -> String {
        let mut current = self.current.subscribe();
        let replaced = |current: &Current| matches!(current.absence, Absence::Replaced(_));
        match current.wait_for(replaced).await.map(|current| current.absence.clone()) {
            Ok(Absence::Replaced(detail)) => detail,
            // The sender lives as long as this.
            _ => std::future::pending().await,
        }
    }

    /// Keeps a connection; begins with the `first`th member. Ends when the store is another one.
    pub(super) async fn keep(&self, first: usize) {
        let mut pause = limits::ETCD_RETRY_PAUSE.0;
        let mut next = first;
        let mut failed = 0;
        loop {
            let members = &self.options.members;
            let Some(member) = members.get(next % members.len().max(1)) else { return };
            next = next.wrapping_add(1);
            let absence = match self.connect(member).await {
                Ok(link) => {
                    let link = Arc::new(link);
                    self.current.send_modify(|current| current.link = Some(Arc::clone(&link)));
                    let absence = self.watch_over(&link).await;
                    link.kill();
                    tracing::warn!(member, ?absence, "lost etcd; looking for another member");
                    (pause, failed) = (limits::ETCD_RETRY_PAUSE.0, 0);
                    absence
                }
                Err(absence) => {
                    failed += 1;
                    absence
                }
            };
            let end = matches!(absence, Absence::Replaced(_));
            self.current.send_replace(Current { link: None, absence });
            if end {
                return;
            }
            if failed >= members.len() {
                sleep(pause).await;
                pause = (pause * 2).min(limits::ETCD_RETRY_PAUSE.1);
                failed = 0;
            }
        }
    }

    async fn connect(&self, member: &str) -> Result<Link, Absence> {
        let options = &self.options;
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(options.connect_timeout)
            .with_require_leader(true);
        if let Some(tls) = &options.tls {
            connect = connect.with_tls(tls_options(tls));
        }
        if let Some((name, password)) = &options.user {
            connect = connect.with_user(name, password).with_auto_token_refresh(true);
        }
        let url = format!("{scheme}://{member}");
        // With a user it asks for a token, which takes a connection and an answer.
        let limit = options.connect_timeout + self.patience();
        let client = match timeout(limit, Client::connect([url], Some(connect))).await {
            Ok(client) => client.map_err(|error| self.absence(member, error.into()))?,
            Err(_) => return Err(self.absence(member, Fault::late(limit))),
        };
        let link = Link {
            kv: client.kv_client().max_decoding_message_size(limits::ETCD_ANSWER_BYTES),
            watch: client.watch_client().max_decoding_message_size(limits::ETCD_ANSWER_BYTES),
            lease: client.lease_client(),
            member: member.into(),
            doubt: Notify::new(),
            dead: watch::Sender::new(false),
        };
        self.judge(&link).await?;
        Ok(link)
    }

    fn absence(&self, member: &str, fault: Fault) -> Absence {
        match fault {
            Fault::Denied(detail) => Absence::Denied(detail),
            Fault::NoStore => Absence::NoStore,
            Fault::Later(detail) | Fault::Lost(detail) | Fault::Refused(detail) => {
                Absence::Unreachable(format!("{member}: {detail}"))
            }
            other => Absence::Unreachable(format!("{member}: {}", other.error(&self.options))),
        }
    }

    /// Whether the member tells of the store that was opened; opens it if none was.
    async fn judge(&self, link: &Link) -> Result<(), Absence> {
        let Some(opened) = self.opened.get() else {
            let opened = self.open(link).await.map_err(|f| self.absence(&link.member, f))?;
            self.opened.get_or_init(|| opened);
            return Ok(());
        };
        let answer = self.probe(link).await?;
        let id = answer.kvs().first().and_then(|kv| parse_id(kv.value()));
        if id != Some(opened.id) {
            let found = id.map_or("none".into(), |id| id.to_string());
            let id = opened.id;
            return Err(replaced(link, &format!("its id was {id} and is {found}")));
        }
        let beacon = self.beacon.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(beacon) = beacon else { return Ok(()) };
        let then = i64::try_from(beacon.revision.0).unwrap_or(i64::MAX);
        let options = GetOptions::new().with_revision(then).with_keys_only();
        let mut kv = link.kv.clone();
        let asked = kv.get(beacon.key, Some(options));
        match link.call(self.patience(), asked).await {
            Ok(answer) => {
                let found = answer.kvs().first().map(|kv| revision(kv.mod_revision()));
                if found == beacon.put.then_some(beacon.revision) {
                    return Ok(());
                }
                let detail = format!(
                    "its revision {} is not the one that was seen before; it was restored from an \
                     older backup",
                    beacon.revision
                );
                Err(replaced(link, &detail))
            }
            // Too old to tell; the watch will find that out too, and begin anew.
            Err(Fault::Compacted) => Ok(()),
            Err(fault) => Err(self.absence(&link.member, fault)),
        }
    }

    /// Asks whether the member serves, and compares what every answer tells of its store.
    async fn probe(&self, link: &Link) -> Result<GetResponse, Absence> {
        let before = self.seen();
        let mut kv = link.kv.clone();
        let asked = kv.get(self.keys.id(), None);
        let answer = link.call(self.patience(), asked).await;
        let answer = answer.map_err(|fault| self.absence(&link.member, fault))?;
        let cluster = answer.header().map_or(0, ResponseHeader::cluster_id);
        if let Some(opened) = self.opened.get()
            && opened.cluster != cluster
        {
            let was = opened.cluster;
            let detail = format!(
                "its cluster id was {was:x} and is {cluster:x}; it was restored or made anew"
            );
            return Err(replaced(link, &detail));
        }
        // The read is linearizable: it cannot be older than an answer before it.
        let found = self.note(answer.header());
        if found < before {
            let detail = format!(
                "its revision went back from {before} to {found}; it was restored from an older \
                 backup"
            );
            return Err(replaced(link, &detail));
        }
        Ok(answer)
    }

    /// How long a member may take to answer what is asked only to see whether it serves.
    fn patience(&self) -> Duration {
        self.options.request_timeout.min(limits::ETCD_PROBE.1)
    }

    /// Reads the id of the store, or gives it one.
    async fn open(&self, link: &Link) -> Result<Opened, Fault> {
        let key = self.keys.id();
        let absent = Compare::create_revision(key.as_str(), CompareOp::Equal, 0);
        let put = TxnOp::put(key.as_str(), self.options.new_id.to_string(), None);
        let mut kv = link.kv.clone();
        let limit = self.options.request_timeout;
        let mut answer = link.call(self.patience(), kv.get(key.as_str(), None)).await?;
        if answer.kvs().is_empty() && self.options.create {
            let txn = Txn::new().when([absent]).and_then([put]);
            link.call(limit, kv.txn(txn)).await?;
            answer = link.call(limit, kv.get(key, None)).await?;
        }
        self.note(answer.header());
        let cluster = answer.header().map_or(0, ResponseHeader::cluster_id);
        match answer.kvs().first().and_then(|kv| parse_id(kv.value())) {
            Some(id) => Ok(Opened { id, cluster }),
            None => Err(Fault::NoStore),
        }
    }

    /// Asks the member now and then, and whenever somebody waits too long. Returns why it can be
    /// used no more.
    async fn watch_over(&self, link: &Link) -> Absence {
        loop {
            tokio::select! {
                biased;
                () = link.died() => return self.absence(&link.member, link.broke()),
                () = link.doubt.notified() => {}
                () = sleep(limits::ETCD_PROBE.0) => {}
            }
            if let Err(absence) = self.probe(link).await {
                return absence;
            }
        }
    }
}

fn replaced(link: &Link, how: &str) -> Absence {
    Absence::Replaced(format!("{} answers, but {how}", link.member))
}

fn parse_id(value: &[u8]) -> Option<StoreId> {
    let text = std::str::from_utf8(value).ok()?;
    u64::from_str_radix(text, 16).ok().map(StoreId)
}

fn tls_options(tls: &Tls) -> TlsOptions {
    let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(&tls.ca));
    if let Some((certificate, key)) = &tls.identity {
        options = options.identity(Identity::from_pem(certificate, key));
    }
    match &tls.server_name {
        Some(name) => options.domain_name(name),
        None => options,
    }
}
