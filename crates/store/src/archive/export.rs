//! Reading a store for an archive, and judging what it holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::digest::{Digest, shown};
use super::place::Place;
use super::{ArchiveError, End, EntryLine, FORMAT, Head, KeyLine, Line, PlaceLine, UNFINISHED};
use crate::StoreError;
use crate::contract::{Event, KeyValue, Page, Snapshot, Store, StoreRevision, appended_key};
use crate::journal::{self, LOG};
use crate::view::{Kind, View};

/// Keys of the control plane's own: only among them are logs.
const OWN: &str = "/longshore/";

/// What is in a store, as an archive tells it.
pub(super) enum Item {
    Key(KeyValue),
    Entry { log: String, kv: KeyValue },
}

/// Goes through the key-values of a store in their order, and takes their digest.
#[derive(Default)]
pub(super) struct Reading {
    digest: Digest,
    places: Vec<Place>,
    keys: u64,
    entries: u64,
    leased: u64,
}

impl Reading {
    /// Takes in a key-value; `None` when it is not part of an archive, or comes at the end.
    pub(super) fn take(&mut self, kv: KeyValue) -> Option<Item> {
        if &*kv.key == UNFINISHED {
            return None;
        }
        if kv.lease.is_some() {
            self.leased += 1;
            return None;
        }
        if let Some(place) = Place::of(&kv.key, &kv.value) {
            self.places.push(place);
            return None;
        }
        if let Some(log) = log_of(&kv) {
            self.digest.entry(&log, &kv.value);
            self.entries += 1;
            if log == LOG {
                self.places.iter_mut().for_each(|place| place.pass(kv.create_revision));
            }
            return Some(Item::Entry { log, kv });
        }
        self.digest.key(&kv.key, &kv.value);
        self.keys += 1;
        Some(Item::Key(kv))
    }

    /// The places, and what it all comes to.
    pub(super) fn end(mut self) -> (Vec<PlaceLine>, End) {
        let places: Vec<_> = self.places.into_iter().map(Place::line).collect();
        for PlaceLine { key, value, entries, index } in &places {
            self.digest.place(key, value, *entries, *index);
        }
        let end = End {
            keys: self.keys,
            entries: self.entries,
            places: places.len() as u64,
            leased: self.leased,
            digest: self.digest.text(),
        };
        (places, end)
    }
}

/// The log that a key-value was appended to: its name says when it was created.
fn log_of(kv: &KeyValue) -> Option<String> {
    let (log, _) = kv.key.strip_prefix(OWN)?.rsplit_once('/')?;
    let log = format!("{OWN}{log}");
    let appended =
        kv.create_revision == kv.mod_revision && *kv.key == *appended_key(&log, kv.create_revision);
    appended.then_some(log)
}

/// An archive of `store` as it is now, in pieces of whole lines. It is whole when its last line is
/// there.
pub fn export(store: &dyn Store) -> BoxStream<'static, Result<Bytes, StoreError>> {
    let head = (store.id().to_string(), env!("CARGO_PKG_VERSION").to_owned());
    let begun = (store.snapshot(), Some(head), Some(Reading::default()));
    Box::pin(stream::try_unfold(begun, |(mut pages, mut head, mut reading)| async move {
        let Some(taken) = &mut reading else { return Ok(None) };
        let mut lines = Vec::new();
        if let Some(Page { kvs, revision, .. }) = pages.try_next().await? {
            if let Some((store, longshore)) = head.take() {
                let revision = revision.0;
                push(
                    &mut lines,
                    &Line::Archive(Head { format: FORMAT, longshore, store, revision }),
                );
            }
            for kv in kvs {
                match taken.take(kv) {
                    Some(Item::Key(kv)) => push(&mut lines, &key_line(&kv)),
                    Some(Item::Entry { log, kv }) => push(&mut lines, &entry_line(log, &kv)),
                    None => {}
                }
            }
        } else if let Some(reading) = reading.take() {
            let (places, end) = reading.end();
            for place in places {
                push(&mut lines, &Line::Place(place));
            }
            push(&mut lines, &Line::End(end));
        }
        Ok(Some((Bytes::from(lines), (pages, head, reading))))
    }))
}

fn key_line(kv: &KeyValue) -> Line {
    let (key, value) = (kv.key.to_string(), shown(&kv.value));
    Line::Key(KeyLine { key, value, created: kv.create_revision.0 })
}

fn entry_line(log: String, kv: &KeyValue) -> Line {
    Line::Entry(EntryLine { log, value: shown(&kv.value), created: kv.create_revision.0 })
}

fn push(lines: &mut Vec<u8>, line: &Line) {
    let text = serde_json::to_vec(line).expect("a line is a structure with text keys");
    lines.extend(text);
    lines.push(b'\n');
}

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Its revision.
    pub revision: StoreRevision,
    /// What an archive of it would hold.
    pub end: End,
    /// Number of records of each kind.
    pub records: BTreeMap<&'static str, u64>,
}

/// Reads everything in `store`, and decodes every record and every entry of the journal.
///
/// # Errors
/// The store fails, or holds what this longshore cannot read.
pub async fn verify(store: &dyn Store) -> Result<Contents, ArchiveError> {
    let (mut view, mut reading) = (View::default(), Reading::default());
    let mut records = BTreeMap::new();
    let mut revision = StoreRevision::ZERO;
    let mut pages: Snapshot = store.snapshot();
    while let Some(page) = pages.next().await {
        let page = page?;
        revision = page.revision;
        for kv in page.kvs {
            match reading.take(kv) {
                Some(Item::Key(kv)) => {
                    if let Some(kind) = Kind::of_key(&kv.key) {
                        *records.entry(kind.as_str()).or_default() += 1;
                    }
                    view.apply(&Event::Put(kv))?;
                }
                Some(Item::Entry { log, kv }) if log == LOG => {
                    journal::read(&kv)?;
                }
                Some(Item::Entry { .. }) | None => {}
            }
        }
    }
    Ok(Contents { revision, end: reading.end().1, records })
}

/// The digest of a store, without decoding it.
pub(super) async fn digest(store: &dyn Store) -> Result<End, StoreError> {
    let mut reading = Reading::default();
    let mut pages = store.snapshot();
    while let Some(page) = pages.try_next().await? {
        for kv in page.kvs {
            reading.take(kv);
        }
    }
    Ok(reading.end().1)
}
