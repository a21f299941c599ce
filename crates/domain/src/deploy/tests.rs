mod balanced;
mod breaker;
mod consolidate;
mod events;
mod explained;
mod loops;
mod properties;
mod roles;
mod shift;
mod task_sets;
mod time;
mod told;
mod world;
mod zones;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use self::world::World;
use crate::deploy::{EventKind, Plan, Portion};
use crate::limits;
use crate::record::{
    ContainerStatus, HealthStatus, InstanceStatus, Protection, RolloutState, ServiceStatus,
};

/// Replaces ids by what they are of, in order of appearance.
fn plain(world: &World) -> Vec<String> {
    let mut names: Vec<(String, String)> = Vec::new();
    for (n, task) in world.tasks.iter().enumerate() {
        names.push((task.id.to_string(), alloc::format!("T{}", n + 1)));
    }
    for (n, id) in world.deployments.iter().enumerate() {
        names.push((alloc::format!("ecs-svc/{id}"), alloc::format!("D{}", n + 1)));
    }
    for instance in &world.instances {
        let name = alloc::format!("I{}", instance.id.bits());
        names.push((instance.id.to_string(), name));
    }
    let replace = |text: &String| {
        names.iter().fold(text.clone(), |text, (id, name)| text.replace(id.as_str(), name))
    };
    world.events.iter().map(replace).collect()
}

