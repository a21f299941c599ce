//! The store in etcd: one for many server processes.
//!
//! What the contract wants and etcd has is passed on; the rest is made of it: one watch feeds
//! the history that all watches of this process read (`feed`), logs are in the order of
//! revisions (`log`), and a connection is used only as long as it leads to the store that was
//! opened (`link`). Requests of many callers are under way at once on one connection.
//!
//! What it leaves out: making an etcd, growing it and backing it up. That is for its operator.

mod fault;
mod feed;
mod keys;
mod link;
mod log;
mod options;
mod txn;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{CompactionOptions, GetOptions};
use futures_util::stream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::fault::Fault;
use self::keys::log_of;
use self::link::{Link, Links};
use self::log::{LogReader, Logs, Wanted};
pub use self::options::EtcdOptions;
use crate::contract::{
    KeyValue, Lease, LeaseId, Page, Range, Snapshot, Store, StoreFuture, StoreId, StoreRevision,
    Txn, TxnOutcome, Watch, check_key, check_ttl,
};
use crate::history::History;
use crate::{StoreError, limits};

/// A store in etcd.
pub struct EtcdStore {
    id: StoreId,
    shared: Arc<Shared>,
    /// What serves this store; ends with it.
    _tasks: JoinSet<()>,
}

struct Shared {
    links: Links,
    history: Arc<History>,
    logs: Logs,
    /// Random number of this process, which no other ever has.
    boot: u64,
    /// Number of appends that were prepared.
    appended: AtomicU64,
    /// Newest revision that this process has made.
    acknowledged: AtomicU64,
    /// Newest revision that answers have named and that may not come to the watch by itself.
    wanted: watch::Sender<StoreRevision>,
    closing: watch::Sender<bool>,
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore")
            .field("id", &self.id)
            .field("options", &self.shared.links.options)
            .finish_non_exhaustive()
    }
}

impl EtcdStore {
    /// Opens the store, or makes it where there is none.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`], [`StoreError::Denied`], [`StoreError::NoSpace`].
    ///
    /// # Panics
    /// The operating system has no random source.
    pub fn open(options: EtcdOptions) -> StoreFuture<'static, Self> {
        Box::pin(Self::open_now(options))
    }

    async fn open_now(options: EtcdOptions) -> Result<Self, StoreError> {
        let deadline = Instant::now() + options.request_timeout * 2;
        let history = options.history;
        let boot = getrandom::u64().expect("the operating system has a random source");
        let shared = Arc::new(Shared {
            links: Links::new(options),
            history: History::new(StoreRevision::ZERO, history),
            logs: Logs::default(),
            boot,
            appended: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            wanted: watch::Sender::default(),
            closing: watch::Sender::new(false),
        });
        let mut tasks = JoinSet::new();
        let links = Arc::clone(&shared);
        // Many servers should not all use the same member.
        let first = usize::try_from(boot >> 33).unwrap_or_default();
        tasks.spawn(async move { links.links.keep(first).await });
        let link = shared.links.link(deadline).await?;
        shared.begin(&link).await.map_err(|fault| fault.error(&shared.links.options))?;
        // Outlives the store until it has shown what was acknowledged.
        tokio::spawn(feed::run(Arc::clone(&shared)));
        tasks.spawn(feed::nudge(Arc::clone(&shared)));
        if let Some(every) = shared.links.options.compaction {
            tasks.spawn(compact_every(Arc::clone(&shared), every));
        }
        let id = shared.links.id().ok_or(StoreError::Closed)?;
        Ok(Self { id, shared, _tasks: tasks })
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}

impl Shared {
    /// Begins the history at the revision of the store, and takes note of its logs.
    async fn begin(&self, link: &Link) -> Result<(), Fault> {
        let at = self.now(link).await?;
        let reader = LogReader { links: &self.links, link, at };
        for (log, newest) in reader.logs().await? {
            self.logs.opened(&log, newest);
        }
        self.history.restart(at);
        Ok(())
    }

    /// Makes watches reach a revision.
    fn want(&self, revision: StoreRevision) {
        if revision > self.history.tip() {
            self.wanted.send_if_modified(|wanted| {
                let more = revision > *wanted;
                *wanted = revision.max(*wanted);
                more
            });
        }
    }

