use longshore_domain::ids::{EventId, IamId, IamIdKind};
use longshore_domain::record::{ContainerStatus, Grants, IamRole, ServiceEvent};
use serde_json::{Value, json};

use super::*;
use crate::controllers::driver;
use crate::controllers::retention::{Reaper, Retention};
use crate::identity::Iam;
use crate::test_records::scope;
use crate::test_server::{add_instance, agents, ask, refused, register, report, server, term};

/// Passes until nothing changes any more; gives their number.
async fn settle(server: &Arc<Server>, controller: &Services) -> usize {
    for passes in 0..50 {
        let before = server.state.view().revision;
        assert!(
            driver::pass(server, &term(server), controller).await.is_some(),
            "nobody gets in the way"
        );
        if server.state.view().revision == before {
            return passes;
        }
    }
    panic!("the controller never rests");
}

async fn describe(server: &Arc<Server>) -> Value {
    let output = ask(server, "DescribeServices", json!({"services": ["web"]})).await;
    output.expect("described")["services"][0].clone()
}

fn counts(service: &Value) -> (i64, i64, i64) {
    let count = |name: &str| service[name].as_i64().expect("a count");
    (count("desiredCount"), count("runningCount"), count("pendingCount"))
}

fn messages(service: &Value) -> Vec<String> {
    let events = service["events"].as_array().expect("events");
    events.iter().map(|event| event["message"].as_str().expect("text").to_owned()).collect()
}

async fn started(instances: u32, input: Value) -> (Arc<Server>, Services) {
    let server = server().await;
    for _ in 0..instances {
        add_instance(&server, 10_000).await;
    }
    ask(&server, "CreateService", input).await.expect("a service");
    let controller = Services::new(&server, &term(&server));
    settle(&server, &controller).await;
    (server, controller)
}

#[tokio::test]
async fn fifty_tasks_start_in_one_transaction() {
    let input = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 50});
    let server = server().await;
    add_instance(&server, 10_000).await;
    ask(&server, "CreateService", input).await.expect("a service");
    let controller = Services::new(&server, &term(&server));
    assert_eq!(settle(&server, &controller).await, 1);
    assert_eq!(counts(&describe(&server).await), (50, 0, 50));
    agents(&server).await;
    assert_eq!(settle(&server, &controller).await, 1);
    let service = describe(&server).await;
    assert_eq!(counts(&service), (50, 50, 0));
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    let id = service["deployments"][0]["id"].as_str().expect("an id");
    assert_eq!(id.len(), "ecs-svc/".len() + 19);
    let messages = messages(&service);
    assert_eq!(messages[0], "(service web) has reached a steady state.");
    assert_eq!(messages[1], format!("(service web) (deployment {id}) deployment completed."));
    assert!(messages[2].starts_with("(service web) has started 50 tasks: (task "));
}

#[tokio::test]
async fn tasks_carry_the_marks_of_their_service() {
    let (server, _) = started(
        1,
        json!({
            "serviceName": "web", "taskDefinition": "web:1", "desiredCount": 1,
            "propagateTags": "SERVICE", "enableECSManagedTags": true,
            "tags": [{"key": "team", "value": "a"}],
        }),
    )
    .await;
    let view = server.state.view();
    let task = view.tasks.iter().next().expect("a task");
    assert_eq!(task.group, "service:web");
    let id = describe(&server).await["deployments"][0]["id"].clone();
    assert_eq!(task.started_by.as_deref(), id.as_str());
    let tags: Vec<_> = task.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        tags,
        [("aws:ecs:clusterName", "default"), ("aws:ecs:serviceName", "web"), ("team", "a")]
    );
}

#[tokio::test]
async fn a_service_scales_and_is_deleted() {
    let (server, controller) =
        started(2, json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 3})).await;
    agents(&server).await;
    settle(&server, &controller).await;
    ask(&server, "UpdateService", json!({"service": "web", "desiredCount": 1})).await.expect("ok");
    settle(&server, &controller).await;
    agents(&server).await;
    settle(&server, &controller).await;
    let service = describe(&server).await;
    assert_eq!(counts(&service), (1, 1, 0));
    assert_eq!(service["deployments"].as_array().map(Vec::len), Some(1));
    let input = json!({"service": "web"});
    assert_eq!(
        refused(&server, "DeleteService", input).await,
        "InvalidParameterException: The service cannot be stopped while it is scaled above 0."
    );
    let output = ask(&server, "DeleteService", json!({"service": "web", "force": true})).await;
    assert_eq!(output.expect("deleted")["service"]["status"], "DRAINING");
    let create = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 0});
    assert_eq!(
        refused(&server, "CreateService", create.clone()).await,
        "InvalidParameterException: Unable to Start a service that is still Draining."
    );
    settle(&server, &controller).await;
    agents(&server).await;
    settle(&server, &controller).await;
    assert_eq!(describe(&server).await["status"], "INACTIVE");
    ask(&server, "CreateService", create).await.expect("the name is free again");
    settle(&server, &controller).await;
    let service = describe(&server).await;
    assert_eq!(service["status"], "ACTIVE");
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
}

