//! Daemons over time: one task on each instance, whatever instances and revisions do.

mod world;

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use self::world::World;
use super::places::width;
use super::waiting;
use crate::deploy::RefusedRole;
use crate::record::{
    ContainerStatus, DaemonDeploymentStatus as Status, DaemonStatus, DesiredStatus, HealthStatus,
    InstanceStatus, TaskStatus,
};
use crate::schedule::testing;

fn everywhere(instances: u128, revision: u64) -> BTreeMap<u128, u64> {
    (1..=instances).map(|id| (id, revision)).collect()
}

#[test]
fn a_new_daemon_is_everywhere_at_once() {
    let mut world = World::new(5);
    let plan = world.pass();
    assert_eq!(plan.start.expect("starts").1.len(), 5);
    assert_eq!(world.deployment.status, Status::InProgress);
    world.agents();
    let plan = world.pass();
    assert_eq!(world.deployment.status, Status::InProgress, "tasks have to settle");
    assert_eq!(plan.next, Some(world.now + Duration::from_secs(5)));
    world.advance(5);
    world.pass();
    assert_eq!(world.deployment.status, Status::Successful);
    assert_eq!(world.daemon().current, Some(1));
    assert!(world.pass().is_empty());
}

#[test]
fn without_instances_it_is_done_at_once_and_follows_those_that_join() {
    let mut world = World::new(0);
    world.pass();
    assert_eq!(world.deployment.status, Status::Successful);
    world.join();
    world.settle();
    assert_eq!(world.layout(), everywhere(1, 1));
}

#[test]
fn an_update_renews_a_share_at_a_time() {
    let mut world = World::new(8);
    world.settle();
    world.update(|_| {});
    let plan = world.pass();
    assert_eq!(plan.stop.len(), 2, "a quarter of eight");
    assert!(world.pass().is_empty(), "nothing starts before the old task has stopped");
    world.agents();
    assert_eq!(world.pass().start.expect("starts").1.len(), 2);
    assert!(world.pass().stop.is_empty(), "the next ones wait for the first ones");
    world.settle();
    assert_eq!(world.deployment.status, Status::Successful);
    assert_eq!(world.layout(), everywhere(8, 2));
}

#[test]
fn the_bake_time_runs_after_the_last_instance() {
    let mut world = World::new(1);
    world.deployment.configuration.bake_time_min = 3;
    world.pass();
    world.agents();
    world.advance(10);
    let plan = world.pass();
    assert_eq!(world.deployment.status, Status::InProgress);
    assert!(world.deployment.status_reason.as_ref().expect("why").contains("bake time"));
    assert_eq!(plan.next, Some(world.now + Duration::from_secs(170)));
    world.advance(170);
    world.pass();
    assert_eq!(world.deployment.status, Status::Successful);
}

#[test]
fn a_broken_revision_is_rolled_back() {
    let mut world = World::new(8);
    world.settle();
    world.broken.insert(2);
    world.update(|_| {});
    world.settle();
    assert_eq!(world.deployment.status, Status::RollbackSuccessful);
    assert_eq!(world.deployment.failures, world.deployment.threshold);
    let back = world.deployment.rollback.as_ref().expect("went back");
    assert_eq!((back.target, back.failures), (1, 0));
    assert!(world.deployment.stopped_at.is_some() && world.deployment.finished_at.is_some());
    assert_eq!(world.layout(), everywhere(8, 1));
    assert_eq!(world.daemon().current, Some(1));
}

#[test]
fn the_first_revision_has_no_way_back() {
    let mut world = World::new(1);
    world.broken.insert(1);
    world.settle();
    assert_eq!(world.deployment.status, Status::Stopped);
    assert!(world.deployment.status_reason.as_ref().expect("why").contains("no earlier"));
    assert_eq!(world.layout(), BTreeMap::new());
    world.update(|_| {});
    world.settle();
    assert_eq!(world.layout(), everywhere(1, 2));
}

