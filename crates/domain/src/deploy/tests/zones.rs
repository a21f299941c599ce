//! Rebalancing of availability zones.

use alloc::string::String;
use alloc::vec::Vec;

use super::plain;
use super::world::World;
use crate::record::InstanceStatus;

/// Four tasks in zone `a`, none in zone `b`, which is there again.
fn lopsided() -> World {
    let mut world = World::new(4, 2);
    let other = world.instances[1].id;
    world.set_status(other, InstanceStatus::Draining);
    world.settle();
    world.set_status(other, InstanceStatus::Active);
    world
}

#[test]
fn tasks_move_one_by_one_until_the_zones_are_level() {
    let mut world = lopsided();
    assert!(world.pass().is_empty(), "nothing moves unasked");
    world.service.zone_rebalancing = true;
    let before = plain(&world).len();
    for _ in 0..20 {
        world.settle();
        world.advance(60);
    }
    let told = plain(&world);
    let told: Vec<&str> = told[before..].iter().map(String::as_str).collect();
    let moves = told.iter().filter(|text| text.contains("to AZ Rebalance")).count();
    assert_eq!(moves, 2, "{told:?}");
    assert_eq!(told[0], "(service web) has started 1 tasks in b to AZ Rebalance: (task T5).");
    assert_eq!(
        told[1],
        "(service web) is not AZ balanced with 4 tasks in a, 0 tasks in b. AZ Rebalancing in \
         progress."
    );
    assert!(told.contains(&"(service web) is AZ balanced with 2 tasks in a, 2 tasks in b."));
    assert_eq!(world.counts(), (4, 0));
    let there = world.instances[1].id;
    assert_eq!(world.running().filter(|task| task.instance == there).count(), 2);
}

#[test]
fn a_zone_without_room_is_told() {
    let mut world = lopsided();
    world.service.zone_rebalancing = true;
    world.instances[1].registered.cpu_units = 1;
    world.pass();
    let text = "(service web) is unable to place a task in b because no container instance met all \
                of its requirements.";
    assert!(plain(&world).iter().any(|told| told == text), "{:?}", plain(&world));
    assert!(world.pass().is_empty());
    assert_eq!(world.counts(), (4, 0));
}
