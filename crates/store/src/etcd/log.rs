//! Logs: the order in which transactions appended, in a store that names no key after a
//! revision.
//!
//! A log is cut into windows. The key of its newest window is put now and then, and a window is
//! named by the revision of that put. Whoever appends does so under the newest window that he
//! knows, in a transaction that compares its key: so what stands under a window was appended
//! after the window was opened and not after the next one was. Windows are in order by their
//! names, and within a window etcd sorts by `create_revision`, of a thousand or so key-values at
//! a time.
//!
//! The same comparison settles what a lost answer leaves open: once another window is opened, a
//! transaction that was still under way can commit no more, and whether it did can be read.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use etcd_client::{GetOptions, GetResponse, KeyValue as Raw, SortOrder, SortTarget};

use super::fault::Fault;
use super::keys::{Keys, Place, revision};
use super::link::{Link, Links};
use crate::contract::{KeyValue, Range, StoreRevision, appended_key};
use crate::limits;

/// The newest window of each log, as far as this process knows.
#[derive(Debug, Default)]
pub(super) struct Logs {
    newest: Mutex<BTreeMap<String, StoreRevision>>,
}

impl Logs {
    fn newest(&self) -> MutexGuard<'_, BTreeMap<String, StoreRevision>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest window of a log; zero where none was ever opened.
    pub(super) fn window(&self, log: &str) -> StoreRevision {
        self.newest().get(log).copied().unwrap_or_default()
    }

    /// Takes note of a window.
    pub(super) fn opened(&self, log: &str, window: StoreRevision) {
        let mut newest = self.newest();
        match newest.get_mut(log) {
            Some(known) => *known = window.max(*known),
            None => {
                newest.insert(log.into(), window);
            }
        }
    }

    pub(super) fn exists(&self, log: &str) -> bool {
        self.newest().contains_key(log)
    }
}

/// Whether a transaction at about `now` should open a window.
pub(super) fn is_due(window: StoreRevision, now: StoreRevision) -> bool {
    window == StoreRevision::ZERO || now.0 >= window.0 + limits::ETCD_WINDOW
}

/// Reads logs as they were at one revision.
pub(super) struct LogReader<'a> {
    pub(super) links: &'a Links,
    pub(super) link: &'a Link,
    pub(super) at: StoreRevision,
}

/// Which of the appended are meant.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// From this revision on.
    pub(super) from: StoreRevision,
    /// Up to this one.
    pub(super) to: StoreRevision,
    /// At most so many.
    pub(super) limit: usize,
    /// Without their values.
    pub(super) keys_only: bool,
}

impl LogReader<'_> {
    fn keys(&self) -> &Keys {
        &self.links.keys
    }

    async fn get(&self, start: String, options: GetOptions) -> Result<GetResponse, Fault> {
        let mut kv = self.link.kv.clone();
        let at = i64::try_from(self.at.0).unwrap_or(i64::MAX);
        let asked = kv.get(start, Some(options.with_revision(at)));
        self.link.call(self.links.options.request_timeout, asked).await
    }

    /// All logs, with their newest windows.
    pub(super) async fn logs(&self) -> Result<Vec<(String, StoreRevision)>, Fault> {
        let (start, end) = self.keys().windows();
        let answer = self.get(start, GetOptions::new().with_range(end).with_keys_only()).await?;
        let log = |kv: &Raw| match self.keys().place(std::str::from_utf8(kv.key()).ok()?) {
            Place::Window { log } => Some((log.to_owned(), revision(kv.mod_revision()))),
            _ => None,
        };
        Ok(answer.kvs().iter().filter_map(log).collect())
    }

    /// What `range` holds of a log, at most one more than its limit.
    pub(super) async fn range(
        &self,
        log: &str,
        newest: StoreRevision,
        range: &Range,
    ) -> Result<Vec<KeyValue>, Fault> {
        let Some((from, to)) = bounds(log, range) else { return Ok(Vec::new()) };
        let wanted = Wanted { from, to, limit: range.limit + 1, keys_only: false };
        let found = self.read(log, newest, wanted).await?;
        Ok(found.into_iter().filter_map(|raw| self.keys().key_value(raw)).collect())
    }

    /// What was appended, in order.
    pub(super) async fn read(
        &self,
        log: &str,
        newest: StoreRevision,
        wanted: Wanted,
    ) -> Result<Vec<Raw>, Fault> {
        let mut found = Vec::new();
        let mut window = self.window_before(log, newest, wanted.from).await?;
        // Windows are about this far apart; the last may reach further.
        let stride = limits::ETCD_WINDOW * 2 + u64::try_from(wanted.limit).unwrap_or(u64::MAX);
        while found.len() < wanted.limit && window <= wanted.to {
            let end = StoreRevision(window.0.saturating_add(stride));
            let number = |n: StoreRevision| i64::try_from(n.0).unwrap_or(i64::MAX);
            let options = GetOptions::new()
                .with_range(self.keys().window_start(log, end))
                .with_min_create_revision(number(wanted.from))
                .with_max_create_revision(number(wanted.to))
                .with_sort(SortTarget::Create, SortOrder::Ascend)
                .with_limit(i64::try_from(wanted.limit - found.len()).unwrap_or(i64::MAX));
            let options = if wanted.keys_only { options.with_keys_only() } else { options };
            let mut answer = self.get(self.keys().window_start(log, window), options).await?;
            found.extend(answer.take_kvs().into_iter().filter(|raw| self.is_of(log, raw)));
            if end > newest {
                break;
            }
            match self.window_from(log, end).await? {
                Some(next) => window = next,
                None => break,
            }
        }
        Ok(found)
    }

    fn is_of(&self, log: &str, raw: &Raw) -> bool {
        let place = std::str::from_utf8(raw.key()).map(|key| self.keys().place(key));
        matches!(place, Ok(Place::Appended { log: of, .. }) if of == log)
    }

    /// The window to begin with: the newest one that was opened before `from`.
    async fn window_before(
        &self,
        log: &str,
        newest: StoreRevision,
        from: StoreRevision,
    ) -> Result<StoreRevision, Fault> {
        if newest < from {
            return Ok(newest);
        }
        let mut back = limits::ETCD_WINDOW * 2;
        loop {
            let low = StoreRevision(from.0.saturating_sub(back));
            let options = GetOptions::new()
                .with_range(self.keys().window_start(log, from))
                .with_sort(SortTarget::Key, SortOrder::Descend)
                .with_limit(1)
                .with_keys_only();
            let answer = self.get(self.keys().window_start(log, low), options).await?;
            if let Some(window) = answer.kvs().first().and_then(|raw| self.window_of(raw)) {
                return Ok(window);
            }
            if low == StoreRevision::ZERO {
                return Ok(low);
            }
            back = back.saturating_mul(8);
        }
    }

    /// The first window named `low` or later.
    async fn window_from(
        &self,
        log: &str,
        low: StoreRevision,
    ) -> Result<Option<StoreRevision>, Fault> {
        let end = self.keys().windows_end(log);
        let options = GetOptions::new().with_range(end).with_limit(1).with_keys_only();
        let answer = self.get(self.keys().window_start(log, low), options).await?;
        Ok(answer.kvs().first().and_then(|raw| self.window_of(raw)))
    }

    fn window_of(&self, raw: &Raw) -> Option<StoreRevision> {
        match self.keys().place(std::str::from_utf8(raw.key()).ok()?) {
            Place::Appended { window, .. } => Some(window),
            _ => None,
        }
    }
}

