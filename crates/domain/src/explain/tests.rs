use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::fidelity::Fidelity;
use crate::ids::TaskId;
use crate::record::{
    ContainerSpec, ContainerState, ContainerStatus, DependencyCondition, DesiredStatus,
    HealthStatus, NetworkMode, Observed, StopCode, StopOrder, TaskSpec, TaskStatus,
};
use crate::schedule::testing;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + seconds * 1000)
}

fn container(name: &str, depends_on: &[(&str, DependencyCondition)]) -> ContainerSpec {
    ContainerSpec {
        name: name.into(),
        image: alloc::format!("{name}:1"),
        cpu_units: 0,
        memory_mib: Some(16),
        memory_reservation_mib: None,
        essential: name == "app",
        ports: vec![],
        gpus: 0,
        has_health_check: true,
        depends_on: depends_on.iter().map(|(other, c)| (String::from(*other), *c)).collect(),
    }
}

fn spec() -> TaskSpec {
    TaskSpec {
        cpu_units: None,
        memory_mib: None,
        network_mode: NetworkMode::Bridge,
        containers: vec![
            container("app", &[("db", DependencyCondition::Healthy)]),
            container("db", &[]),
        ],
        placement_constraints: vec![],
        requires_attributes: vec![],
    }
}

/// A task that was made now, of two containers.
fn pending() -> Task {
    let states = ["app", "db"].map(|name| ContainerState::pending(name.into(), TaskId::new(9)));
    Task {
        created_at: at(0),
        observed: Observed::pending(states.into_iter().collect()),
        ..testing::task(1, 1)
    }
}

fn explained(change: impl FnOnce(&mut Task)) -> Vec<Wait> {
    let mut subject = pending();
    change(&mut subject);
    let instance = testing::instance(1, "a");
    task(&subject, Some(&spec()), Some(&instance), &BTreeMap::new(), Fidelity::default())
}

#[test]
fn a_task_on_its_way_names_the_step_it_is_at() {
    type Step = (&'static str, fn(&mut Task), Cause, &'static str, i64);
    let table: [Step; 4] = [
        ("made", |_| {}, Cause::Agent, "its agent to take the task", 0),
        (
            "pulling",
            |task| {
                task.observed.connectivity_at = Some(at(1));
                task.observed.pull_started_at = Some(at(2));
            },
            Cause::Pulling,
            "its images to be pulled: app:1, db:1",
            2,
        ),
        (
            "the database starts",
            |task| {
                task.observed.pull_started_at = Some(at(2));
                task.observed.pull_stopped_at = Some(at(5));
            },
            Cause::Dependency,
            "container app waits for db to pass its health check",
            5,
        ),
        (
            "the database is healthy",
            |task| {
                task.observed.pull_started_at = Some(at(2));
                task.observed.pull_stopped_at = Some(at(6));
                task.observed.containers[1].status = ContainerStatus::Running;
                task.observed.containers[1].health = HealthStatus::Healthy;
            },
            Cause::Starting,
            "its containers to be started: app",
            6,
        ),
    ];
    for (name, change, cause, what, since) in table {
        let waits = explained(change);
        let found: Vec<_> = waits.iter().map(|w| (w.cause, w.what.as_str(), w.since)).collect();
        assert_eq!(found, [(cause, what, Some(at(since)))], "{name}");
    }
}

#[test]
fn a_task_that_runs_waits_for_its_health_check_alone() {
    let runs = |health| {
        explained(move |task| {
            task.observed.status = TaskStatus::Running;
            task.observed.started_at = Some(at(7));
            task.observed.containers[0].health = health;
        })
    };
    assert_eq!(runs(HealthStatus::Healthy), []);
    let unknown = &runs(HealthStatus::Unknown)[0];
    assert_eq!((unknown.cause, unknown.since), (Cause::HealthCheck, Some(at(7))));
    assert!(runs(HealthStatus::Unhealthy)[0].what.contains("UNHEALTHY"));
}

#[test]
fn a_task_that_stops_is_killed_after_its_stop_timeout() {
    let mut subject = pending();
    subject.desired = DesiredStatus::Stopped;
    subject.stop =
        Some(StopOrder { code: StopCode::UserInitiated, reason: "enough".into(), at: at(10) });
    let timeouts =
        BTreeMap::from([((subject.family.clone(), subject.revision), Duration::from_secs(90))]);
    let instance = testing::instance(1, "a");
    let waits = task(&subject, None, Some(&instance), &timeouts, Fidelity::default());
    assert_eq!(waits[0].cause, Cause::Stopping);
    assert_eq!(waits[0].what, "2 containers to stop: enough");
    assert_eq!((waits[0].since, waits[0].until), (Some(at(10)), Some(at(100))));
}

#[test]
fn nobody_can_be_told_where_the_agent_is_away() {
    let mut instance = testing::instance(1, "a");
    instance.connection.connected = false;
    instance.connection.since = at(3);
    let none = BTreeMap::new();
    let waits = task(&pending(), None, Some(&instance), &none, Fidelity::default());
    let found: Vec<Cause> = waits.iter().map(|wait| wait.cause).collect();
    assert_eq!(found, [Cause::AgentDisconnected, Cause::Agent]);
    assert_eq!(waits[0].since, Some(at(3)));
    let waits = task(&pending(), None, None, &none, Fidelity::default());
    assert!(waits[0].what.contains("not registered any more"), "{}", waits[0].what);
}

#[test]
fn a_task_that_ended_says_why_and_what_to_do() {
    let table = [
        (
            StopCode::TaskFailedToStart,
            None,
            "CannotPullContainerError: no",
            "check the image's name",
        ),
        (StopCode::EssentialContainerExited, Some(137), "OutOfMemoryError: killed", "more memory"),
        (StopCode::EssentialContainerExited, Some(127), "", "check command and entryPoint"),
        (StopCode::EssentialContainerExited, Some(1), "", "read its last log lines"),
        (StopCode::TerminationNotice, None, "", "look at the container instance"),
    ];
    for (code, exit_code, reason, fix) in table {
        let waits = explained(|task| {
            task.observed.status = TaskStatus::Stopped;
            task.observed.stopped_at = Some(at(20));
            task.observed.ended = Some((code, "it ended".into()));
            let container = &mut task.observed.containers[0];
            container.exit_code = exit_code;
            container.reason = (!reason.is_empty()).then(|| reason.into());
        });
        let [wait] = waits.as_slice() else { panic!("{waits:?}") };
        assert_eq!((wait.cause, wait.since), (Cause::Stopped, Some(at(20))));
        assert!(wait.what.starts_with(code.as_str()), "{}", wait.what);
        assert!(wait.what.contains(reason), "{}", wait.what);
        assert_eq!(wait.what.contains("out of memory"), reason.starts_with("OutOf"));
        assert!(wait.fix.contains(fix), "{reason}: {}", wait.fix);
    }
}
