//! What could be emptied, and what not.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::world::World;
use crate::deploy::consolidate::{Cluster, Consolidation, consolidate};
use crate::ids::InstanceId;
use crate::record::Protection;

fn plan(world: &World, below_percent: u32) -> Consolidation {
    let services = BTreeMap::from([(world.service.name.clone(), &world.service)]);
    let instances: Vec<_> = world.instances.iter().collect();
    let tasks: Vec<_> = world.tasks.iter().collect();
    let specs = world.specs();
    let cluster = Cluster {
        instances: &instances,
        tasks: &tasks,
        services: &services,
        specs: &specs,
        now: world.now,
    };
    consolidate(&cluster, below_percent)
}

fn kept(plan: &Consolidation) -> Vec<&str> {
    plan.keeps.iter().map(|(_, why)| why.as_str()).collect()
}

#[test]
fn half_empty_instances_move_together() {
    let world = World::steady(4, 4);
    let plan = plan(&world, 50);
    let emptied: Vec<InstanceId> = plan.drains.iter().map(|drain| drain.instance).collect();
    assert_eq!(emptied.len(), 2, "{plan:?}");
    let targets = plan.drains.iter().flat_map(|drain| &drain.moves).map(|step| step.to);
    assert!(targets.clone().all(|to| !emptied.contains(&to)), "no task would move twice");
    assert_eq!(targets.count(), 2);
    assert_eq!(kept(&plan), ["it takes tasks of other instances"; 2]);
}

#[test]
fn instances_without_tasks_can_go_as_they_are() {
    let world = World::steady(1, 2);
    let plan = plan(&world, 50);
    assert_eq!(plan.empty.len(), 1);
    assert!(plan.drains.is_empty(), "the last one has nowhere to go");
    assert!(kept(&plan)[0].ends_with("there is no other instance"), "{plan:?}");
}

#[test]
fn what_cannot_move_is_said() {
    let mut world = World::steady(2, 2);
    assert!(kept(&plan(&world, 0)).iter().all(|why| why.contains("is used, more than 0 %")));

    let ends = world.now + Duration::from_secs(600);
    world.tasks[0].protection = Some(Protection { expires_at: ends });
    world.tasks[1].protection = Some(Protection { expires_at: ends });
    assert!(kept(&plan(&world, 50)).iter().all(|why| why.contains("is protected until")));
    world.now = ends;
    assert_eq!(plan(&world, 50).drains.len(), 1);

    let configuration = world.service.deployment_configuration;
    world.service.deployment_configuration.minimum_healthy_percent = 75;
    world.service.deployment_configuration.maximum_percent = 125;
    assert!(kept(&plan(&world, 50)).iter().all(|why| why.contains("leave no room")));
    world.service.deployment_configuration = configuration;

    for task in &mut world.tasks {
        task.group = String::from("family:web");
    }
    let alone = plan(&world, 50);
    assert!(kept(&alone).iter().all(|why| why.contains("belongs to no service")), "{alone:?}");
}