/// First and last revision whose keys in `log` are within `range`; `None` when no key is.
fn bounds(log: &str, range: &Range) -> Option<(StoreRevision, StoreRevision)> {
    let first = appended_key(log, StoreRevision::ZERO);
    let last = appended_key(log, StoreRevision(u64::MAX));
    let end = range.end.as_deref();
    if *range.start > *last || end.is_some_and(|end| end <= &*first) {
        return None;
    }
    // Names are in order like their numbers, so the bounds are found by halving.
    let low = first_name(log, |name| name >= range.start.as_str());
    let high = first_name(log, |name| end.is_some_and(|end| name >= end));
    let (low, high) = (low?, high.map_or(u64::MAX, |high| high.saturating_sub(1)));
    (low <= high).then_some((StoreRevision(low), StoreRevision(high)))
}

/// The first revision whose name in `log` is so; `so` holds for all names after one that it
/// holds for.
fn first_name(log: &str, so: impl Fn(&str) -> bool) -> Option<u64> {
    let is = |number| so(&appended_key(log, StoreRevision(number)));
    if !is(u64::MAX) {
        return None;
    }
    let (mut low, mut high) = (0, u64::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if is(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &Range, expected: Option<(u64, u64)>) {
        let found = bounds("/log", range).map(|(from, to)| (from.0, to.0));
        assert_eq!(found, expected, "{range:?}");
    }

    #[test]
    fn a_range_of_keys_is_a_range_of_revisions() {
        let name = |number| appended_key("/log", StoreRevision(number)).to_string();
        check(&Range::prefix("/log"), Some((0, u64::MAX)));
        check(&Range::prefix("/"), Some((0, u64::MAX)));
        check(&Range::between(&name(7), "/log/g"), Some((7, u64::MAX)));
        check(&Range::between(&name(7), &name(9)), Some((7, 8)));
        check(&Range::prefix("/log").after(&name(7)), Some((8, u64::MAX)));
        check(&Range::between(&name(7), &name(7)), None);
        check(&Range::between("/a", "/b"), None);
        check(&Range::between("/", "/log/"), None);
        check(&Range::prefix("/logs"), None);
        check(&Range::between("/log/f", "/log/g"), Some((0xf << 60, u64::MAX)));
        check(&Range::between("/log/", &name(0)), None);
    }

    #[test]
    fn the_newest_window_is_kept() {
        let logs = Logs::default();
        assert!(!logs.exists("/log"));
        assert!(is_due(logs.window("/log"), StoreRevision(1)));
        logs.opened("/log", StoreRevision(5));
        logs.opened("/log", StoreRevision(3));
        assert_eq!(logs.window("/log"), StoreRevision(5));
        assert!(logs.exists("/log"));
        assert!(!is_due(StoreRevision(5), StoreRevision(4 + limits::ETCD_WINDOW)));
        assert!(is_due(StoreRevision(5), StoreRevision(5 + limits::ETCD_WINDOW)));
    }
}
