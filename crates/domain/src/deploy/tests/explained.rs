//! Services that are not steady say what they wait for, whatever has happened to them.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::properties::{any_happening, happen, recover};
use super::world::World;
use crate::explain::{Cause, Wait};
use crate::record::{
    DesiredStatus, HealthStatus, HookAction, InstanceStatus, LifecycleStage, PauseHook, Protection,
    TaskStatus,
};

fn causes(world: &World) -> Vec<Cause> {
    world.explain().1.iter().map(|wait| wait.cause).collect()
}

fn wait(world: &World, cause: Cause) -> Wait {
    let (steady, waits) = world.explain();
    assert!(!steady);
    let found = waits.iter().find(|wait| wait.cause == cause);
    found.cloned().unwrap_or_else(|| panic!("no {cause:?} in {waits:?}"))
}

#[test]
fn a_steady_service_waits_for_nothing() {
    let world = World::steady(2, 2);
    assert_eq!(world.explain(), (true, vec![]));
    assert!(world.explain_tasks().iter().all(|(_, waits)| waits.is_empty()));
}

#[test]
fn what_was_only_asked_for_waits_for_the_scheduler_and_then_for_the_agent() {
    let mut world = World::new(2, 2);
    assert_eq!(causes(&world), [Cause::Scheduler]);
    world.pass();
    let starting = wait(&world, Cause::Starting);
    assert_eq!((starting.what.as_str(), starting.since), ("2 tasks to run", Some(world.now)));
    let tasks = world.explain_tasks();
    assert!(tasks.iter().all(|(_, waits)| waits[0].cause == Cause::Agent), "{tasks:?}");
}

#[test]
fn a_task_without_a_place_names_the_closest_instance_and_the_fix() {
    let mut world = World::steady(1, 2);
    world.deploy();
    world.newest_spec().containers[0].memory_mib = Some(100_000);
    world.pass();
    let found = wait(&world, Cause::NoPlace);
    assert!(found.what.starts_with("a place for a task: none of 2 instances"), "{}", found.what);
    assert_eq!(found.since, Some(world.now));
    assert!(found.fix.contains("MiB"), "{}", found.fix);
    let mut nowhere = World::new(1, 0);
    nowhere.pass();
    let found = wait(&nowhere, Cause::NoPlace);
    assert!(found.what.ends_with("has no container instances"), "{}", found.what);
}

#[test]
fn failed_starts_wait_for_the_throttle_and_the_circuit_breaker_counts() {
    let mut world = World::steady(1, 2);
    world.service.deployment_configuration.circuit_breaker.enable = true;
    world.deploy();
    world.pass();
    world.agents_fail();
    world.pass();
    let found = wait(&world, Cause::Throttled);
    assert_eq!(found.until, world.service.retry_at);
    assert_eq!(found.since, Some(world.now));
    assert!(found.what.contains("1 tasks in a row"), "{}", found.what);
    let found = wait(&world, Cause::CircuitBreaker);
    assert!(found.what.ends_with("has 1 of 3 failures"), "{}", found.what);
    let stopped = world.explain_tasks();
    let (_, waits) = stopped.iter().find(|(task, _)| task.is_stopped()).expect("one");
    assert_eq!(waits[0].cause, Cause::Stopped);
    assert!(waits[0].what.starts_with("TaskFailedToStart: "), "{}", waits[0].what);
    for _ in 0..3 {
        world.advance(900);
        world.pass();
        world.agents_fail();
        world.pass();
    }
    let found = wait(&world, Cause::Failed);
    assert!(found.what.contains("has failed. ECS deployment circuit breaker"), "{}", found.what);
}

#[test]
fn new_tasks_wait_for_forty_seconds_then_old_ones_for_their_stop_timeout() {
    let mut world = World::steady(1, 2);
    world.deploy();
    world.pass();
    world.advance(3);
    world.agents();
    world.pass();
    let started = world.now;
    world.advance(10);
    let found = wait(&world, Cause::Settling);
    assert_eq!(found.since, Some(started));
    assert_eq!(found.until, Some(started + Duration::from_secs(40)));
    assert!(causes(&world).contains(&Cause::Replacing));
    world.advance(30);
    world.pass();
    let old = world.tasks.iter().find(|task| task.desired == DesiredStatus::Stopped);
    let old = old.expect("it is being stopped").id;
    let tasks = world.explain_tasks();
    let (_, waits) = tasks.iter().find(|(task, _)| task.id == old).expect("it is there");
    assert_eq!(waits[0].cause, Cause::Stopping);
    assert_eq!(waits[0].since, Some(world.now));
    assert_eq!(waits[0].until, Some(world.now + Duration::from_secs(30)));
}

