use std::sync::Arc;

use longshore_domain::record::{AgentConnection, ContainerStatus, StopCode, TaskStatus};
use serde_json::{Value, json};

use super::*;
use crate::Server;
use crate::clock;
use crate::controllers::driver;
use crate::controllers::test_services::Scheduler;
use crate::test_server::{add_instance, agents, ask, server, term};

const AFTER: Duration = Duration::from_secs(60);
/// A server that is not there.
const GONE: u64 = 2;

fn controller(server: &Arc<Server>, after: Option<Duration>) -> Lost {
    Lost { after, server: Arc::clone(server), began: clock::now() }
}

/// The agent of the instance comes or goes, `ago` before now.
async fn connect(server: &Server, arn: &str, connected: bool, ago: Duration) {
    connect_to(server, arn, 1, connected, ago).await;
}

/// The same for a session with the server `of`.
async fn connect_to(server: &Server, arn: &str, of: u64, connected: bool, ago: Duration) {
    let change = |view: &View, txn: &mut RecordTxn| {
        let id = arn.rsplit('/').next().expect("an id");
        let row = view.container_instances.iter().find(|row| row.id.to_string() == id);
        let row = row.expect("the instance");
        let connection = AgentConnection { connected, since: clock::now() - ago, server: of };
        txn.update(row, &ContainerInstance { connection, ..row.record.clone() });
        Ok::<_, longshore_wire::ServiceError>(())
    };
    server.decide(change).await.expect("the store works");
}

/// A service with one task on the first of two instances.
async fn world() -> (Arc<Server>, Scheduler, String, String) {
    let server = server().await;
    let first = add_instance(&server, 1000).await;
    let input = json!({"serviceName": "web", "taskDefinition": "web:1", "desiredCount": 1});
    ask(&server, "CreateService", input).await.expect("a service");
    let scheduler = Scheduler::new(&server);
    scheduler.settle(&server).await;
    agents(&server).await;
    let second = add_instance(&server, 1000).await;
    (server, scheduler, first, second)
}

async fn describe(server: &Arc<Server>, task: &str) -> Value {
    let output = ask(server, "DescribeTasks", json!({"tasks": [task]})).await.expect("described");
    output["tasks"][0].clone()
}

#[tokio::test]
async fn tasks_of_a_lost_instance_are_replaced_and_it_is_fenced() {
    let (server, scheduler, first, second) = world().await;
    let task = server.state.view().tasks.iter().next().expect("a task").id.to_string();
    // Not before its time, and never unasked.
    connect(&server, &first, false, AFTER / 2).await;
    let next = driver::pass(&server, &term(&server), &controller(&server, Some(AFTER)))
        .await
        .expect("a pass");
    assert!(next.is_some_and(|at| at > clock::now()), "it looks again in time");
    connect(&server, &first, false, AFTER * 1000).await;
    assert_eq!(driver::pass(&server, &term(&server), &controller(&server, None)).await, Some(None));
    let pass = async || {
        let controller = controller(&server, Some(AFTER));
        driver::pass(&server, &term(&server), &controller).await.expect("a pass")
    };
    connect_to(&server, &first, GONE, false, AFTER * 1000).await;
    assert!(pass().await.is_some(), "agents find another server");
    assert_eq!(describe(&server, &task).await["lastStatus"], "RUNNING");

    connect(&server, &first, false, AFTER).await;
    driver::pass(&server, &term(&server), &controller(&server, Some(AFTER))).await.expect("a pass");
    let lost = describe(&server, &task).await;
    assert_eq!(lost["lastStatus"], "STOPPED");
    assert_eq!(lost["stopCode"], "InfrastructureHealth");
    let reason = lost["stoppedReason"].as_str().expect("a reason");
    assert!(reason.contains("has been disconnected for 60 seconds"), "{reason}");
    scheduler.settle(&server).await;
    let view = server.state.view();
    let replacement = view.tasks.iter().find(|task| !task.is_stopped()).expect("a replacement");
    assert!(second.ends_with(&replacement.instance.to_string()));

    // Back again, it takes nothing until it has stopped what it still runs.
    connect(&server, &first, true, Duration::ZERO).await;
    let start = async || {
        let input = json!({"taskDefinition": "web:1", "containerInstances": [first]});
        ask(&server, "StartTask", input).await.expect("an answer")
    };
    let refused = start().await;
    assert_eq!(refused["failures"][0]["reason"], "AGENT", "{refused}");
    let report = json!({"cluster": "default", "task": task, "status": "STOPPED"});
    ask(&server, "SubmitTaskStateChange", report).await.expect("acknowledged");
    assert_eq!(start().await["failures"], json!([]));
}

#[tokio::test]
async fn a_fence_that_nobody_lifts_falls_by_itself() {
    let (server, _, first, _) = world().await;
    connect(&server, &first, false, AFTER).await;
    driver::pass(&server, &term(&server), &controller(&server, Some(AFTER))).await.expect("a pass");
    let fenced = || {
        let view = server.state.view();
        view.container_instances.iter().map(|row| row.fence.len()).sum::<usize>()
    };
    assert_eq!(fenced(), 1);
    connect(&server, &first, true, FENCE / 2).await;
    let next =
        driver::pass(&server, &term(&server), &controller(&server, None)).await.expect("a pass");
    assert!(next.is_some());
    assert_eq!(fenced(), 1);
    connect(&server, &first, true, FENCE).await;
    driver::pass(&server, &term(&server), &controller(&server, None)).await.expect("a pass");
    assert_eq!(fenced(), 0);
    let view = server.state.view();
    let task = view.tasks.iter().next().expect("the task");
    assert_eq!(task.observed.status, TaskStatus::Stopped);
    let code = task.observed.ended.as_ref().map(|(code, _)| *code);
    assert_eq!(code, Some(StopCode::InfrastructureHealth));
    assert_eq!(task.observed.containers[0].status, ContainerStatus::Stopped);
}
