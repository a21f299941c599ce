use std::format;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const KIND: CallKind = CallKind::ClusterModify;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

#[test]
fn a_burst_is_admitted_and_then_as_many_as_flow_in() {
    let mut throttle = Throttle::default();
    let rate = KIND.aws();
    let mut ask = |ms| throttle.admit("one", KIND, rate, at(ms));
    for _ in 0..20 {
        assert_eq!(ask(0), Ok(()));
    }
    assert_eq!(ask(0), Err(Duration::from_secs(1)));
    assert_eq!(ask(999), Err(Duration::from_millis(1)));
    assert_eq!(ask(1000), Ok(()));
    assert!(ask(1000).is_err());
    assert_eq!(throttle.admit("other", KIND, rate, at(0)), Ok(()), "a caller of its own");
    let read = CallKind::ClusterRead;
    assert_eq!(throttle.admit("one", read, read.aws(), at(0)), Ok(()), "another kind");
}

#[test]
fn reads_give_way_first_and_agents_last() {
    let gives_way =
        |others| [Urgency::Read, Urgency::Change, Urgency::Agent].map(|who| who.gives_way(others));
    assert_eq!(gives_way(0), [false, false, false]);
    assert_eq!(gives_way(limits::REQUESTS_BEFORE_READS_GIVE_WAY), [true, false, false]);
    assert_eq!(gives_way(limits::REQUESTS_BEFORE_CHANGES_GIVE_WAY), [true, true, false]);
    assert_eq!(gives_way(limits::AGENT_REQUESTS), [true, true, true]);
}

#[test]
fn callers_are_forgotten_before_they_are_too_many() {
    let mut throttle = Throttle::default();
    for number in 0..3 * limits::THROTTLED_CALLERS {
        let now = at(i64::try_from(number).expect("a small number"));
        let admitted = throttle.admit(&format!("caller-{number}"), KIND, KIND.aws(), now);
        assert_eq!(admitted, Ok(()));
        assert!(throttle.buckets.len() <= limits::THROTTLED_CALLERS);
    }
}

proptest! {
    /// Between any two moments, no more is admitted than the burst and what flowed in.
    #[test]
    fn never_more_than_the_burst_and_the_flow(
        burst in 1_u32..30,
        per_second in 1_u32..50,
        gaps in prop::collection::vec(0_i64..400, 1..200),
    ) {
        let rate = Rate { burst, per_second };
        let mut throttle = Throttle::default();
        let (mut now, mut admitted) = (0, Vec::new());
        for gap in gaps {
            now += gap;
            if throttle.admit("one", KIND, rate, at(now)).is_ok() {
                admitted.push(now);
            }
        }
        for (index, from) in admitted.iter().enumerate() {
            for (count, to) in (1_i64..).zip(&admitted[index..]) {
                let flown = (to - from) * i64::from(per_second) / 1000;
                prop_assert!(count <= i64::from(burst) + flown);
            }
        }
    }

    /// Whoever waits as long as told is admitted, and not a millisecond earlier; clocks that are set
    /// back only make the wait longer.
    #[test]
    fn the_wait_is_exact(
        burst in 1_u32..5,
        per_second in 1_u32..50,
        times in prop::collection::vec(0_i64..2_000, 1..50),
    ) {
        let rate = Rate { burst, per_second };
        let mut throttle = Throttle::default();
        for time in times {
            if let Err(wait) = throttle.admit("one", KIND, rate, at(time)) {
                prop_assert!(wait > Duration::ZERO);
                let early = at(time) + wait.saturating_sub(Duration::from_millis(1));
                prop_assert!(throttle.clone().admit("one", KIND, rate, early).is_err());
                let then = at(time) + wait;
                prop_assert_eq!(throttle.clone().admit("one", KIND, rate, then), Ok(()));
            }
        }
    }
}
