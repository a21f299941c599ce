//! Transactions: how one of the contract becomes one of etcd, and what its answer means.
//!
//! Where an answer is lost, a transaction that appends to a log can still be told apart from one
//! that did not happen (see `log`), so its caller learns the truth. One that compares the revision
//! of a key that it writes cannot happen twice, so it is sent again; where that meets a conflict,
//! and of any other, the caller learns that nobody knows.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use etcd_client::{
    Compare as RawCompare, CompareOp, GetOptions, PutOptions, Txn as RawTxn, TxnOp, TxnOpResponse,
    TxnResponse,
};
use tokio::time::{Instant, sleep};

use super::Shared;
use super::fault::Fault;
use super::keys::{Keys, log_of, revision};
use super::link::Link;
use super::log::{LogReader, Wanted, is_due};
use crate::contract::{Compare, Key, LeaseId, StoreRevision, Txn, TxnOutcome, Write};
use crate::{StoreError, limits};

/// An append as it is sent.
struct Append {
    log: Key,
    /// The window that it was prepared for.
    window: StoreRevision,
    /// Whether it opens another one, for those that come after it.
    opens: bool,
    /// Its raw key, which nobody else ever puts.
    raw: String,
}

/// What came of one attempt.
enum Attempt {
    Done(TxnOutcome),
    /// Another window was opened meanwhile; nothing happened.
    Again,
}

/// Raw keys of what transactions call by the names that logs give.
type Names = BTreeMap<Key, String>;

impl Shared {
    pub(super) async fn commit(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        txn.check()?;
        let options = &self.links.options;
        let deadline = Instant::now() + options.request_timeout * 2;
        let names = self.names(&txn).await?;
        // What came instead of the answer of an earlier attempt, which may have happened.
        let mut lost: Option<String> = None;
        let unless_lost = |lost: &Option<String>, error| match lost {
            Some(detail) => StoreError::Uncertain { detail: detail.clone() },
            None => error,
        };
        loop {
            let link = self.links.link(deadline).await.map_err(|e| unless_lost(&lost, e))?;
            let appends = self.appends(&txn);
            let fault = match self.attempt(&link, &txn, &names, &appends).await {
                Ok(Attempt::Again) => continue,
                Ok(Attempt::Done(outcome)) => {
                    let conflict = matches!(outcome, TxnOutcome::Conflict { .. });
                    return match lost.filter(|_| conflict) {
                        Some(detail) => self.find_leased(&txn, detail).await,
                        None => Ok(outcome),
                    };
                }
                Err(fault) => fault,
            };
            let late = Instant::now() >= deadline;
            match fault {
                Fault::Lost(detail) if !appends.is_empty() => {
                    if let Some(outcome) = self.settle(&appends, detail, deadline).await? {
                        return Ok(outcome);
                    }
                }
                Fault::Lost(_) if txn.writes.is_empty() && !late => {}
                Fault::Lost(detail) if happens_once(&txn) && !late => lost = Some(detail),
                Fault::Later(_) if !late => sleep(limits::ETCD_RETRY_PAUSE.0).await,
                Fault::NoLease if lost.is_none() => {
                    return Err(StoreError::LeaseNotFound(leased(&txn)));
                }
                other => return Err(unless_lost(&lost, other.error(options))),
            }
        }
    }

    async fn attempt(
        &self,
        link: &Link,
        txn: &Txn,
        names: &Names,
        appends: &[Append],
    ) -> Result<Attempt, Fault> {
        let raw = request(&self.links.keys, txn, names, appends);
        let mut kv = link.kv.clone();
        let answer = link.call(self.links.options.request_timeout, kv.txn(raw)).await?;
        Ok(self.outcome(txn, appends, &answer))
    }

    fn appends(&self, txn: &Txn) -> Vec<Append> {
        let append = |write: &Write| match write {
            Write::Append { log, .. } => {
                let window = self.logs.window(log);
                let number = self.appended.fetch_add(1, Ordering::Relaxed);
                let raw = self.links.keys.appended(log, window, self.boot, number);
                let opens = is_due(window, self.links.seen());
                Some(Append { log: log.clone(), window, opens, raw })
            }
            Write::Put { .. } | Write::Delete { .. } => None,
        };
        txn.writes.iter().filter_map(append).collect()
    }

