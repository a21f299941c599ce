//! The one place where the balancer reads the time of day, and where chance comes from.

use std::time::{SystemTime, UNIX_EPOCH};

use longshore_domain::time::Timestamp;

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "the balancer's one clock")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Bits for spreading load and naming requests; not for secrets.
pub(crate) fn random() -> u64 {
    use std::cell::Cell;
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    STATE.with(|state| {
        let mut x = state.get();
        if x == 0 {
            x = seed();
        }
        // xorshift64*: a period long enough for what is asked of it.
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    })
}

/// Bits from the operating system, never zero.
pub(crate) fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| now().as_millis().unsigned_abs()) | 1
}