#[test]
fn when_the_earlier_revision_fails_too_the_rollback_has_failed() {
    let mut world = World::new(1);
    world.settle();
    world.broken.extend([1, 2]);
    world.update(|_| {});
    for _ in 0..40 {
        world.pass();
        world.agents();
        world.advance(60);
    }
    assert_eq!(world.deployment.status, Status::RollbackFailed);
    world.broken.clear();
    world.advance(3600);
    world.settle();
    assert_eq!(world.layout(), everywhere(1, 1), "it is tried on");
}

#[test]
fn a_task_that_ends_is_tried_again_after_longer_and_longer() {
    let mut world = World::new(1);
    world.settle();
    world.broken.insert(1);
    let n = world.tasks.len() - 1;
    world.report(n, ContainerStatus::Stopped, Some(1));
    let mut delays = Vec::new();
    for _ in 0..4 {
        let plan = world.pass();
        let due = plan.next.expect("later");
        delays.push(due.saturating_since(world.now).as_secs());
        world.now = due;
        assert!(world.pass().start.is_some());
        world.agents();
    }
    assert_eq!(delays, [5, 10, 20, 40]);
}

#[test]
fn a_task_that_has_lasted_is_replaced_at_once() {
    let mut world = World::new(1);
    world.settle();
    world.advance(3600);
    world.report(0, ContainerStatus::Stopped, Some(1));
    assert!(world.pass().start.is_some());
}

#[test]
fn an_unhealthy_task_is_replaced_and_counts() {
    let mut world = World::new(1);
    world.spec = world::spec(true);
    world.pass();
    world.agents();
    world.tasks[0].observed.containers[0].health = HealthStatus::Unhealthy;
    assert_eq!(world.pass().stop.len(), 1);
    world.agents();
    world.pass();
    assert_eq!(world.deployment.failures, 1);
    world.settle();
    assert_eq!(world.layout(), everywhere(1, 1));
}

#[test]
fn on_a_draining_instance_the_daemon_is_the_last_to_stop() {
    let mut world = World::new(2);
    world.settle();
    world.others.push(testing::task(7, 1));
    world.instances[0].status = InstanceStatus::Draining;
    assert!(world.pass().is_empty());
    world.others[0].observed.status = TaskStatus::Stopped;
    assert_eq!(world.pass().stop.len(), 1);
    world.settle();
    assert_eq!(world.layout(), BTreeMap::from([(2, 1)]));
    world.instances[0].status = InstanceStatus::Active;
    world.settle();
    assert_eq!(world.layout(), everywhere(2, 1));
}

#[test]
fn only_instances_of_its_capacity_providers_have_it() {
    let mut world = World::new(3);
    world.instances[0].capacity_provider = Some("p".into());
    world.instances[1].capacity_provider = Some("q".into());
    world.settle();
    assert_eq!(world.layout(), BTreeMap::from([(1, 1), (3, 1)]));
    world.update(|revision| revision.capacity_providers = vec!["q".into()]);
    world.settle();
    assert_eq!(world.layout(), BTreeMap::from([(2, 2), (3, 2)]));
    assert_eq!(world.deployment.status, Status::Successful);
}

#[test]
fn an_instance_that_nobody_reaches_is_not_waited_for() {
    let mut world = World::new(2);
    world.instances[0].connection.connected = false;
    world.settle();
    assert_eq!(world.deployment.status, Status::Successful);
    world.instances[0].connection.connected = true;
    world.settle();
    assert_eq!(world.layout(), everywhere(2, 1));
}

#[test]
fn where_there_is_no_room_the_deployment_says_so() {
    let mut world = World::new(1);
    let mut big = testing::task(7, 1);
    big.demand.memory_mib = 4090;
    world.others.push(big);
    let plan = world.pass();
    assert_eq!(plan.unplaced.expect("refused").refusals.len(), 1);
    let reason = world.deployment.status_reason.clone().expect("why");
    assert!(reason.contains("RESOURCE:MEMORY"), "{reason}");
    assert!(world.pass().is_empty(), "it is said once");
    world.others.clear();
    world.settle();
    assert_eq!(world.deployment.status, Status::Successful);
    assert_eq!(world.deployment.status_reason, None);
}

