//! Services behind balancers: targets decide whether a task serves.

use core::time::Duration;

use super::world::World;
use crate::ids::TaskId;
use crate::record::{RolloutState, StopCode};
use crate::route::HealthState;

fn newest(world: &World) -> TaskId {
    world.tasks.last().expect("a task").id
}

#[test]
fn a_service_is_steady_when_its_targets_are_healthy() {
    let mut world = World::balanced(1, 1);
    world.deploy();
    world.pass();
    world.agents();
    world.advance(60);
    world.pass();
    assert_eq!(world.counts(), (2, 0), "a task that runs is no healthy target");
    world.find(newest(&world), HealthState::Initial);
    world.pass();
    assert_eq!(world.counts(), (2, 0));
    world.find(newest(&world), HealthState::Healthy);
    world.pass();
    assert_eq!(world.counts(), (1, 0), "now the old one may go");
    world.agents();
    world.pass();
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
}

#[test]
fn a_healthy_target_counts_at_once_but_for_its_slow_start() {
    let mut world = World::balanced(1, 1);
    world.slow_start = Duration::from_secs(30);
    world.deploy();
    world.pass();
    world.agents();
    world.find(newest(&world), HealthState::Healthy);
    let plan = world.pass();
    assert_eq!(world.counts(), (2, 0), "it does not take its full share yet");
    assert_eq!(plan.next, Some(world.now + Duration::from_secs(30)));
    world.advance(30);
    world.pass();
    assert_eq!(world.counts(), (1, 0));
}

#[test]
fn what_is_not_healthy_is_replaced_first_and_counted() {
    let mut world = World::balanced(1, 1);
    let sick = world.tasks[0].id;
    world.find(sick, HealthState::Unhealthy);
    world.pass();
    assert_eq!(world.counts(), (1, 1), "the replacement comes first");
    world.agents();
    world.find(newest(&world), HealthState::Healthy);
    let plan = world.pass();
    let stop = plan.stops().next().expect("the sick one stops");
    assert_eq!((stop.task, stop.code), (sick, StopCode::ServiceSchedulerInitiated));
    assert_eq!(stop.reason, "Task failed ELB health checks in (target-group TG)");
    world.targets.remove(&sick);
    world.agents();
    world.pass();
    assert!(world.tasks[0].failure_counted);
}

#[test]
fn in_its_grace_period_a_target_may_be_unhealthy() {
    let mut world = World::balanced(1, 1);
    world.service.health_check_grace_period_s = Some(100);
    world.find(world.tasks[0].id, HealthState::Unhealthy);
    let plan = world.pass();
    assert_eq!(world.counts(), (1, 0));
    assert_eq!(plan.next, Some(world.now + Duration::from_secs(100)));
    world.advance(100);
    world.pass();
    assert_eq!(world.counts(), (1, 1));
}

#[test]
fn a_task_that_stops_may_finish_what_it_was_sent() {
    let mut world = World::balanced(2, 1);
    world.scale(1);
    let plan = world.pass();
    let stop = plan.stops().next().expect("one stops");
    assert_eq!(stop.draining_until, Some(world.now + Duration::from_secs(300)));
    let task = world.tasks.iter().find(|task| task.id == stop.task).expect("it is there");
    assert_eq!(task.last_status().as_str(), "DEACTIVATING");
    assert_eq!(task.told(world.now).as_str(), "RUNNING");
    assert_eq!(task.told(world.now + Duration::from_secs(300)).as_str(), "STOPPED");
}

#[test]
fn a_group_that_no_listener_uses_has_nothing_against_a_task() {
    let mut world = World::balanced(1, 1);
    world.find(world.tasks[0].id, HealthState::Unused);
    assert!(world.pass().is_empty());
    let (steady, waits) = world.explain();
    assert!(steady, "{waits:?}");
}

#[test]
fn a_task_set_is_steady_when_its_targets_are_healthy() {
    let mut world = World::external(1, 1);
    world.balance();
    world.create_task_set(100);
    world.pass();
    world.agents();
    world.pass();
    assert!(!world.service.task_sets[0].is_steady, "its task is no healthy target");
    world.find_all_healthy();
    world.pass();
    assert!(world.service.task_sets[0].is_steady);
}

#[test]
fn it_is_explained_what_targets_wait_for() {
    let mut world = World::balanced(1, 1);
    world.find(world.tasks[0].id, HealthState::Initial);
    let (steady, waits) = world.explain();
    assert!(!steady);
    assert_eq!(waits[0].cause.as_str(), "TARGET_HEALTH");
    assert_eq!(waits[0].what, "1 tasks to be healthy targets of their balancers");
    world.find(world.tasks[0].id, HealthState::Unhealthy);
    let (_, waits) = world.explain();
    let wait = waits.iter().find(|wait| wait.cause.as_str() == "TARGET_HEALTH").expect("a wait");
    assert_eq!(
        wait.what,
        "1 tasks that are unhealthy targets to be replaced: port 8080 answered 503 after 12 ms, at \
         2026-09-21T14:13:20Z"
    );
    assert!(wait.fix.contains("Matcher"), "{}", wait.fix);
}
