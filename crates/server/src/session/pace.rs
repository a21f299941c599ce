//! Spreads what sessions repeat to their agents when many come back at once.
//!
//! An agent that comes back is told everything again, because it may have lost what it did not say it
//! had lost. Nothing waits for that: new work, orders to stop and the manifest go out at once. The rule:
//! a session gets its turn, no two closer than the pace; who comes alone waits for nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use longshore_domain::limits;
use longshore_domain::time::Timestamp;

/// Hands out turns.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The earliest turn that is free.
    next: Mutex<Timestamp>,
}

impl Pace {
    /// When a session that has begun now may repeat everything.
    pub(super) fn turn(&self, now: Timestamp) -> Timestamp {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back leaves no turn far ahead.
        let turn = (*next).max(now).min(now + limits::RESEND_SPREAD);
        *next = turn + Duration::from_secs(1) / limits::RESENDS_PER_SECOND;
        turn
    }

    /// How long a session that begins now would wait for its turn.
    pub(super) fn wait(&self, now: Timestamp) -> Duration {
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.saturating_since(now).min(limits::RESEND_SPREAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_come_together_get_turns_one_after_the_other() {
        let (pace, now) = (Pace::default(), Timestamp::from_millis(1_000_000));
        let turns: Vec<_> = (0..limits::RESENDS_PER_SECOND).map(|_| pace.turn(now)).collect();
        assert_eq!(turns.first(), Some(&now), "the first waits for nothing");
        assert!(turns.is_sorted_by(|one, next| one < next));
        let last = turns.last().expect("turns").saturating_since(now);
        assert!(last < Duration::from_secs(1) && last > Duration::from_millis(900), "{last:?}");
        let later = now + Duration::from_secs(5);
        assert_eq!(pace.turn(later), later, "who comes alone waits for nothing");
        let back = Timestamp::from_millis(0);
        assert!(pace.turn(back).saturating_since(back) <= limits::RESEND_SPREAD);
    }
}
