//! Deployments that keep two revisions, and shift traffic from one to the other.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::ServiceBalancer;
use crate::time::Timestamp;

/// A share of traffic in tenths of a percent: at most 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(u32);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const WHOLE: Self = Self(1000);

    /// A share of so many tenths of a percent; `None` above 100 %.
    #[must_use]
    pub fn from_tenths(tenths: u32) -> Option<Self> {
        (tenths <= Self::WHOLE.0).then_some(Self(tenths))
    }

    /// Tenths of a percent.
    #[must_use]
    pub fn tenths(self) -> u32 {
        self.0
    }

    /// What is left of the whole.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(Self::WHOLE.0 - self.0)
    }

    /// Both together, at most the whole.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self((self.0 + more.0).min(Self::WHOLE.0))
    }
}

/// AWS's deployment strategies but `ROLLING`, as a service has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shifting {
    /// In which steps production traffic shifts.
    pub strategy: ShiftStrategy,
    /// Minutes that the old revision stays after that.
    pub bake_min: u32,
}

/// In which steps production traffic shifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ShiftStrategy {
    /// All at once.
    BlueGreen,
    /// In equal steps.
    Linear {
        /// What shifts with each.
        step: Share,
        /// Minutes between two.
        bake_min: u32,
    },
    /// A little, and then the rest.
    Canary {
        /// What shifts first.
        first: Share,
        /// Minutes until the rest does.
        bake_min: u32,
    },
}

impl ShiftStrategy {
    /// AWS's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlueGreen => "BLUE_GREEN",
            Self::Linear { .. } => "LINEAR",
            Self::Canary { .. } => "CANARY",
        }
    }

    /// The share of the new revision after one that has `now`.
    #[must_use]
    pub fn after(self, now: Share) -> Share {
        match self {
            Self::Linear { step, .. } => now.plus(step),
            Self::Canary { first, .. } if now == Share::NONE => first,
            Self::BlueGreen | Self::Canary { .. } => Share::WHOLE,
        }
    }

    /// Minutes between two steps.
    #[must_use]
    pub fn step_bake_min(self) -> u32 {
        match self {
            Self::BlueGreen => 0,
            Self::Linear { bake_min, .. } | Self::Canary { bake_min, .. } => bake_min,
        }
    }
}

/// How a deployment shifts traffic, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// The strategy that it began with.
    pub config: Shifting,
    /// The revision that served when it began.
    pub blue: Option<u64>,
    /// Production traffic that the new revision is to get.
    pub production: Share,
    /// Test traffic that the new revision is to get.
    pub test: Share,
    /// When the time between two steps, or the bake time, is over.
    pub until: Option<Timestamp>,
    /// Where tasks of the new revision are targets, once that is known.
    pub balancers: Vec<ServiceBalancer>,
    /// Whether an earlier one was under way, so that rules may be as it left them.
    pub takes_over: bool,
}

impl Shift {
    /// One that begins.
    #[must_use]
    pub fn new(config: Shifting) -> Self {
        Self {
            config,
            blue: None,
            production: Share::NONE,
            test: Share::NONE,
            until: None,
            balancers: Vec::new(),
            takes_over: false,
        }
    }
}

/// AWS's `advancedConfiguration`: what shifts traffic between two target groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advanced {
    /// ARN of the other target group.
    pub alternate: String,
    /// ARN of the rule, or of the listener of a network balancer, for production traffic.
    pub production_rule: String,
    /// The same for test traffic.
    pub test_rule: Option<String>,
    /// ARN of a role, as given; it changes nothing here.
    pub role: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(strategy: ShiftStrategy) -> Vec<u32> {
        let mut share = Share::NONE;
        let mut steps = Vec::new();
        while share != Share::WHOLE {
            share = strategy.after(share);
            steps.push(share.tenths());
        }
        steps
    }

    #[test]
    fn traffic_shifts_in_steps() {
        let share = |tenths| Share::from_tenths(tenths).expect("at most all");
        assert_eq!(steps(ShiftStrategy::BlueGreen), [1000]);
        let linear = |tenths| ShiftStrategy::Linear { step: share(tenths), bake_min: 6 };
        assert_eq!(steps(linear(250)), [250, 500, 750, 1000]);
        assert_eq!(steps(linear(333)), [333, 666, 999, 1000]);
        assert_eq!(steps(linear(1000)), [1000]);
        let canary = |tenths| ShiftStrategy::Canary { first: share(tenths), bake_min: 6 };
        assert_eq!(steps(canary(1)), [1, 1000]);
        assert_eq!(steps(canary(1000)), [1000]);
    }
}
