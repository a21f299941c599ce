//! Where things are in etcd, below the namespace:
//!
//! - `kv{key}`: the value of a key of the contract.
//! - `log{log}/{window}/{name}`: what was appended to a log, under a name of its own (see `log`).
//! - `meta/log{log}`: its newest window. `meta/id`: the id of the store. `meta/progress`: put only
//!   so that watches have something to show.

use etcd_client::{EventType, KeyValue as Raw};

use crate::contract::{Event, Key, KeyValue, LeaseId, StoreRevision, appended_key};

/// Digits of a window, and of each half of a name.
const DIGITS: usize = 16;

/// The keys of one store.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    namespace: String,
}

/// What a raw key stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A key of the contract.
    Key(&'a str),
    /// Something that was appended to a log.
    Appended { log: &'a str, window: StoreRevision },
    /// The newest window of a log.
    Window { log: &'a str },
    /// Anything else.
    Other,
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        Self { namespace: namespace.into() }
    }

    /// First raw key of the store, and the first after all of them.
    pub(super) fn all(&self) -> (String, String) {
        (format!("{}/", self.namespace), format!("{}0", self.namespace))
    }

    pub(super) fn key(&self, key: &str) -> String {
        format!("{}/kv{key}", self.namespace)
    }

    /// First raw key after those of all keys of the contract.
    pub(super) fn keys_end(&self) -> String {
        format!("{}/kv0", self.namespace)
    }

    pub(super) fn id(&self) -> String {
        format!("{}/meta/id", self.namespace)
    }

    pub(super) fn progress(&self) -> String {
        format!("{}/meta/progress", self.namespace)
    }

    pub(super) fn window(&self, log: &str) -> String {
        format!("{}/meta/log{log}", self.namespace)
    }

    /// The raw keys of all newest windows.
    pub(super) fn windows(&self) -> (String, String) {
        (format!("{}/meta/log/", self.namespace), format!("{}/meta/log0", self.namespace))
    }

    /// First raw key of a window, or of the first one after it where there is none.
    pub(super) fn window_start(&self, log: &str, window: StoreRevision) -> String {
        format!("{}/log{log}/{:016x}", self.namespace, window.0)
    }

    /// First raw key after those of all windows.
    pub(super) fn windows_end(&self, log: &str) -> String {
        format!("{}/log{log}/g", self.namespace)
    }

    /// Raw key of the `number`th append of the process `boot`.
    pub(super) fn appended(
        &self,
        log: &str,
        window: StoreRevision,
        boot: u64,
        number: u64,
    ) -> String {
        format!("{}/log{log}/{:016x}/{boot:016x}{number:016x}", self.namespace, window.0)
    }

    pub(super) fn place<'a>(&self, raw: &'a str) -> Place<'a> {
        let Some(rest) = raw.strip_prefix(self.namespace.as_str()) else { return Place::Other };
        if let Some(key) = rest.strip_prefix("/kv") {
            return Place::Key(key);
        }
        if let Some(log) = rest.strip_prefix("/meta/log") {
            return Place::Window { log };
        }
        let appended = rest.strip_prefix("/log").and_then(|rest| {
            let (rest, _) = rest.rsplit_once('/')?;
            let (log, window) = rest.rsplit_once('/')?;
            Some(Place::Appended { log, window: revision_name(window)? })
        });
        appended.unwrap_or(Place::Other)
    }

    /// What a raw key-value is in terms of the contract.
    pub(super) fn key_value(&self, raw: Raw) -> Option<KeyValue> {
        let created = revision(raw.create_revision());
        let (mod_revision, lease) = (revision(raw.mod_revision()), raw.lease());
        let (key, value) = raw.into_key_value();
        let key = match self.place(std::str::from_utf8(&key).ok()?) {
            Place::Key(key) => key.into(),
            Place::Appended { log, .. } => appended_key(log, created),
            Place::Window { .. } | Place::Other => return None,
        };
        let lease = (lease != 0).then(|| LeaseId(lease.cast_unsigned()));
        Some(KeyValue { key, value: value.into(), create_revision: created, mod_revision, lease })
    }

    /// What a raw event is in terms of the contract. That something appended is gone is not
    /// told, since its raw key does not say what it was called.
    pub(super) fn event(&self, event: &etcd_client::Event) -> Option<Event> {
        let raw = event.kv()?;
        if event.event_type() == EventType::Put {
            return self.key_value(raw.clone()).map(Event::Put);
        }
        match self.place(std::str::from_utf8(raw.key()).ok()?) {
            Place::Key(key) => {
                let key: Key = key.into();
                Some(Event::Delete { key, mod_revision: revision(raw.mod_revision()) })
            }
            _ => None,
        }
    }
}