    /// What an answer means.
    fn outcome(&self, txn: &Txn, appends: &[Append], answer: &TxnResponse) -> Attempt {
        let revision = self.links.note(answer.header());
        if answer.succeeded() {
            let changes = |write: &Write| !matches!(write, Write::Delete { .. });
            let deleted = |done: &TxnOpResponse| match done {
                TxnOpResponse::Delete(done) => done.deleted() > 0,
                _ => false,
            };
            if txn.writes.iter().any(changes) || answer.op_responses().iter().any(deleted) {
                // It comes to the watch by itself.
                self.acknowledged.fetch_max(revision.0, Ordering::AcqRel);
                for append in appends.iter().filter(|append| append.opens) {
                    self.logs.opened(&append.log, revision);
                }
            } else {
                self.want(revision);
            }
            return Attempt::Done(TxnOutcome::Committed { revision });
        }
        let mut found = answer.op_responses().into_iter().map(|response| last_put(&response));
        for compare in &txn.compares {
            if !compare.holds(found.next().unwrap_or_default()) {
                self.want(revision);
                let key = compare.key().clone();
                return Attempt::Done(TxnOutcome::Conflict { key, revision });
            }
        }
        for append in appends {
            self.logs.opened(&append.log, found.next().unwrap_or_default());
        }
        Attempt::Again
    }

    /// Finds out what became of a transaction whose answer was lost: `None` when it did not
    /// happen and never will.
    async fn settle(
        &self,
        appends: &[Append],
        detail: String,
        deadline: Instant,
    ) -> Result<Option<TxnOutcome>, StoreError> {
        let Some(append) = appends.first() else { return Ok(None) };
        let uncertain = || StoreError::Uncertain { detail: detail.clone() };
        let window = self.links.keys.window(&append.log);
        loop {
            // Another window is opened, so that what is still under way fails.
            let ops = [TxnOp::put(window.as_str(), "", None), exists(&append.raw)];
            let link = self.links.link(deadline).await.map_err(|_| uncertain())?;
            let mut kv = link.kv.clone();
            let asked = kv.txn(RawTxn::new().and_then(ops));
            match link.call(self.links.options.request_timeout, asked).await {
                Ok(answer) => {
                    let opened = self.links.note(answer.header());
                    self.acknowledged.fetch_max(opened.0, Ordering::AcqRel);
                    self.logs.opened(&append.log, opened);
                    let at = answer.op_responses().last().map(last_put).unwrap_or_default();
                    let happened = at != StoreRevision::ZERO;
                    tracing::info!(detail, happened, "settled a transaction without an answer");
                    return Ok(happened.then_some(TxnOutcome::Committed { revision: at }));
                }
                Err(Fault::Lost(_) | Fault::Later(_)) if Instant::now() < deadline => {
                    sleep(limits::ETCD_RETRY_PAUSE.0).await;
                }
                Err(_) => return Err(uncertain()),
            }
        }
    }

    /// What became of a transaction whose answer was lost and that met a conflict when it was sent
    /// again. A lease tells: nobody else puts a key with it.
    async fn find_leased(&self, txn: &Txn, detail: String) -> Result<TxnOutcome, StoreError> {
        let leased = txn.writes.iter().find_map(|write| match write {
            Write::Put { key, lease: Some(lease), .. } => Some((key, *lease)),
            Write::Put { .. } | Write::Delete { .. } | Write::Append { .. } => None,
        });
        let Some((key, lease)) = leased else { return Err(StoreError::Uncertain { detail }) };
        match self.get(key.to_string()).await {
            Ok(Some(found)) if found.lease == Some(lease) => {
                Ok(TxnOutcome::Committed { revision: found.mod_revision })
            }
            _ => Err(StoreError::Uncertain { detail }),
        }
    }

    /// Raw keys of what `txn` calls by the names that logs give.
    async fn names(&self, txn: &Txn) -> Result<Names, StoreError> {
        let compared = txn.compares.iter().map(Compare::key);
        let deleted = txn.writes.iter().filter_map(|write| match write {
            Write::Delete { key } => Some(key),
            Write::Put { .. } | Write::Append { .. } => None,
        });
        let mut logs = BTreeMap::<&str, Vec<StoreRevision>>::new();
        for key in compared.chain(deleted) {
            if let Some((log, at)) = log_of(key).filter(|(log, _)| self.logs.exists(log)) {
                logs.entry(log).or_default().push(at);
            }
        }
        let mut names = Names::new();
        for (log, mut wanted) in logs {
            wanted.sort_unstable();
            names.extend(self.names_in(log, &wanted).await?);
        }
        Ok(names)
    }

    async fn names_in(&self, log: &str, wanted: &[StoreRevision]) -> Result<Names, StoreError> {
        let (Some(&from), Some(&to)) = (wanted.first(), wanted.last()) else {
            return Ok(Names::new());
        };
        let limit = usize::MAX >> 1;
        let found = self.read(|link| async move {
            let at = self.now(&link).await?;
            let reader = LogReader { links: &self.links, link: &link, at };
            let logs = reader.logs().await?;
            let newest = logs.into_iter().find(|(name, _)| name == log);
            let newest = newest.map_or(StoreRevision::ZERO, |(_, newest)| newest);
            let wanted = Wanted { from, to, limit, keys_only: true };
            reader.read(log, newest, wanted).await
        });
        let name = |raw: &etcd_client::KeyValue| {
            let at = revision(raw.create_revision());
            wanted.binary_search(&at).ok()?;
            let key = String::from_utf8(raw.key().to_vec()).ok()?;
            Some((crate::contract::appended_key(log, at), key))
        };
        Ok(found.await?.iter().filter_map(name).collect())
    }

