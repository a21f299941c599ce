//! Tasks that cannot have their role are not started, and start as soon as they can.

use alloc::string::String;
use alloc::vec;

use super::plain;
use super::world::World;
use crate::deploy::EventKind;
use crate::explain::Cause;
use crate::record::{DesiredStatus, HealthStatus, StopCode, StopOrder};

fn told(world: &World) -> usize {
    world.told.iter().filter(|kind| **kind == EventKind::RoleRefused).count()
}

#[test]
fn nothing_starts_without_its_role_and_all_of_it_once_it_is_there() {
    let mut world = World::steady(1, 2);
    world.refuse_role();
    let plan = world.pass();
    assert!(plan.is_empty(), "what runs goes on: {plan:?}");
    assert_eq!(plan.refused_role, None);
    world.scale(3);
    let plan = world.pass();
    assert!(plan.refused_role.is_some());
    assert_eq!((plan.starts().count(), world.running().count()), (0, 1));
    assert_eq!(
        plain(&world).last().map(String::as_str),
        Some(
            "(service web) failed to launch a task with (error ECS was unable to assume the role \
             'arn:aws:iam::000000000000:role/app' that was provided for this task. Please verify \
             that the role being passed has the proper trust relationship and permissions and that \
             your IAM user has permissions to pass this role.)."
        )
    );
    let (steady, waits) = world.explain();
    assert!(!steady);
    let [wait] = &waits[..] else { panic!("one wait: {waits:?}") };
    assert_eq!((wait.cause, wait.since), (Cause::Role, Some(world.now)));
    assert!(wait.what.contains("role/app (taskRoleArn: there is no role"), "{}", wait.what);
    world.advance(60);
    let plan = world.pass();
    assert!(plan.is_empty() && plan.refused_role.is_some(), "it is told once");
    world.refused_roles.clear();
    world.settle();
    assert_eq!(world.running().count(), 3);
    assert_eq!(world.explain(), (true, vec![]));
    assert_eq!(told(&world), 1);
}

#[test]
fn a_new_revision_that_lacks_its_role_ends_nothing_of_the_old_one() {
    for mut world in [World::steady(2, 2), World::daemon(2)] {
        world.settle();
        world.service.deployment_configuration.minimum_healthy_percent = 0;
        world.deploy();
        world.refuse_role();
        world.settle();
        assert_eq!(world.running().count(), 2);
        world.refused_roles.clear();
        world.settle();
        let newest = world.service.deployments[0].label();
        assert_eq!(world.service.deployments.len(), 1);
        assert!(world.running().all(|task| task.started_by.as_ref() == Some(&newest)));
    }
}

#[test]
fn scaling_in_takes_no_role() {
    let mut world = World::steady(3, 2);
    world.refuse_role();
    world.scale(1);
    world.settle();
    assert_eq!((told(&world), world.running().count()), (0, 1));
    world.scale(0);
    world.settle();
    assert_eq!((told(&world), world.running().count()), (0, 0));
}

#[test]
fn an_unhealthy_task_stays_while_nothing_can_replace_it() {
    let mut world = World::new(1, 1);
    world.health_checks = true;
    world.deploy();
    world.settle();
    world.health(HealthStatus::Healthy);
    world.settle();
    world.refuse_role();
    world.health(HealthStatus::Unhealthy);
    world.pass();
    assert_eq!((told(&world), world.running().count()), (1, 1));
}

#[test]
fn a_task_that_was_taken_back_for_its_role_is_a_failure_with_a_pause() {
    let mut world = World::new(1, 1);
    world.pass();
    let (code, reason, at) = (StopCode::TaskFailedToStart, "no role".into(), world.now);
    world.tasks[0].desired = DesiredStatus::Stopped;
    world.tasks[0].stop = Some(StopOrder { code, reason, at });
    world.agents();
    world.pass();
    assert_eq!((world.service.deployments[0].failed_tasks, world.tasks.len()), (1, 1));
    world.advance(5);
    world.pass();
    assert_eq!(world.tasks.len(), 2);
}

#[test]
fn a_task_set_says_so_for_itself() {
    let mut world = World::external(2, 2);
    world.create_task_set(100);
    world.refuse_role();
    world.pass();
    assert_eq!((told(&world), world.tasks.len()), (1, 0));
    assert!(plain(&world)[0].starts_with("(service web, taskSet "), "{:?}", plain(&world));
    world.refused_roles.clear();
    world.settle();
    assert_eq!(world.running().count(), 2);
}
