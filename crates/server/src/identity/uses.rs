//! When keys and roles were used last. It is kept in memory and written now and then: whoever asks this
//! server is told what it has seen itself, another server some minutes later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_domain::ids::IamId;
use longshore_domain::record::{AccessKey, IamRole, KeyUse, RoleUse};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{AccessKeyKey, IamIndex};
use longshore_store::{RecordTxn, TxnOutcome, View};

use crate::{Server, clock};

/// How often it is written.
const PERIOD: Duration = Duration::from_secs(300);
/// A use that follows another this soon is not written for itself. AWS is about as exact.
const EXACT: Duration = Duration::from_secs(900);
/// Records of one transaction.
const AT_ONCE: usize = 50;

/// What was used last, as far as this server has seen.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    keys: BTreeMap<IamId, KeyUse>,
    roles: BTreeMap<IamId, RoleUse>,
}

impl Uses {
    /// A key was used.
    pub(super) fn used_key(&self, id: &IamId, at: Timestamp, service: &str, region: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.keys.get_mut(id) {
            Some(last) if last.service == service && last.region == region => last.at = at,
            _ => {
                let (service, region) = (service.to_owned(), region.to_owned());
                seen.keys.insert(id.clone(), KeyUse { at, service, region });
            }
        }
    }

    /// A session of a role was used.
    pub(super) fn used_role(&self, id: &IamId, at: Timestamp, region: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.roles.get_mut(id) {
            Some(last) if last.region == region => last.at = at,
            _ => _ = seen.roles.insert(id.clone(), RoleUse { at, region: region.to_owned() }),
        }
    }

    /// When a key was used last.
    pub(crate) fn key(&self, key: &AccessKey) -> Option<KeyUse> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        newer(seen.keys.get(&key.id), key.last_used.as_ref(), |used| used.at)
    }

    /// When a role was used last.
    pub(crate) fn role(&self, role: &IamRole) -> Option<RoleUse> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        newer(seen.roles.get(&role.id), role.last_used.as_ref(), |used| used.at)
    }

    /// What is worth writing.
    fn unwritten(&self, view: &View) -> RecordTxn {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut txn = RecordTxn::new();
        let old = |written: Option<Timestamp>, at: Timestamp| {
            written.is_none_or(|written| at.saturating_since(written) >= EXACT)
        };
        for (id, used) in &seen.keys {
            let row = view.access_keys.get(&AccessKeyKey { id: id.clone() });
            let row = row.filter(|row| old(row.last_used.as_ref().map(|last| last.at), used.at));
            if let Some(row) = row.filter(|_| txn.len() < AT_ONCE) {
                txn.update(row, &AccessKey { last_used: Some(used.clone()), ..row.record.clone() });
            }
        }
        for (id, used) in &seen.roles {
            let row = view.iam_roles.by(&IamIndex::Id(id.clone())).next();
            let row = row.filter(|row| old(row.last_used.as_ref().map(|last| last.at), used.at));
            if let Some(row) = row.filter(|_| txn.len() < AT_ONCE) {
                txn.update(row, &IamRole { last_used: Some(used.clone()), ..row.record.clone() });
            }
        }
        txn
    }

    /// Forgets what is gone.
    fn tidy(&self, view: &View) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let there = |id: &IamId| view.access_keys.get(&AccessKeyKey { id: id.clone() }).is_some();
        seen.keys.retain(|id, _| there(id));
        seen.roles.retain(|id, _| view.iam_roles.count_by(&IamIndex::Id(id.clone())) > 0);
    }
}

fn newer<T: Clone>(
    seen: Option<&T>,
    written: Option<&T>,
    at: impl Fn(&T) -> Timestamp,
) -> Option<T> {
    seen.into_iter().chain(written).max_by_key(|used| at(used)).cloned()
}

/// Writes it now and then, until the server stops.
pub(crate) fn spawn(server: &Arc<Server>) {
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let mut shutdown = server.shutdown.subscribe();
        loop {
            tokio::select! {
                biased;
                () = crate::stopped(&mut shutdown) => return,
                () = tokio::time::sleep(PERIOD) => write(&server).await,
            }
        }
    });
}

async fn write(server: &Server) {
    server.uses.tidy(&server.state.view());
    loop {
        let txn = server.uses.unwritten(&server.state.view());
        if txn.is_empty() {
            return;
        }
        match server.state.commit(txn).await {
            Ok(TxnOutcome::Committed { .. }) => {}
            // Next time.
            Ok(TxnOutcome::Conflict { .. }) => return,
            Err(error) => {
                tracing::warn!(%error, at = %clock::now(), "last uses of keys were not written");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_domain::ids::AccountId;

    use super::*;
    use crate::{iam, test_server};

    #[tokio::test]
    async fn a_use_is_written_when_it_is_news() {
        let server = &test_server::server().await;
        let vault = server.vault().expect("a vault");
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let (key, _) = iam::fresh_key(vault, AccountId::default(), None, at(0)).expect("seals");
        let mut txn = RecordTxn::new();
        txn.insert(&key);
        let outcome = server.commit(txn).await.expect("the store works");
        assert!(matches!(outcome, TxnOutcome::Committed { .. }));
        let written = || {
            let view = server.state.view();
            let row = view.access_keys.get(&AccessKeyKey { id: key.id.clone() });
            row.and_then(|row| row.last_used.as_ref()).map(|used| used.at)
        };
        for (second, expected) in [(10, 10), (20, 10), (909, 10), (910, 910)] {
            server.uses.used_key(&key.id, at(second), "ecs", "us-east-1");
            assert_eq!(server.uses.key(&key).map(|used| used.at), Some(at(second)));
            write(server).await;
            assert_eq!(written(), Some(at(expected)), "{second}");
        }
        let mut txn = RecordTxn::new();
        txn.delete::<AccessKey>(&AccessKeyKey { id: key.id.clone() });
        let outcome = server.commit(txn).await.expect("the store works");
        assert!(matches!(outcome, TxnOutcome::Committed { .. }));
        write(server).await;
        assert_eq!(server.uses.key(&key), None, "what is gone is forgotten");
    }
}
