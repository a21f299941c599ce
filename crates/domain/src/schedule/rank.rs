//! Scores: the order in which strategies prefer instances.
//!
//! A score is a list of numbers compared from the left, one for each strategy in the order given
//! and one last; the lowest wins. `spread` contributes the tasks of the group that run on
//! instances with the same value, `binpack` what is left of the resource, `random` an arrival
//! time drawn from ids. The last number is the tasks of the group on the instance itself, and
//! remaining ties go to the lower instance id.

use alloc::vec;
use alloc::vec::Vec;

use super::fleet::Node;
use crate::limits::PLACEMENT_STRATEGIES;
use crate::record::{PlacementStrategy, Spread, StrategyField};

/// What services, and here also standalone tasks, spread over when no strategy is given.
pub const DEFAULT_STRATEGY_ATTRIBUTE: &str = "ecs.availability-zone";

/// Compared from the left; the lowest is the best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score([u64; PLACEMENT_STRATEGIES + 1]);

/// The strategies of a request, or the default.
///
/// ECS documents the default for services: spread over availability zones, then the instance with
/// the fewest tasks of the service. It documents none for standalone tasks; they get the same.
pub(super) fn effective(strategies: &[PlacementStrategy]) -> Vec<PlacementStrategy> {
    if strategies.is_empty() {
        let zone = Spread::Attribute(DEFAULT_STRATEGY_ATTRIBUTE.into());
        return vec![PlacementStrategy::Spread(zone)];
    }
    strategies.iter().take(PLACEMENT_STRATEGIES).cloned().collect()
}

/// The attribute that a strategy spreads over, if it is one that instances share.
pub(super) fn shared_attribute(strategy: &PlacementStrategy) -> Option<&str> {
    match strategy {
        PlacementStrategy::Spread(Spread::Attribute(name)) => Some(name),
        _ => None,
    }
}

/// One instance's share of a score: all numbers except those of shared attributes.
pub(super) struct Own<'s> {
    pub(super) strategies: &'s [PlacementStrategy],
    pub(super) seed: u64,
}

impl Own<'_> {
    /// The share of `node` when `placed` tasks, each taking what `available` no longer holds, were
    /// just put there; `before` is its last share.
    pub(super) fn score(
        &self,
        node: &Node<'_>,
        available: super::Amount,
        tasks_of_group: u32,
        placed: u32,
        before: Score,
    ) -> Score {
        let mut score = Score::default();
        for (level, strategy) in self.strategies.iter().enumerate() {
            score.0[level] = match strategy {
                PlacementStrategy::Spread(Spread::Attribute(_)) => 0,
                PlacementStrategy::Spread(Spread::InstanceId) => u64::from(tasks_of_group),
                PlacementStrategy::Binpack(StrategyField::Cpu) => u64::from(available.cpu_units),
                PlacementStrategy::Binpack(StrategyField::Memory) => {
                    u64::from(available.memory_mib)
                }
                PlacementStrategy::Random => before.0[level] + arrival(self.seed, node, placed),
            };
        }
        score.0[PLACEMENT_STRATEGIES] = u64::from(tasks_of_group);
        score
    }
}

impl Score {
    /// With the count of a shared attribute filled in.
    pub(super) fn with(mut self, level: usize, count: u32) -> Self {
        self.0[level] = u64::from(count);
        self
    }
}

/// Time until an instance's next turn under `random`. The first is uniform, so one task lands
/// anywhere with equal chance; many tasks come out even in the long run.
fn arrival(seed: u64, node: &Node<'_>, placed: u32) -> u64 {
    let id = mix(fold(node.instance.id.bits()) ^ seed);
    1 + (mix(id.wrapping_add(u64::from(placed))) >> 32)
}

/// Both halves of 128 bits.
pub(super) fn fold(bits: u128) -> u64 {
    let [high, low] = [bits >> 64, bits & u128::from(u64::MAX)];
    u64::try_from(high).unwrap_or(0) ^ u64::try_from(low).unwrap_or(0)
}

/// A well-mixing permutation of 64 bits (the finalizer of SplitMix64).
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
