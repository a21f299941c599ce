//! How few and how many tasks a deployment may leave.

use crate::limits;
use crate::record::{DeploymentConfiguration, Threshold};

/// Whether tasks that are being stopped count toward the maximum percent. AWS's API text counts
/// RUNNING and PENDING, its developer guide also STOPPING; counting them never takes more of the
/// cluster than was promised.
pub(super) const STOPPING_COUNTS: bool = true;

/// Bounds of a service for a desired count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Healthy tasks that must remain.
    pub min: usize,
    /// Tasks that may be there.
    pub max: usize,
}

impl Bounds {
    /// `ceil(desired × minimumHealthyPercent)` and `floor(desired × maximumPercent)`.
    pub fn of(configuration: &DeploymentConfiguration, desired: u32) -> Self {
        let share = |percent: u32| u64::from(desired) * u64::from(percent);
        let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            min: narrow(share(configuration.minimum_healthy_percent).div_ceil(100)),
            max: narrow(share(configuration.maximum_percent) / 100),
        }
    }
}

/// Failures that fail a deployment.
pub(super) fn threshold(threshold: Threshold, desired: u32) -> u32 {
    let share = |percent: u32| (u64::from(percent) * u64::from(desired)).div_ceil(100);
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    match threshold {
        Threshold::Count(count) => count.max(1),
        Threshold::BoundedPercent(percent) => {
            let (least, most) = (limits::BREAKER_THRESHOLD_MIN, limits::BREAKER_THRESHOLD_MAX);
            narrow(share(percent)).clamp(least, most)
        }
        Threshold::UnboundedPercent(percent) => narrow(share(percent)).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::CircuitBreaker;

    #[test]
    fn rounding_is_as_in_the_developer_guide() {
        let check = |min, max, desired, expected| {
            let configuration = DeploymentConfiguration {
                minimum_healthy_percent: min,
                maximum_percent: max,
                circuit_breaker: CircuitBreaker::default(),
            };
            let Bounds { min, max } = Bounds::of(&configuration, desired);
            assert_eq!((min, max), expected);
        };
        check(50, 100, 4, (2, 4));
        check(75, 150, 2, (2, 3));
        check(100, 125, 3, (3, 3));
        check(0, 200, 0, (0, 0));
    }

    #[test]
    fn the_threshold_is_as_in_the_developer_guide() {
        let bounded = Threshold::default();
        let cases = [
            (bounded, 0, 3),
            (bounded, 1, 3),
            (bounded, 7, 4),
            (bounded, 25, 13),
            (bounded, 400, 200),
            (bounded, 800, 200),
            (Threshold::Count(2), 800, 2),
            (Threshold::Count(500), 1, 500),
            (Threshold::UnboundedPercent(50), 1, 1),
            (Threshold::UnboundedPercent(50), 800, 400),
            (Threshold::UnboundedPercent(50), 0, 1),
        ];
        for (configured, desired, expected) in cases {
            assert_eq!(threshold(configured, desired), expected, "{configured:?} of {desired}");
        }
    }
}
