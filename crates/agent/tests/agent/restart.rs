//! Agents that are killed, and runtimes that are restarted beneath them.

use std::time::Duration;

use longshore_agent::runtime::{Behavior, Runtime};

use crate::support::{Bench, container, task};

fn arn(report: &serde_json::Value) -> String {
    report["task"].as_str().expect("an ARN").to_owned()
}

#[tokio::test]
async fn a_killed_agent_takes_its_tasks_up_again() {
    let mut bench = Bench::start(vec![]).await;
    let stays = arn(&bench.run_one("stays", "RUNNING").await);
    let ends = arn(&bench.run_one("ends", "RUNNING").await);
    let removed = arn(&bench.run_one("removed", "RUNNING").await);
    let before = bench.control_plane.reports(&stays);
    bench.kill_agent().await;
    let containers = bench.runtime.containers();
    let id = |task: &str| {
        let of = |label: &str| label == task;
        let mut all = containers.iter();
        all.find(|c| of(&c.labels["com.amazonaws.ecs.task-arn"])).expect("a container").id.clone()
    };
    bench.runtime.exit(&id(&ends), 4);
    bench.runtime.remove(&id(&removed)).await.expect("it is removed");
    bench.start_agent();
    let ended = bench.control_plane.reported(&ends, "STOPPED").await;
    assert_eq!(ended["containers"][0]["exitCode"], 4);
    let vanished = bench.control_plane.reported(&removed, "STOPPED").await;
    assert_eq!(
        vanished["containers"][0]["reason"],
        "ContainerVanishedError: No container found on host"
    );
    let registered = bench.control_plane.look(|heard| {
        let mut calls = heard.calls.iter().filter(|(name, _)| name == "RegisterContainerInstance");
        calls.next_back().map(|(_, body)| body["containerInstanceArn"].clone())
    });
    assert_eq!(registered, Some(crate::control_plane::INSTANCE.into()), "as the same instance");
    assert_eq!(bench.control_plane.reports(&stays), before, "nothing is told twice");
    bench.control_plane.stop(&stays).await;
    bench.control_plane.reported(&stays, "STOPPED").await;
}

#[tokio::test]
async fn a_task_that_was_being_made_is_made_once() {
    let slow = Behavior {
        preloaded: true,
        create_delay: Duration::from_millis(30),
        start_delay: Duration::from_millis(30),
        ..Behavior::default()
    };
    let mut bench = Bench::start(vec![("slow", slow)]).await;
    let tasks: Vec<_> =
        (0..8).map(|i| task(&format!("half{i}"), vec![container("main", "slow")])).collect();
    let message = bench.control_plane.send_tasks(tasks.clone()).await;
    bench.control_plane.acknowledged(&message).await;
    for wait in [10, 25, 40] {
        // Somewhere between an accepted task and a running one.
        tokio::time::sleep(Duration::from_millis(wait)).await;
        bench.kill_agent().await;
        bench.start_agent();
    }
    for task in &tasks {
        bench.control_plane.reported(&task.arn, "RUNNING").await;
    }
    assert_eq!(bench.runtime.containers().len(), tasks.len(), "one container each");
}

#[tokio::test]
async fn what_was_not_acknowledged_is_told_again() {
    let mut bench = Bench::start(vec![]).await;
    let running = arn(&bench.run_one("main", "RUNNING").await);
    for _ in 0..1000 {
        bench.control_plane.fail_next("SubmitTaskStateChange", 500, "ServerException");
    }
    bench.runtime.exit(&bench.runtime.containers()[0].id, 2);
    bench
        .control_plane
        .wait("a report that fails", |heard| {
            heard.calls.iter().any(|(name, _)| name == "failed SubmitTaskStateChange").then_some(())
        })
        .await;
    bench.kill_agent().await;
    bench.control_plane.stop_failing();
    bench.start_agent();
    let stopped = bench.control_plane.reported(&running, "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 2);
}

#[tokio::test]
async fn a_restarted_runtime_is_looked_at_anew() {
    let bench = Bench::start(vec![]).await;
    let first = arn(&bench.run_one("main", "RUNNING").await);
    bench.runtime.break_events();
    // Its event is lost in the gap; that the container stands still is not.
    bench.runtime.exit(&bench.runtime.containers()[0].id, 5);
    let stopped = bench.control_plane.reported(&first, "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 5);
    let second = arn(&bench.run_one("other", "RUNNING").await);
    bench.control_plane.stop(&second).await;
    bench.control_plane.reported(&second, "STOPPED").await;
}
