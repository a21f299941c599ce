use longshore_domain::record::{ContainerStatus, TaskStatus};
use longshore_store::TxnOutcome;
use serde_json::{Value, json};

use super::*;
use crate::clock;
use crate::controllers::driver;
use crate::test_server::{add_instance, agents, ask, refused, report, server, term};

const ARNS: &str = "arn:aws:ecs:us-east-1:000000000000:";

/// A server with so many instances, and the daemon task definition `watch:1`.
async fn started(instances: usize) -> (Arc<Server>, Daemons) {
    let server = server().await;
    for _ in 0..instances {
        add_instance(&server, 2000).await;
    }
    register(&server).await;
    let controller = Daemons::new(&server, &term(&server));
    (server, controller)
}

async fn register(server: &Arc<Server>) {
    let container = json!({"name": "main", "image": "agent", "cpu": 100, "memory": 64});
    let input = json!({"family": "watch", "containerDefinitions": [container]});
    ask(server, "RegisterDaemonTaskDefinition", input).await.expect("a definition");
}

fn settings(revision: u32) -> Value {
    json!({
        "daemonTaskDefinitionArn": format!("{ARNS}daemon-task-definition/watch:{revision}"),
        "capacityProviderArns": [format!("{ARNS}capacity-provider/machines")],
    })
}

fn with(mut input: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("members") };
    input.as_object_mut().expect("an object").extend(members);
    input
}

async fn create(server: &Arc<Server>, members: Value) -> Value {
    let input = with(with(settings(1), json!({"daemonName": "watch"})), members);
    ask(server, "CreateDaemon", input).await.expect("a daemon")
}

async fn update(server: &Arc<Server>, revision: u32) -> Value {
    let input =
        with(settings(revision), json!({"daemonArn": format!("{ARNS}daemon/default/watch")}));
    ask(server, "UpdateDaemon", input).await.expect("updated")
}

async fn pass(server: &Arc<Server>, controller: &Daemons) {
    assert!(
        driver::pass(server, &term(server), controller).await.is_some(),
        "nobody gets in the way"
    );
}

/// Passes until nothing changes any more.
async fn settle(server: &Arc<Server>, controller: &Daemons) {
    for _ in 0..50 {
        let before = server.state.view().revision;
        pass(server, controller).await;
        if server.state.view().revision == before {
            return;
        }
    }
    panic!("the controller never rests");
}

/// Tasks that run have been running for a minute.
async fn age(server: &Arc<Server>) {
    let mut txn = RecordTxn::new();
    for row in server.state.view().tasks.iter() {
        if row.observed.status == TaskStatus::Running {
            let mut task = row.record.clone();
            task.observed.started_at = Some(clock::now() - std::time::Duration::from_secs(60));
            txn.update(row, &task);
        }
    }
    let outcome = server.commit(txn).await.expect("the store works");
    assert!(matches!(outcome, TxnOutcome::Committed { .. }));
}

/// Agents do what they are told, and time passes, until nothing changes any more.
async fn run(server: &Arc<Server>, controller: &Daemons) {
    for _ in 0..20 {
        settle(server, controller).await;
        agents(server).await;
        age(server).await;
    }
    settle(server, controller).await;
}

async fn describe(server: &Arc<Server>) -> Value {
    let input = json!({"daemonArn": format!("{ARNS}daemon/default/watch")});
    ask(server, "DescribeDaemon", input).await.expect("described")["daemon"].clone()
}

async fn deployment(server: &Arc<Server>, arn: &Value) -> Value {
    let output = ask(server, "DescribeDaemonDeployments", json!({"daemonDeploymentArns": [arn]}));
    output.await.expect("described")["daemonDeployments"][0].clone()
}

async fn listed(server: &Arc<Server>, status: &str) -> usize {
    let input = json!({"daemonName": "watch", "desiredStatus": status});
    let output = ask(server, "ListTasks", input).await.expect("listed");
    output["taskArns"].as_array().expect("tasks").len()
}