    /// Asks until there is an answer; only for what may be asked twice.
    async fn read<T, F>(&self, ask: impl Fn(Arc<Link>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let options = &self.links.options;
        let deadline = Instant::now() + options.request_timeout * 2;
        loop {
            let link = self.links.link(deadline).await?;
            match ask(link).await.map_err(Fault::of_read) {
                Ok(answer) => return Ok(answer),
                Err(Fault::Later(_) | Fault::Compacted) if Instant::now() < deadline => {
                    sleep(limits::ETCD_RETRY_PAUSE.0).await;
                }
                Err(fault) => return Err(fault.error(options)),
            }
        }
    }

    async fn get(&self, key: String) -> Result<Option<KeyValue>, StoreError> {
        check_key(&key)?;
        let (raw, key) = (self.links.keys.key(&key), key.as_str());
        let raw = raw.as_str();
        let found = self.read(|link| async move {
            let mut kv = link.kv.clone();
            let asked = kv.get(raw, None);
            let mut answer = link.call(self.links.options.request_timeout, asked).await?;
            let at = self.links.note(answer.header());
            if let Some(found) = answer.take_kvs().pop() {
                return Ok(self.links.keys.key_value(found));
            }
            match log_of(key).filter(|(log, _)| self.logs.exists(log)) {
                Some((log, named)) => self.get_appended(&link, at, log, named).await,
                None => Ok(None),
            }
        });
        found.await
    }

    async fn get_appended(
        &self,
        link: &Link,
        at: StoreRevision,
        log: &str,
        named: StoreRevision,
    ) -> Result<Option<KeyValue>, Fault> {
        let reader = LogReader { links: &self.links, link, at };
        let newest = self.logs.window(log);
        let wanted = Wanted { from: named, to: named, limit: 1, keys_only: false };
        let mut found = reader.read(log, newest, wanted).await?;
        Ok(found.pop().and_then(|raw| self.links.keys.key_value(raw)))
    }

    /// A page as of now, or as of a revision.
    async fn page(
        &self,
        link: Arc<Link>,
        range: &Range,
        at: Option<StoreRevision>,
    ) -> Result<Page, Fault> {
        let keys = &self.links.keys;
        let raw = |key: &str| keys.key(key);
        let (start, end) = (raw(&range.start), range.end.as_deref().map(raw));
        let end = end.unwrap_or_else(|| keys.keys_end());
        // etcd takes an end that is not after its start for something else.
        let empty = end <= start;
        let limit = if empty { 1 } else { i64::try_from(range.limit).unwrap_or(i64::MAX) };
        let at = at.map(|at| i64::try_from(at.0).unwrap_or(i64::MAX));
        let options = GetOptions::new().with_limit(limit).with_revision(at.unwrap_or_default());
        let options = if empty { options.with_keys_only() } else { options.with_range(end) };
        let mut kv = link.kv.clone();
        let asked = kv.get(start, Some(options));
        let mut answer = link.call(self.links.options.request_timeout, asked).await?;
        let mut revision = self.links.note(answer.header());
        match at {
            Some(at) => revision = keys::revision(at),
            None => self.want(revision),
        }
        if empty {
            return Ok(Page { kvs: Vec::new(), revision, more: false });
        }
        let mut more = answer.more();
        let found = answer.take_kvs().into_iter().filter_map(|raw| keys.key_value(raw));
        let mut kvs: Vec<_> = found.collect();
        let reader = LogReader { links: &self.links, link: &link, at: revision };
        for (log, newest) in reader.logs().await? {
            kvs.extend(reader.range(&log, newest, range).await?);
        }
        kvs.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        more |= kvs.len() > range.limit;
        kvs.truncate(range.limit);
        Ok(Page { kvs, revision, more })
    }

    async fn page_of_snapshot(
        &self,
        range: &Range,
        at: Option<StoreRevision>,
    ) -> Result<Page, StoreError> {
        let page = self.read(|link| async move {
            match self.page(link, range, at).await {
                // It does not come back by asking again.
                Err(Fault::Compacted) if at.is_some() => Ok(None),
                page => page.map(Some),
            }
        });
        let forgotten = at.unwrap_or_default();
        page.await?.ok_or(StoreError::Compacted { after: forgotten, compacted: forgotten })
    }

    async fn compact(&self, revision: StoreRevision) -> Result<(), StoreError> {
        let compacted = self.read(|link| async move {
            let upto = revision.min(self.now(&link).await?);
            self.want(upto);
            let mut kv = link.kv.clone();
            let at = i64::try_from(upto.0).unwrap_or(i64::MAX);
            let asked = kv.compact(at, Some(CompactionOptions::new()));
            match link.call(self.links.options.request_timeout, asked).await {
                // Somebody else was there before.
                Ok(_) | Err(Fault::Compacted) => Ok(upto),
                Err(fault) => Err(fault),
            }
        });
        let upto = compacted.await?;
        self.history.reached(upto).await?;
        self.history.compact(upto);
        Ok(())
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        check_ttl(ttl)?;
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let granted = self.read(|link| async move {
            let mut lease = link.lease.clone();
            let asked = lease.grant(i64::try_from(seconds).unwrap_or(i64::MAX), None);
            link.call(self.links.options.request_timeout, asked).await
        });
        let granted = granted.await?;
        let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or(seconds));
        Ok(Lease { id: LeaseId(granted.id().cast_unsigned()), ttl })
    }

