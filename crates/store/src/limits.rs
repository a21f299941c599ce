//! Limits of the store, beside the etcd limit that each mirrors.
//!
//! Every backend refuses what any of them would refuse, so that a cluster can move from the
//! embedded store to etcd.

use std::time::Duration;

/// Bytes of a key (ours; etcd counts keys only as part of the request).
pub const KEY_BYTES: usize = 2048;
/// Bytes of one transaction: keys, values and [`OP_OVERHEAD_BYTES`] for each operation (etcd's
/// `--max-request-bytes`, 1.5 MiB). A value can have little less than this.
pub const TXN_BYTES: usize = 1536 * 1024;
/// Bytes that one operation adds to a request besides key and value (ours; above what etcd's
/// encoding needs).
pub const OP_OVERHEAD_BYTES: usize = 64;
/// Compares, and likewise writes, of one transaction (etcd's `--max-txn-ops`).
pub const TXN_OPS: usize = 128;
/// Key-values of one page of a range (ours; bounds the memory of one answer).
pub const RANGE_PAGE: usize = 10_000;
/// Shortest time to live of a lease (ours; an etcd backend rounds up to whole seconds).
pub const LEASE_TTL_MIN: Duration = Duration::from_millis(10);
/// Longest time to live of a lease.
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(3600);
/// Revisions that the watch history keeps.
pub const HISTORY_BATCHES: usize = 16_384;
/// Bytes of keys and values that the watch history keeps.
pub const HISTORY_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of transactions that wait for the writer of the embedded store; more callers wait
/// before they hand theirs over.
pub const WRITE_QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Transactions that share one commit of the embedded store.
pub const GROUP_TXNS: usize = 1024;
/// Bytes of transactions that share one commit of the embedded store.
pub const GROUP_BYTES: usize = 16 * 1024 * 1024;
/// Cache of the embedded store. Reads after start come from the in-memory view, so it only has
/// to hold the pages that writes touch.
pub const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// With relaxed durability, the longest time between an answer and its arrival on disk.
pub const RELAXED_SYNC: Duration = Duration::from_millis(200);
/// Revisions that the view applies before it publishes, while more are waiting.
pub const VIEW_BATCHES: usize = 256;
/// First and longest pause before the view asks the store again after a failure that may pass.
pub const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Attempts of a decision that others get in the way of.
pub const COMMIT_ATTEMPTS: u32 = 32;