    /// The revision of the store.
    pub(super) async fn now(&self, link: &Link) -> Result<StoreRevision, Fault> {
        let mut kv = link.kv.clone();
        let asked = kv.get(self.links.keys.id(), Some(GetOptions::new().with_keys_only()));
        let answer = link.call(self.links.options.request_timeout, asked).await?;
        Ok(self.links.note(answer.header()))
    }
}

/// The transaction as etcd takes it. Where it fails, it gives back what was compared.
fn request(keys: &Keys, txn: &Txn, names: &Names, appends: &[Append]) -> RawTxn {
    let raw_key = |key: &Key| names.get(key).cloned().unwrap_or_else(|| keys.key(key));
    let mut compares = Vec::with_capacity(txn.compares.len() + appends.len());
    let mut otherwise = Vec::with_capacity(compares.capacity());
    for compare in &txn.compares {
        let key = raw_key(compare.key());
        otherwise.push(exists(&key));
        compares.push(match compare {
            Compare::ModRevision(_, at) => {
                RawCompare::mod_revision(key, CompareOp::Equal, number(*at))
            }
            Compare::Exists(_) => RawCompare::create_revision(key, CompareOp::Greater, 0),
        });
    }
    let mut ops = Vec::with_capacity(txn.writes.len() + appends.len());
    let mut next_append = appends.iter();
    for write in &txn.writes {
        match write {
            Write::Put { key, value, lease } => {
                let lease = lease.map_or(0, |lease| lease.0.cast_signed());
                let options = PutOptions::new().with_lease(lease);
                ops.push(TxnOp::put(raw_key(key), value.to_vec(), Some(options)));
            }
            Write::Delete { key } => ops.push(TxnOp::delete(raw_key(key), None)),
            Write::Append { value, .. } => {
                let Some(append) = next_append.next() else { continue };
                ops.push(TxnOp::put(append.raw.as_str(), value.to_vec(), None));
            }
        }
    }
    for append in appends {
        let window = keys.window(&append.log);
        otherwise.push(exists(&window));
        let at = number(append.window);
        compares.push(RawCompare::mod_revision(window.as_str(), CompareOp::Equal, at));
        if append.opens {
            ops.push(TxnOp::put(window, "", None));
        }
    }
    RawTxn::new().when(compares).and_then(ops).or_else(otherwise)
}

/// Whether it cannot happen twice: it compares the revision of a key, and leaves it another one.
fn happens_once(txn: &Txn) -> bool {
    let compared = |key: &Key, absent_too: bool| {
        txn.compares.iter().any(|compare| match compare {
            Compare::ModRevision(compared, at) => {
                compared == key && (absent_too || *at != StoreRevision::ZERO)
            }
            Compare::Exists(_) => false,
        })
    };
    txn.writes.iter().any(|write| match write {
        Write::Put { key, .. } => compared(key, true),
        Write::Delete { key } => compared(key, false),
        Write::Append { .. } => false,
    })
}

/// Reads when a key was last put, without its value.
fn exists(key: &str) -> TxnOp {
    TxnOp::get(key, Some(GetOptions::new().with_keys_only()))
}

/// When the key was last put that an operation read; zero when it is absent.
fn last_put(response: &TxnOpResponse) -> StoreRevision {
    match response {
        TxnOpResponse::Get(get) => {
            get.kvs().first().map(|kv| revision(kv.mod_revision())).unwrap_or_default()
        }
        _ => StoreRevision::ZERO,
    }
}

/// A revision as etcd counts it; one that it cannot count never was.
fn number(at: StoreRevision) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// The first lease that a transaction names.
fn leased(txn: &Txn) -> LeaseId {
    let lease = |write: &Write| match write {
        Write::Put { lease, .. } => *lease,
        Write::Delete { .. } | Write::Append { .. } => None,
    };
    txn.writes.iter().find_map(lease).unwrap_or(LeaseId(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_happen_twice_is_not_sent_twice() {
        let at = StoreRevision(5);
        let txn = Txn::default;
        for once in [
            txn().expect("/a", at).put("/a", "1").put("/b", "1"),
            txn().expect_absent("/a").put("/a", "1"),
            txn().expect("/a", at).delete("/a").put("/b", "1"),
        ] {
            assert!(happens_once(&once), "{once:?}");
        }
        for twice in [
            txn().put("/a", "1"),
            txn().expect("/a", at).put("/b", "1"),
            txn().expect_exists("/a").put("/a", "1"),
            txn().expect_absent("/a").delete("/a").put("/b", "1"),
        ] {
            assert!(!happens_once(&twice), "{twice:?}");
        }
    }
}
