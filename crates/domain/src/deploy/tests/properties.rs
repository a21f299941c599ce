//! Whatever happens: never a plan that its checker objects to (safety, asserted in every pass);
//! and when things are well again, the service gets where it should be (liveness).

use alloc::vec;

use proptest::prelude::*;

use super::world::World;
use crate::record::{
    ContainerStatus, HealthStatus, HookAction, InstanceStatus, LifecycleStage, PauseHook,
    Protection, RolloutState, ServiceDeploymentStatus, TaskStatus,
};

#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    Pass,
    Agents,
    Agent(usize),
    Fails(usize),
    Dies(usize),
    Health(usize, bool),
    Time(u64),
    Scale(u32),
    Deploy(bool),
    Drain(usize),
    Activate(usize),
    Protect(usize),
    /// The role of the newest revision goes, or comes back.
    Role(bool),
}

pub(super) fn any_happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        8 => Just(H::Pass),
        4 => Just(H::Agents),
        4 => (0..40_usize).prop_map(H::Agent),
        2 => (0..40_usize).prop_map(H::Fails),
        2 => (0..40_usize).prop_map(H::Dies),
        3 => ((0..40_usize), any::<bool>()).prop_map(|(n, ok)| H::Health(n, ok)),
        4 => prop_oneof![Just(1_u64), Just(41), Just(1000)].prop_map(H::Time),
        1 => (0..8_u32).prop_map(H::Scale),
        1 => any::<bool>().prop_map(H::Deploy),
        1 => (0..4_usize).prop_map(H::Drain),
        1 => (0..4_usize).prop_map(H::Activate),
        1 => (0..40_usize).prop_map(H::Protect),
        1 => any::<bool>().prop_map(H::Role),
    ]
}

