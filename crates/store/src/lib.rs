//! The store of Longshore: what is true, in order.
//!
//! - A backend ([`MemoryStore`], [`EmbeddedStore`], [`EtcdStore`]) keeps versioned key-values under one
//!   revision and obeys [`Store`], the part of etcd that Longshore needs.
//! - [`Record`] says how each record of the domain becomes a key and a value ([`tables`]).
//! - [`View`] is all of it in memory, immutable; [`State`] follows the store with it and
//!   commits a [`RecordTxn`].
//! - [`Journal`] gives back what changed, in order, for days.
//! - [`archive`] is all of it as a file: for backups, and to move to another backend.
//! - [`Leadership`] lets one process at a time do what only one may do.
//!
//! What it leaves out: decisions (crate `longshore-domain`), and when to make them.

mod apply;
pub mod archive;
mod contract;
mod embedded;
mod error;
mod etcd;
mod history;
mod journal;
mod leadership;
mod leases;
pub mod limits;
mod memory;
mod population;
mod record;
mod record_txn;
mod state;
mod table;
pub mod tables;
mod usage;
mod view;

pub use contract::{
    Batch, Compare, Event, Key, KeyValue, Lease, LeaseId, Page, Range, Snapshot, Store,
    StoreFuture, StoreId, StoreRevision, Txn, TxnOutcome, Watch, Write,
};
pub use embedded::{Durability, EmbeddedOptions, EmbeddedStore};
pub use error::{Retry, StoreError};
pub use etcd::{EtcdOptions, EtcdStore};
pub use history::HistoryLimits;
pub use journal::{Change, Entry, Journal, JournalPage, Moment, Sequence};
pub use leadership::{Leader, Leadership};
pub use memory::MemoryStore;
pub use population::TaskCounts;
pub use record::{KeyPrefix, Record, RecordError, RecordFault, RecordKey, Row};
pub use record_txn::RecordTxn;
pub use state::{Changes, Figures, InstanceChanges, State, StateError, peek};
pub use table::Table;
pub use usage::Used;
pub use view::{Applied, Kind, View};
