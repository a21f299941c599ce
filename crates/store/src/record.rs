//! How a record becomes a key and a value, and back.
//!
//! A value is JSON with the version of its shape: `{"v":1,"r":{…}}`. Each shape that was ever
//! written stays readable: a record that changes shape gets a new version, and its
//! [`Record::upgrade`] reads the older ones. A version from the future is an error.
//!
//! One change needs no new version, so that servers can be upgraded one by one within a minor
//! version: another optional member of the record itself. An older longshore does not know it,
//! reads the rest, and gives it back when it writes the record again ([`RecordTxn::update`]).
//!
//! [`RecordTxn::update`]: crate::RecordTxn::update

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::{Debug, Display, Write};
use std::marker::PhantomData;
use std::ops::Deref;

use bytes::Bytes;
use longshore_domain::ids::{AccountId, Scope};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_ignored::Path;
use serde_json::value::RawValue;

use crate::contract::{Key, KeyValue, StoreRevision};
use crate::journal::Change;
use crate::view::Kind;

/// A persisted shape: what a table holds.
pub trait Record:
    Serialize + DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + 'static
{
    /// Its table.
    const KIND: Kind;
    /// Version of its shape.
    const VERSION: u32;
    /// What names one record.
    type Key: RecordKey;
    /// What records can be found by besides their key.
    type Index: Ord + Clone + Debug + Send + Sync;

    /// Its name.
    fn key(&self) -> Self::Key;

    /// What it can be found by.
    fn indexes(&self) -> Vec<Self::Index> {
        Vec::new()
    }

    /// Whether an index holds its rows, for readers of all of them, or their keys alone: then a
    /// change of a row that leaves the index alone costs nothing there.
    fn holds_rows(index: &Self::Index) -> bool {
        let _ = index;
        true
    }

    /// Whether the journal tells when this is written in place of `old`, if that is known.
    fn is_told(&self, old: Option<&Self>) -> bool {
        let _ = old;
        false
    }

    /// What the journal tells besides, where it tells of the record.
    fn told_besides(&self, old: Option<&Self>) -> Vec<Change> {
        let _ = old;
        Vec::new()
    }

    /// Whether the journal tells when the record with some key is removed. `old` is the record,
    /// if it is known; nothing has to be told of one that was over.
    fn tells_removal(old: Option<&Self>) -> bool {
        let _ = old;
        false
    }

    /// Gives back memory that reading left unused: there are many of it.
    fn shrink(&mut self) {}

    /// Reads the shape of an older `version`.
    ///
    /// # Errors
    /// [`RecordFault::NoUpgrade`] when there was no such version.
    fn upgrade(version: u32, json: &str) -> Result<Self, RecordFault> {
        let _ = json;
        Err(RecordFault::NoUpgrade { found: version })
    }
}

/// The name of a record within the store.
pub trait RecordKey: Clone + Debug + PartialEq + Send + Sync {
    /// The store key: `/{account}/{region}/{service}/{kind}/…`.
    fn encode(&self) -> Key;
}

/// Keys of one table that begin alike.
pub struct KeyPrefix<R> {
    text: String,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> KeyPrefix<R> {
    /// All records of an account and region.
    pub fn scope(scope: &Scope) -> Self {
        KeyPath::new(scope, R::KIND).prefix()
    }

    /// All records of an account that belong to no region.
    pub fn account(account: AccountId) -> Self {
        KeyPath::account(account, R::KIND).prefix()
    }

    /// All records that belong to no account.
    pub fn shared() -> Self {
        KeyPath::shared(R::KIND).prefix()
    }

    /// The beginning as text, with a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Builds store keys, part by part. Parts are escaped where they could be taken for two.
pub(crate) struct KeyPath(String);

impl KeyPath {
    pub(crate) fn new(scope: &Scope, kind: Kind) -> Self {
        let Scope { account, region } = scope;
        Self(format!("/{account}/{region}/{}/{}/", kind.service(), kind.as_str()))
    }

    /// Keys of what an account has in all regions.
    pub(crate) fn account(account: AccountId, kind: Kind) -> Self {
        Self(format!("/{account}/-/{}/{}/", kind.service(), kind.as_str()))
    }

    /// Keys of what all accounts share.
    pub(crate) fn shared(kind: Kind) -> Self {
        Self(format!("/-/-/{}/{}/", kind.service(), kind.as_str()))
    }

    /// Appends a part that holds no slash, percent sign or control character.
    pub(crate) fn part(mut self, part: impl Display) -> Self {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{part}/");
        self
    }

    /// Appends a part with any content.
    pub(crate) fn escaped(mut self, part: &str) -> Self {
        for c in part.chars() {
            if matches!(c, '/' | '%' | '~') || c.is_control() {
                let _ = write!(self.0, "%{:02X}", u32::from(c));
            } else {
                self.0.push(c);
            }
        }
        self.0.push('/');
        self
    }

    /// The whole key.
    pub(crate) fn key(mut self) -> Key {
        self.0.pop();
        self.0.into()
    }

    /// The beginning of all keys that have these parts first.
    pub(crate) fn prefix<R: Record>(self) -> KeyPrefix<R> {
        KeyPrefix { text: self.0, record: PhantomData }
    }
}

/// A record as the store has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<R> {
    /// Its store key.
    pub key: Key,
    /// The record.
    pub record: R,
    /// Revision that last put it: what a transaction compares.
    pub mod_revision: StoreRevision,
    /// Revision that created it.
    pub create_revision: StoreRevision,
    /// What a newer longshore has written beside it.
    pub(crate) unknown: Unknown,
}

/// Members of a record that this code does not know, as JSON, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unknown(BTreeMap<String, String>);

impl<R> Deref for Row<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.record
    }
}