#[test]
fn a_new_service_starts_and_is_steady() {
    let mut world = World::new(2, 2);
    world.pass();
    assert_eq!(world.counts(), (0, 2));
    world.agents();
    world.pass();
    assert_eq!(world.counts(), (2, 0));
    let primary = &world.service.deployments[0];
    assert_eq!(primary.rollout, RolloutState::Completed);
    assert_eq!(
        primary.rollout_reason,
        alloc::format!("ECS deployment ecs-svc/{} completed.", primary.id)
    );
    assert_eq!(
        plain(&world),
        [
            "(service web) has started 2 tasks: (task T1) (task T2).",
            "(service web) (deployment D1) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
    assert!(world.pass().is_empty(), "nothing is left to do");
    world.advance(6 * 3600);
    world.pass();
    assert_eq!(plain(&world)[3], "(service web) has reached a steady state.");
}

#[test]
fn a_deployment_starts_new_tasks_at_once_and_stops_old_ones_when_they_have_settled() {
    let mut world = World::steady(3, 3);
    world.deploy();
    world.pass();
    assert_eq!(world.counts(), (3, 3));
    world.agents();
    let plan = world.pass();
    assert!(plan.last.stop.is_empty(), "new tasks have not settled");
    assert_eq!(plan.next, Some(world.now + limits::SETTLING_TIME));
    world.advance(40);
    let plan = world.pass();
    assert_eq!(plan.last.stop.len(), 3);
    let reason = alloc::format!(
        "Scaling activity initiated by (deployment ecs-svc/{})",
        world.deployments[0]
    );
    assert!(plan.last.stop.iter().all(|stop| stop.reason == reason));
    assert_eq!(world.service.deployments.len(), 1);
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
    assert_eq!(
        plain(&world)[3..],
        [
            "(service web) has started 3 tasks: (task T4) (task T5) (task T6).",
            "(service web) has stopped 3 running tasks: (task T1) (task T2) (task T3).",
            "(service web) (deployment D2) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
}

#[test]
fn without_headroom_tasks_are_replaced_in_turns() {
    let mut world = World::steady(4, 4);
    world.service.deployment_configuration.minimum_healthy_percent = 50;
    world.service.deployment_configuration.maximum_percent = 100;
    world.deploy();
    let plan = world.pass();
    assert_eq!((plan.last.start, plan.last.stop.len()), (None, 2));
    assert!(world.pass().is_empty(), "tasks that stop still take up room");
    world.agents();
    let plan = world.pass();
    assert_eq!(plan.last.start.map(|start| start.assigned.len()), Some(2));
    world.agents();
    assert!(world.pass().last.stop.is_empty());
    world.advance(40);
    assert_eq!(world.pass().last.stop.len(), 2);
}

#[test]
fn a_configuration_that_allows_nothing_is_told_once() {
    let mut world = World::steady(2, 2);
    world.service.deployment_configuration.maximum_percent = 100;
    world.deploy();
    world.pass();
    assert_eq!(
        plain(&world).last().expect("an event"),
        "(service web) was unable to stop or start tasks during a deployment because of the \
         service deployment configuration. Update the minimumHealthyPercent or maximumPercent \
         value and try again."
    );
    assert!(world.pass().is_empty());
}

#[test]
fn a_health_check_decides_instead_of_time() {
    let mut world = World::new(1, 2);
    world.health_checks = true;
    world.deploy();
    world.pass();
    world.agents();
    world.pass();
    assert_ne!(world.service.deployments[0].rollout, RolloutState::Completed);
    world.health(HealthStatus::Healthy);
    world.pass();
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
    world.deploy();
    world.pass();
    world.agents();
    assert!(world.pass().last.stop.is_empty());
    world.health(HealthStatus::Healthy);
    assert_eq!(world.pass().last.stop.len(), 1, "healthy is enough, whatever the time");
}

#[test]
fn an_unhealthy_task_is_replaced_before_it_stops() {
    let mut world = World::new(1, 2);
    world.health_checks = true;
    world.deploy();
    world.settle();
    world.health(HealthStatus::Unhealthy);
    let plan = world.pass();
    assert_eq!((plan.last.start.is_some(), plan.last.stop.len()), (true, 0));
    world.agents();
    world.pending_health(HealthStatus::Healthy);
    let plan = world.pass();
    assert_eq!(plan.last.stop[0].reason, "Task failed container health checks");
    assert_eq!(
        plain(&world)[3],
        "(service web) has started 1 tasks: (task T2). Amazon ECS replaced 1 tasks due to an \
         unhealthy status."
    );
    world.agents();
    let counted = world.pass().counted;
    assert_eq!(counted, [world.tasks[0].id]);
    assert_eq!(world.service.deployments[0].failed_tasks, 1);
    assert_eq!(world.service.retry_at, None, "it ran: no throttle");
}

#[test]
fn tasks_that_never_run_are_retried_ever_more_slowly() {
    let mut world = World::new(1, 1);
    let mut delays = Vec::new();
    for _ in 0..4 {
        world.advance(900);
        world.pass();
        world.agents_fail();
        let plan = world.pass();
        assert_eq!(plan.last.start, None);
        assert_eq!(plan.next, world.service.retry_at);
        let retry = world.service.retry_at.expect("throttled");
        delays.push(retry.saturating_since(world.now).as_secs());
    }
    assert_eq!(delays, [5, 10, 20, 40]);
    assert_eq!(world.service.deployments[0].failed_tasks, 4);
    let impaired = "(service web) is unable to consistently start tasks successfully.";
    assert_eq!(plain(&world).iter().filter(|text| *text == impaired).count(), 1);
    // A new deployment begins anew.
    world.deploy();
    assert!(world.pass().last.start.is_some());
    world.agents();
    world.pass();
    assert_eq!(world.service.deployments.len(), 1);
    assert_eq!(world.service.retry_at, None);
}

#[test]
fn a_task_that_runs_and_dies_is_replaced_at_once() {
    let mut world = World::steady(1, 1);
    world.agents_die();
    let plan = world.pass();
    assert!(plan.last.start.is_some());
    assert!(plan.counted.is_empty());
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
}

#[test]
fn scaling_in_spares_protected_tasks() {
    let mut world = World::steady(3, 3);
    let until = world.now + core::time::Duration::from_secs(600);
    for task in &mut world.tasks[..2] {
        task.protection = Some(Protection { expires_at: until });
    }
    world.scale(1);
    let plan = world.pass();
    assert_eq!(plan.last.stop.iter().map(|s| s.task).collect::<Vec<_>>(), [world.tasks[2].id]);
    assert_eq!(plan.next, Some(until));
    assert_eq!(
        plain(&world).last().expect("an event"),
        "(service web) was unable to reach steady state because (taskSet D1) was unable to scale \
         in due to (reason 2 tasks under protection)"
    );
    world.agents();
    world.advance(600);
    assert_eq!(world.pass().last.stop.len(), 1);
}

#[test]
fn a_draining_instance_is_left() {
    let mut world = World::steady(2, 2);
    world.scale(3);
    world.pass();
    // The third task waits on an instance that drains now, together with one that runs there.
    let instance = world.tasks[2].instance;
    world.set_status(instance, InstanceStatus::Draining);
    let plan = world.pass();
    assert_eq!(plan.last.stop.iter().map(|s| s.task).collect::<Vec<_>>(), [world.tasks[2].id]);
    assert_eq!(plan.last.start.expect("replacements").assigned.len(), 2);
    world.agents();
    let plan = world.pass();
    assert_eq!(plan.last.stop.len(), 1, "its replacement runs");
    world.agents();
    world.pass();
    assert!(world.running().all(|task| task.instance != instance));
    assert_eq!(world.counts(), (3, 0));
}

#[test]
fn what_has_no_place_is_told_with_the_reason() {
    let mut world = World::new(1, 0);
    let plan = world.pass();
    assert!(plan.unplaced.is_some());
    world.pass();
    world.add_instance();
    world.instances[0].registered.cpu_units = 1;
    world.pass();
    assert_eq!(
        plain(&world),
        [
            "(service web) was unable to place a task because no container instance met all of \
             its requirements. Reason: No Container Instances were found in your cluster. For \
             more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
            "(service web) was unable to place a task because no container instance met all of \
             its requirements. The closest matching (container-instance I0) has insufficient CPU \
             units available. For more information, see the Troubleshooting section of the Amazon \
             ECS Developer Guide.",
        ]
    );
}

#[test]
fn zero_tasks_are_steady_at_once() {
    let mut world = World::new(0, 0);
    world.pass();
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
}

#[test]
fn a_deleted_service_drains_and_is_gone() {
    let mut world = World::steady(2, 2);
    world.scale(0);
    world.service.status = ServiceStatus::Draining;
    assert_eq!(world.pass().last.stop.len(), 2);
    assert!(world.pass().is_empty());
    world.agents();
    world.pass();
    assert_eq!(world.service.status, ServiceStatus::Inactive);
    assert_eq!(world.service.deleted_at, Some(world.now));
    assert!(world.pass().is_empty());
}

#[test]
fn a_large_service_starts_and_stops_in_portions() {
    let sizes = |plan: &Plan| plan.portions().map(Portion::len).collect::<Vec<_>>();
    let mut world = World::new(150, 20);
    let plan = world.pass();
    assert_eq!(sizes(&plan), [56, 56, 38]);
    assert!(world.events[0].contains("has started 56 tasks: (task"), "{:?}", world.events);
    assert!(world.events[2].contains("has started 38 tasks: (task"));
    world.settle();
    world.service.desired_count = 0;
    assert_eq!(sizes(&world.pass()), [56, 56, 38]);
}

#[test]
fn a_very_large_service_starts_in_several_passes() {
    let mut world = World::new(3_000, 400);
    let starts = |plan: Plan| plan.portions().map(Portion::len).sum::<usize>();
    let sizes: Vec<usize> = (0..3).map(|_| starts(world.pass())).collect();
    assert_eq!(sizes, [limits::SERVICE_MOVES, 3_000 - limits::SERVICE_MOVES, 0]);
}

#[test]
fn nothing_goes_ahead_of_a_change_of_course() {
    let mut world = World::new(150, 40);
    world.settle();
    let breaker = &mut world.service.deployment_configuration.circuit_breaker;
    (breaker.enable, breaker.rollback) = (true, true);
    breaker.threshold = crate::record::Threshold::Count(1);
    world.deploy();
    world.pass();
    world.report(150, ContainerStatus::Stopped, None);
    let plan = world.pass();
    assert!(world.told.contains(&EventKind::RollingBack), "{:?}", world.events);
    assert!(plan.ahead.is_empty() && !plan.last.stop.is_empty(), "{plan:?}");
    assert!(world.pass().stops().count() > 56, "the others follow");
}

#[test]
fn a_daemon_runs_once_on_each_instance() {
    let mut world = World::daemon(3);
    world.pass();
    assert_eq!(world.service.desired_count, 3);
    world.settle();
    assert_eq!(world.counts(), (3, 0));
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
    world.add_instance();
    world.settle();
    assert_eq!(world.counts(), (4, 0));
    let drained = world.instances[0].id;
    world.set_status(drained, InstanceStatus::Draining);
    let plan = world.pass();
    assert_eq!(plan.last.stop.len(), 1);
    world.settle();
    assert_eq!((world.counts(), world.service.desired_count), ((3, 0), 3));
    // A new revision replaces in place: the old task goes first.
    world.deploy();
    let plan = world.pass();
    assert_eq!((plan.last.stop.len(), plan.last.start), (3, None));
    world.settle();
    assert_eq!(world.counts(), (3, 0));
}
