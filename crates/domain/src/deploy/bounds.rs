//! How few and how many tasks a deployment may leave.

use crate::record::DeploymentConfiguration;

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
}