/// A revision as etcd counts it.
pub(super) fn revision(raw: i64) -> StoreRevision {
    StoreRevision(u64::try_from(raw).unwrap_or_default())
}

/// The log and the revision that `key` would name, if that log exists.
pub(super) fn log_of(key: &str) -> Option<(&str, StoreRevision)> {
    let (log, name) = key.rsplit_once('/')?;
    Some((log, revision_name(name)?))
}

/// The revision of 16 hexadecimal digits.
fn revision_name(name: &str) -> Option<StoreRevision> {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let valid = name.len() == DIGITS && name.bytes().all(digit);
    valid.then(|| u64::from_str_radix(name, 16).ok()).flatten().map(StoreRevision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_what_they_were_made_for() {
        let keys = Keys::new("/longshore");
        let window = StoreRevision(0x1f);
        assert_eq!(keys.place(&keys.key("/a/b")), Place::Key("/a/b"));
        let appended = keys.appended("/longshore/journal", window, 7, 9);
        let log = "/longshore/journal";
        assert_eq!(keys.place(&appended), Place::Appended { log, window });
        assert_eq!(keys.place(&keys.window(log)), Place::Window { log });
        assert_eq!(keys.place(&keys.id()), Place::Other);
        assert_eq!(keys.place(&keys.progress()), Place::Other);
        for stranger in ["", "/other/kv/a", "/longshore", "/longshore/log/a/b", "/longshore/x"] {
            assert_eq!(keys.place(stranger), Place::Other, "{stranger}");
        }
    }

    #[test]
    fn ranges_hold_their_keys_and_no_others() {
        let keys = Keys::new("/longshore");
        let within = |(start, end): (String, String), raw: &str| *start <= *raw && *raw < *end;
        for raw in [keys.key("/a"), keys.key("/~"), keys.id(), keys.window("/log")] {
            assert!(within(keys.all(), &raw), "{raw}");
        }
        assert!(!within(keys.all(), "/longshore2/kv/a"));
        assert!(within((keys.key("/"), keys.keys_end()), &keys.key("/\u{10ffff}")));
        assert!(within(keys.windows(), &keys.window("/longshore/journal")));
        let log = "/longshore/journal";
        let bounds = |from| (keys.window_start(log, StoreRevision(from)), keys.windows_end(log));
        assert!(within(bounds(5), &keys.appended(log, StoreRevision(5), 1, 1)));
        assert!(!within(bounds(6), &keys.appended(log, StoreRevision(5), 1, 1)));
        // The longest log that begins alike is another one.
        let other = keys.appended("/longshore/journal/x", StoreRevision(5), 1, 1);
        assert!(!within(bounds(0), &other));
    }

    #[test]
    fn only_sixteen_digits_name_a_revision() {
        assert_eq!(log_of("/log/00000000000000ff"), Some(("/log", StoreRevision(255))));
        for other in ["/log", "/log/ff", "/log/00000000000000FF", "/log/+0000000000000ff"] {
            assert_eq!(log_of(other), None, "{other}");
        }
    }
}