#[tokio::test]
async fn a_daemon_is_on_every_instance() {
    let (server, controller) = started(3).await;
    let created = create(
        &server,
        json!({
            "propagateTags": "DAEMON", "enableECSManagedTags": true,
            "tags": [{"key": "team", "value": "a"}],
        }),
    )
    .await;
    assert_eq!(created["status"], "ACTIVE");
    settle(&server, &controller).await;
    assert_eq!(listed(&server, "RUNNING").await, 3);
    let view = server.state.view();
    let task = view.tasks.iter().next().expect("a task");
    assert_eq!((task.group.as_str(), task.daemon()), ("daemon:watch", Some("watch")));
    let tags: Vec<_> = task.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        tags,
        [("aws:ecs:clusterName", "default"), ("aws:ecs:daemonName", "watch"), ("team", "a")]
    );
    let output = ask(&server, "DescribeTasks", json!({"tasks": [task.id.to_string()]})).await;
    let described = output.expect("described")["tasks"][0].clone();
    let definition = format!("{ARNS}daemon-task-definition/watch:1");
    assert_eq!(described["taskDefinitionArn"], definition);
    assert_eq!(described["containers"][0]["image"], "agent");

    let under_way = deployment(&server, &created["deploymentArn"]).await;
    assert_eq!(under_way["status"], "IN_PROGRESS");
    assert_eq!(under_way["circuitBreaker"]["status"], "MONITORING");
    run(&server, &controller).await;
    let done = deployment(&server, &created["deploymentArn"]).await;
    assert_eq!(done["status"], "SUCCESSFUL");
    assert_eq!(done["circuitBreaker"]["threshold"], 3);
    assert_eq!(done["targetDaemonRevision"]["totalRunningInstanceCount"], 3);
    assert_eq!(done["deploymentConfiguration"]["drainPercent"], 25.0);
    let daemon = describe(&server).await;
    let revision = &daemon["currentRevisions"][0];
    assert_eq!(revision["totalRunningCount"], 3);
    assert_eq!(revision["capacityProviders"][0]["runningCount"], 3);
    let input = json!({"daemonRevisionArns": [revision["arn"]]});
    let output = ask(&server, "DescribeDaemonRevisions", input).await.expect("described");
    let revision = &output["daemonRevisions"][0];
    assert_eq!(revision["daemonTaskDefinitionArn"], definition);
    assert_eq!(
        (&revision["critical"], &revision["propagateTags"]),
        (&json!(true), &json!("DAEMON"))
    );
    assert_eq!(revision["containerImages"][0]["image"], "agent");
}

