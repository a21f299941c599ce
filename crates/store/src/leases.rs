//! Leases of the backends that run in this process: who lives by which lease, until when.
//!
//! Time is tokio's, so that the simulator's paused clock rules it. The table only keeps
//! books; the backend removes the keys, as a transaction of its own revision.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::StoreError;
use crate::contract::{Key, LeaseId};

/// All leases of a store.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    granted: u64,
    live: BTreeMap<LeaseId, Entry>,
    by_key: BTreeMap<Key, LeaseId>,
}

#[derive(Debug)]
struct Entry {
    ttl: Duration,
    deadline: Instant,
    keys: BTreeSet<Key>,
}

impl Leases {
    pub(crate) fn grant(&mut self, ttl: Duration, now: Instant) -> LeaseId {
        self.granted += 1;
        let id = LeaseId(self.granted);
        self.live.insert(id, Entry { ttl, deadline: now + ttl, keys: BTreeSet::new() });
        id
    }

    pub(crate) fn keep_alive(&mut self, id: LeaseId, now: Instant) -> Result<(), StoreError> {
        let entry = self.live.get_mut(&id).ok_or(StoreError::LeaseNotFound(id))?;
        if entry.deadline <= now {
            return Err(StoreError::LeaseNotFound(id));
        }
        entry.deadline = now + entry.ttl;
        Ok(())
    }

    pub(crate) fn is_live(&self, id: LeaseId) -> bool {
        self.live.contains_key(&id)
    }

    /// When the lease ends, unless it is kept alive.
    pub(crate) fn deadline(&self, id: LeaseId) -> Option<Instant> {
        self.live.get(&id).map(|entry| entry.deadline)
    }

    /// Lets `key` live by `lease`, or by none.
    pub(crate) fn attach(&mut self, key: &Key, lease: Option<LeaseId>) {
        if let Some(old) = self.by_key.remove(key)
            && let Some(entry) = self.live.get_mut(&old)
        {
            entry.keys.remove(key);
        }
        if let Some(id) = lease
            && let Some(entry) = self.live.get_mut(&id)
        {
            entry.keys.insert(key.clone());
            self.by_key.insert(key.clone(), id);
        }
    }

    /// Ends a lease; the caller removes the keys that lived by it.
    pub(crate) fn end(&mut self, id: LeaseId) -> Option<BTreeSet<Key>> {
        let entry = self.live.remove(&id)?;
        for key in &entry.keys {
            self.by_key.remove(key);
        }
        Some(entry.keys)
    }

    /// Ends all leases; the caller removes the keys that lived by them.
    pub(crate) fn end_all(&mut self) -> BTreeSet<Key> {
        self.live.clear();
        std::mem::take(&mut self.by_key).into_keys().collect()
    }

    /// Ends a lease if its time is over at `now`.
    pub(crate) fn end_if_due(&mut self, id: LeaseId, now: Instant) -> Option<BTreeSet<Key>> {
        let due = self.live.get(&id).is_some_and(|entry| entry.deadline <= now);
        if due { self.end(id) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    #[test]
    fn a_sign_of_life_moves_the_end() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let id = leases.grant(TTL, start);
        leases.attach(&"/a".into(), Some(id));
        assert!(leases.keep_alive(id, start + TTL / 2).is_ok());
        assert_eq!(leases.deadline(id), Some(start + TTL / 2 + TTL));
        assert_eq!(leases.end_if_due(id, start + TTL), None);
        let keys = leases.end_if_due(id, start + TTL / 2 + TTL).expect("it is due");
        assert_eq!(keys, BTreeSet::from(["/a".into()]));
        assert!(!leases.is_live(id));
    }

    #[test]
    fn a_lease_that_is_due_is_not_revived() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let id = leases.grant(TTL, start);
        assert!(leases.keep_alive(id, start + TTL).is_err());
        assert!(leases.end_if_due(id, start + TTL).is_some());
    }

    #[test]
    fn a_key_lives_by_its_last_lease() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let (one, two) = (leases.grant(TTL, start), leases.grant(TTL, start));
        assert_ne!(one, two);
        let key: Key = "/a".into();
        leases.attach(&key, Some(one));
        leases.attach(&key, Some(two));
        assert_eq!(leases.end(one), Some(BTreeSet::new()));
        assert_eq!(leases.end(two), Some(BTreeSet::from([key])));
        assert_eq!(leases.end(two), None);
    }
}