#[test]
fn without_its_role_nothing_starts_and_nothing_old_ends() {
    let mut world = World::new(2);
    world.settle();
    let id = world.update(|_| {});
    let refused = RefusedRole { role: "app".into(), why: "taskRoleArn: there is none".into() };
    world.refused_roles.insert(id, refused);
    world.settle();
    assert_eq!(world.layout(), everywhere(2, 1));
    assert_eq!(world.deployment.status, Status::InProgress);
    let reason = world.deployment.status_reason.clone().expect("why");
    let start = "(daemon watch) failed to launch a task with (error ECS was unable to assume";
    assert!(reason.starts_with(start), "{reason}");
    assert!(world.pass().is_empty(), "it is said once");
    world.refused_roles.clear();
    world.settle();
    assert_eq!(world.layout(), everywhere(2, id));
    assert_eq!(world.deployment.status, Status::Successful);
    // An instance that joins waits, too.
    world.refused_roles.insert(id, RefusedRole { role: "app".into(), why: "gone".into() });
    world.join();
    assert!(world.pass().refused_role.is_some());
    assert_eq!(world.layout().len(), 2);
    world.refused_roles.clear();
    world.settle();
    assert_eq!(world.layout(), everywhere(3, id));
}

#[test]
fn a_deleted_daemon_stops_everywhere_and_is_gone() {
    let mut world = World::new(3);
    world.settle();
    world.delete();
    assert_eq!(world.pass().stop.len(), 3);
    assert_eq!(world.deployment.status, Status::InProgress);
    world.agents();
    world.pass();
    assert!(world.daemon.is_none());
    assert_eq!(world.deployment.status, Status::Successful);
}

#[test]
fn instances_that_join_wait_for_a_critical_daemon() {
    let mut world = World::new(1);
    let awaited = |world: &mut World| {
        let daemon = world.daemon.clone().expect("there");
        waiting(&daemon, &world.revisions[&1], &world.instances, &world.tasks)
    };
    assert_eq!(awaited(&mut world), [], "a new daemon holds up nobody who was there");
    let joined = world.join();
    assert_eq!(awaited(&mut world), [joined]);
    world.settle();
    assert_eq!(awaited(&mut world), []);
    world.report(0, ContainerStatus::Stopped, Some(1));
    assert_eq!(awaited(&mut world), [world.tasks[0].instance], "without it, nothing more comes");
    world.revisions.get_mut(&1).expect("there").critical = false;
    assert_eq!(awaited(&mut world), []);
}

#[test]
fn one_instance_at_least_is_renewed_at_a_time() {
    let cases =
        [(0, 25.0, 1), (1, 25.0, 1), (3, 25.0, 1), (8, 25.0, 2), (8, 100.0, 8), (9, 0.0, 1)];
    for (instances, percent, expected) in cases {
        assert_eq!(width(instances, percent), expected, "{percent} % of {instances}");
    }
}

#[test]
fn a_clock_that_is_set_back_delays_nothing() {
    let mut world = World::new(2);
    world.deployment.configuration.bake_time_min = 10;
    world.pass();
    world.agents();
    world.now = world.now - Duration::from_secs(7200);
    world.pass();
    assert_eq!(world.deployment.status, Status::Successful);
    world.now = world.now + Duration::from_secs(7200);
    world.report(0, ContainerStatus::Stopped, Some(1));
    world.now = world.now - Duration::from_secs(7200);
    assert!(world.pass().start.is_some());
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Pass,
    Agent(usize),
    Agents,
    Dies(usize),
    Unhealthy(usize),
    Time(u64),
    Back(u64),
    Update(bool),
    Status(usize, bool),
    Connection(usize, bool),
    Other(usize, bool),
    Join,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        8 => Just(H::Pass),
        4 => Just(H::Agents),
        4 => (0..30_usize).prop_map(H::Agent),
        2 => (0..30_usize).prop_map(H::Dies),
        1 => (0..30_usize).prop_map(H::Unhealthy),
        4 => prop_oneof![Just(1_u64), Just(6), Just(1000)].prop_map(H::Time),
        1 => prop_oneof![Just(3_u64), Just(5000)].prop_map(H::Back),
        1 => any::<bool>().prop_map(H::Update),
        2 => ((0..6_usize), any::<bool>()).prop_map(|(n, yes)| H::Status(n, yes)),
        2 => ((0..6_usize), any::<bool>()).prop_map(|(n, yes)| H::Connection(n, yes)),
        1 => ((0..6_usize), any::<bool>()).prop_map(|(n, yes)| H::Other(n, yes)),
        1 => Just(H::Join),
    ]
}