#[tokio::test]
async fn a_new_revision_replaces_the_old_one() {
    let (server, controller) = started(
        1,
        json!({
            "serviceName": "web", "taskDefinition": "web", "desiredCount": 2,
            "deploymentConfiguration": {"minimumHealthyPercent": 0, "maximumPercent": 100},
        }),
    )
    .await;
    agents(&server).await;
    settle(&server, &controller).await;
    register(&server, "web").await;
    let input = json!({"service": "web", "taskDefinition": "web"});
    let output = ask(&server, "UpdateService", input).await.expect("updated");
    let statuses: Vec<_> = output["service"]["deployments"]
        .as_array()
        .expect("deployments")
        .iter()
        .map(|d| d["status"].as_str().expect("text"))
        .collect();
    assert_eq!(statuses, ["PRIMARY", "ACTIVE"]);
    for _ in 0..3 {
        settle(&server, &controller).await;
        agents(&server).await;
    }
    settle(&server, &controller).await;
    let service = describe(&server).await;
    assert_eq!(counts(&service), (2, 2, 0));
    let arn = service["taskDefinition"].as_str().expect("an ARN");
    assert!(arn.ends_with("web:2"), "{arn}");
    let view = server.state.view();
    let mut running = view.tasks.iter().filter(|task| deploy::is_running(task));
    assert!(running.all(|task| task.revision == Revision(2)));
}

#[tokio::test]
async fn what_has_no_place_is_explained_and_starts_when_there_is_one() {
    let (server, controller) =
        started(0, json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1})).await;
    let service = describe(&server).await;
    assert!(messages(&service)[0].contains("No Container Instances were found in your cluster."));
    add_instance(&server, 1000).await;
    settle(&server, &controller).await;
    assert_eq!(counts(&describe(&server).await), (1, 0, 1));
}

#[tokio::test]
async fn what_has_no_place_is_planned_again_only_when_room_may_have_changed() {
    let server = server().await;
    add_instance(&server, 1000).await;
    let run = json!({"taskDefinition": "web"});
    ask(&server, "RunTask", run).await.expect("a task that is in the way");
    let input = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 10});
    ask(&server, "CreateService", input).await.expect("a service");
    let controller = Services::new(&server, &term(&server));
    settle(&server, &controller).await;
    assert_eq!(counts(&describe(&server).await), (10, 0, 9));
    let group = "service:web".to_owned();
    let key = (scope(), "default".parse().expect("a name"), group);
    let start = crate::clock::now();
    // When the service was planned last, after a pass so many seconds later.
    let planned = |seconds| {
        let at = start + std::time::Duration::from_secs(seconds);
        assert!(controller.pass(&server.state.view(), at).works.is_empty());
        let last = server.refusals.last(&key).expect("it has no place");
        last.saturating_since(start).as_secs()
    };
    let other = || {
        let view = server.state.view();
        let mut others = view.tasks.iter().filter(|task| task.group == "family:web");
        others.next().expect("the task in the way").clone()
    };
    assert_eq!(planned(100), 100, "its time had come");
    register(&server, "other").await;
    report(&server, &other(), ContainerStatus::Running).await;
    assert_eq!(planned(101), 100, "that makes no room");
    assert_eq!(planned(114), 100, "nothing has changed");
    assert_eq!(planned(115), 115, "now and then it looks again");
    report(&server, &other(), ContainerStatus::Stopped).await;
    settle(&server, &controller).await;
    assert_eq!(counts(&describe(&server).await), (10, 0, 10), "there is room now");
}

