//! How a record becomes a key and a value, and back.
//!
//! A value is JSON with the version of its shape: `{"v":1,"r":{…}}`. Each shape that was ever
//! written stays readable: a record that changes shape gets a new version, and its
//! [`Record::upgrade`] reads the older ones. A version from the future is an error.

use std::fmt::{Debug, Display, Write};
use std::marker::PhantomData;
use std::ops::Deref;

use bytes::Bytes;
use longshore_domain::ids::Scope;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
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
    /// The store key: `/{account}/{region}/ecs/{kind}/…`.
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
        Self(format!("/{account}/{region}/ecs/{}/", kind.as_str()))
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
}

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

/// The value of a record.
pub(crate) fn encode<R: Record>(record: &R) -> Bytes {
    let value = serde_json::to_vec(&Written { v: R::VERSION, r: record });
    value.expect("a record is a structure with text keys, which JSON can hold").into()
}

/// The record of a value.
pub(crate) fn decode<R: Record>(kv: &KeyValue) -> Result<Row<R>, RecordError> {
    let fault = |fault| RecordError { key: kv.key.clone(), fault };
    let mut record: R = decode_value(&kv.value).map_err(fault)?;
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
    })
}

pub(crate) fn decode_value<R: Record>(value: &[u8]) -> Result<R, RecordFault> {
    let Read { v, r } = serde_json::from_slice(value)?;
    match v.cmp(&R::VERSION) {
        std::cmp::Ordering::Equal => Ok(serde_json::from_str(r.get())?),
        std::cmp::Ordering::Less => R::upgrade(v, r.get()),
        std::cmp::Ordering::Greater => {
            Err(RecordFault::NewerVersion { found: v, supported: R::VERSION })
        }
    }
}
