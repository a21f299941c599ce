//! What can go wrong in a store, and whether to try again.

use std::io;
use std::path::{Path, PathBuf};

use crate::{LeaseId, StoreRevision};

/// Why the store did not do what was asked. The text is for operators: what happened, why,
/// and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request is beyond a limit or malformed: a bug of the caller.
    #[error("the store refused a request: {0}")]
    Refused(String),
    /// The watch history starts later than the caller needs: read everything again.
    #[error(
        "the watch history no longer has revision {after}, it starts after {compacted}; \
         the keys must be read again"
    )]
    Compacted {
        /// Revision that the watch should have followed.
        after: StoreRevision,
        /// Newest revision that is forgotten.
        compacted: StoreRevision,
    },
    /// The lease has ended, or never was.
    #[error("lease {0} has ended; its holder must acquire again what it held")]
    LeaseNotFound(LeaseId),
    /// Another process has the file.
    #[error(
        "{} is in use by another process; stop the other longshore server, or give this one a \
         data directory of its own",
        .path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was written.
    #[error(
        "{} is damaged ({detail}); restore it from a backup, or move it away to start with an \
         empty store",
        .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// A newer longshore wrote the file.
    #[error(
        "{} has format {found} and this longshore reads up to {supported}; start the newer \
         longshore that wrote it",
        .path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u64,
        /// Newest format version that this code reads.
        supported: u64,
    },
    /// No space for a write: the disk, the quota or the file size limit is full.
    #[error(
        "no space left for {}; the store has stopped, nothing acknowledged is lost: free space \
         and restart longshore",
        .path.display()
    )]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The operating system failed.
    #[error(
        "cannot {action} {}; check the disk and the permissions, then restart longshore",
        .path.display()
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An earlier write failed, and what the disk holds is unknown until the store is opened
    /// again.
    #[error("the store stopped after a failed write ({0}); restart longshore")]
    Stopped(String),
    /// No member of etcd answers.
    #[error(
        "cannot reach etcd at {endpoints} ({detail}); check that its members run, that a majority \
         of them sees each other, and that the network lets this machine through"
    )]
    Unreachable {
        /// Where it was looked for.
        endpoints: String,
        /// What happened.
        detail: String,
    },
    /// etcd is there but does not do it now; nothing happened.
    #[error("etcd is too busy ({detail}); look at its disks and its load, and try again")]
    Busy {
        /// What it said, or how long nothing was said.
        detail: String,
    },
    /// etcd has not said whether a write happened.
    #[error(
        "etcd has not said whether it did a write ({detail}); it may have happened: read before \
         trying again"
    )]
    Uncertain {
        /// What came instead of an answer.
        detail: String,
    },
    /// etcd's database has reached its quota.
    #[error(
        "etcd takes no writes since its database is full; compact and defragment it \
         (etcdctl compact, etcdctl defrag) or raise --quota-backend-bytes, then clear the alarm \
         (etcdctl alarm disarm)"
    )]
    NoSpace,
    /// etcd does not let this user in, or not at these keys.
    #[error(
        "etcd refuses this user ({detail}); check user and password (or the client certificate), \
         and that its role may read and write the keys under {namespace}/"
    )]
    Denied {
        /// What it said.
        detail: String,
        /// Beginning of all keys of this store.
        namespace: String,
    },
    /// What answers now is not the store that was opened: what this process knows is not
    /// what the store holds.
    #[error(
        "this is not the store that was opened: {detail}; make sure that it is the one you mean, \
         then restart every longshore server, so that each begins with what it holds now"
    )]
    Replaced {
        /// How that was noticed.
        detail: String,
    },
    /// The address of the store is no address of a store.
    #[error("{address:?} is no store: {why}")]
    Address {
        /// The address, without its password.
        address: String,
        /// What is wrong with it, and what to write.
        why: String,
    },
    /// The store was shut down.
    #[error("the store is shut down")]
    Closed,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request fails again.
    Never,
    /// Nothing happened; the same request may succeed later.
    Later,
    /// The request may have happened: read before trying again.
    AfterReading,
}

impl StoreError {
    /// Whether to try again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused(_)
            | Self::LeaseNotFound(_)
            | Self::Corrupt { .. }
            | Self::NewerFormat { .. }
            | Self::Denied { .. }
            | Self::Replaced { .. }
            | Self::Address { .. }
            | Self::Closed => Retry::Never,
            Self::Locked { .. } | Self::Unreachable { .. } | Self::Busy { .. } | Self::NoSpace => {
                Retry::Later
            }
            Self::Compacted { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. }
            | Self::Stopped(_)
            | Self::Uncertain { .. } => Retry::AfterReading,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull { path: path.into() },
            _ => Self::Io { action, path: path.into(), source },
        }
    }
}
