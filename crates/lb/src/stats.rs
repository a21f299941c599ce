//! Counters that requests touch: atomics only, so that counting costs next to nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the buckets of latencies, in microseconds.
pub(crate) const BUCKETS_US: [u64; 12] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Requests, or connections on layer 4.
    pub(crate) requests: AtomicU64,
    /// Answers by the first digit of their status; the first place is for others.
    pub(crate) codes: [AtomicU64; 6],
    /// Latencies: below each end of [`BUCKETS_US`], and above all.
    pub(crate) buckets: [AtomicU64; BUCKETS_US.len() + 1],
    /// All latencies together.
    pub(crate) latency_us: AtomicU64,
    /// Connections to the target that failed.
    pub(crate) connect_errors: AtomicU64,
}

impl Stats {
    /// Counts an answer.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        self.requests.fetch_add(1, Relaxed);
        let class = usize::from(status / 100);
        self.codes[if class < 6 { class } else { 0 }].fetch_add(1, Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|end| us <= *end).unwrap_or(BUCKETS_US.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.latency_us.fetch_add(us, Relaxed);
    }
}