pub(super) fn happen(world: &mut World, happening: Happening) {
    let count = world.tasks.len();
    let runs = |world: &World, n: usize| world.tasks[n].observed.status == TaskStatus::Running;
    let health = |ok| if ok { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
    match happening {
        Happening::Pass => drop(world.pass()),
        Happening::Agents => world.agents(),
        Happening::Agent(n) if n < count => world.agent(n),
        Happening::Fails(n) | Happening::Dies(n) if n < count => {
            world.report(n, ContainerStatus::Stopped, runs(world, n).then_some(1));
        }
        Happening::Health(n, ok) if n < count && runs(world, n) => {
            world.tasks[n].observed.containers[0].health = health(ok);
        }
        Happening::Time(seconds) => world.advance(seconds),
        Happening::Scale(desired) => world.scale(desired),
        Happening::Deploy(checks) => {
            world.health_checks = checks;
            world.deploy();
        }
        Happening::Role(true) => world.refused_roles.clear(),
        Happening::Role(false) => world.refuse_role(),
        Happening::Drain(n) if n < world.instances.len() => {
            world.instances[n].status = InstanceStatus::Draining;
        }
        Happening::Activate(n) if n < world.instances.len() => {
            world.instances[n].status = InstanceStatus::Active;
        }
        Happening::Protect(n) if n < count => {
            let expires_at = world.now + core::time::Duration::from_secs(600);
            world.tasks[n].protection = Some(Protection { expires_at });
        }
        _ => {}
    }
}

/// Everything is well from now on, and time passes.
pub(super) fn recover(world: &mut World) {
    world.refused_roles.clear();
    for instance in &mut world.instances {
        instance.status = InstanceStatus::Active;
    }
    for _ in 0..80 {
        world.pass();
        world.agents();
        world.pending_health(HealthStatus::Healthy);
        world.advance(50);
    }
}

fn assert_steady(world: &World, desired: u32) {
    let counts = world.counts();
    assert_eq!(u32::try_from(counts.0), Ok(desired), "{:?}", world.service);
    assert_eq!(counts.1, 0);
    assert_eq!(world.service.deployments.len(), 1);
    assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
    assert_eq!(world.service.deployments[0].desired_count, desired);
}

/// Some counts leave no room between the bounds: 75 % of 1 is 1, 150 % too.
fn make_room(world: &mut World) {
    let configuration = &mut world.service.deployment_configuration;
    let bounds = crate::deploy::Bounds::of(configuration, world.service.desired_count);
    let wanted = usize::try_from(world.service.desired_count).expect("small");
    if bounds.min == wanted && bounds.max == wanted {
        configuration.maximum_percent = 200;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_replica_service_recovers_from_anything(
        desired in 0..8_u32,
        bounds in prop_oneof![
            4 => Just((100, 200)), 1 => Just((50, 100)), 1 => Just((0, 100)), 1 => Just((75, 150)),
        ],
        happenings in prop::collection::vec(any_happening(), 0..60),
    ) {
        let mut world = World::new(desired, 4);
        world.service.zone_rebalancing = desired % 2 == 0;
        world.service.deployment_configuration.minimum_healthy_percent = bounds.0;
        world.service.deployment_configuration.maximum_percent = bounds.1;
        for happening in happenings {
            happen(&mut world, happening);
        }
        make_room(&mut world);
        recover(&mut world);
        assert_steady(&world, world.service.desired_count);
        prop_assert!(world.pass().is_empty(), "nothing is left to do");
    }

    #[test]
    fn a_daemon_recovers_from_anything(
        minimum in prop_oneof![Just(0), Just(50)],
        happenings in prop::collection::vec(any_happening(), 0..60),
    ) {
        let mut world = World::daemon(4);
        world.service.deployment_configuration.minimum_healthy_percent = minimum;
        for happening in happenings {
            if !matches!(happening, Happening::Scale(_)) {
                happen(&mut world, happening);
            }
        }
        recover(&mut world);
        assert_steady(&world, 4);
        prop_assert!(world.pass().is_empty(), "nothing is left to do");
    }

    #[test]
    fn a_guarded_deployment_ends_whatever_happens(
        desired in 1..6_u32,
        bounds in prop_oneof![Just((100, 200)), Just((50, 100)), Just((0, 100))],
        rollback in any::<bool>(),
        pauses in any::<bool>(),
        completed in any::<bool>(),
        happenings in prop::collection::vec(any_happening(), 0..40),
        fails in any::<bool>(),
    ) {
        let mut world = World::new(desired, 4);
        world.service.deployment_configuration.minimum_healthy_percent = bounds.0;
        world.service.deployment_configuration.maximum_percent = bounds.1;
        if completed {
            recover(&mut world);
        }
        let breaker = &mut world.service.deployment_configuration.circuit_breaker;
        breaker.enable = true;
        breaker.rollback = rollback;
        if pauses {
            world.service.pause_hooks = vec![PauseHook {
                stages: vec![LifecycleStage::PreScaleUp, LifecycleStage::PostScaleUp],
                timeout_min: 10,
                action: HookAction::Continue,
                webhook: None,
            }];
        }
        world.deploy();
        for happening in happenings {
            if !matches!(happening, Happening::Deploy(_)) {
                happen(&mut world, happening);
            }
        }
        make_room(&mut world);
        world.refused_roles.clear();
        for _ in 0..300 {
            for instance in &mut world.instances {
                instance.status = InstanceStatus::Active;
            }
            world.pass();
            if fails {
                world.agents_fail();
            }
            world.agents();
            world.pending_health(HealthStatus::Healthy);
            world.advance(50);
        }
        let end = world.deployment.as_ref().expect("a service deployment");
        let waits_for_tasks = fails && !end.status.is_over();
        prop_assert!(
            end.status.is_over() || (waits_for_tasks && has_new_running_task(&world)),
            "{end:?} {:?}", world.service
        );
        prop_assert!(end.rollback.is_none() || end.status >= ServiceDeploymentStatus::RollbackInProgress);
        if end.status == ServiceDeploymentStatus::RollbackSuccessful {
            prop_assert_eq!(world.service.deployments[0].rollout, RolloutState::Completed);
        }
    }
}

/// Whether a task of the newest deployment runs: then tasks that cannot start do not fail it.
fn has_new_running_task(world: &World) -> bool {
    world.service.deployments[0].has_run
}
