//! The sessions: registration, heartbeats, acknowledgements, manifests, credentials, telemetry,
//! and what happens when a session ends.

use std::time::Duration;

use longshore_agent::runtime::Behavior;
use longshore_domain::record::HealthStatus;
use longshore_wire::agent::{
    AcsToAgent, AcsToServer, HeartbeatMessage, IamRoleCredentialsMessage, PublishHealthRequest,
    RoleCredentials, RoleType, TaskIdentifier, TaskManifestMessage, TaskStopVerificationAck,
    TcsToServer, UpdateMessage,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::control_plane::{CLUSTER, ControlPlane, Heard, INSTANCE};
use crate::support::{Bench, config, container, task};

#[tokio::test]
async fn an_agent_registers_through_failures_and_makes_its_cluster() {
    let mut bench = Bench::start(vec![]).await;
    bench.control_plane.wait("a session", |heard| heard.sessions.first().cloned()).await;
    bench.kill_agent().await;
    let control_plane = &bench.control_plane;
    control_plane.fail_next("RegisterContainerInstance", 400, "ClusterNotFoundException");
    control_plane.fail_next("RegisterContainerInstance", 500, "ServerException");
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config(control_plane.url(), dir.path());
    config.attributes.insert("stack".into(), "test".into());
    config.cpu_units = Some(512);
    bench.start_agent_with(config);
    let registered = bench
        .control_plane
        .wait("the second registration", |heard| {
            let mut calls = heard.calls.iter();
            calls.find(|(name, _)| name == "CreateCluster")?;
            let found = calls.find(|(name, _)| name == "RegisterContainerInstance")?;
            Some(found.1.clone())
        })
        .await;
    assert_eq!(registered["cluster"], "default");
    let attributes = registered["attributes"].as_array().expect("attributes");
    assert!(attributes.iter().any(|a| a["name"] == "stack" && a["value"] == "test"));
    assert_eq!(registered["totalResources"][0]["integerValue"], 512);
    let query = bench.control_plane.wait("a session", |heard| heard.sessions.get(1).cloned()).await;
    let wanted = ["sendCredentials=true", "protocolVersion=2", "seqNum=1", "clusterArn=default"];
    for part in wanted {
        assert!(query.contains(part), "{query}");
    }
}

#[tokio::test]
async fn an_agent_of_another_cluster_refuses_the_data() {
    let mut bench = Bench::start(vec![]).await;
    bench.control_plane.wait("a session", |heard| heard.sessions.first().cloned()).await;
    bench.kill_agent().await;
    let mut config = config(bench.control_plane.url(), bench.dir.path());
    config.cluster = "other".into();
    let runtime = std::sync::Arc::new(bench.runtime.clone());
    let ended = longshore_agent::run_with(config, runtime, std::future::pending()).await;
    let error = ended.expect_err("the data belongs to another cluster");
    assert!(matches!(error, longshore_agent::AgentError::OtherCluster { .. }), "{error}");
}

#[tokio::test]
async fn a_heartbeat_is_answered_and_an_update_refused() {
    let bench = Bench::start(vec![]).await;
    let message_id = Some("beat".to_owned());
    bench
        .control_plane
        .send(AcsToAgent::Heartbeat(HeartbeatMessage { healthy: true, message_id }))
        .await;
    bench.control_plane.send(AcsToAgent::Unknown("MessageOfTheFuture".into())).await;
    let update = UpdateMessage { message_id: "update".into(), ..UpdateMessage::default() };
    bench.control_plane.send(AcsToAgent::StageUpdate(update)).await;
    bench
        .control_plane
        .wait("both answers", |heard| {
            let beat = heard
                .acs
                .iter()
                .any(|m| matches!(m, AcsToServer::HeartbeatAck(ack) if ack.message_id == "beat"));
            let refused = heard.acs.iter().any(
                |m| matches!(m, AcsToServer::Nack(nack) if nack.reason == "Updates are disabled"),
            );
            (beat && refused).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_payload_may_come_twice_and_a_stop_for_nothing_is_answered() {
    let bench = Bench::start(vec![]).await;
    let one = task("twice", vec![container("main", "main")]);
    for _ in 0..2 {
        let message = bench.control_plane.send_tasks(vec![one.clone()]).await;
        bench.control_plane.acknowledged(&message).await;
    }
    bench.control_plane.reported(&one.arn, "RUNNING").await;
    assert_eq!(bench.runtime.containers().len(), 1);
    let unknown = task("unknown", vec![]).arn;
    bench.control_plane.stop(&unknown).await;
    let stopped = bench.control_plane.reported(&unknown, "STOPPED").await;
    assert_eq!(
        stopped["reason"],
        "TaskStateError: Agent could not progress task's state to stopped"
    );
}

#[tokio::test]
async fn an_unreadable_task_is_reported_and_its_payload_not_acknowledged() {
    let bench = Bench::start(vec![]).await;
    let frame = format!(
        r#"{{"type":"PayloadMessage","message":{{"messageId":"bad","clusterArn":"{CLUSTER}","containerInstanceArn":"{INSTANCE}","seqNum":9,
            "tasks":[{{"arn":"arn:x/bad","desiredStatus":"RUNNING","containers":7}},
                     {{"arn":"arn:x/good","desiredStatus":"RUNNING","family":"f","version":"1",
                       "containers":[{{"name":"main","image":"main","essential":true}}]}}]}}}}"#
    );
    bench.control_plane.send_raw(Message::text(frame)).await;
    let bad = bench.control_plane.reported("arn:x/bad", "STOPPED").await;
    let reason = bad["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("UnrecogniedTaskError: Error loading task - "), "{reason}");
    bench.control_plane.reported("arn:x/good", "RUNNING").await;
    let acknowledged = bench.control_plane.look(|heard| {
        heard.acs.iter().any(|m| matches!(m, AcsToServer::Ack(ack) if ack.message_id == "bad"))
    });
    assert!(!acknowledged);
}

#[tokio::test]
async fn a_task_that_is_not_in_the_manifest_is_stopped_after_a_question() {
    let bench = Bench::start(vec![]).await;
    let (keep, drop) =
        (task("keep", vec![container("main", "a")]), task("drop", vec![container("main", "b")]));
    bench.control_plane.send_tasks(vec![keep.clone(), drop.clone()]).await;
    bench.control_plane.reported(&keep.arn, "RUNNING").await;
    bench.control_plane.reported(&drop.arn, "RUNNING").await;
    let listed = |arn: &str, status: &str| TaskIdentifier {
        task_arn: arn.into(),
        task_cluster_arn: CLUSTER.into(),
        desired_status: status.into(),
    };
    let manifest = |timeline| {
        AcsToAgent::TaskManifest(TaskManifestMessage {
            message_id: format!("manifest-{timeline}"),
            cluster_arn: CLUSTER.into(),
            container_instance_arn: INSTANCE.into(),
            timeline,
            tasks: vec![listed(&keep.arn, "RUNNING")],
            ..TaskManifestMessage::default()
        })
    };
    // An old one is not even acknowledged.
    bench.control_plane.send(manifest(0)).await;
    bench.control_plane.send(manifest(50)).await;
    let candidates = bench
        .control_plane
        .wait("the question", |heard| {
            heard.acs.iter().find_map(|message| match message {
                AcsToServer::TaskStopVerification(question) => Some(question.clone()),
                _ => None,
            })
        })
        .await;
    assert_eq!(candidates.message_id, "manifest-50");
    assert_eq!(candidates.stop_candidates, [listed(&drop.arn, "STOPPED")]);
    assert!(bench.control_plane.look(|heard| heard.report(&drop.arn, "STOPPED")).is_none());
    bench
        .control_plane
        .send(AcsToAgent::TaskStopVerificationAck(TaskStopVerificationAck {
            message_id: candidates.message_id,
            stop_tasks: candidates.stop_candidates,
            ..TaskStopVerificationAck::default()
        }))
        .await;
    bench.control_plane.reported(&drop.arn, "STOPPED").await;
    let old = bench.control_plane.look(|heard| {
        heard
            .acs
            .iter()
            .any(|m| matches!(m, AcsToServer::Ack(ack) if ack.message_id == "manifest-0"))
    });
    assert!(!old);
}

/// A control plane that was restored from a backup believes in tasks whose ends it was told.
#[tokio::test]
async fn the_end_of_a_task_is_told_again_to_whom_lists_it() {
    let bench = Bench::start(vec![]).await;
    let over = task("over", vec![container("main", "a")]);
    bench.control_plane.send_tasks(vec![over.clone()]).await;
    bench.control_plane.reported(&over.arn, "RUNNING").await;
    bench.control_plane.stop(&over.arn).await;
    bench.control_plane.reported(&over.arn, "STOPPED").await;
    let ends = |heard: &Heard| -> Vec<String> {
        let reports = heard.reports(&over.arn).into_iter();
        reports.filter(|report| report.starts_with("STOPPED")).collect()
    };
    let manifest = |timeline, status: &str| {
        AcsToAgent::TaskManifest(TaskManifestMessage {
            message_id: format!("manifest-{timeline}"),
            cluster_arn: CLUSTER.into(),
            container_instance_arn: INSTANCE.into(),
            timeline,
            tasks: vec![TaskIdentifier {
                task_arn: over.arn.clone(),
                task_cluster_arn: CLUSTER.into(),
                desired_status: status.into(),
            }],
            ..TaskManifestMessage::default()
        })
    };
    // Whoever knows that it should be over is told nothing.
    bench.control_plane.send(manifest(50, "STOPPED")).await;
    bench.control_plane.acknowledged("manifest-50").await;
    bench.control_plane.send(manifest(51, "RUNNING")).await;
    let told = |heard: &Heard| (ends(heard).len() > 1).then(|| ends(heard));
    let told = bench.control_plane.wait("the end once more", told).await;
    assert_eq!(told.len(), 2);
    assert!(told[1].contains("main=STOPPED("), "{told:?}");
}

#[tokio::test]
async fn credentials_are_acknowledged_for_known_tasks() {
    let bench = Bench::start(vec![]).await;
    let role = |id: &str| RoleCredentials {
        credentials_id: id.into(),
        expiration: "2030-01-01T00:00:00Z".into(),
        ..RoleCredentials::default()
    };
    let mut one = task("roles", vec![container("main", "main")]);
    one.role_credentials = Some(role("app"));
    one.execution_role_credentials = Some(role("execution"));
    let message = bench.control_plane.send_tasks(vec![one.clone()]).await;
    bench.control_plane.acknowledged(&message).await;
    let refresh = |arn: &str, id: &str| {
        AcsToAgent::IamRoleCredentials(IamRoleCredentialsMessage {
            message_id: format!("refresh-{id}"),
            task_arn: arn.into(),
            role_type: RoleType::TaskApplication,
            role_credentials: role(id),
            ..IamRoleCredentialsMessage::default()
        })
    };
    bench.control_plane.send(refresh("arn:nobody", "nobody")).await;
    bench.control_plane.send(refresh(&one.arn, "app")).await;
    let acks = bench
        .control_plane
        .wait("three acks", |heard| {
            let acks: Vec<String> = heard
                .acs
                .iter()
                .filter_map(|message| match message {
                    AcsToServer::IamRoleCredentialsAck(ack) => {
                        Some(format!("{} {}", ack.message_id, ack.credentials_id))
                    }
                    _ => None,
                })
                .collect();
            (acks.len() == 3).then_some(acks)
        })
        .await;
    let expected =
        [format!("{message} app"), format!("{message} execution"), "refresh-app app".into()];
    assert_eq!(acks, expected);
}

#[tokio::test]
async fn a_closed_session_is_opened_again_at_once() {
    let bench = Bench::start(vec![]).await;
    let code =
        |code: u16| Message::Close(Some(CloseFrame { code: code.into(), reason: "test".into() }));
    bench.control_plane.send_raw(code(1000)).await;
    let second = bench.control_plane.wait("a second session", |h| h.sessions.get(1).cloned()).await;
    assert!(second.contains("sendCredentials=false"), "{second}");
    bench.run_one("main", "RUNNING").await;
}

#[tokio::test]
async fn a_deregistered_instance_waits_and_its_tasks_go_on() {
    let mut bench = Bench::start(vec![]).await;
    let running = bench.run_one("main", "RUNNING").await;
    bench.kill_agent().await;
    let mut config = config(bench.control_plane.url(), bench.dir.path());
    config.timeouts.inactive = Duration::from_millis(300);
    let refusal = r#"{"InactiveInstanceException":"Container instance is deregistered"}"#;
    bench.control_plane.refuse_next_session(refusal);
    let before = bench.control_plane.look(|heard| heard.sessions.len());
    let began = std::time::Instant::now();
    bench.start_agent_with(config);
    bench.control_plane.wait("two more sessions", |h| h.sessions.get(before + 1).cloned()).await;
    assert!(began.elapsed() >= Duration::from_millis(300), "it waited");
    assert_eq!(bench.runtime.containers().len(), 1);
    bench.control_plane.stop(running["task"].as_str().expect("an ARN")).await;
}

#[tokio::test]
async fn a_report_is_repeated_until_it_is_taken_and_dropped_when_it_is_invalid() {
    let bench = Bench::start(vec![]).await;
    bench.control_plane.fail_next("SubmitTaskStateChange", 500, "ServerException");
    let first = bench.run_one("first", "RUNNING").await;
    let reports = bench.control_plane.reports(first["task"].as_str().expect("an ARN"));
    assert_eq!(reports.last().map(String::as_str), Some("RUNNING main=RUNNING"));
    bench.control_plane.fail_next("SubmitTaskStateChange", 400, "InvalidParameterException");
    let arn = first["task"].as_str().expect("an ARN").to_owned();
    bench.control_plane.stop(&arn).await;
    bench
        .control_plane
        .wait("the refusal", |heard| {
            let failed =
                heard.calls.iter().filter(|(name, _)| name == "failed SubmitTaskStateChange");
            (failed.count() == 2).then_some(())
        })
        .await;
    bench.run_one("second", "RUNNING").await;
    assert!(bench.control_plane.look(|heard| heard.report(&arn, "STOPPED")).is_none());
}

#[tokio::test]
async fn metrics_and_health_are_published() {
    let behavior = Behavior { preloaded: true, ..Behavior::default() };
    let bench = Bench::start(vec![("checked", behavior)]).await;
    bench
        .control_plane
        .wait("an idle frame and the machine's health", |heard| {
            let idle = heard.tcs.iter().any(|m| {
                matches!(m, TcsToServer::PublishMetrics(r) if r.metadata.idle && r.metadata.fin)
            });
            let machine = heard.tcs.iter().any(|m| {
                matches!(m, TcsToServer::PublishInstanceStatus(r) if r.statuses[0].status == "OK")
            });
            (idle && machine).then_some(())
        })
        .await;
    let mut main = container("main", "checked");
    main.health_check_type = Some("docker".into());
    let one = task("metrics", vec![main]);
    bench.control_plane.send_tasks(vec![one.clone()]).await;
    bench.control_plane.reported(&one.arn, "RUNNING").await;
    bench.runtime.set_health(&bench.runtime.containers()[0].id, HealthStatus::Unhealthy);
    bench
        .control_plane
        .wait("use and health of the task", |heard| {
            let used = heard.tcs.iter().any(|m| match m {
                TcsToServer::PublishMetrics(r) => r.task_metrics.iter().any(|t| {
                    t.task_arn == one.arn
                        && t.container_metrics[0].cpu_stats_set.is_some()
                        && t.container_metrics[0].memory_stats_set.is_some_and(|s| s.sum > 0.9)
                }),
                _ => false,
            });
            let health = heard.tcs.iter().any(|m| match m {
                TcsToServer::PublishHealth(r) => r
                    .tasks
                    .iter()
                    .any(|t| t.task_arn == one.arn && t.containers[0].health_status == "UNHEALTHY"),
                _ => false,
            });
            (used && health).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_change_of_health_is_published_at_once() {
    let mut bench = Bench::start(vec![]).await;
    bench.kill_agent().await;
    // Longer than any test waits: only the first frames of a session come by the clock.
    let mut config = config(bench.control_plane.url(), bench.dir.path());
    config.timeouts.metrics = Duration::from_secs(3600);
    bench.start_agent_with(config);
    let checked = |name: &str| {
        let mut main = container("main", name);
        main.health_check_type = Some("docker".into());
        task(name, vec![main])
    };
    let (one, other) = (checked("one"), checked("other"));
    bench.control_plane.send_tasks(vec![one.clone(), other.clone()]).await;
    bench.control_plane.reported(&one.arn, "RUNNING").await;
    bench.control_plane.reported(&other.arn, "RUNNING").await;
    let own = bench.runtime.containers()[0].id.clone();
    let tells = |report: &PublishHealthRequest, health: HealthStatus| {
        let mut tasks = report.tasks.iter();
        tasks.any(|task| task.containers[0].health_status == health.as_str())
    };
    for health in [HealthStatus::Healthy, HealthStatus::Unhealthy] {
        bench.runtime.set_health(&own, health);
        let told = |heard: &Heard| {
            let found = heard.tcs.iter().find_map(|message| match message {
                TcsToServer::PublishHealth(report) if tells(report, health) => Some(report),
                _ => None,
            });
            found.map(|report| (report.metadata.fin, report.tasks.len()))
        };
        let (fin, tasks) = bench.control_plane.wait("its health", told).await;
        assert!(fin, "a frame that is complete");
        if health == HealthStatus::Unhealthy {
            assert_eq!(tasks, 1, "nothing of the task that feels as before");
        }
    }
}

#[tokio::test]
async fn agents_share_a_runtime_and_touch_only_their_own() {
    let first = Bench::start(vec![]).await;
    let other = ControlPlane::start().await;
    other.set_instance("arn:aws:ecs:us-east-1:000000000000:container-instance/default/other");
    let dir = tempfile::tempdir().expect("a directory");
    let config = config(other.url(), dir.path());
    let runtime = std::sync::Arc::new(first.runtime.clone());
    let agent = tokio::spawn(longshore_agent::run_with(config, runtime, std::future::pending()));
    let running = first.run_one("mine", "RUNNING").await;
    let theirs = task("theirs", vec![container("main", "theirs")]);
    other.send_tasks(vec![theirs.clone()]).await;
    other.reported(&theirs.arn, "RUNNING").await;
    // Each container's end is told to its own control plane only.
    for container in first.runtime.containers() {
        first.runtime.exit(&container.id, 1);
    }
    other.reported(&theirs.arn, "STOPPED").await;
    first.control_plane.reported(running["task"].as_str().expect("an ARN"), "STOPPED").await;
    assert_eq!(first.control_plane.reports(&theirs.arn), [] as [String; 0]);
    agent.abort();
}