#[tokio::test]
async fn the_newest_hundred_events_are_kept_and_shown() {
    let input = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 0});
    let (server, _) = started(0, input).await;
    let now = crate::clock::now();
    for n in 0..120_u64 {
        let event = ServiceEvent {
            scope: scope(),
            cluster: "default".parse().expect("a name"),
            service: "web".parse().expect("a name"),
            id: EventId::new(u128::from(n)),
            created_at: now + std::time::Duration::from_secs(1 + n),
            message: n.to_string(),
            action: None,
        };
        let mut txn = RecordTxn::new();
        txn.insert(&event);
        let outcome = server.commit(txn).await.expect("the store works");
        assert!(matches!(outcome, longshore_store::TxnOutcome::Committed { .. }));
    }
    let newest: Vec<String> = (20..120).rev().map(|n| n.to_string()).collect();
    assert_eq!(messages(&describe(&server).await), newest);
    let reaper = Reaper { retention: Retention::default() };
    driver::pass(&server, &term(&server), &reaper).await.expect("committed");
    assert_eq!(server.state.view().service_events.len(), 100);
    assert_eq!(messages(&describe(&server).await), newest);
}

#[tokio::test]
async fn a_failing_service_waits_before_it_tries_again() {
    let (server, controller) =
        started(1, json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1})).await;
    let view = server.state.view();
    for row in view.tasks.iter() {
        report(&server, row, ContainerStatus::Stopped).await;
    }
    let next = driver::pass(&server, &term(&server), &controller).await.expect("committed");
    let view = server.state.view();
    let row = view.services.iter().next().expect("the service");
    assert_eq!(next, row.retry_at);
    assert!(row.retry_at.is_some());
    assert_eq!(describe(&server).await["deployments"][0]["failedTasks"], 1);
    assert_eq!(view.tasks.len(), 1);
    assert_eq!(settle(&server, &controller).await, 0, "the failure is counted once");
}

#[tokio::test]
async fn two_services_never_share_a_port() {
    let server = server().await;
    add_instance(&server, 10_000).await;
    let container = json!({
        "name": "main", "image": "image", "memory": 64,
        "portMappings": [{"containerPort": 80, "hostPort": 8080}],
    });
    let input = json!({"family": "port", "containerDefinitions": [container]});
    ask(&server, "RegisterTaskDefinition", input).await.expect("a task definition");
    for name in ["a", "b"] {
        let input = json!({"serviceName": name, "taskDefinition": "port", "desiredCount": 1});
        ask(&server, "CreateService", input).await.expect("a service");
    }
    let controller = Services::new(&server, &term(&server));
    settle(&server, &controller).await;
    assert_eq!(server.state.view().tasks.len(), 1);
}

#[tokio::test]
async fn a_daemon_is_on_every_instance() {
    let (server, controller) = started(
        2,
        json!({"serviceName": "web", "taskDefinition": "web", "schedulingStrategy": "DAEMON"}),
    )
    .await;
    agents(&server).await;
    settle(&server, &controller).await;
    assert_eq!(counts(&describe(&server).await), (2, 2, 0));
    let arn = add_instance(&server, 1000).await;
    settle(&server, &controller).await;
    agents(&server).await;
    settle(&server, &controller).await;
    assert_eq!(counts(&describe(&server).await), (3, 3, 0));
    let input = json!({"containerInstances": [arn], "status": "DRAINING"});
    ask(&server, "UpdateContainerInstancesState", input).await.expect("drains");
    settle(&server, &controller).await;
    agents(&server).await;
    settle(&server, &controller).await;
    assert_eq!(counts(&describe(&server).await), (2, 2, 0));
}

/// Tasks that should start fail.
async fn fail(server: &Arc<Server>) {
    let view = server.state.view();
    for row in view.tasks.iter().filter(|row| row.observed.started_at.is_none()) {
        report(server, row, ContainerStatus::Stopped).await;
    }
}

#[tokio::test]
async fn a_deployment_that_fails_goes_back() {
    let (server, controller) = started(
        1,
        json!({
            "serviceName": "web", "taskDefinition": "web", "desiredCount": 3,
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": {"enable": true, "rollback": true},
            },
        }),
    )
    .await;
    agents(&server).await;
    settle(&server, &controller).await;
    let first = describe(&server).await["deployments"][0]["id"].clone();
    register(&server, "web").await;
    let input = json!({"service": "web", "taskDefinition": "web:2"});
    ask(&server, "UpdateService", input).await.expect("updated");
    settle(&server, &controller).await;
    assert_eq!(counts(&describe(&server).await), (3, 3, 3));
    fail(&server).await;
    settle(&server, &controller).await;
    let service = describe(&server).await;
    assert_eq!(counts(&service), (3, 3, 0));
    assert_eq!(service["deployments"].as_array().map(Vec::len), Some(1));
    assert_eq!(service["deployments"][0]["id"], first);
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    let arn = service["taskDefinition"].as_str().expect("an ARN");
    assert!(arn.ends_with("web:1"), "{arn}");
    let messages = messages(&service);
    let first = first.as_str().expect("text");
    assert!(messages.contains(&format!("(service web) rolling back to deployment {first}.")));
}

