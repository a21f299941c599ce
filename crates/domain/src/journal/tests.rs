use alloc::vec::Vec;

use super::*;
use crate::record::{DesiredStatus, HealthStatus, TaskStatus};
use crate::schedule::testing;

/// What changes, how, and whether it is told.
type Case<R> = (&'static str, fn(&mut R), bool);

#[test]
fn a_change_of_a_task_matters_when_its_version_or_status_does() {
    let old = testing::task(1, 1);
    assert!(tells_task(None, &old), "a new task");
    let cases: [Case<Task>; 6] = [
        ("nothing", |_| {}, false),
        ("the scheduler's memory", |task| task.failure_counted = !task.failure_counted, false),
        ("a version", |task| task.version += 1, true),
        ("a stop", |task| task.desired = DesiredStatus::Stopped, true),
        ("an end", |task| task.observed.status = TaskStatus::Stopped, true),
        (
            "health, which has a version of its own",
            |task| {
                for container in &mut task.observed.containers {
                    container.health = HealthStatus::Healthy;
                }
                task.version += 1;
            },
            true,
        ),
    ];
    for (what, change, told) in cases {
        let mut new = old.clone();
        change(&mut new);
        assert_eq!(tells_task(Some(&old), &new), told, "{what}");
    }
}

#[test]
fn a_change_of_an_instance_matters_when_its_version_status_or_connection_does() {
    let old = testing::instance(1, "a");
    assert!(tells_instance(None, &old), "a new instance");
    let cases: [Case<ContainerInstance>; 5] = [
        ("nothing", |_| {}, false),
        ("another server", |instance| instance.connection.server += 1, false),
        ("an agent that is gone", |i| i.connection.connected = !i.connection.connected, true),
        ("draining", |instance| instance.status = InstanceStatus::Draining, true),
        ("a version", |instance| instance.version += 1, true),
    ];
    for (what, change, told) in cases {
        let mut new = old.clone();
        change(&mut new);
        assert_eq!(tells_instance(Some(&old), &new), told, "{what}");
        let over: Vec<_> = [&new].into_iter().filter(|i| instance_is_over(i)).collect();
        assert!(over.is_empty(), "{what}");
    }
    let gone = ContainerInstance { status: InstanceStatus::Inactive, ..old };
    assert!(instance_is_over(&gone));
}
