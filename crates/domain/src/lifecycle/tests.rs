use alloc::vec;

use super::*;
use crate::ids::{InstanceId, Revision, Scope, TaskId};
use crate::record::{ContainerSpec, Demand, LaunchType, NetworkMode, Observed, StopOrder, Tags};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn spec() -> TaskSpec {
    let container = |name: &str, essential| ContainerSpec {
        name: name.into(),
        image: "image".into(),
        cpu_units: 0,
        memory_mib: Some(64),
        memory_reservation_mib: None,
        essential,
        ports: vec![],
        gpus: 0,
        has_health_check: false,
        depends_on: vec![],
    };
    TaskSpec {
        cpu_units: None,
        memory_mib: None,
        network_mode: NetworkMode::Bridge,
        containers: vec![container("main", true), container("side", false)],
        placement_constraints: vec![],
        requires_attributes: vec![],
    }
}

fn task() -> Task {
    let state = |name: &str| ContainerState::pending(name.into(), TaskId::new(9));
    Task {
        scope: Scope {
            account: "000000000000".parse().expect("account"),
            region: "us-east-1".parse().expect("region"),
        },
        cluster: "default".parse().expect("name"),
        id: TaskId::new(1),
        family: "f".parse().expect("name"),
        revision: Revision(1),
        instance: InstanceId::new(2),
        launch_type: LaunchType::Ec2,
        group: "family:f".into(),
        started_by: None,
        overrides: None,
        enable_execute_command: false,
        demand: Demand::default(),
        created_at: at(0),
        desired: DesiredStatus::Running,
        stop: None,
        draining_until: None,
        observed: Observed::pending(vec![state("main"), state("side")]),
        protection: None,
        images: alloc::collections::BTreeMap::new(),
        failure_counted: false,
        version: 1,
        tags: Tags::new(),
    }
}

fn container(name: &str, status: ContainerStatus) -> ContainerReport {
    ContainerReport {
        name: name.into(),
        status: Some(status),
        exit_code: None,
        reason: None,
        runtime_id: Some("abc".into()),
        image_digest: None,
        bindings: vec![],
    }
}

fn report(status: ContainerStatus, containers: Vec<ContainerReport>) -> TaskReport {
    TaskReport { status: Some(status), containers, ..TaskReport::default() }
}

#[test]
fn a_task_starts_and_its_essential_container_ends_it() {
    let running = report(
        ContainerStatus::Running,
        vec![
            container("main", ContainerStatus::Running),
            container("side", ContainerStatus::Running),
        ],
    );
    let task = reported(&task(), &spec(), &running, at(5)).expect("news");
    assert_eq!(
        (task.observed.status, task.observed.started_at),
        (TaskStatus::Running, Some(at(5)))
    );
    assert_eq!(reported(&task, &spec(), &running, at(6)), None, "the same report is no news");

    let mut main = container("main", ContainerStatus::Stopped);
    main.exit_code = Some(3);
    let ended = reported(&task, &spec(), &report(ContainerStatus::Stopped, vec![main]), at(9))
        .expect("news");
    assert_eq!(ended.desired, DesiredStatus::Stopped);
    assert_eq!(
        ended.observed.ended,
        Some((StopCode::EssentialContainerExited, ESSENTIAL_EXITED.into()))
    );
    assert!(ended.observed.containers.iter().all(|c| c.status == ContainerStatus::Stopped));
    assert_eq!(ended.version, 3);
    assert_eq!(
        reported(&ended, &spec(), &running, at(10)),
        None,
        "a stopped task never runs again"
    );
}

#[test]
fn a_task_that_never_ran_failed_to_start_for_the_containers_reason() {
    let mut main = container("main", ContainerStatus::Stopped);
    main.reason = Some("CannotPullContainerError: no such image".into());
    let ended = reported(&task(), &spec(), &report(ContainerStatus::Stopped, vec![main]), at(1))
        .expect("news");
    let (code, reason) = ended.observed.ended.expect("a reason");
    assert_eq!(code, StopCode::TaskFailedToStart);
    assert_eq!(reason, "CannotPullContainerError: no such image");
}

#[test]
fn a_stop_order_stays_the_reason() {
    let mut task = task();
    task.desired = DesiredStatus::Stopped;
    task.stop = Some(StopOrder { code: StopCode::UserInitiated, reason: "why".into(), at: at(1) });
    let ended = reported(&task, &spec(), &report(ContainerStatus::Stopped, vec![]), at(2));
    assert_eq!(ended.expect("news").observed.ended, None);
}

#[test]
fn late_reports_do_not_move_a_container_back() {
    let stopped =
        report(ContainerStatus::Running, vec![container("side", ContainerStatus::Stopped)]);
    let after = reported(&task(), &spec(), &stopped, at(1)).expect("news");
    let late = report(ContainerStatus::Pending, vec![container("side", ContainerStatus::Running)]);
    assert_eq!(reported(&after, &spec(), &late, at(2)), None);
}

#[test]
fn a_lost_instance_stops_its_tasks_with_its_reason() {
    let ended = lost(&task(), "Host EC2 (instance i-1) terminated.", at(3)).expect("news");
    let (code, reason) = ended.observed.ended.clone().expect("a reason");
    assert_eq!(
        (code, reason.as_str()),
        (StopCode::TerminationNotice, "Host EC2 (instance i-1) terminated.")
    );
    assert_eq!(lost(&ended, "again", at(4)), None);
}

#[test]
fn health_is_news_once() {
    let health = [("main".into(), HealthStatus::Healthy)];
    let after = measured(&task(), &health).expect("news");
    assert_eq!(measured(&after, &health), None);
}
