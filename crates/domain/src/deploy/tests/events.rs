//! Every event of a service, as it comes about: for each kind a story told by the real planner,
//! and the text that AWS would show.
//!
//! A new kind of event does not compile until it has its stories here.

use alloc::string::String;
use alloc::vec::Vec;

use super::plain;
use super::world::World;
use crate::deploy::EventKind;
use crate::record::{
    AgentConnection, ConstraintKind, HealthStatus, InstanceStatus, PlacementConstraint,
    PortMapping, Protection, Protocol, ShiftStrategy,
};
use crate::route::HealthState;

/// What happens, and the event of the kind that tells of it. Ids stand as `T1`, `D1` and `I0`, in
/// order of appearance.
type Story = (&'static str, fn() -> World, &'static str);

fn stories(kind: EventKind) -> &'static [Story] {
    match kind {
        EventKind::SteadyState => STEADY_STATE,
        EventKind::TasksStarted => TASKS_STARTED,
        EventKind::TasksStopped => TASKS_STOPPED,
        EventKind::PendingTasksStopped => PENDING_TASKS_STOPPED,
        EventKind::DrainingBegun => DRAINING_BEGUN,
        EventKind::TargetUnhealthy => TARGET_UNHEALTHY,
        EventKind::DeploymentCompleted => DEPLOYMENT_COMPLETED,
        EventKind::DeploymentFailed => DEPLOYMENT_FAILED,
        EventKind::RollingBack => ROLLING_BACK,
        EventKind::TrafficShifted => TRAFFIC_SHIFTED,
        EventKind::Unplaced => UNPLACED,
        EventKind::RoleRefused => ROLE_REFUSED,
        EventKind::StartImpaired => START_IMPAIRED,
        EventKind::DeploymentBlocked => DEPLOYMENT_BLOCKED,
        EventKind::ScaleInProtected => SCALE_IN_PROTECTED,
        EventKind::ZonesUnbalanced => ZONES_UNBALANCED,
        EventKind::ZonesBalanced => ZONES_BALANCED,
        EventKind::ZoneTasksStarted => ZONE_TASKS_STARTED,
        EventKind::ZoneTasksStopped => ZONE_TASKS_STOPPED,
        EventKind::ZoneUnplaced => ZONE_UNPLACED,
        EventKind::ZoneProtected => ZONE_PROTECTED,
        EventKind::RebalancingStopped => REBALANCING_STOPPED,
    }
}

macro_rules! unplaced {
    ($why:literal) => {
        concat!(
            "(service web) was unable to place a task because no container instance met all of its \
             requirements. ",
            $why,
            " For more information, see the Troubleshooting section of the Amazon ECS Developer \
             Guide."
        )
    };
}

const TRAFFIC_SHIFTED: &[Story] = &[(
    "production traffic shifts to a new revision",
    || {
        let mut world = World::shifting(ShiftStrategy::BlueGreen, 1);
        world.deploy();
        world.serve();
        world.settle();
        world
    },
    "(service web) has shifted 100.0% of production traffic to (deployment D2).",
)];

/// Everything that may be in the way of a task.
const ROLE_REFUSED: &[Story] = &[(
    "the role was deleted",
    || refused(World::refuse_role),
    "(service web) failed to launch a task with (error ECS was unable to assume the role \
     'arn:aws:iam::000000000000:role/app' that was provided for this task. Please verify that the \
     role being passed has the proper trust relationship and permissions and that your IAM user has \
     permissions to pass this role.).",
)];

