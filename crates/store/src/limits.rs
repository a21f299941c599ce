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
/// Key-values of one page of a snapshot.
pub const SNAPSHOT_PAGE: usize = 1000;
/// Records that one transaction of an import writes.
pub const IMPORT_PUTS: usize = 100;
/// Bytes of the records that one transaction of an import writes.
pub const IMPORT_BYTES: usize = 512 * 1024;
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
/// Longest wait for the view to reach what was committed. It takes milliseconds, unless the store
/// goes away between its answer and its watch.
pub const VIEW_REACH: Duration = Duration::from_secs(30);
/// First and longest pause before the view asks the store again after a failure that may pass.
pub const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Attempts of a decision that others get in the way of.
pub const COMMIT_ATTEMPTS: u32 = 32;
/// Bytes of the namespace of a store in etcd: as many as [`OP_OVERHEAD_BYTES`] has to spare for
/// each key.
pub const ETCD_NAMESPACE_BYTES: usize = 24;
/// Longest wait for a connection to a member of etcd.
pub const ETCD_CONNECT: Duration = Duration::from_secs(2);
/// Longest wait for one answer of etcd (its own clients wait 5 s).
pub const ETCD_REQUEST: Duration = Duration::from_secs(5);
/// Longest time that an option of a store in etcd may name.
pub const ETCD_DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long etcd keeps the history of keys, unless an option says otherwise.
pub const ETCD_HISTORY: Duration = Duration::from_secs(5 * 60);
/// How often the member in use is asked whether it still serves, and how long it may take.
pub const ETCD_PROBE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// First and longest pause before all members are tried again.
pub const ETCD_RETRY_PAUSE: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_secs(1));
/// How long a revision that an answer named may take to reach the watch by itself. Only other
/// users of the same etcd make revisions that never do.
pub const ETCD_PROGRESS: Duration = Duration::from_millis(20);
/// How long the last changes may take to reach watches after a store is dropped.
pub const ETCD_LINGER: Duration = Duration::from_secs(1);
/// Bytes of one answer of etcd that are read: a page, or many changes at once.
pub const ETCD_ANSWER_BYTES: usize = 1 << 30;
/// Revisions that share one window of a log in etcd (see `etcd::log`).
pub const ETCD_WINDOW: u64 = 1024;