fn happen(world: &mut World, happening: Happening) {
    let (tasks, instances) = (world.tasks.len(), world.instances.len());
    match happening {
        Happening::Pass => drop(world.pass()),
        Happening::Agents => world.agents(),
        Happening::Agent(n) if n < tasks => world.agent(n),
        Happening::Dies(n) if n < tasks => world.report(n, ContainerStatus::Stopped, Some(1)),
        Happening::Unhealthy(n) if n < tasks => {
            world.tasks[n].observed.containers[0].health = HealthStatus::Unhealthy;
        }
        Happening::Time(seconds) => world.advance(seconds),
        Happening::Back(seconds) => world.now = world.now - Duration::from_secs(seconds),
        Happening::Update(broken) => {
            let id = world.update(|_| {});
            if broken {
                world.broken.insert(id);
            }
        }
        Happening::Status(n, active) if n < instances => {
            world.instances[n].status =
                if active { InstanceStatus::Active } else { InstanceStatus::Draining };
        }
        Happening::Connection(n, connected) if n < instances => {
            world.instances[n].connection.connected = connected;
        }
        Happening::Other(n, there) if n < instances => {
            let id = world.instances[n].id;
            world.others.retain(|task| task.instance != id);
            if there {
                world.others.push(testing::task(id.bits(), id.bits()));
            }
        }
        Happening::Join if instances < 6 => drop(world.join()),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens, no plan breaks a rule (asserted in every pass); when all is well again,
    /// each instance has one task of the revision that is wanted, and the deployment has ended.
    #[test]
    fn a_daemon_gets_where_it_should_be(
        instances in 0..5_u128,
        percent in prop_oneof![Just(0.0), Just(25.0), Just(60.0), Just(100.0)],
        checked in any::<bool>(),
        happenings in prop::collection::vec(any_happening(), 0..80),
    ) {
        let mut world = World::new(instances);
        world.spec = world::spec(checked);
        world.daemon().configuration.drain_percent = percent;
        world.deployment.configuration.drain_percent = percent;
        for happening in happenings {
            happen(&mut world, happening);
        }
        for instance in &mut world.instances {
            instance.status = InstanceStatus::Active;
            instance.connection.connected = true;
        }
        world.broken.clear();
        world.healthy();
        world.settle();
        prop_assert!(world.deployment.status.is_final());
        let wanted = super::wanted(&world.daemon().clone(), &world.deployment);
        if let Some(wanted) = wanted {
            let count = u128::try_from(world.instances.len()).expect("few");
            prop_assert_eq!(world.layout(), everywhere(count, wanted));
        }
    }

    /// A deleted daemon always comes to its end, and leaves nothing.
    #[test]
    fn a_deleted_daemon_leaves_nothing(
        happenings in prop::collection::vec(any_happening(), 0..40),
    ) {
        let mut world = World::new(3);
        for happening in happenings {
            happen(&mut world, happening);
        }
        for instance in &mut world.instances {
            instance.connection.connected = true;
        }
        world.delete();
        prop_assert_eq!(world.daemon().status, DaemonStatus::DeleteInProgress);
        world.settle();
        prop_assert!(world.daemon.is_none());
        prop_assert!(world.tasks.iter().all(|task| task.desired == DesiredStatus::Stopped));
    }
}