const UNPLACED: &[Story] = &[
    (
        "the cluster is empty",
        || refused(|world| world.instances.clear()),
        unplaced!("Reason: No Container Instances were found in your cluster."),
    ),
    (
        "CPU units are short",
        || refused(|world| world.instances[0].registered.cpu_units = 15),
        unplaced!(
            "The closest matching (container-instance I0) has insufficient CPU units available."
        ),
    ),
    (
        "memory is short",
        || refused(|world| world.instances[0].registered.memory_mib = 15),
        unplaced!(
            "The closest matching (container-instance I0) has insufficient memory available."
        ),
    ),
    (
        "a task set wants memory",
        || {
            external(|world| {
                world.instances.truncate(1);
                world.instances[0].registered.memory_mib = 15;
                world.pass();
            })
        },
        "(service web, taskSet D1) was unable to place a task because no container instance \
             met all of its requirements. The closest matching (container-instance I0) has \
             insufficient memory available. For more information, see the Troubleshooting section \
             of the Amazon ECS Developer Guide.",
    ),
    (
        "the agent keeps the port",
        || {
            refused(|world| {
                let port = PortMapping {
                    container_port: 22,
                    host_port: Some(22),
                    protocol: Protocol::Tcp,
                };
                world.newest_spec().containers[0].ports.push(port);
                world.instances[0].registered.reserved_tcp_ports.insert(22);
            })
        },
        unplaced!(
            "The closest matching (container-instance I0) is already using a port required by \
                 your task."
        ),
    ),
    (
        "an attribute is missing",
        || {
            refused(|world| {
                let attributes = &mut world.newest_spec().requires_attributes;
                attributes.push(("com.example.gone".into(), None));
            })
        },
        unplaced!(
            "The closest matching (container-instance I0) is missing an attribute required by \
                 your task."
        ),
    ),
    (
        "a constraint is not satisfied",
        || {
            refused(|world| {
                world.service.placement_constraints.push(PlacementConstraint {
                    kind: ConstraintKind::MemberOf,
                    expression: Some("attribute:ecs.availability-zone == z".into()),
                });
            })
        },
        unplaced!("Reason: No Container Instances met all of the task's placement constraints."),
    ),
    (
        "the agent is not connected",
        || {
            refused(|world| {
                let since = world.now;
                world.instances[0].connection =
                    AgentConnection { connected: false, since, server: 0 };
            })
        },
        unplaced!("The closest matching (container-instance I0) encountered error \"AGENT\"."),
    ),
    (
        "the only instance drains",
        || refused(|world| world.instances[0].status = InstanceStatus::Draining),
        unplaced!("Reason: No Container Instances were found in your cluster."),
    ),
];

const STEADY_STATE: &[Story] = &[
    ("a service is created", || World::steady(1, 1), "(service web) has reached a steady state."),
    (
        "a task set is created",
        || external(World::settle),
        "(service web, taskSet D1) has reached a steady state.",
    ),
    (
        "all task sets are steady",
        || external(World::settle),
        "(service web) has reached a steady state.",
    ),
];

const TASKS_STARTED: &[Story] = &[
    (
        "a service is created",
        || World::steady(2, 1),
        "(service web) has started 2 tasks: (task T1) (task T2).",
    ),
    (
        "a task fails its health check",
        unhealthy,
        "(service web) has started 1 tasks: (task T2). Amazon ECS replaced 1 tasks due to \
                 an unhealthy status.",
    ),
    (
        "a task set is created",
        || external(World::settle),
        "(service web, taskSet D1) has started 2 tasks: (task T1) (task T2).",
    ),
];

const TASKS_STOPPED: &[Story] = &[
    (
        "a service is scaled in",
        || scaled_in(World::steady(3, 1)),
        "(service web) has stopped 2 running tasks: (task T1) (task T2).",
    ),
    (
        "a task set is scaled in",
        || {
            external(|world| {
                world.settle();
                world.service.task_sets[0].scale = super::world::scale(50);
                world.pass();
            })
        },
        "(service web, taskSet D1) has stopped 1 running tasks: (task T1).",
    ),
];

const PENDING_TASKS_STOPPED: &[Story] = &[(
    "a service is scaled in before its tasks run",
    || {
        let mut world = World::new(3, 1);
        world.pass();
        scaled_in(world)
    },
    "(service web) stopped 2 pending tasks.",
)];

const DRAINING_BEGUN: &[Story] = &[(
    "a service behind a balancer is scaled in",
    || scaled_in(World::balanced(3, 1)),
    "(service web) has begun draining connections on 2 tasks.",
)];

const TARGET_UNHEALTHY: &[Story] = &[(
    "a target answers its health check with 503",
    || {
        let mut world = World::balanced(1, 1);
        world.find(world.tasks[0].id, HealthState::Unhealthy);
        world.pass();
        world
    },
    "(service web) (task T1) (port 8080) is unhealthy in (target-group TG) due to (reason Health \
     checks failed with these codes: [503]).",
)];

const DEPLOYMENT_COMPLETED: &[Story] = &[(
    "a deployment is through",
    || {
        let mut world = World::steady(1, 1);
        world.deploy();
        world.settle();
        world.advance(60);
        world.settle();
        world
    },
    "(service web) (deployment D2) deployment completed.",
)];

const DEPLOYMENT_FAILED: &[Story] = &[(
    "the circuit breaker counts three tasks that do not start",
    || guarded(false),
    "(service web) (deployment D2) deployment failed: tasks failed to start.",
)];

const ROLLING_BACK: &[Story] = &[(
    "the circuit breaker goes back",
    || guarded(true),
    "(service web) rolling back to deployment D1.",
)];

