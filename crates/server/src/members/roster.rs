//! The roster: which servers are there, and which of them leads, as the store says.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use longshore_domain::time::Timestamp;
use longshore_store::{Event, Key, KeyValue, Range, StoreError};

use super::Member;
use crate::{Server, clock};

/// Where the records of servers are.
const MEMBERS: &str = "/longshore/server/";
/// Pause before the roster is read again after a failure.
const RETRY: Duration = Duration::from_millis(500);
/// Servers that left, and when, that are remembered.
const LEFT: usize = 256;

/// Who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    /// Servers by their ids.
    pub(crate) members: BTreeMap<u64, Member>,
    /// Id of the one that leads.
    pub(crate) leader: Option<u64>,
    /// Servers that this one saw leave, and when.
    pub(crate) left: BTreeMap<u64, Timestamp>,
}

impl Roster {
    /// The server that leads, if it is known where it is.
    pub(crate) fn leader(&self) -> Option<&Member> {
        self.members.get(&self.leader?)
    }

    /// When a server left; `unseen` when nobody saw it. `None` while it is there.
    pub(crate) fn left_at(&self, server: u64, unseen: Timestamp) -> Option<Timestamp> {
        if self.members.contains_key(&server) {
            return None;
        }
        Some(self.left.get(&server).copied().unwrap_or(unseen))
    }

    fn enter(&mut self, kv: &KeyValue) {
        match serde_json::from_slice::<Member>(&kv.value) {
            Ok(member) => _ = self.members.insert(member.id, member),
            Err(error) => tracing::error!(key = %kv.key, %error, "no record of a server"),
        }
    }

    fn leave(&mut self, id: u64) {
        if self.members.remove(&id).is_some() {
            self.left.insert(id, clock::now());
            while self.left.len() > LEFT {
                let oldest = self.left.iter().min_by_key(|(_, at)| **at).map(|(id, _)| *id);
                oldest.and_then(|oldest| self.left.remove(&oldest));
            }
        }
    }

    fn lead(&mut self, kv: Option<&KeyValue>) {
        let holder = kv.and_then(|kv| std::str::from_utf8(&kv.value).ok());
        self.leader = holder.and_then(|holder| u64::from_str_radix(holder, 16).ok());
    }

    fn apply(&mut self, event: &Event, office: &str) {
        let of_office = **event.key() == *office;
        match event {
            Event::Put(kv) if of_office => self.lead(Some(kv)),
            Event::Delete { .. } if of_office => self.lead(None),
            Event::Put(kv) => self.enter(kv),
            Event::Delete { key, .. } => _ = id_of(key).map(|id| self.leave(id)),
        }
    }
}

/// The key of a server's record.
pub(super) fn key(id: u64) -> String {
    format!("{MEMBERS}{id:016x}")
}

fn id_of(key: &Key) -> Option<u64> {
    u64::from_str_radix(key.strip_prefix(MEMBERS)?, 16).ok()
}

/// Follows the roster until the server stops.
pub(crate) fn spawn(server: &Arc<Server>) {
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let mut shutdown = server.shutdown.subscribe();
        let following = async {
            loop {
                let Err(error) = follow(&server).await;
                tracing::warn!(%error, "cannot follow which servers are there");
                tokio::time::sleep(RETRY).await;
            }
        };
        tokio::select! {
            biased;
            () = crate::stopped(&mut shutdown) => {}
            () = following => {}
        }
    });
}

async fn follow(server: &Server) -> Result<Infallible, StoreError> {
    let store = server.state.store();
    let office = server.members.office(store);
    let office = office.key();
    let members = store.range(Range::prefix(MEMBERS)).await?;
    let leader = store.range(Range::between(office, &format!("{office}\0"))).await?;
    publish(server, |roster| {
        let gone: Vec<u64> = roster.members.keys().copied().collect();
        let kept = |id: &u64| members.kvs.iter().any(|kv| id_of(&kv.key) == Some(*id));
        gone.iter().filter(|id| !kept(id)).for_each(|id| roster.leave(*id));
        members.kvs.iter().for_each(|kv| roster.enter(kv));
        roster.lead(leader.kvs.first());
    });
    let mut changes = stream::select(
        store.watch(MEMBERS, members.revision),
        store.watch(office, leader.revision),
    );
    while let Some(batch) = changes.next().await {
        let batch = batch?;
        if !batch.events.is_empty() {
            publish(server, |roster| {
                batch.events.iter().for_each(|event| roster.apply(event, office));
            });
        }
    }
    Err(StoreError::Closed)
}

fn publish(server: &Server, change: impl FnOnce(&mut Roster)) {
    server.members.roster.send_if_modified(|shared| {
        let mut roster = Roster::clone(shared);
        change(&mut roster);
        let changed = roster != **shared;
        *shared = Arc::new(roster);
        changed
    });
}
