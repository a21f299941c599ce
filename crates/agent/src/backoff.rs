//! Waiting longer after each failure.

use std::time::Duration;

use crate::random;

/// How waits grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    factor: f64,
    /// Up to this share is taken off or added.
    jitter: f64,
    next: Duration,
}

impl Backoff {
    /// Waits that begin with `first` and grow by `factor` up to `most`, each varied by `jitter`.
    pub(crate) fn new(first: Duration, most: Duration, factor: f64, jitter: f64) -> Self {
        Self { first, most, factor, jitter, next: first }
    }

    /// Reconnecting to ACS.
    pub(crate) fn acs() -> Self {
        Self::new(Duration::from_millis(250), Duration::from_secs(120), 1.5, 0.2)
    }

    /// Reconnecting to TCS.
    pub(crate) fn tcs() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(60), 2.0, 0.2)
    }

    /// Reporting a state change.
    pub(crate) fn report() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(30), 1.3, 0.2)
    }

    /// Registering.
    pub(crate) fn register() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(192), 2.0, 0.2)
    }

    /// Renewing keys, which are good for days yet.
    pub(crate) fn renew() -> Self {
        Self::new(Duration::from_secs(5), Duration::from_secs(600), 2.0, 0.2)
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.mul_f64(self.factor).min(self.most);
        wait.mul_f64(1.0 - self.jitter) + random::up_to(wait.mul_f64(2.0 * self.jitter))
    }

    /// Begins anew after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_begin_anew() {
        let mut backoff = Backoff::acs();
        let within = |wait: Duration, ms: u64| {
            let (low, high) =
                (Duration::from_millis(ms * 8 / 10), Duration::from_millis(ms * 12 / 10));
            assert!(wait >= low && wait <= high, "{wait:?} is not about {ms}ms");
        };
        within(backoff.wait(), 250);
        within(backoff.wait(), 375);
        for _ in 0..30 {
            backoff.wait();
        }
        within(backoff.wait(), 120_000);
        backoff.reset();
        within(backoff.wait(), 250);
    }
}
