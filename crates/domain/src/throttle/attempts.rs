//! Attempts that may fail: whoever fails too often waits, by the address that it comes from.
//!
//! An attempt takes a token before it is looked at, so that many at once are no way around, and one that
//! succeeds gives it back. Whoever is refused loses nothing: a second later there is another token. The
//! memory is bounded; one address more, and the one that has failed least is forgotten.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv6Addr};

use super::{Bucket, Rate, TOKEN};
use crate::limits;
use crate::time::Timestamp;

/// How often an address may fail.
const RATE: Rate = Rate { burst: limits::FAILED_ATTEMPTS, per_second: 1 };

/// The addresses that have failed lately.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    buckets: BTreeMap<IpAddr, Bucket>,
}

impl Attempts {
    /// Whether an address may try.
    pub fn begin(&mut self, from: IpAddr, now: Timestamp) -> bool {
        let from = network(from);
        let known = self.buckets.get(&from).copied();
        let mut bucket = known.unwrap_or(Bucket::full(RATE, now)).filled(RATE, now);
        let may = bucket.millitokens >= TOKEN;
        if may {
            bucket.millitokens -= TOKEN;
        }
        if known.is_none() && self.buckets.len() >= limits::FAILED_ADDRESSES {
            self.forget(now);
        }
        self.buckets.insert(from, bucket);
        may
    }

    /// What it tried was right.
    pub fn succeeded(&mut self, from: IpAddr, now: Timestamp) {
        let from = network(from);
        let Some(bucket) = self.buckets.get_mut(&from) else { return };
        *bucket = bucket.filled(RATE, now);
        bucket.millitokens += TOKEN;
        if bucket.is_full(RATE) {
            self.buckets.remove(&from);
        }
    }

    /// Forgets those who may do as much as if they were not known; if there is none, one of those who
    /// may do most.
    fn forget(&mut self, now: Timestamp) {
        self.buckets.retain(|_, bucket| !bucket.filled(RATE, now).is_full(RATE));
        if self.buckets.len() < limits::FAILED_ADDRESSES {
            return;
        }
        let fullest = self.buckets.iter().max_by_key(|(_, bucket)| bucket.millitokens);
        if let Some(fullest) = fullest.map(|(from, _)| *from) {
            self.buckets.remove(&fullest);
        }
    }
}

/// Who counts as one: an address, or of version 6 the 64 bits of a network, which one machine may have
/// all addresses of.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn whoever_fails_too_often_waits_a_second() {
        let mut attempts = Attempts::default();
        for _ in 0..limits::FAILED_ATTEMPTS {
            assert!(attempts.begin(v4(1), at(0)));
        }
        assert!(!attempts.begin(v4(1), at(0)));
        assert!(attempts.begin(v4(2), at(0)), "another address is not held");
        assert!(!attempts.begin(v4(1), at(999)));
        assert!(attempts.begin(v4(1), at(1000)), "whoever was refused has lost nothing");
        assert!(!attempts.begin(v4(1), at(1000)));
    }

    #[test]
    fn what_is_right_costs_nothing() {
        let mut attempts = Attempts::default();
        for _ in 0..1000 {
            assert!(attempts.begin(v4(1), at(0)));
            attempts.succeeded(v4(1), at(0));
        }
        assert!(attempts.buckets.is_empty());
        for _ in 1..limits::FAILED_ATTEMPTS {
            assert!(attempts.begin(v4(1), at(0)));
        }
        for _ in 0..1000 {
            assert!(attempts.begin(v4(1), at(0)), "one token is left, and comes back");
            attempts.succeeded(v4(1), at(0));
        }
    }

    #[test]
    fn a_network_of_version_six_is_one() {
        let mut attempts = Attempts::default();
        let of = |network: u128, host: u128| IpAddr::V6(Ipv6Addr::from_bits(network << 64 | host));
        for host in 0..u128::from(limits::FAILED_ATTEMPTS) {
            assert!(attempts.begin(of(7, host), at(0)));
        }
        assert!(!attempts.begin(of(7, 1 << 40), at(0)));
        assert!(attempts.begin(of(8, 0), at(0)));
        let mapped = IpAddr::V6(Ipv4Addr::from_bits(1).to_ipv6_mapped());
        for _ in 0..limits::FAILED_ATTEMPTS {
            assert!(attempts.begin(mapped, at(0)));
        }
        assert!(!attempts.begin(v4(1), at(0)), "the same address");
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_who_fails_most() {
        let mut attempts = Attempts::default();
        for _ in 0..limits::FAILED_ATTEMPTS {
            assert!(attempts.begin(v4(0), at(0)));
        }
        for number in 1..10 * u32::try_from(limits::FAILED_ADDRESSES).expect("a small number") {
            assert!(attempts.begin(v4(number), at(0)));
            assert!(attempts.buckets.len() <= limits::FAILED_ADDRESSES);
        }
        assert!(!attempts.begin(v4(0), at(0)));
    }
}
