//! What EventBridge is told of a service: its actions, and the steps of its deployments.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::world::World;
use crate::deploy::Plan;
use crate::journal::{self, deployment_steps};
use crate::record::{InstanceStatus, Protection, RolloutState, ServiceAction};

fn actions(plan: &Plan) -> Vec<ServiceAction> {
    plan.last.events.iter().filter_map(|event| event.action.clone()).collect()
}

/// `TYPE NAME reason` of what one more pass tells.
fn told(world: &mut World) -> Vec<String> {
    let actions = actions(&world.pass());
    let line = |action: &ServiceAction| {
        let reason = action.reason.as_deref().unwrap_or("-");
        let (kind, name) = (action.name.kind().as_str(), action.name.as_str());
        alloc::format!("{kind} {name} {reason} {}", action.instances.len())
    };
    actions.iter().map(line).collect()
}

#[test]
fn a_steady_state_is_told_once() {
    let mut world = World::new(2, 2);
    assert_eq!(told(&mut world), [""; 0]);
    world.agents();
    assert_eq!(told(&mut world), ["INFO SERVICE_STEADY_STATE - 0"]);
    assert_eq!(told(&mut world), [""; 0]);
    world.advance(6 * 3600);
    assert_eq!(told(&mut world), ["INFO SERVICE_STEADY_STATE - 0"], "and again while it lasts");
}

#[test]
fn a_task_without_a_place_is_told_with_what_is_missing() {
    let mut world = World::new(1, 2);
    for instance in &mut world.instances {
        instance.registered.cpu_units = 1;
    }
    assert_eq!(told(&mut world), ["ERROR SERVICE_TASK_PLACEMENT_FAILURE RESOURCE:CPU 2"]);
    let mut world = World::new(1, 0);
    assert_eq!(told(&mut world), ["ERROR SERVICE_TASK_PLACEMENT_FAILURE - 0"]);
    let mut world = World::new(1, 1);
    world.refuse_role();
    let [line] = &told(&mut world)[..] else { panic!("one action") };
    let reason = "ECS was unable to assume the role 'arn:aws:iam::000000000000:role/app'";
    let start = alloc::format!("ERROR SERVICE_TASK_CONFIGURATION_FAILURE {reason}");
    assert!(line.starts_with(&start), "{line}");
    let mut world = World::daemon(2);
    world.instances[1].registered.memory_mib = 1;
    assert_eq!(
        told(&mut world),
        ["ERROR SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED RESOURCE:MEMORY 1"]
    );
}

#[test]
fn tasks_that_never_run_are_told_after_some_rounds() {
    let mut world = World::new(1, 1);
    let mut all = vec![];
    for _ in 0..4 {
        all.extend(told(&mut world));
        world.agents_fail();
        world.advance(900);
    }
    all.extend(told(&mut world));
    assert_eq!(all, ["WARN SERVICE_TASK_START_IMPAIRED - 0"]);
}

#[test]
fn protection_and_zones_are_told() {
    let mut world = World::steady(2, 2);
    for task in &mut world.tasks {
        let expires_at = world.now + core::time::Duration::from_secs(60);
        task.protection = Some(Protection { expires_at });
    }
    world.scale(1);
    assert_eq!(told(&mut world), ["WARN TASKSET_SCALE_IN_FAILURE_BY_TASK_PROTECTION - 0"]);

    let mut world = World::new(4, 2);
    let other = world.instances[1].id;
    world.set_status(other, InstanceStatus::Draining);
    world.settle();
    world.set_status(other, InstanceStatus::Active);
    world.service.zone_rebalancing = true;
    let mut all = vec![];
    for _ in 0..20 {
        all.extend(told(&mut world));
        world.agents();
        world.advance(60);
    }
    let moved = |name: &str| all.iter().filter(|line| line.contains(name)).count();
    assert_eq!((moved(" TASKS_STARTED "), moved(" TASKS_STOPPED ")), (2, 2), "{all:?}");
    all.retain(|line| line.contains("REBALANCING"));
    let [started, done] =
        ["INFO SERVICE_REBALANCING_STARTED - 0", "INFO SERVICE_REBALANCING_COMPLETED - 0"];
    assert_eq!(all, [started, done]);
}

/// Steps that the service takes while `change` happens, by number of the deployment.
fn steps(world: &mut World, change: impl FnOnce(&mut World)) -> Vec<(usize, RolloutState)> {
    let old = world.service.clone();
    change(world);
    let number = |id| world.deployments.iter().position(|known| *known == id).expect("known") + 1;
    let steps = deployment_steps(Some(&old), &world.service);
    steps.iter().map(|step| (number(step.deployment), step.rollout)).collect()
}

#[test]
fn each_step_of_a_deployment_is_told_once() {
    use RolloutState::{Completed, Failed, InProgress};
    let mut world = World::new(1, 2);
    let first = deployment_steps(None, &world.service);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].rollout, InProgress);
    assert!(first[0].reason.ends_with("in progress."), "{}", first[0].reason);
    assert_eq!(steps(&mut world, World::settle), [(1, Completed)]);
    assert_eq!(steps(&mut world, |world| _ = world.pass()), []);
    assert_eq!(steps(&mut world, World::deploy), [(2, InProgress)]);
    let to_its_end = |world: &mut World| {
        for _ in 0..4 {
            world.settle();
            world.advance(60);
        }
    };
    assert_eq!(steps(&mut world, to_its_end), [(2, Completed)]);
    // One that fails, and the way back.
    let breaker = &mut world.service.deployment_configuration.circuit_breaker;
    (breaker.enable, breaker.rollback) = (true, true);
    assert_eq!(steps(&mut world, World::deploy), [(3, InProgress)]);
    let mut all = vec![];
    for _ in 0..8 {
        all.extend(steps(&mut world, |world| _ = world.pass()));
        world.agents_fail();
        world.advance(900);
    }
    assert_eq!(all, [(3, Failed), (2, InProgress), (2, Completed)]);
}

#[test]
fn the_memory_of_the_scheduler_is_no_history() {
    let world = World::steady(1, 1);
    let old = &world.service;
    assert!(journal::tells_service(None, old));
    let mut new = old.clone();
    new.retry_at = Some(world.now);
    new.notices.clear();
    new.deployments[0].failed_tasks += 1;
    assert!(!journal::tells_service(Some(old), &new));
    new.desired_count += 1;
    assert!(journal::tells_service(Some(old), &new));
}
