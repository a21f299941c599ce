//! Crash loops: tasks that run, and exit soon after.

use super::world::World;
use crate::fidelity::Fidelity;
use crate::record::RolloutState;

/// A service whose task exits some seconds after it was RUNNING, again and again.
fn looping(count: bool, seconds: u64, rounds: usize) -> World {
    let mut world = World::new(1, 1);
    world.fidelity = Fidelity { count_crash_loops: count, ..Fidelity::default() };
    world.service.deployment_configuration.circuit_breaker.enable = true;
    for _ in 0..rounds {
        world.pass();
        world.agents();
        world.pass();
        world.advance(seconds);
        world.pass();
        world.agents_die();
        // Past the throttle.
        world.pass();
        world.advance(900);
    }
    world
}

#[test]
fn as_in_ecs_a_task_that_ran_is_no_failure() {
    let mut world = looping(false, 5, 4);
    assert_eq!(world.service.deployments[0].failed_tasks, 0);
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
    world.agents();
    world.agents_die();
    assert_eq!(world.service.retry_at, None);
    assert!(world.pass().last.start.is_some(), "it is replaced at once");
}

#[test]
fn where_they_count_crash_loops_trip_the_breaker() {
    let world = looping(true, 5, 4);
    let deployment = &world.service.deployments[0];
    assert_eq!((deployment.failed_tasks, deployment.rollout), (3, RolloutState::Failed));
}

#[test]
fn where_they_count_crash_loops_are_throttled() {
    let mut world = looping(true, 5, 1);
    assert_eq!(world.service.deployments[0].failed_tasks, 1);
    assert!(world.service.retry_at.is_some());
    // A success is one that lasts.
    world.pass();
    world.agents();
    let plan = world.pass();
    assert_eq!(world.service.deployments[0].failed_tasks, 1);
    assert_eq!(plan.next, Some(world.now + crate::limits::CRASH_LOOP), "it looks again in time");
    assert_eq!(world.service.deployments[0].rollout, RolloutState::InProgress);
    world.advance(60);
    world.pass();
    assert_eq!(world.service.deployments[0].failed_tasks, 0);
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
    assert_eq!(world.service.retry_at, None);
}

#[test]
fn a_task_that_lasts_is_no_crash_loop() {
    let world = looping(true, 60, 4);
    assert_eq!(world.service.deployments[0].failed_tasks, 0);
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
}
