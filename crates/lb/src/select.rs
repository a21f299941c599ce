//! Which of several targets takes a request: pure, chance and turn are arguments.

use longshore_domain::route::Algorithm;
use longshore_domain::time::Timestamp;

/// Full weight of a target that is not warming up.
pub(crate) const FULL: u32 = 1000;

/// What a choice depends on beside the targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    /// Grows by one with each choice of a group.
    pub(crate) turn: usize,
    /// Random bits.
    pub(crate) random: u64,
}

/// The share of [`FULL`] that a target gets while it warms up: a line from 1 to [`FULL`].
pub(crate) fn ramp(healthy_since: Timestamp, slow_start_s: u32, now: Timestamp) -> u32 {
    if slow_start_s == 0 {
        return FULL;
    }
    let passed = now.saturating_since(healthy_since).as_millis();
    let whole = u128::from(slow_start_s) * 1000;
    let share = passed.saturating_mul(u128::from(FULL)) / whole;
    u32::try_from(share).unwrap_or(FULL).clamp(1, FULL)
}

/// One of `count` targets; `None` only where there is none.
///
/// `weight` and `outstanding` are asked by position. Without warming targets all weights are
/// [`FULL`], and then the round is exact.
pub(crate) fn choose(
    algorithm: Algorithm,
    count: usize,
    warming: bool,
    weight: impl Fn(usize) -> u32,
    outstanding: impl Fn(usize) -> u32,
    chance: Chance,
) -> Option<usize> {
    if count == 0 {
        return None;
    }
    match algorithm {
        Algorithm::LeastOutstandingRequests => {
            // Begins at the turn, so that equals share.
            let start = chance.turn % count;
            let positions = (start..count).chain(0..start);
            positions.min_by_key(|at| {
                // A warming target counts as busier: requests per weight.
                let load = u64::from(outstanding(*at)) + 1;
                load * u64::from(FULL) / u64::from(weight(*at).max(1))
            })
        }
        Algorithm::RoundRobin if !warming => Some(chance.turn % count),
        Algorithm::WeightedRandom if !warming => Some(below(chance.random, count)),
        Algorithm::RoundRobin | Algorithm::WeightedRandom => weighted(count, weight, chance.random),
    }
}

/// A position by weight; `None` when all weights are zero.
pub(crate) fn weighted(count: usize, weight: impl Fn(usize) -> u32, random: u64) -> Option<usize> {
    let total: u64 = (0..count).map(|at| u64::from(weight(at))).sum();
    if total == 0 {
        return None;
    }
    let mut left = random % total;
    (0..count).find(|at| {
        let own = u64::from(weight(*at));
        let hit = left < own;
        left = left.saturating_sub(own);
        hit
    })
}

fn below(random: u64, count: usize) -> usize {
    usize::try_from(random % (count as u64)).unwrap_or(0)
}

/// The target of a flow by a hash of its client (rendezvous): when a target goes, only its own
/// clients move.
pub(crate) fn by_hash(client: u64, tokens: impl Iterator<Item = u64>) -> Option<usize> {
    let score = |token: u64| {
        let mut x = client ^ token.rotate_left(17);
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    };
    tokens.enumerate().max_by_key(|(_, token)| score(*token)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(turn: usize) -> Chance {
        Chance { turn, random: turn as u64 }
    }

    #[test]
    fn a_round_gives_each_target_the_same() {
        let picks: Vec<_> = (0..6)
            .filter_map(|turn| choose(Algorithm::RoundRobin, 3, false, |_| FULL, |_| 0, at(turn)))
            .collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_least_busy_wins_and_equals_share() {
        let busy = [3, 1, 2];
        let pick = |turn| {
            choose(Algorithm::LeastOutstandingRequests, 3, false, |_| FULL, |i| busy[i], at(turn))
        };
        assert_eq!((pick(0), pick(2)), (Some(1), Some(1)));
        let equal =
            |turn| choose(Algorithm::LeastOutstandingRequests, 3, false, |_| FULL, |_| 0, at(turn));
        assert_eq!((equal(0), equal(1), equal(2)), (Some(0), Some(1), Some(2)));
    }

    #[test]
    fn a_target_warms_up_along_a_line() {
        let since = Timestamp::from_millis(0);
        let share = |ms| ramp(since, 30, Timestamp::from_millis(ms));
        assert_eq!((share(0), share(15_000), share(30_000), share(90_000)), (1, 500, FULL, FULL));
        assert_eq!(ramp(since, 0, since), FULL);
    }

    proptest! {
        #[test]
        fn a_choice_is_one_of_the_targets(
            weights in prop::collection::vec(1_u32..=FULL, 0..9), turn: usize, random: u64,
            algorithm in prop_oneof![
                Just(Algorithm::RoundRobin), Just(Algorithm::WeightedRandom),
                Just(Algorithm::LeastOutstandingRequests)],
            warming: bool,
        ) {
            let n = weights.len();
            let pick = choose(algorithm, n, warming, |i| weights[i], |_| 0, Chance { turn, random });
            prop_assert_eq!(pick.is_some(), n > 0);
            prop_assert!(pick.is_none_or(|i| i < n));
        }

        #[test]
        fn zero_weights_get_nothing(
            weights in prop::collection::vec(0_u32..3, 1..9), random: u64,
        ) {
            match weighted(weights.len(), |i| weights[i], random) {
                Some(at) => prop_assert!(weights[at] > 0),
                None => prop_assert!(weights.iter().all(|w| *w == 0)),
            }
        }

        #[test]
        fn only_clients_of_a_lost_target_move(
            tokens in prop::collection::btree_set(any::<u64>(), 2..9), client: u64,
        ) {
            let all: Vec<u64> = tokens.into_iter().collect();
            let chosen = by_hash(client, all.iter().copied()).map(|at| all[at]);
            let rest: Vec<u64> = all[1..].to_vec();
            let then = by_hash(client, rest.iter().copied()).map(|at| rest[at]);
            prop_assert!(chosen == then || chosen == Some(all[0]));
        }
    }
}
