//! Task sets: what a controller outside asks for, and what the scheduler does.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::plain;
use super::world::{World, scale};
use crate::deploy;
use crate::record::{InstanceStatus, ServiceStatus, TaskSetStatus};

/// Running tasks by set.
fn running(world: &World) -> Vec<usize> {
    let of = |label: String| {
        world.running().filter(|task| task.started_by.as_ref() == Some(&label)).count()
    };
    world.service.task_sets.iter().map(|set| of(set.label())).collect()
}

fn steady(world: &World) -> Vec<bool> {
    world.service.task_sets.iter().map(|set| set.is_steady).collect()
}

#[test]
fn sets_run_their_share_and_make_way_for_one_another() {
    let mut world = World::external(4, 3);
    assert!(world.pass().is_empty(), "without a set there is nothing to do");
    world.create_task_set(100);
    world.settle();
    assert_eq!((running(&world), steady(&world)), ([4].into(), [true].into()));
    assert_eq!(
        plain(&world),
        [
            "(service web, taskSet D1) has started 4 tasks: (task T1) (task T2) (task T3) (task T4).",
            "(service web, taskSet D1) has reached a steady state.",
            "(service web) has reached a steady state.",
        ]
    );
    deploy::make_primary(&mut world.service, world.deployments[0], world.now);
    // The canary.
    world.create_task_set(30);
    assert_eq!(
        world.pass().last.start.expect("the canary").assigned.len(),
        2,
        "30 % of 4, rounded up"
    );
    assert_eq!(steady(&world), [true, false]);
    world.settle();
    assert_eq!((running(&world), steady(&world)), ([4, 2].into(), [true, true].into()));
    // It is good: it becomes the whole, and the old one goes.
    world.service.task_sets[1].scale = scale(100);
    world.settle();
    assert_eq!(running(&world), [4, 4]);
    deploy::make_primary(&mut world.service, world.deployments[1], world.now);
    let status = |world: &World| -> Vec<TaskSetStatus> {
        world.service.task_sets.iter().map(|set| set.status).collect()
    };
    assert_eq!(status(&world), [TaskSetStatus::Active, TaskSetStatus::Primary]);
    world.service.task_sets[0].status = TaskSetStatus::Draining;
    let before = world.events.len();
    let plan = world.pass();
    assert_eq!(plan.last.stop.len(), 4);
    let reason = alloc::format!(
        "Scaling activity initiated by (deployment ecs-svc/{})",
        world.deployments[0]
    );
    assert!(plan.last.stop.iter().all(|stop| stop.reason == reason));
    assert_eq!(status(&world)[0], TaskSetStatus::Draining, "until the tasks have stopped");
    world.settle();
    assert_eq!((running(&world), status(&world)), ([4].into(), [TaskSetStatus::Primary].into()));
    assert_eq!(
        plain(&world)[before..],
        [
            "(service web, taskSet D1) has stopped 4 running tasks: (task T1) (task T2) (task T3) \
             (task T4).",
            "(service web) has reached a steady state.",
        ]
    );
    assert!(world.pass().is_empty(), "nothing is left to do");
}

#[test]
fn the_desired_count_scales_all_sets() {
    let mut world = World::external(4, 3);
    world.create_task_set(100);
    world.create_task_set(50);
    world.settle();
    assert_eq!(running(&world), [4, 2]);
    world.scale(1);
    world.settle();
    assert_eq!(running(&world), [1, 1]);
    world.scale(7);
    world.settle();
    assert_eq!(running(&world), [7, 4]);
    let wanted: Vec<u32> =
        world.service.task_sets.iter().map(|set| set.deployment.desired_count).collect();
    assert_eq!(wanted, [7, 4]);
}

#[test]
fn a_set_that_fails_waits_while_the_other_goes_on() {
    let mut world = World::external(2, 2);
    world.create_task_set(100);
    world.settle();
    world.create_task_set(100);
    let primary = world.deployments[0];
    for _ in 0..3 {
        world.advance(900);
        world.pass();
        world.agents_fail();
    }
    world.pass();
    let set = &world.service.task_sets[1];
    assert_eq!(set.deployment.failed_tasks, 6);
    assert!(set.retry_at.is_some_and(|at| at > world.now));
    let label = alloc::format!("(service web, taskSet {})", set.label());
    let impaired = alloc::format!("{label} is unable to consistently start tasks successfully.");
    assert_eq!(world.events.iter().filter(|text| **text == impaired).count(), 1);
    assert!(!set.is_steady);
    // A task of the other set that dies is replaced meanwhile.
    world.agents_die();
    assert_eq!(world.pass().last.start.expect("replacements").deployment, primary);
}

#[test]
fn a_draining_instance_makes_a_set_unsteady() {
    let mut world = World::external(2, 2);
    world.create_task_set(100);
    world.settle();
    let instance = world.tasks[0].instance;
    world.set_status(instance, InstanceStatus::Draining);
    world.pass();
    assert_eq!(steady(&world), [false]);
    assert_eq!(world.service.task_sets[0].steady_changed_at, world.now);
    world.settle();
    assert_eq!((running(&world), steady(&world)), ([2].into(), [true].into()));
    assert!(world.running().all(|task| task.instance != instance));
}

#[test]
fn a_deleted_service_takes_its_sets_along() {
    let mut world = World::external(2, 2);
    world.create_task_set(100);
    world.create_task_set(50);
    world.settle();
    world.service.status = ServiceStatus::Draining;
    assert_eq!(world.pass().last.stop.len(), 3);
    world.settle();
    assert_eq!(world.service.status, ServiceStatus::Inactive);
    assert_eq!(world.service.task_sets.len(), 0);
}

#[test]
fn many_tasks_of_many_sets_start_in_batches() {
    let mut world = World::external(50, 20);
    world.create_task_set(100);
    world.create_task_set(20);
    let mut starts = Vec::new();
    while let Some(start) = world.pass().last.start {
        starts.push((start.deployment == world.deployments[0], start.assigned.len()));
    }
    assert_eq!(starts, [(true, 50), (false, 10)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn sets_recover_from_anything(
        desired in 0..6_u32,
        shares in prop::collection::vec(0..=100_u32, 1..4),
        happenings in prop::collection::vec(super::properties::any_happening(), 0..50),
        deletes in any::<bool>(),
    ) {
        let mut world = World::external(desired, 4);
        for percent in &shares {
            world.create_task_set(*percent);
        }
        for happening in happenings {
            if !matches!(happening, super::properties::Happening::Deploy(_)) {
                super::properties::happen(&mut world, happening);
            }
        }
        if deletes {
            world.service.task_sets[0].status = TaskSetStatus::Draining;
        }
        super::properties::recover(&mut world);
        let desired = world.service.desired_count;
        let wanted: Vec<usize> = shares
            .iter()
            .skip(usize::from(deletes))
            .map(|percent| usize::try_from((desired * percent).div_ceil(100)).expect("small"))
            .collect();
        prop_assert_eq!(running(&world), wanted, "{:?}", world.service);
        prop_assert!(steady(&world).into_iter().all(|steady| steady));
        prop_assert!(world.pass().is_empty(), "nothing is left to do");
        prop_assert!(world.service.notices.len() <= 1, "{}", world.service.notices.len().to_string());
    }
}
