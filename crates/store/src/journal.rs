//! The journal: what changed, in the order in which it changed, for days.
//!
//! An entry is written in the transaction that makes the change (see [`RecordTxn`]), so nothing is
//! lost and nothing is invented. It is read from the store by range and never held in memory. What is
//! older than the journal keeps is folded into a base: the last state of every record that is not
//! over, so that the state at any time within the journal can be told.
//!
//! What it leaves out: which changes matter (`longshore_domain::journal`), and what events they
//! make (the server).
//!
//! [`RecordTxn`]: crate::RecordTxn

mod entry;
mod fold;
mod moment;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use longshore_domain::time::Timestamp;

use crate::StateError;
use crate::contract::{Range, Store, StoreRevision, appended_key};

pub use entry::{Change, Entry};
pub(crate) use entry::{Told, encode, read};
pub use moment::Moment;

/// The journal's keys; [`Write::Append`](crate::Write::Append) adds the revision.
pub(crate) const LOG: &str = "/longshore/journal";

/// Place of an entry in the journal: the revision of its transaction, and its number therein.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

/// Bits of a sequence that number the entries of one transaction, which has at most 128 writes.
const INDEX_BITS: u32 = 10;

impl Sequence {
    /// Before everything.
    pub const ZERO: Self = Self(0);

    /// The entry `index` of the transaction that made `revision`.
    pub(crate) fn new(revision: StoreRevision, index: usize) -> Self {
        let last = (1 << INDEX_BITS) - 1;
        Self(revision.0 << INDEX_BITS | u64::try_from(index).unwrap_or(last).min(last))
    }

    /// After all entries up to `revision`.
    #[must_use]
    pub fn end_of(revision: StoreRevision) -> Self {
        Self::new(revision, usize::MAX)
    }

    /// As one number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The revision of its transaction.
    #[must_use]
    pub const fn revision(self) -> StoreRevision {
        StoreRevision(self.0 >> INDEX_BITS)
    }
}

impl From<u64> for Sequence {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Sequence {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A stretch of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalPage {
    /// Its entries, the oldest first.
    pub entries: Vec<Entry>,
    /// Where to read on: everything up to there has been read.
    pub reached: Sequence,
    /// Whether there is more already.
    pub more: bool,
}

/// The journal of a store.
#[derive(Clone, Debug)]
pub struct Journal {
    store: Arc<dyn Store>,
}

impl Journal {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The entries after `after`, of at most `transactions` transactions.
    ///
    /// # Errors
    /// The store fails, or holds what is no entry.
    pub async fn read(
        &self,
        after: Sequence,
        transactions: usize,
    ) -> Result<JournalPage, StateError> {
        let range = from(after.revision()).limit(transactions);
        let page = self.store.range(range).await?;
        let mut entries = Vec::new();
        for kv in &page.kvs {
            entries.extend(entry::decode(kv)?.into_iter().filter(|entry| entry.sequence > after));
        }
        let last = page.kvs.last().filter(|_| page.more);
        let reached = last.map_or(page.revision, |kv| kv.mod_revision);
        let reached = Sequence::end_of(reached).max(after);
        Ok(JournalPage { entries, reached, more: page.more })
    }

    /// The end of the last transaction before `time`, or before the journal begins.
    ///
    /// Times of entries follow the clock of the server, which may have been set back: then the
    /// answer is one of several that are right.
    ///
    /// # Errors
    /// Those of [`Journal::read`].
    pub async fn before(&self, time: Timestamp) -> Result<Sequence, StateError> {
        let Some((first, _)) = self.first_from(StoreRevision::ZERO).await? else {
            return Ok(Sequence::ZERO);
        };
        let newest = self.store.range(from(first).limit(1)).await?.revision;
        // The first revision whose entries are not before `time` is in low..=high.
        let (mut low, mut high) = (first.0, newest.0 + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_from(StoreRevision(middle)).await? {
                Some((found, at)) if at < time => low = found.0 + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(Sequence::end_of(StoreRevision(low.saturating_sub(1))))
    }

    /// The earliest time whose records it knows; `None` while nothing was told.
    ///
    /// # Errors
    /// Those of [`Journal::read`].
    pub async fn begins(&self) -> Result<Option<Timestamp>, StateError> {
        if let Some(kv) = self.store.get(fold::BEGINS).await? {
            return Ok(Some(entry::time(&kv)?));
        }
        Ok(self.first_from(StoreRevision::ZERO).await?.map(|(_, at)| at))
    }

    /// Revision and time of the first transaction from `revision` on.
    async fn first_from(
        &self,
        revision: StoreRevision,
    ) -> Result<Option<(StoreRevision, Timestamp)>, StateError> {
        let page = self.store.range(from(revision).limit(1)).await?;
        let Some(kv) = page.kvs.first() else { return Ok(None) };
        Ok(Some((kv.mod_revision, entry::time(kv)?)))
    }
}

/// The journal from `revision` on.
fn from(revision: StoreRevision) -> Range {
    let end = format!("{LOG}/g");
    Range::between(&appended_key(LOG, revision), &end)
}