/// A stored value that is no record of ours.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the record at {key}")]
pub struct RecordError {
    /// Where it is.
    pub key: Key,
    /// What is wrong with it.
    #[source]
    pub fault: RecordFault,
}

/// What is wrong with a stored value.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// A newer longshore wrote it.
    #[error(
        "it has version {found} and this longshore reads up to {supported}; start the newer \
         longshore that wrote it"
    )]
    NewerVersion {
        /// Its version.
        found: u32,
        /// Newest version that this code reads.
        supported: u32,
    },
    /// No longshore wrote this version.
    #[error("it has version {found}, which never was; restore the store from a backup")]
    NoUpgrade {
        /// Its version.
        found: u32,
    },
    /// It is not the JSON of its version.
    #[error("it is damaged; restore the store from a backup, or delete the key")]
    Malformed(#[from] serde_json::Error),
    /// It says that it belongs under another key.
    #[error("it belongs at {0}; restore the store from a backup, or delete the key")]
    Misplaced(Key),
}

#[derive(Serialize)]
struct Written<'a, R> {
    v: u32,
    r: &'a R,
}

#[derive(Deserialize)]
struct Read<'a> {
    v: u32,
    #[serde(borrow)]
    r: &'a RawValue,
}

/// The value of a record, with what a newer longshore has written beside it.
pub(crate) fn encode<R: Record>(record: &R, unknown: &Unknown) -> Bytes {
    let value = serde_json::to_string(&Written { v: R::VERSION, r: record });
    let mut value = value.expect("a record is a structure with text keys, which JSON can hold");
    let mut added = unknown.0.clone();
    if cfg!(feature = "newer-records") {
        added.insert("addedLater".into(), r#"{"by":"a newer longshore"}"#.into());
    }
    if !added.is_empty() {
        // Both objects end here, and neither is empty: a record has members.
        value.truncate(value.len() - "}}".len());
        for (name, json) in added {
            let name = serde_json::Value::from(name);
            // Writing to a string does not fail.
            let _ = write!(value, ",{name}:{json}");
        }
        value.push_str("}}");
    }
    value.into()
}

/// The record of a value.
pub(crate) fn decode<R: Record>(kv: &KeyValue) -> Result<Row<R>, RecordError> {
    let fault = |fault| RecordError { key: kv.key.clone(), fault };
    let (mut record, unknown): (R, _) = decode_value(&kv.value).map_err(fault)?;
    record.shrink();
    let key = record.key().encode();
    if key != kv.key {
        return Err(fault(RecordFault::Misplaced(key)));
    }
    Ok(Row {
        key: kv.key.clone(),
        record,
        mod_revision: kv.mod_revision,
        create_revision: kv.create_revision,
        unknown,
    })
}

/// The record of a value, and what it does not know of it.
pub(crate) fn decode_value<R: Record>(value: &[u8]) -> Result<(R, Unknown), RecordFault> {
    let Read { v, r } = serde_json::from_slice(value)?;
    match v.cmp(&R::VERSION) {
        Ordering::Equal => {
            let mut names = Vec::new();
            let mut json = serde_json::Deserializer::from_str(r.get());
            let record = serde_ignored::deserialize(&mut json, |path| {
                if let Path::Map { parent: Path::Root, key } = path {
                    names.push(key);
                }
            })?;
            json.end()?;
            Ok((record, unknown(&names, r)?))
        }
        Ordering::Less => Ok((R::upgrade(v, r.get())?, Unknown::default())),
        Ordering::Greater => Err(RecordFault::NewerVersion { found: v, supported: R::VERSION }),
    }
}

/// The members of `json` with these names.
fn unknown(names: &[String], json: &RawValue) -> Result<Unknown, RecordFault> {
    if names.is_empty() {
        return Ok(Unknown::default());
    }
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(json.get())?;
    let kept = members.into_iter().filter(|(name, _)| names.contains(name));
    let kept = kept.map(|(name, value)| (name, value.get().to_owned())).collect();
    Ok(Unknown(kept))
}
