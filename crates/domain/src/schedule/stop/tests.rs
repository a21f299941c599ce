//! Which tasks stop first: cases, properties, and a slow obvious model.

use super::*;
use crate::record::{ContainerInstance, Protection};
use crate::schedule::testing::{any_cluster, any_strategy, instance, spread, task};
use alloc::vec;
use proptest::prelude::*;

fn order(
    instances: &[ContainerInstance],
    tasks: &[Task],
    strategies: &[PlacementStrategy],
    count: usize,
) -> Vec<u128> {
    let fleet = Fleet::new(instances, tasks);
    let refs: Vec<&Task> = tasks.iter().collect();
    let now = Timestamp::from_millis(1000);
    let request = StopRequest { tasks: &refs, count, strategies, now };
    stop_order(&request, &fleet).into_iter().map(TaskId::bits).collect()
}

fn zones() -> Vec<ContainerInstance> {
    vec![instance(0, "a"), instance(1, "a"), instance(2, "b")]
}

#[test]
fn the_default_takes_from_the_fullest_zone_then_instance() {
    let tasks = [task(1, 0), task(2, 1), task(3, 1), task(4, 2), task(5, 2)];
    // Zone a; then both zones have two, but one instance has both of zone b's; then zone a.
    assert_eq!(order(&zones(), &tasks, &[], 3), [2, 4, 1]);
}

#[test]
fn protected_never_and_the_unfit_first() {
    let mut tasks = [task(1, 0), task(2, 1), task(3, 2), task(4, 2), task(5, 2)];
    tasks[2].protection = Some(Protection { expires_at: Timestamp::from_millis(1001) });
    tasks[3].protection = Some(Protection { expires_at: Timestamp::from_millis(1000) });
    tasks[0].observed.status = TaskStatus::Pending;
    let mut instances = zones();
    instances[1].status = InstanceStatus::Draining;
    assert_eq!(order(&instances, &tasks, &[], 9), [1, 2, 4, 5]);
}

#[test]
fn binpack_empties_the_emptiest_instance() {
    let tasks = [task(1, 0), task(2, 0), task(3, 1), task(4, 2), task(5, 2), task(6, 2)];
    let pack = [PlacementStrategy::Binpack(StrategyField::Memory)];
    assert_eq!(order(&zones(), &tasks, &pack, 3), [3, 1, 2]);
}

#[test]
fn the_newest_of_equals_goes() {
    let mut tasks = [task(1, 0), task(2, 0)];
    tasks[1].created_at = Timestamp::from_millis(5);
    let host = [PlacementStrategy::Spread(Spread::InstanceId)];
    assert_eq!(order(&zones(), &tasks, &host, 1), [2]);
}

/// Looks at every task anew before each stop.
fn model(
    instances: &[ContainerInstance],
    tasks: &[Task],
    strategies: &[PlacementStrategy],
    count: usize,
) -> Vec<u128> {
    let fleet = Fleet::new(instances, tasks);
    let (now, strategies) = (Timestamp::from_millis(1000), rank::effective(strategies));
    let mut left: Vec<&Task> = tasks.iter().collect();
    let mut freed: BTreeMap<InstanceId, Amount> = BTreeMap::new();
    let mut order = Vec::new();
    while order.len() < count {
        let value = |task: &Task, name: &str| {
            let node = fleet.node(task.instance);
            node.and_then(|node| node.instance.attributes.get(name).cloned().flatten())
        };
        let key = |task: &&Task| {
            let node = fleet.node(task.instance);
            let freed = freed.get(&task.instance).copied().unwrap_or_default();
            let available = node.map(Node::available).unwrap_or_default();
            let after = available.plus(freed).plus(Amount::of(&task.demand));
            let there = left.iter().filter(|other| other.instance == task.instance).count();
            let worth = |strategy: &PlacementStrategy| match strategy {
                PlacementStrategy::Spread(Spread::Attribute(name)) => {
                    let alike = |other: &&&Task| value(other, name) == value(task, name);
                    u64::try_from(left.iter().filter(alike).count()).expect("small")
                }
                PlacementStrategy::Spread(Spread::InstanceId) => {
                    u64::try_from(there).expect("small")
                }
                PlacementStrategy::Binpack(StrategyField::Cpu) => after.cpu_units.into(),
                PlacementStrategy::Binpack(StrategyField::Memory) => after.memory_mib.into(),
                PlacementStrategy::Random => rank::mix(rank::fold(task.id.bits())),
            };
            let worth: Vec<u64> = strategies.iter().map(worth).collect();
            let pending = task.observed.status < TaskStatus::Running;
            let leaves = node.is_none_or(|n| n.instance.status != InstanceStatus::Active);
            let urgency = (pending, is_unhealthy(task), leaves);
            (urgency, worth, there, task.created_at, Reverse(task.id))
        };
        let candidates = left.iter().filter(|task| !task.is_protected(now));
        let Some(first) = candidates.copied().max_by_key(key) else { break };
        left.retain(|task| task.id != first.id);
        let host = freed.entry(first.instance).or_default();
        *host = host.plus(Amount::of(&first.demand));
        order.push(first.id.bits());
    }
    order
}

proptest! {
    #[test]
    fn the_order_is_that_of_the_model(
        (instances, mut tasks) in any_cluster(), count in 0..20_usize,
        strategies in prop::collection::vec(any_strategy(), 0..5),
        marks in prop::collection::vec((any::<bool>(), any::<bool>(), 0..3_i64), 40),
    ) {
        for (task, (pending, protected, created)) in tasks.iter_mut().zip(marks) {
            task.created_at = Timestamp::from_millis(created);
            if pending {
                task.observed.status = TaskStatus::Pending;
            }
            let expires_at = Timestamp::from_millis(1001);
            task.protection = protected.then_some(Protection { expires_at });
        }
        prop_assert_eq!(
            order(&instances, &tasks, &strategies, count),
            model(&instances, &tasks, &strategies, count)
        );
    }

    #[test]
    fn every_unprotected_task_goes_once_and_zones_stay_even(
        (instances, tasks) in any_cluster(), count in 0..20_usize,
        strategies in prop::collection::vec(any_strategy(), 0..5),
    ) {
        let stopped = order(&instances, &tasks, &strategies, count);
        prop_assert_eq!(stopped.len(), count.min(tasks.len()));
        let mut unique = stopped.clone();
        unique.sort_unstable();
        unique.dedup();
        prop_assert_eq!(unique.len(), stopped.len());
        // The first ones do not depend on how many follow.
        let more = order(&instances, &tasks, &strategies, count + 3);
        prop_assert_eq!(&more[..stopped.len()], &stopped[..]);
    }

    /// Stopping never takes from a zone that has fewer tasks than another.
    #[test]
    fn spread_levels_zones(on in prop::collection::vec(0..3_u128, 1..12)) {
        let instances = zones();
        let tasks: Vec<Task> = (0..).zip(&on).map(|(id, on)| task(id, *on)).collect();
        let zone = |instance: u128| usize::from(instance == 2);
        let mut left = [0_i32; 2];
        for on in &on {
            left[zone(*on)] += 1;
        }
        let strategies = [spread("ecs.availability-zone")];
        for id in order(&instances, &tasks, &strategies, on.len()) {
            let from = zone(on[usize::try_from(id).expect("small")]);
            prop_assert!(left[from] >= left[1 - from], "{:?}", left);
            left[from] -= 1;
        }
    }
}