#[tokio::test]
async fn an_update_renews_tasks_and_a_newer_one_takes_its_place() {
    let (server, controller) = started(2).await;
    create(&server, json!({})).await;
    run(&server, &controller).await;
    register(&server).await;
    let first = update(&server, 2).await;
    settle(&server, &controller).await;
    assert_eq!(listed(&server, "RUNNING").await, 1, "one at a time");
    let second = update(&server, 2).await;
    assert_eq!(deployment(&server, &first["deploymentArn"]).await["status"], "STOPPED");
    run(&server, &controller).await;
    let done = deployment(&server, &second["deploymentArn"]).await;
    assert_eq!(done["status"], "SUCCESSFUL");
    assert_eq!(done["sourceDaemonRevisions"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed(&server, "RUNNING").await, 2);
    let input = json!({"daemonArn": format!("{ARNS}daemon/default/watch"), "status": ["STOPPED"]});
    let output = ask(&server, "ListDaemonDeployments", input).await.expect("listed");
    assert_eq!(output["daemonDeployments"].as_array().map(Vec::len), Some(1));
    assert_eq!(output["daemonDeployments"][0]["daemonDeploymentArn"], first["deploymentArn"]);
}

#[tokio::test]
async fn a_broken_revision_is_rolled_back() {
    let (server, controller) = started(1).await;
    create(&server, json!({})).await;
    run(&server, &controller).await;
    register(&server).await;
    let updated = update(&server, 2).await;
    for _ in 0..20 {
        settle(&server, &controller).await;
        let view = server.state.view();
        for row in view.tasks.iter().filter(|row| !row.is_stopped()) {
            let broken = row.revision.0 == 2 || row.desired == DesiredStatus::Stopped;
            let status = if broken { ContainerStatus::Stopped } else { ContainerStatus::Running };
            report(&server, row, status).await;
        }
        hurry(&server).await;
    }
    let back = deployment(&server, &updated["deploymentArn"]).await;
    assert_eq!(back["status"], "ROLLBACK_SUCCESSFUL", "{back}");
    assert_eq!(back["circuitBreaker"]["status"], "TRIGGERED");
    assert_eq!(back["circuitBreaker"]["failureCount"], 3);
    assert!(back["rollback"]["reason"].as_str().expect("why").contains("circuit breaker"));
    assert_eq!(listed(&server, "RUNNING").await, 1);
}

/// What failed, failed long ago: it is tried again at once; what runs has run for a while.
async fn hurry(server: &Arc<Server>) {
    age(server).await;
    let mut txn = RecordTxn::new();
    for row in server.state.view().tasks.iter().filter(|row| row.is_stopped()) {
        let mut task = row.record.clone();
        task.observed.stopped_at = Some(clock::now() - std::time::Duration::from_secs(600));
        txn.update(row, &task);
    }
    let outcome = server.commit(txn).await.expect("the store works");
    assert!(matches!(outcome, TxnOutcome::Committed { .. }));
}

#[tokio::test]
async fn instances_that_join_run_the_daemon_before_anything_else() {
    let (server, controller) = started(0).await;
    create(&server, json!({})).await;
    settle(&server, &controller).await;
    let input = json!({"daemonArn": format!("{ARNS}daemon/default/watch")});
    assert_eq!(describe(&server).await["currentRevisions"][0]["totalRunningCount"], 0);
    let output = ask(&server, "ListDaemonDeployments", input).await.expect("listed");
    assert_eq!(output["daemonDeployments"][0]["status"], "SUCCESSFUL");
    add_instance(&server, 2000).await;
    let output = ask(&server, "RunTask", json!({"taskDefinition": "web"})).await.expect("answers");
    assert_eq!(output["failures"][0]["reason"], "INACTIVE");
    run(&server, &controller).await;
    let output = ask(&server, "RunTask", json!({"taskDefinition": "web"})).await.expect("answers");
    assert_eq!(output["failures"], json!([]));
    assert_eq!(output["tasks"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_daemon_that_is_not_critical_holds_nobody_up() {
    let (server, controller) = started(0).await;
    create(&server, json!({"critical": false})).await;
    settle(&server, &controller).await;
    add_instance(&server, 2000).await;
    let output = ask(&server, "RunTask", json!({"taskDefinition": "web"})).await.expect("answers");
    assert_eq!(output["failures"], json!([]));
}

#[tokio::test]
async fn on_a_draining_instance_the_daemon_is_the_last_to_stop() {
    let (server, controller) = started(1).await;
    create(&server, json!({})).await;
    run(&server, &controller).await;
    let output = ask(&server, "RunTask", json!({"taskDefinition": "web"})).await.expect("answers");
    agents(&server).await;
    let view = server.state.view();
    let instance = view.container_instances.iter().next().expect("an instance").id.to_string();
    let drain = json!({"containerInstances": [instance], "status": "DRAINING"});
    ask(&server, "UpdateContainerInstancesState", drain).await.expect("drains");
    settle(&server, &controller).await;
    assert_eq!(listed(&server, "RUNNING").await, 1);
    ask(&server, "StopTask", json!({"task": output["tasks"][0]["taskArn"]})).await.expect("stops");
    settle(&server, &controller).await;
    assert_eq!(listed(&server, "RUNNING").await, 1, "the task has not stopped yet");
    agents(&server).await;
    settle(&server, &controller).await;
    assert_eq!(listed(&server, "RUNNING").await, 0);
}

#[tokio::test]
async fn a_deleted_daemon_is_gone_with_its_tasks() {
    let (server, controller) = started(2).await;
    create(&server, json!({})).await;
    run(&server, &controller).await;
    let arn = json!({"daemonArn": format!("{ARNS}daemon/default/watch")});
    let deleted = ask(&server, "DeleteDaemon", arn.clone()).await.expect("deleted");
    assert_eq!(deleted["status"], "DELETE_IN_PROGRESS");
    assert_eq!(
        refused(&server, "DeleteDaemon", arn.clone()).await,
        "DaemonNotActiveException: The daemon is not ACTIVE: it is being deleted."
    );
    settle(&server, &controller).await;
    assert_eq!(listed(&server, "RUNNING").await, 0);
    run(&server, &controller).await;
    assert_eq!(
        refused(&server, "DescribeDaemon", arn.clone()).await,
        "DaemonNotFoundException: Daemon not found."
    );
    assert_eq!(deployment(&server, &deleted["deploymentArn"]).await["status"], "SUCCESSFUL");
    let output = ask(&server, "ListDaemonDeployments", arn).await.expect("they outlive it");
    assert_eq!(output["daemonDeployments"].as_array().map(Vec::len), Some(2));
    create(&server, json!({})).await;
}

#[tokio::test]
async fn where_there_is_no_room_it_can_be_explained() {
    let (server, controller) = started(0).await;
    add_instance(&server, 50).await;
    let created = create(&server, json!({})).await;
    settle(&server, &controller).await;
    let waits = deployment(&server, &created["deploymentArn"]).await;
    assert_eq!(waits["status"], "IN_PROGRESS");
    assert!(waits["statusReason"].as_str().expect("why").contains("RESOURCE:CPU"));
    assert_eq!(waits["targetDaemonRevision"]["totalWithoutDaemonInstanceCount"], 1);
}
