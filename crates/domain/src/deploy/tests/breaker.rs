//! The circuit breaker, the way back, and pauses.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::plain;
use super::world::World;
use crate::record::{
    DeploymentStatus, HealthStatus, HookAction, LifecycleStage, PauseHook, RolloutState,
    ServiceDeployment, ServiceDeploymentStatus as Status, Threshold,
};

fn process(world: &World) -> &ServiceDeployment {
    world.deployment.as_ref().expect("a service deployment")
}

fn guarded(desired: u32, rollback: bool) -> World {
    let mut world = World::steady(desired, 3);
    let breaker = &mut world.service.deployment_configuration.circuit_breaker;
    breaker.enable = true;
    breaker.rollback = rollback;
    world.deploy();
    world
}

/// Tasks that should start fail until the deployment is over, or goes back.
fn fail_until_decided(world: &mut World) {
    for _ in 0..50 {
        world.pass();
        if !matches!(process(world).status, Status::Pending | Status::InProgress) {
            return;
        }
        world.agents_fail();
        world.advance(900);
    }
    panic!("the circuit breaker never trips: {:?}", world.service);
}

fn rollouts(world: &World) -> Vec<(&'static str, &'static str)> {
    let words = |d: &crate::record::Deployment| (d.status.as_str(), d.rollout.as_str());
    world.service.deployments.iter().map(words).collect()
}

fn reasons(world: &World) -> Vec<String> {
    world.service.deployments.iter().map(|d| d.rollout_reason.clone()).collect()
}

#[test]
fn three_failures_fail_a_small_deployment_and_the_old_tasks_stay() {
    let mut world = guarded(1, false);
    fail_until_decided(&mut world);
    assert_eq!(rollouts(&world), [("PRIMARY", "FAILED"), ("ACTIVE", "COMPLETED")]);
    assert_eq!(reasons(&world)[0], "ECS deployment circuit breaker: tasks failed to start.");
    let end = process(&world);
    assert_eq!(end.status, Status::Stopped);
    let state = end.breaker;
    assert_eq!((state.failure_count, state.threshold, state.triggered), (3, 3, true));
    assert_eq!(world.service.deployments[0].failed_tasks, 3);
    let events = plain(&world);
    assert_eq!(
        events.last().map(String::as_str),
        Some("(service web) (deployment D2) deployment failed: tasks failed to start.")
    );
    world.advance(100_000);
    let plan = world.pass();
    assert_eq!((plan.last.start, plan.last.stop.len()), (None, 0));
    assert_eq!(world.counts(), (1, 0));
}