#[test]
fn health_checks_are_waited_for() {
    let mut world = World::new(0, 1);
    world.health_checks = true;
    world.deploy();
    world.scale(1);
    world.pass();
    world.agents();
    let found = wait(&world, Cause::HealthCheck);
    assert_eq!(found.what, "1 tasks to pass their first health check");
    assert_eq!(found.since, Some(world.now));
    world.health(HealthStatus::Unhealthy);
    assert_eq!(wait(&world, Cause::HealthCheck).what, "1 UNHEALTHY tasks to be replaced");
}

#[test]
fn bounds_that_allow_nothing_are_named() {
    let mut world = World::steady(1, 2);
    world.service.deployment_configuration.maximum_percent = 100;
    world.deploy();
    world.pass();
    let found = wait(&world, Cause::DeploymentConfiguration);
    assert_eq!(found.since, Some(world.now));
    assert_eq!(found.fix, "lower minimumHealthyPercent, or raise maximumPercent");
}

#[test]
fn protected_tasks_hold_until_their_protection_ends() {
    let mut world = World::steady(2, 2);
    let expires_at = world.now + Duration::from_secs(600);
    for task in &mut world.tasks {
        task.protection = Some(Protection { expires_at });
    }
    world.scale(1);
    world.pass();
    let found = wait(&world, Cause::Protected);
    assert_eq!((found.since, found.until), (Some(world.now), Some(expires_at)));
}

#[test]
fn a_pause_names_its_hook_and_its_end() {
    let mut world = World::steady(1, 2);
    let hook = PauseHook {
        stages: vec![LifecycleStage::PreScaleUp],
        timeout_min: 10,
        action: HookAction::Rollback,
        webhook: None,
    };
    world.service.pause_hooks = vec![hook];
    world.deploy();
    world.pass();
    let found = wait(&world, Cause::Paused);
    assert_eq!(found.since, Some(world.now));
    assert_eq!(found.until, Some(world.now + Duration::from_secs(600)));
    let id = &world.deployment.as_ref().expect("one").pauses[0].id;
    assert!(found.fix.contains(id.as_str()), "{}", found.fix);
}

#[test]
fn instances_that_drain_and_agents_that_are_away_are_named() {
    let mut world = World::steady(2, 2);
    let id = world.instances[0].id;
    world.set_status(id, InstanceStatus::Draining);
    assert!(causes(&world).contains(&Cause::DrainingInstance));
    world.instances[0].connection.connected = false;
    world.instances[0].connection.since = world.now;
    let found = wait(&world, Cause::AgentDisconnected);
    assert_eq!((found.since, found.until), (Some(world.now), None));
    assert!(found.what.contains(&id.to_string()), "{}", found.what);
    world.fidelity.replace_lost_instances = Some(Duration::from_secs(60));
    let found = wait(&world, Cause::AgentDisconnected);
    assert_eq!(found.until, Some(world.now + Duration::from_secs(60)));
}

#[test]
fn task_sets_tell_how_many_of_their_tasks_run() {
    let mut world = World::external(2, 2);
    world.create_task_set(100);
    let found = wait(&world, Cause::Starting);
    assert!(found.what.ends_with("0 of 2 tasks run"), "{}", found.what);
    world.settle();
    assert_eq!(world.explain(), (true, vec![]));
}

/// What is not as it should be says why; and once the scheduler has nothing to do, it is not the
/// scheduler that is waited for.
fn assert_explained(world: &mut World, idle: bool) {
    let (steady, waits) = world.explain();
    assert_eq!(steady, waits.is_empty(), "{waits:?}");
    if idle {
        let scheduler = waits.iter().any(|wait| wait.cause == Cause::Scheduler);
        assert!(!scheduler, "{:?}\n{:?}", world.service, world.tasks);
    }
    for (task, waits) in world.explain_tasks() {
        let runs =
            task.observed.status == TaskStatus::Running && task.desired == DesiredStatus::Running;
        assert!(runs || !waits.is_empty(), "{task:?}");
        assert!(waits.iter().all(|wait| !wait.what.is_empty() && !wait.fix.is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_not_as_it_should_be_is_explained(
        desired in 0..6_u32,
        daemon in any::<bool>(),
        breaker in any::<bool>(),
        bounds in prop_oneof![Just((100, 200)), Just((50, 100)), Just((100, 100)), Just((0, 100))],
        happenings in prop::collection::vec(any_happening(), 0..50),
    ) {
        let mut world = if daemon { World::daemon(3) } else { World::new(desired, 3) };
        let configuration = &mut world.service.deployment_configuration;
        configuration.circuit_breaker.enable = breaker;
        configuration.circuit_breaker.rollback = desired % 2 == 0;
        if !daemon {
            (configuration.minimum_healthy_percent, configuration.maximum_percent) = bounds;
        }
        for happening in happenings {
            happen(&mut world, happening);
            assert_explained(&mut world, false);
            let idle = world.pass().is_empty();
            assert_explained(&mut world, idle);
        }
        recover(&mut world);
        let idle = world.pass().is_empty();
        assert_explained(&mut world, idle);
    }
}