    async fn keep_alive(&self, id: LeaseId) -> Result<(), StoreError> {
        let kept = self.read(|link| async move {
            let mut lease = link.lease.clone();
            let asked = lease.keep_alive(id.0.cast_signed());
            match link.call(self.links.options.request_timeout, asked).await {
                Ok(_) => Ok(true),
                Err(Fault::NoLease) => Ok(false),
                Err(fault) => Err(fault),
            }
        });
        if kept.await? { Ok(()) } else { Err(StoreError::LeaseNotFound(id)) }
    }

    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        let tries = AtomicU64::new(0);
        let revoked = self.read(|link| {
            let again = tries.fetch_add(1, Ordering::Relaxed) > 0;
            async move {
                let mut lease = link.lease.clone();
                let asked = lease.revoke(id.0.cast_signed());
                match link.call(self.links.options.request_timeout, asked).await {
                    Ok(_) => Ok(true),
                    // The first try may have done it.
                    Err(Fault::NoLease) => Ok(again),
                    Err(fault) => Err(fault),
                }
            }
        });
        if revoked.await? { Ok(()) } else { Err(StoreError::LeaseNotFound(id)) }
    }
}

/// Lets etcd forget what is older than `every`. Each server does; the first one succeeds.
async fn compact_every(shared: Arc<Shared>, every: Duration) {
    loop {
        let upto = shared.links.seen();
        sleep(every).await;
        if let Err(error) = shared.compact(upto).await {
            tracing::warn!(%error, "cannot compact the history of etcd");
        }
    }
}

impl Store for EtcdStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<KeyValue>> {
        Box::pin(self.shared.get(key.to_owned()))
    }

    fn range(&self, range: Range) -> StoreFuture<'_, Page> {
        Box::pin(async move {
            let range = &range;
            self.shared.read(|link| self.shared.page(link, range, None)).await
        })
    }

    fn snapshot(&self) -> Snapshot {
        let first = Range::prefix("/").limit(limits::SNAPSHOT_PAGE);
        let next = Some((Arc::clone(&self.shared), first, None));
        Box::pin(stream::unfold(next, |next| async {
            let (shared, range, at) = next?;
            let page = shared.page_of_snapshot(&range, at).await;
            let last = page.as_ref().ok().filter(|page| page.more).and_then(|page| page.kvs.last());
            let after = last.map(|last| range.after(&last.key));
            let at = page.as_ref().ok().map(|page| page.revision);
            Some((page, after.map(|range| (shared, range, at))))
        }))
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnOutcome> {
        Box::pin(self.shared.commit(txn))
    }

    fn watch(&self, prefix: &str, after: StoreRevision) -> Watch {
        self.shared.history.watch(prefix, after)
    }

    fn compact(&self, revision: StoreRevision) -> StoreFuture<'_, ()> {
        Box::pin(self.shared.compact(revision))
    }

    fn grant_lease(&self, ttl: Duration) -> StoreFuture<'_, Lease> {
        Box::pin(self.shared.grant(ttl))
    }

    fn keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(self.shared.keep_alive(lease))
    }

    fn revoke_lease(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(self.shared.revoke(lease))
    }
}