#[test]
fn a_failed_deployment_goes_back_to_the_completed_one() {
    let mut world = guarded(2, true);
    let before = plain(&world).len();
    fail_until_decided(&mut world);
    assert_eq!(rollouts(&world)[0], ("PRIMARY", "IN_PROGRESS"));
    assert_eq!(world.service.deployments[0].id, world.deployments[0]);
    assert_eq!(
        reasons(&world)[0],
        alloc::format!(
            "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/{}.",
            world.deployments[0]
        )
    );
    assert_eq!(process(&world).status, Status::RollbackInProgress);
    assert_eq!(world.service.completed, None, "no target until it is completed again");
    world.settle();
    assert_eq!(rollouts(&world), [("PRIMARY", "COMPLETED")]);
    assert!(world.service.completed.is_some());
    let end = process(&world);
    assert_eq!(end.status, Status::RollbackSuccessful);
    assert_eq!(end.rollback.as_ref().map(|rollback| rollback.to), Some(world.deployments[0]));
    assert_eq!(
        end.status_reason.as_deref(),
        Some("Service deployment rolled back because the circuit breaker threshold was exceeded.")
    );
    let told = plain(&world);
    let told: Vec<&str> = told[before..].iter().map(String::as_str).collect();
    assert_eq!(
        told[told.len() - 4..],
        [
            "(service web) (deployment D2) deployment failed: tasks failed to start.",
            "(service web) rolling back to deployment D1.",
            "(service web) (deployment D1) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
}

#[test]
fn the_first_deployment_has_nothing_to_go_back_to() {
    let mut world = World::new(1, 1);
    let breaker = &mut world.service.deployment_configuration.circuit_breaker;
    (breaker.enable, breaker.rollback) = (true, true);
    fail_until_decided(&mut world);
    assert_eq!(process(&world).status, Status::Stopped);
    assert_eq!(rollouts(&world), [("PRIMARY", "FAILED")]);
    world.advance(100_000);
    assert_eq!(world.pass().last.start, None);
    // A new deployment is free to try.
    world.deploy();
    world.settle();
    assert_eq!(process(&world).status, Status::Successful);
}

#[test]
fn a_way_back_that_fails_ends() {
    let mut world = World::steady(2, 2);
    let configuration = &mut world.service.deployment_configuration;
    configuration.minimum_healthy_percent = 0;
    configuration.maximum_percent = 100;
    configuration.circuit_breaker.enable = true;
    configuration.circuit_breaker.rollback = true;
    world.deploy();
    world.pass();
    world.agents();
    fail_until_decided(&mut world);
    assert_eq!(process(&world).status, Status::RollbackInProgress);
    for _ in 0..20 {
        world.agents_fail();
        world.advance(900);
        world.pass();
    }
    assert_eq!(process(&world).status, Status::RollbackFailed);
    assert_eq!(rollouts(&world)[0], ("PRIMARY", "FAILED"));
    assert_eq!(world.service.deployments[0].id, world.deployments[0]);
}

#[test]
fn once_a_task_ran_only_failed_health_checks_count() {
    let mut world = World::new(1, 2);
    world.health_checks = true;
    let breaker = &mut world.service.deployment_configuration.circuit_breaker;
    breaker.enable = true;
    breaker.threshold = Threshold::Count(2);
    world.deploy();
    world.pass();
    world.agents();
    world.pass();
    world.agents_die();
    for _ in 0..4 {
        world.advance(900);
        world.pass();
        world.agents_fail();
    }
    world.advance(900);
    world.pass();
    assert_eq!(process(&world).status, Status::InProgress);
    assert_eq!(process(&world).breaker.failure_count, 0);
    for _ in 0..6 {
        world.agents();
        world.health(HealthStatus::Unhealthy);
        world.advance(900);
        world.service.deployment_configuration.minimum_healthy_percent = 0;
        world.service.deployment_configuration.maximum_percent = 100;
        world.pass();
    }
    assert_eq!(process(&world).breaker.failure_count, 2);
    assert_eq!(process(&world).status, Status::Stopped);
}

#[test]
fn a_healthy_task_starts_the_count_anew_unless_told_otherwise() {
    for (resets, expected) in [(true, 0), (false, 2)] {
        let mut world = World::new(4, 2);
        let breaker = &mut world.service.deployment_configuration.circuit_breaker;
        breaker.enable = true;
        breaker.reset_on_healthy_task = resets;
        world.pass();
        for n in 0..2 {
            world.report(n, crate::record::ContainerStatus::Stopped, None);
        }
        world.pass();
        assert_eq!(process(&world).breaker.failure_count, 2);
        world.advance(60);
        world.agent(2);
        world.pass();
        assert_eq!(process(&world).breaker.failure_count, expected, "resets: {resets}");
    }
}

#[test]
fn what_was_asked_for_is_done_without_a_circuit_breaker() {
    for (asked, last, primary) in [
        (Status::RollbackRequested, Status::RollbackSuccessful, 0),
        (Status::StopRequested, Status::Stopped, 1),
    ] {
        let mut world = World::steady(2, 2);
        world.deploy();
        world.pass();
        world.deployment.as_mut().expect("one").status = asked;
        world.settle();
        assert_eq!(process(&world).status, last);
        assert_eq!(world.service.deployments[0].id, world.deployments[primary]);
        let stays = asked == Status::StopRequested;
        assert_eq!(world.service.deployments[0].rollout == RolloutState::Failed, stays);
    }
}

#[test]
fn a_newer_deployment_takes_over_in_the_middle() {
    let mut world = World::steady(2, 2);
    world.deploy();
    world.pass();
    let replaced = crate::deploy::superseded(process(&world), world.now).expect("it was under way");
    assert_eq!(replaced.status, Status::Stopped);
    assert_eq!(crate::deploy::superseded(&replaced, world.now), None);
    world.deploy();
    assert_eq!(process(&world).sources, [world.deployments[1], world.deployments[0]]);
    world.settle();
    world.advance(60);
    world.settle();
    assert_eq!(rollouts(&world), [("PRIMARY", "COMPLETED")]);
    assert_eq!(world.service.deployments[0].id, world.deployments[2]);
    assert_eq!(process(&world).status, Status::Successful);
}

fn pausing(stage: LifecycleStage, action: HookAction) -> World {
    let mut world = World::steady(2, 2);
    world.service.pause_hooks =
        vec![PauseHook { stages: vec![stage], timeout_min: 10, action, webhook: None }];
    world.deploy();
    world
}

#[test]
fn before_the_scale_up_the_service_goes_on_with_what_it_has() {
    let mut world = pausing(LifecycleStage::PreScaleUp, HookAction::Rollback);
    let plan = world.pass();
    assert_eq!((plan.last.start, plan.last.stop.len()), (None, 0));
    assert_eq!(process(&world).stage, LifecycleStage::PreScaleUp);
    let pause = process(&world).pauses[0].clone();
    assert!(pause.is_open());
    assert_eq!(plan.next, Some(pause.expires_at));
    assert_eq!(rollouts(&world), [("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "COMPLETED")]);
    // A task that dies is replaced by one of the old deployment.
    world.agents_die();
    let start = world.pass().last.start.expect("a replacement");
    assert_eq!(start.deployment, world.deployments[0]);
    world.agents();
    world.deployment.as_mut().expect("one").pauses[0].answer = Some(HookAction::Continue);
    world.settle();
    world.advance(60);
    world.settle();
    assert_eq!(process(&world).status, Status::Successful);
    assert_eq!(world.service.deployments[0].id, world.deployments[1]);
}

#[test]
fn after_the_scale_up_the_old_tasks_stay_until_it_goes_on() {
    let mut world = pausing(LifecycleStage::PostScaleUp, HookAction::Rollback);
    world.pass();
    world.agents();
    world.pass();
    world.advance(60);
    assert!(world.pass().last.stop.is_empty());
    assert_eq!(world.counts(), (4, 0));
    assert_eq!(process(&world).stage, LifecycleStage::PostScaleUp);
    assert_eq!(rollouts(&world)[0], ("PRIMARY", "IN_PROGRESS"));
    world.deployment.as_mut().expect("one").pauses[0].answer = Some(HookAction::Continue);
    assert_eq!(world.pass().last.stop.len(), 2);
    world.settle();
    assert_eq!(process(&world).status, Status::Successful);
    assert_eq!(process(&world).stage, LifecycleStage::CleanUp);
}

#[test]
fn a_pause_ends_by_itself() {
    for (stage, action, last) in [
        (LifecycleStage::PreScaleUp, HookAction::Rollback, Status::RollbackSuccessful),
        (LifecycleStage::PreScaleUp, HookAction::Continue, Status::Successful),
        (LifecycleStage::PostScaleUp, HookAction::Rollback, Status::RollbackSuccessful),
        (LifecycleStage::PostScaleUp, HookAction::Continue, Status::Successful),
    ] {
        let mut world = pausing(stage, action);
        world.settle();
        assert_eq!(process(&world).status, Status::InProgress);
        world.advance(599);
        world.settle();
        assert_eq!(process(&world).status, Status::InProgress);
        world.advance(1);
        world.settle();
        world.advance(60);
        world.settle();
        assert_eq!(process(&world).status, last, "{stage:?} {action:?}");
        assert!(process(&world).pauses[0].timed_out);
        assert_eq!(world.service.deployments.len(), 1);
        assert_eq!(world.service.deployments[0].status, DeploymentStatus::Primary);
    }
}

#[test]
fn a_deleted_service_ends_its_deployment() {
    let mut world = World::new(1, 1);
    world.service.status = crate::record::ServiceStatus::Draining;
    world.settle();
    assert_eq!(process(&world).status, Status::Stopped);
}

#[test]
fn later_tasks_run_what_the_first_one_reported() {
    let mut world = World::new(2, 2);
    assert_eq!(world.pass().last.start.expect("tasks").images.len(), 0);
    world.agents();
    for (n, digest) in ["sha256:first", "sha256:second"].into_iter().enumerate() {
        world.tasks[n].observed.containers[0].image_digest = Some(digest.into());
    }
    world.pass();
    world.scale(3);
    let images = world.pass().last.start.expect("a task").images;
    assert_eq!(images.get("main").map(String::as_str), Some("sha256:first"));
    // Another deployment asks anew what the tag means.
    world.deploy();
    assert_eq!(world.pass().last.start.expect("tasks").images.len(), 0);
    assert_eq!(world.service.completed.as_ref().map(|c| c.deployment.images.len()), Some(1));
}
