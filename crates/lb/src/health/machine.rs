//! What probes say of a target: a state machine, `(state, outcome, now) -> state`.

use longshore_domain::route::{Health, HealthReason, HealthState, Outcome};
use longshore_domain::time::Timestamp;

/// Probes in a row that change a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// Passed ones, until it is healthy.
    pub(crate) healthy: u32,
    /// Failed ones, until it is unhealthy.
    pub(crate) unhealthy: u32,
}

/// A target as its prober sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its health.
    pub(crate) health: Health,
    passed: u32,
    failed: u32,
}

impl Machine {
    /// Begins where the control plane says that it is.
    pub(crate) fn new(health: Health) -> Self {
        Self { health, passed: 0, failed: 0 }
    }

    /// After a probe. Gives whether the health has changed.
    ///
    /// A target that was never asked becomes healthy by one probe that passes, as in ALB.
    pub(crate) fn probed(
        &mut self,
        outcome: &Outcome,
        thresholds: Thresholds,
        now: Timestamp,
    ) -> bool {
        let before = self.health.clone();
        let state = self.health.state;
        if matches!(outcome, Outcome::Passed(_)) {
            (self.passed, self.failed) = (self.passed.saturating_add(1), 0);
            let first = state != HealthState::Unhealthy && state != HealthState::Healthy;
            let enough = first || self.passed >= thresholds.healthy;
            if state != HealthState::Healthy && enough {
                self.health = healthy(now);
            }
        } else {
            (self.failed, self.passed) = (self.failed.saturating_add(1), 0);
            let (reason, description) = words(outcome);
            if self.failed >= thresholds.unhealthy || state == HealthState::Unhealthy {
                let since = if state == HealthState::Unhealthy { self.health.since } else { now };
                self.health = Health {
                    state: HealthState::Unhealthy,
                    reason: Some(reason),
                    description: Some(description),
                    since,
                };
            }
        }
        self.health != before
    }
}

/// Health of a target that is well.
pub(crate) fn healthy(since: Timestamp) -> Health {
    Health { state: HealthState::Healthy, reason: None, description: None, since }
}

/// Health of a target whose group does not ask.
pub(crate) fn unasked(since: Timestamp) -> Health {
    Health {
        state: HealthState::Unavailable,
        reason: Some(HealthReason::HealthCheckDisabled),
        description: Some("Health checks are not enabled for this target".to_owned()),
        since,
    }
}

/// AWS's reason and description of a probe that failed.
fn words(outcome: &Outcome) -> (HealthReason, String) {
    match outcome {
        Outcome::WrongCode(code) => (
            HealthReason::ResponseCodeMismatch,
            format!("Health checks failed with these codes: [{code}]"),
        ),
        Outcome::TimedOut => (HealthReason::Timeout, "Request timed out".to_owned()),
        Outcome::Passed(_) | Outcome::Refused | Outcome::Broken(_) => {
            (HealthReason::FailedHealthChecks, "Health checks failed".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THREE_TWO: Thresholds = Thresholds { healthy: 3, unhealthy: 2 };

    fn initial() -> Machine {
        Machine::new(Health {
            state: HealthState::Initial,
            reason: Some(HealthReason::RegistrationInProgress),
            description: None,
            since: Timestamp::from_millis(0),
        })
    }

    /// `.` passes, `x` is code 503, `t` is late, `r` is refused; the state after each, in letters.
    fn check(probes: &str, expected: &str) {
        let mut machine = initial();
        let mut seen = String::new();
        for (at, probe) in (1..).zip(probes.chars()) {
            let outcome = match probe {
                '.' => Outcome::Passed(Some(200)),
                'x' => Outcome::WrongCode(503),
                't' => Outcome::TimedOut,
                _ => Outcome::Refused,
            };
            machine.probed(&outcome, THREE_TWO, Timestamp::from_millis(at));
            seen.push(match machine.health.state {
                HealthState::Healthy => 'H',
                HealthState::Unhealthy => 'U',
                _ => 'i',
            });
        }
        assert_eq!(seen, expected, "{probes}");
    }

    #[test]
    fn thresholds_decide() {
        check(".", "H");
        check("x.", "iH");
        check("xx", "iU");
        check(".x.x.", "HHHHH");
        check(".xx..x...", "HHUUUUUUH");
        check("rt", "iU");
    }

    #[test]
    fn a_failure_is_told_in_the_words_of_aws() {
        let mut machine = initial();
        let now = Timestamp::from_millis(9);
        for _ in 0..2 {
            machine.probed(&Outcome::WrongCode(503), THREE_TWO, now);
        }
        let health = &machine.health;
        assert_eq!(health.reason, Some(HealthReason::ResponseCodeMismatch));
        assert_eq!(
            health.description.as_deref(),
            Some("Health checks failed with these codes: [503]")
        );
        // Another reason is news, but no new state.
        assert!(machine.probed(&Outcome::TimedOut, THREE_TWO, Timestamp::from_millis(20)));
        assert_eq!(machine.health.description.as_deref(), Some("Request timed out"));
        assert_eq!(machine.health.since, now);
        assert!(!machine.probed(&Outcome::TimedOut, THREE_TWO, Timestamp::from_millis(21)));
    }

    proptest! {
        #[test]
        fn a_healthy_target_fails_only_after_the_threshold(
            passes in prop::collection::vec(any::<bool>(), 0..60), threshold in 1_u32..6,
        ) {
            let thresholds = Thresholds { healthy: 2, unhealthy: threshold };
            let mut machine = Machine::new(healthy(Timestamp::from_millis(0)));
            let mut row = 0;
            for pass in passes {
                let was = machine.health.state;
                let outcome = if pass { Outcome::Passed(None) } else { Outcome::Refused };
                machine.probed(&outcome, thresholds, Timestamp::from_millis(1));
                row = if pass { 0 } else { row + 1 };
                if was == HealthState::Healthy && machine.health.state == HealthState::Unhealthy {
                    prop_assert_eq!(row, threshold);
                }
            }
        }
    }
}
