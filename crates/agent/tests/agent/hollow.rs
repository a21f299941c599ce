//! Hollow agents: the control plane cannot tell them from real ones, and they end in the ways that
//! they are told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use longshore_agent::Credentials;
use longshore_agent::hollow::{Fleet, Options};
use longshore_wire::agent::{
    AcsToAgent, AcsToServer, HeartbeatMessage, PortMapping, TaskManifestMessage,
    TaskStopVerificationAck, TcsToServer,
};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::control_plane::{CLUSTER, ControlPlane, Heard, INSTANCE};
use crate::support::{Bench, container, task};

fn options(url: &str) -> Options {
    Options {
        endpoint: url.to_owned(),
        region: "us-east-1".to_owned(),
        credentials: Credentials {
            access_key_id: "AKIATEST".into(),
            secret_access_key: "secret".into(),
            session_token: None,
        },
        cluster: "default".to_owned(),
        count: 1,
        cpu_units: 1024,
        memory_mib: 1024,
        zones: 3,
        start_delay: Duration::from_millis(20),
        failure_rate: 0.0,
        exit_rate: 0.0,
        telemetry: true,
        deregister: false,
        trust: longshore_agent::Trust::System,
    }
}

/// What is said in a conversation in which every kind of order is given.
async fn conversation(control_plane: &ControlPlane) -> Said {
    let message_id = Some("beat".to_owned());
    let beat = HeartbeatMessage { healthy: true, message_id };
    control_plane.send(AcsToAgent::Heartbeat(beat)).await;
    let mut main = container("main", "main");
    main.port_mappings = vec![PortMapping { container_port: 80, ..PortMapping::default() }];
    main.health_check_type = Some("docker".to_owned());
    let [kept, dropped] = ["kept", "dropped"].map(|name| task(name, vec![main.clone()]));
    let sent = control_plane.send_tasks(vec![kept.clone(), dropped.clone()]).await;
    control_plane.acknowledged(&sent).await;
    control_plane.reported(&kept.arn, "RUNNING").await;
    control_plane.reported(&dropped.arn, "RUNNING").await;
    let manifest = TaskManifestMessage {
        message_id: "manifest".into(),
        cluster_arn: CLUSTER.into(),
        container_instance_arn: INSTANCE.into(),
        timeline: 50,
        ..TaskManifestMessage::default()
    };
    control_plane.send(AcsToAgent::TaskManifest(manifest)).await;
    let question = |heard: &Heard| {
        heard.acs.iter().find_map(|message| match message {
            AcsToServer::TaskStopVerification(question) => Some(question.clone()),
            _ => None,
        })
    };
    let mut question = control_plane.wait("the question", question).await;
    question.stop_candidates.retain(|candidate| candidate.task_arn == dropped.arn);
    let confirmed = TaskStopVerificationAck {
        message_id: question.message_id,
        stop_tasks: question.stop_candidates,
        ..TaskStopVerificationAck::default()
    };
    control_plane.send(AcsToAgent::TaskStopVerificationAck(confirmed)).await;
    control_plane.reported(&dropped.arn, "STOPPED").await;
    control_plane.stop(&kept.arn).await;
    control_plane.reported(&kept.arn, "STOPPED").await;
    let unknown = task("unknown", vec![]).arn;
    control_plane.stop(&unknown).await;
    control_plane.reported(&unknown, "STOPPED").await;
    let publishes = |kind| {
        move |heard: &Heard| heard.tcs.iter().any(|said| tcs_kind(said) == kind).then_some(())
    };
    for kind in ["metrics", "health", "status"] {
        control_plane.wait(kind, publishes(kind)).await;
    }
    control_plane.look(|heard| Said::new(heard, &[&kept.arn, &dropped.arn, &unknown]))
}

/// The shape of what was said: no times, ids and amounts.
#[derive(Debug, PartialEq)]
struct Said {
    /// Members of the calls, by operation.
    calls: BTreeMap<String, BTreeSet<String>>,
    reports: Vec<Vec<String>>,
    acs: BTreeSet<String>,
    tcs: BTreeSet<&'static str>,
}

impl Said {
    fn new(heard: &Heard, tasks: &[&str]) -> Self {
        let mut calls = BTreeMap::<_, BTreeSet<_>>::new();
        for (operation, body) in &heard.calls {
            members(body, "", calls.entry(operation.clone()).or_default());
        }
        Self {
            calls,
            reports: tasks.iter().map(|task| heard.reports(task)).collect(),
            acs: heard.acs.iter().map(|said| said.type_name().to_owned()).collect(),
            tcs: heard.tcs.iter().map(tcs_kind).collect(),
        }
    }
}

fn tcs_kind(said: &TcsToServer) -> &'static str {
    match said {
        TcsToServer::PublishMetrics(_) => "metrics",
        TcsToServer::PublishHealth(_) => "health",
        TcsToServer::PublishInstanceStatus(_) => "status",
        TcsToServer::Unknown(_) => "unknown",
    }
}

/// The paths of all members that have a value.
fn members(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| members(value, &format!("{path}.{name}"), into));
        }
        Value::Array(list) => list.iter().for_each(|value| members(value, path, into)),
        _ => _ = into.insert(path.to_owned()),
    }
}

#[tokio::test]
async fn the_control_plane_cannot_tell_a_hollow_agent_from_a_real_one() {
    let bench = Bench::start(vec![]).await;
    let real = conversation(&bench.control_plane).await;
    let control_plane = ControlPlane::start().await;
    let fleet = Arc::new(Fleet::new(options(control_plane.url())).expect("a fleet"));
    let running = Arc::clone(&fleet);
    let agents = tokio::spawn(async move { running.run(std::future::pending()).await });
    let mut hollow = conversation(&control_plane).await;
    agents.abort();
    assert_eq!(hollow.reports[0].len(), 3, "{hollow:?}");
    // The agent of these tests is told of no zone and skips what is no news when it reports an end.
    for (operation, members) in &mut hollow.calls {
        let known = &real.calls[operation];
        members.retain(|member| known.contains(member));
    }
    assert_eq!(hollow, real);
    let status = fleet.status();
    assert_eq!((status.registered, status.accepted, status.started), (1, 2, 2));
    assert_eq!((status.running, status.starting, status.stopped), (0, 0, 2));
}

#[tokio::test]
async fn tasks_fail_and_exit_at_their_rates_and_instances_leave() {
    let control_plane = ControlPlane::start().await;
    let mut options = options(control_plane.url());
    options.failure_rate = 1.0;
    options.deregister = true;
    control_plane.answer("DeregisterContainerInstance", serde_json::json!({}));
    let fleet = Arc::new(Fleet::new(options).expect("a fleet"));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = Arc::clone(&fleet);
    let agents = tokio::spawn(async move { running.run(async { drop(stopped.await) }).await });
    let failing = task("failing", vec![container("main", "main")]);
    control_plane.send_tasks(vec![failing.clone()]).await;
    let report = control_plane.reported(&failing.arn, "STOPPED").await;
    assert_eq!(report["reason"], "CannotStartContainerError: it is hollow");
    assert_eq!((fleet.status().failed, fleet.status().starting), (1, 0));
    assert_eq!(fleet.status().connected, 1);
    drop(stop);
    agents.await.expect("the agents end well").expect("none was refused");
    let left = control_plane.look(|heard| {
        heard.calls.iter().any(|(name, body)| {
            name == "DeregisterContainerInstance" && body["containerInstance"] == INSTANCE
        })
    });
    assert!(left, "the instance was deregistered");
}