#[tokio::test]
async fn containers_may_opt_out_of_version_consistency() {
    let server = server().await;
    let container = |name: &str, consistency: Option<&str>| json!({"name": name, "image": "image", "memory": 64, "versionConsistency": consistency});
    let containers =
        [container("a", None), container("b", Some("disabled")), container("c", Some("enabled"))];
    let input = json!({"family": "mixed", "containerDefinitions": containers});
    ask(&server, "RegisterTaskDefinition", input).await.expect("a task definition");
    let view = server.state.view();
    let definition = view.task_definitions.iter().find(|row| row.family.as_str() == "mixed");
    let images = ["a", "b", "c"].map(|name| (name.to_owned(), "sha256:00".to_owned()));
    let start = Start {
        deployment: 1,
        family: "mixed".parse().expect("a name"),
        revision: Revision(1),
        images: BTreeMap::from(images),
        assigned: Vec::new(),
    };
    let kept = pinned(&start, definition.expect("it was registered"));
    assert_eq!(kept.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "c"]);
}

#[tokio::test]
async fn a_service_waits_for_the_role_of_its_tasks_and_wakes_when_it_is_there() {
    let mut server = server().await;
    let vault = Arc::clone(server.vault.as_ref().expect("a vault"));
    let iam = Iam::new(server.state.clone(), vault, Arc::clone(&server.uses)).expect("a provider");
    Arc::get_mut(&mut server).expect("nobody else has it").identity = Box::new(iam);
    add_instance(&server, 10_000).await;
    let change = async |trusted: Option<&str>| {
        let view = server.state.view();
        let mut txn = RecordTxn::new();
        match (view.iam_roles.iter().next(), trusted) {
            (None, Some(service)) => _ = txn.insert(&role(service)),
            (Some(row), Some(service)) => _ = txn.update(row, &role(service)),
            (Some(row), None) => _ = txn.remove(row),
            (None, None) => {}
        }
        let _ = server.commit(txn).await.expect("commits");
    };
    change(Some("ecs-tasks.amazonaws.com")).await;
    let container = json!({"name": "main", "image": "image", "cpu": 100, "memory": 64});
    let arn = "arn:aws:iam::000000000000:role/app";
    let definition =
        json!({"family": "app", "containerDefinitions": [container], "executionRoleArn": arn});
    ask(&server, "RegisterTaskDefinition", definition).await.expect("a task definition");
    change(None).await;
    let input = json!({"serviceName": "web", "taskDefinition": "app", "desiredCount": 2});
    ask(&server, "CreateService", input).await.expect("a service");
    let controller = Services::new(&server, &term(&server));
    assert_eq!(settle(&server, &controller).await, 1, "it is told");
    let service = describe(&server).await;
    assert_eq!(counts(&service), (2, 0, 0));
    let told = messages(&service);
    assert!(told[0].contains(&format!("unable to assume the role '{arn}'")), "{told:?}");
    assert_eq!(settle(&server, &controller).await, 0);
    change(Some("ec2.amazonaws.com")).await;
    assert_eq!(settle(&server, &controller).await, 0, "tasks cannot have it");
    change(Some("ecs-tasks.amazonaws.com")).await;
    assert_eq!(settle(&server, &controller).await, 1);
    let service = describe(&server).await;
    assert_eq!((counts(&service), messages(&service).len()), ((2, 0, 2), 2));
    assert!(Services::READS.contains(&Kind::IamRole), "a change of roles wakes it");
}

fn role(service: &str) -> IamRole {
    IamRole {
        account: scope().account,
        name: "app".to_owned(),
        path: "/".to_owned(),
        id: IamId::fresh(IamIdKind::Role, &mut RandomIds),
        created_at: crate::clock::now(),
        trust: format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}}}"#
        ),
        description: None,
        max_session_s: 3600,
        boundary: None,
        grants: Grants::default(),
        tags: Tags::new(),
        last_used: None,
    }
}
