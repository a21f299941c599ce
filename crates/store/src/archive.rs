//! A whole store as a file: for backups, and to move to another backend.
//!
//! The file is lines of JSON, so that people and programs can read it. The first line says what it
//! is; then come the keys in order with their values, each log's entries in their order, and the
//! places in the journal that somebody has reached; the last line counts them and has their digest.
//! What lives by a lease is left out, since it dies with who holds it.
//!
//! ```text
//! {"archive":{"format":1,"longshore":"0.1.0","store":"5eb1…","revision":4711}}
//! {"key":{"key":"/000000000000/us-east-1/ecs/cluster/web","value":"{…}","created":12}}
//! {"entry":{"log":"/longshore/journal","value":"{…}","created":12}}
//! {"place":{"key":"/longshore/event-webhook","value":"{…}","entries":1,"index":1023}}
//! {"end":{"keys":1,"entries":1,"places":1,"leased":0,"digest":"sha256:…"}}
//! ```
//!
//! The digest is of keys and values in that order and of nothing else: no revision is part of it.
//! So the same content has the same digest in every backend, and both sides of a move can be
//! compared.
//!
//! What it leaves out: revisions, which are the store's own, and the id of the store. Whoever has
//! stored a sequence of the journal elsewhere must begin anew.

mod digest;
mod export;
mod file;
mod import;
mod place;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::record::RecordError;

pub use export::{Contents, export, verify};
pub use file::Archive;
pub use import::{Progress, import};

/// The format that this code writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// Says that an import is not finished. Before all of the control plane's own keys, so that whoever
/// reads the records of a store meets it.
pub(crate) const UNFINISHED: &str = "/longshore-import";

/// A line of an archive.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Archive(Head),
    Key(KeyLine),
    Entry(EntryLine),
    Place(PlaceLine),
    End(End),
}

/// What a file is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    /// Version of the program that wrote it.
    longshore: String,
    /// Id of the store that it is of.
    store: String,
    /// Revision of that store.
    revision: u64,
}

/// A key.
#[derive(Debug, Serialize, Deserialize)]
struct KeyLine {
    key: String,
    #[serde(flatten)]
    value: Value,
    /// Revision that created it: what is imported first.
    created: u64,
}

/// An entry of a log.
#[derive(Debug, Serialize, Deserialize)]
struct EntryLine {
    log: String,
    #[serde(flatten)]
    value: Value,
    created: u64,
}

/// A place in the journal that the value of a key tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PlaceLine {
    key: String,
    /// The value without the place.
    value: String,
    /// Entries of the journal up to there.
    entries: u64,
    /// How much of the last of them has been reached.
    index: u64,
}

/// A value: text, or bytes that are none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Value {
    Value(String),
    Hex(String),
}

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Keys, without those of logs.
    pub keys: u64,
    /// Entries of logs.
    pub entries: u64,
    /// Places in the journal.
    pub places: u64,
    /// Keys that were left out since they live by a lease: those of servers that run.
    pub leased: u64,
    /// Digest of all that is in it.
    pub digest: String,
}

/// Why a store cannot be archived, or an archive not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds what is no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The operating system failed.
    #[error("cannot {action} {}; check the disk and the permissions", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is no archive, or not what was written.
    #[error(
        "{} is no whole archive (line {line}: {why}); take another backup, or copy this one again",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        line: u64,
        /// What does not fit.
        why: String,
    },
    /// A newer longshore wrote the file.
    #[error(
        "{} has format {found} and this longshore reads up to {FORMAT}; use the newer longshore \
         that wrote it",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The store holds something already.
    #[error(
        "the store is not empty (it holds {found}); import into a new one: another file, or another \
         namespace of etcd"
    )]
    NotEmpty {
        /// One of its keys.
        found: String,
    },
    /// Another import into this store was interrupted.
    #[error(
        "an import of another archive ({digest}) into this store was interrupted; go on with that \
         one, or begin with an empty store"
    )]
    Other {
        /// What the other one would have led to.
        digest: String,
    },
    /// What was imported is not what was in the archive.
    #[error(
        "the store now holds {found} and the archive {wanted}; somebody else has written to the \
         store: empty it and begin again, with no server running"
    )]
    Differs {
        /// Digest of the store.
        found: String,
        /// Digest of the archive.
        wanted: String,
    },
}
