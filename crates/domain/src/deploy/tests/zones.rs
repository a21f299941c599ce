//! Rebalancing of availability zones.

use alloc::vec::Vec;

use super::plain;
use super::world::World;
use crate::record::{ConstraintKind, InstanceStatus, PlacementConstraint, Protection};

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
    let mut reasons = Vec::new();
    for _ in 0..40 {
        reasons.extend(world.pass().last.stop.into_iter().map(|stop| stop.reason));
        world.agents();
        world.advance(60);
    }
    assert_eq!(
        plain(&world)[before..],
        [
            "(service web) is not AZ balanced with 4 tasks in a, 0 tasks in b. AZ Rebalancing in \
             progress.",
            "(service web) has started 1 tasks in b to AZ Rebalance: (task T5).",
            "(service web) has stopped 1 running tasks in a due to AZ rebalancing: (task T1).",
            "(service web) has reached a steady state.",
            "(service web) has started 1 tasks in b to AZ Rebalance: (task T6).",
            "(service web) has stopped 1 running tasks in a due to AZ rebalancing: (task T2).",
            "(service web) has reached a steady state.",
            "(service web) is AZ balanced with 2 tasks in a, 2 tasks in b.",
        ]
    );
    let reason = alloc::format!(
        "Availability-zone rebalancing initiated by (deployment ecs-svc/{})",
        world.deployments[0]
    );
    assert_eq!(reasons, [reason.clone(), reason]);
    assert_eq!(world.counts(), (4, 0));
    let there = world.instances[1].id;
    assert_eq!(world.running().filter(|task| task.instance == there).count(), 2);
}

#[test]
fn protected_tasks_do_not_move() {
    let mut world = lopsided();
    world.service.zone_rebalancing = true;
    world.pass();
    world.agents();
    let until = world.now + core::time::Duration::from_secs(600);
    for task in &mut world.tasks[..4] {
        task.protection = Some(Protection { expires_at: until });
    }
    let before = plain(&world).len();
    world.pass();
    world.settle();
    assert_eq!(
        plain(&world)[before..],
        [
            "(service web) has stopped 1 running tasks: (task T5).",
            "(service web) stopped AZ Rebalancing.",
            "(service web) was unable to AZ Rebalance because (taskSet D1) was unable to scale in \
             due to (reason 4 tasks under protection)",
            "(service web) has reached a steady state.",
        ]
    );
    assert_eq!(world.counts(), (4, 0));
    world.advance(600);
    world.settle();
    let there = world.instances[1].id;
    assert_eq!(world.running().filter(|task| task.instance == there).count(), 2);
}

#[test]
fn a_zone_where_no_task_may_be_does_not_count() {
    let mut world = lopsided();
    world.service.zone_rebalancing = true;
    world.newest_spec().placement_constraints.push(PlacementConstraint {
        kind: ConstraintKind::MemberOf,
        expression: Some("attribute:ecs.availability-zone == a".into()),
    });
    assert!(world.pass().is_empty());
    assert_eq!(world.counts(), (4, 0));
}

#[test]
fn a_deployment_and_the_switch_stop_the_move() {
    let deploys: fn(&mut World) = World::deploy;
    for end in [deploys, |world| world.service.zone_rebalancing = false] {
        let mut world = lopsided();
        world.service.zone_rebalancing = true;
        world.pass();
        let before = plain(&world).len();
        end(&mut world);
        world.pass();
        world.pass();
        let told = &plain(&world)[before..];
        let stopped = told.iter().filter(|text| *text == "(service web) stopped AZ Rebalancing.");
        assert_eq!(stopped.count(), 1, "{told:?}");
    }
}

#[test]
fn scaling_in_meanwhile_is_no_move() {
    let mut world = lopsided();
    world.service.zone_rebalancing = true;
    world.pass();
    world.agents();
    world.scale(3);
    let plan = world.pass();
    assert_eq!(plan.last.stop.len(), 2);
    assert!(plan.last.stop.iter().all(|stop| stop.reason.starts_with("Scaling activity")));
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