const START_IMPAIRED: &[Story] = &[(
    "a task never runs",
    || {
        let mut world = World::new(1, 1);
        for _ in 0..4 {
            world.advance(900);
            world.pass();
            world.agents_fail();
        }
        world.pass();
        world
    },
    "(service web) is unable to consistently start tasks successfully.",
)];

const DEPLOYMENT_BLOCKED: &[Story] = &[(
    "a deployment may neither start nor stop a task",
    || {
        let mut world = World::steady(2, 2);
        world.service.deployment_configuration.maximum_percent = 100;
        world.deploy();
        world.pass();
        world
    },
    "(service web) was unable to stop or start tasks during a deployment because of the \
             service deployment configuration. Update the minimumHealthyPercent or maximumPercent \
             value and try again.",
)];

const SCALE_IN_PROTECTED: &[Story] = &[
    (
        "protected tasks are to go",
        || scaled_in(protected(World::steady(3, 1))),
        "(service web) was unable to reach steady state because (taskSet D1) was unable to \
                 scale in due to (reason 3 tasks under protection)",
    ),
    (
        "protected tasks of a task set are to go",
        || {
            external(|world| {
                world.settle();
                protect(world);
                world.scale(1);
                world.pass();
            })
        },
        "(service web) was unable to reach steady state because (taskSet D1) was unable to \
                 scale in due to (reason 2 tasks under protection)",
    ),
];

const ZONES_UNBALANCED: &[Story] = &[(
    "a zone is back",
    || lopsided(|world| drop(world.pass())),
    "(service web) is not AZ balanced with 4 tasks in a, 0 tasks in b. AZ Rebalancing in \
             progress.",
)];

const ZONES_BALANCED: &[Story] = &[(
    "all tasks have moved",
    || lopsided(World::settle),
    "(service web) is AZ balanced with 2 tasks in a, 2 tasks in b.",
)];

const ZONE_TASKS_STARTED: &[Story] = &[(
    "a zone is back",
    || lopsided(|world| drop(world.pass())),
    "(service web) has started 1 tasks in b to AZ Rebalance: (task T5).",
)];

const ZONE_TASKS_STOPPED: &[Story] = &[(
    "the task in the other zone runs",
    || lopsided(World::settle),
    "(service web) has stopped 1 running tasks in a due to AZ rebalancing: (task T1).",
)];

const ZONE_UNPLACED: &[Story] = &[(
    "the zone that is back has no room",
    || {
        lopsided(|world| {
            world.instances[1].registered.cpu_units = 1;
            world.pass();
        })
    },
    "(service web) is unable to place a task in b because no container instance met all \
             of its requirements.",
)];

const ZONE_PROTECTED: &[Story] = &[(
    "all tasks of the full zone are protected",
    || {
        lopsided(|world| {
            protect(world);
            world.pass();
        })
    },
    "(service web) was unable to AZ Rebalance because (taskSet D1) was unable to scale in \
             due to (reason 4 tasks under protection)",
)];

const REBALANCING_STOPPED: &[Story] = &[(
    "a deployment begins while tasks move",
    || {
        lopsided(|world| {
            world.pass();
            world.deploy();
            world.pass();
        })
    },
    "(service web) stopped AZ Rebalancing.",
)];

/// A service of one task that one instance does not take.
fn refused(because: fn(&mut World)) -> World {
    let mut world = World::new(1, 1);
    because(&mut world);
    world.pass();
    world
}

/// A service of two tasks in one task set.
fn external(then: fn(&mut World)) -> World {
    let mut world = World::external(2, 2);
    world.create_task_set(100);
    then(&mut world);
    world
}

fn scaled_in(mut world: World) -> World {
    world.scale(1);
    world.pass();
    world
}

fn protect(world: &mut World) {
    let expires_at = world.now + core::time::Duration::from_secs(600);
    for task in &mut world.tasks {
        task.protection = Some(Protection { expires_at });
    }
}

fn protected(mut world: World) -> World {
    protect(&mut world);
    world
}

fn unhealthy() -> World {
    let mut world = World::new(1, 2);
    world.health_checks = true;
    world.deploy();
    world.settle();
    world.health(HealthStatus::Unhealthy);
    world.pass();
    world
}

/// A second deployment whose tasks do not start.
fn guarded(rollback: bool) -> World {
    let mut world = World::steady(1, 2);
    let breaker = &mut world.service.deployment_configuration.circuit_breaker;
    (breaker.enable, breaker.rollback) = (true, rollback);
    world.deploy();
    for _ in 0..4 {
        world.pass();
        world.agents_fail();
        world.advance(900);
    }
    world
}

