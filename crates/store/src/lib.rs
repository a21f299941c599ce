//! The store of Longshore: what is true, in order.
//!
//! A backend ([`MemoryStore`], [`EmbeddedStore`]) keeps versioned key-values under one
//! revision and obeys [`Store`], the part of etcd that Longshore needs.
//!
//! What it leaves out: decisions (crate `longshore-domain`), and when to make them.

mod apply;
mod contract;
mod embedded;
mod error;
mod history;
mod leases;
pub mod limits;
mod memory;

pub use contract::{
    Batch, Compare, Event, Key, KeyValue, Lease, LeaseId, Page, Range, Store, StoreFuture, StoreId,
    StoreRevision, Txn, TxnOutcome, Watch, Write,
};
pub use embedded::{Durability, EmbeddedOptions, EmbeddedStore};
pub use error::{Retry, StoreError};
pub use history::HistoryLimits;
pub use memory::MemoryStore;