/// Four tasks in zone `a`, none in zone `b`, which is there again; the zones are to be levelled.
fn lopsided(then: fn(&mut World)) -> World {
    let mut world = World::new(4, 2);
    world.instances[1].status = InstanceStatus::Draining;
    world.settle();
    world.instances[1].status = InstanceStatus::Active;
    world.service.zone_rebalancing = true;
    then(&mut world);
    world
}

#[test]
fn every_event_has_the_words_of_aws() {
    for kind in EventKind::ALL {
        for (story, play, expected) in stories(*kind) {
            let world = play();
            let told = plain(&world);
            let told: Vec<&str> = told
                .iter()
                .zip(&world.told)
                .filter(|(_, told)| *told == kind)
                .map(|(text, _)| text.as_str())
                .collect();
            assert!(told.contains(expected), "{kind:?}, {story}: {told:#?}\nnot: {expected}");
        }
    }
}

#[test]
fn every_kind_is_listed_once() {
    let mut kinds = EventKind::ALL.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), EventKind::ALL.len());
    // The last one of the enumeration is the last of the list: none was added behind it.
    assert_eq!(kinds.last().map(|kind| *kind as usize + 1), Some(EventKind::ALL.len()));
}

/// Events of one kind in a world, after so many passes at so many seconds' distance.
fn count(mut world: World, kind: EventKind, passes: usize, seconds: u64) -> usize {
    for _ in 0..passes {
        world.advance(seconds);
        world.pass();
    }
    world.told.iter().filter(|told| **told == kind).count()
}

#[test]
fn what_lasts_is_repeated_every_six_hours() {
    let lasting: [(EventKind, fn() -> World); 7] = [
        (EventKind::SteadyState, || World::steady(1, 1)),
        (EventKind::Unplaced, || refused(|world| world.instances.clear())),
        (EventKind::RoleRefused, || refused(World::refuse_role)),
        (EventKind::ScaleInProtected, || {
            let mut world = scaled_in(protected(World::steady(3, 1)));
            for task in &mut world.tasks {
                let expires_at = world.now + core::time::Duration::from_secs(1_000_000);
                task.protection = Some(Protection { expires_at });
            }
            world
        }),
        (EventKind::DeploymentBlocked, || {
            let mut world = World::steady(2, 2);
            world.service.deployment_configuration.maximum_percent = 100;
            world.deploy();
            world.pass();
            world
        }),
        (EventKind::ZoneUnplaced, || {
            lopsided(|world| {
                world.instances[1].registered.cpu_units = 1;
                world.pass();
            })
        }),
        (EventKind::ZonesUnbalanced, || {
            lopsided(|world| {
                world.instances[1].registered.cpu_units = 1;
                world.pass();
            })
        }),
    ];
    for (kind, world) in lasting {
        assert_eq!(count(world(), kind, 359, 60), 1, "{kind:?} within six hours");
        assert_eq!(count(world(), kind, 361, 60), 2, "{kind:?} after six hours");
        assert_eq!(count(world(), kind, 4, 6 * 3600), 5, "{kind:?} after a day");
    }
}

#[test]
fn what_ends_and_begins_anew_is_told_anew() {
    let mut world = refused(|world| world.instances[0].registered.cpu_units = 1);
    world.pass();
    assert_eq!(world.events.len(), 1);
    // For another reason, then for none, then for the first one again.
    world.instances[0].registered.cpu_units = 1000;
    world.instances[0].registered.memory_mib = 1;
    world.pass();
    world.instances[0].registered.memory_mib = 1000;
    world.settle();
    world.instances[0].registered.cpu_units = 1;
    world.agents_die();
    world.pass();
    let told: Vec<String> = plain(&world);
    let unplaced: Vec<&str> = told
        .iter()
        .filter(|text| text.contains("unable to place"))
        .map(|text| if text.contains("CPU") { "CPU" } else { "memory" })
        .collect();
    assert_eq!(unplaced, ["CPU", "memory", "CPU"]);
}

#[test]
fn events_of_one_moment_are_in_order() {
    let mut world = World::steady(1, 1);
    world.deploy();
    world.settle();
    world.advance(60);
    world.settle();
    assert_eq!(
        plain(&world)[3..],
        [
            "(service web) has started 1 tasks: (task T2).",
            "(service web) has stopped 1 running tasks: (task T1).",
            "(service web) (deployment D2) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
}
