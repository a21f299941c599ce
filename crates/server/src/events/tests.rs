//! Events of a service's life, as EventBridge and as readers get them.

use std::collections::BTreeMap;

use http_body_util::BodyExt;
use longshore_domain::record::ContainerStatus;
use longshore_store::Sequence;
use serde_json::{Value, json};

use super::*;
use crate::Server;
use crate::controllers::test_services::Scheduler;
use crate::operator::{self, events};
use crate::test_records::scope;
use crate::test_server::{add_instance, agents, ask, report, server};
use std::sync::Arc;

/// A steady service with one task; the scheduler, and the ARN of the instance.
pub(super) async fn steady() -> (Arc<Server>, Scheduler, String) {
    let server = server().await;
    let instance = add_instance(&server, 1000).await;
    let input = json!({"serviceName": "web", "taskDefinition": "web:1", "desiredCount": 1});
    ask(&server, "CreateService", input).await.expect("a service");
    let scheduler = Scheduler::new(&server);
    for _ in 0..3 {
        scheduler.settle(&server).await;
        agents(&server).await;
    }
    (server, scheduler, instance)
}

/// Everything that the journal tells.
async fn all(server: &Server) -> Vec<Told> {
    let page = server.state.journal().read(Sequence::ZERO, 1000).await.expect("the store works");
    page.entries.iter().filter_map(|entry| tell(&server.state.view(), entry)).collect()
}

async fn of(server: &Server, kind: DetailType) -> Vec<Value> {
    let told = all(server).await.into_iter().filter(|told| told.kind == kind);
    told.map(|told| told.envelope(server.state.store().id())).collect()
}

#[tokio::test]
async fn the_life_of_a_service_is_told_in_order() {
    let (server, scheduler, _) = steady().await;
    let row = server.state.view().tasks.iter().next().expect("a task").clone();
    report(&server, &row, ContainerStatus::Stopped).await;
    scheduler.settle(&server).await;
    let told = all(&server).await;
    let text = |told: &Told| {
        let name = told.detail["eventName"].as_str().or(told.detail["lastStatus"].as_str());
        // Ids are named by what follows them.
        let words = told.text.split(' ').filter(|word| !word.contains(|c: char| c.is_numeric()));
        let words: Vec<&str> = words.collect();
        format!("{}: {}", told.kind.word(), name.map_or(words.join(" "), str::to_owned))
    };
    let texts: Vec<String> = told.iter().map(text).collect();
    let expected = [
        "instance: (instance ACTIVE, agent disconnected",
        "instance: (instance ACTIVE, agent connected",
        "deployment: SERVICE_DEPLOYMENT_IN_PROGRESS",
        "task: PENDING",
        "service: (service web) has started tasks: (task",
        "task: RUNNING",
        "deployment: SERVICE_DEPLOYMENT_COMPLETED",
        "service: (service web) (deployment deployment completed.",
        "service: SERVICE_STEADY_STATE",
        "task: STOPPED",
        "task: PENDING",
        "service: (service web) has started tasks: (task",
    ];
    assert_eq!(texts, expected);
    assert!(told.is_sorted_by_key(|told| told.sequence));
}

#[tokio::test]
async fn a_task_event_has_the_form_of_eventbridge() {
    let (server, _, instance) = steady().await;
    let events = of(&server, DetailType::Task).await;
    let (pending, running) = (&events[0], &events[1]);
    assert_eq!(running["version"], "0");
    assert_eq!(running["detail-type"], "ECS Task State Change");
    assert_eq!(running["source"], "aws.ecs");
    assert_eq!(running["account"], "000000000000");
    assert_eq!(running["region"], "us-east-1");
    let arn = &running["detail"]["taskArn"];
    assert_eq!(running["resources"], json!([arn]));
    let (id, time) = (running["id"].as_str(), running["time"].as_str());
    assert_eq!(id.map(str::len), Some(36));
    assert_ne!(id, pending["id"].as_str());
    // Whole seconds in the envelope, milliseconds in the detail.
    assert_eq!(time.map(str::len), Some("2026-11-23T08:00:00Z".len()), "{time:?}");
    let detail = &running["detail"];
    for member in ["createdAt", "startedAt", "connectivityAt", "updatedAt"] {
        let time = detail[member].as_str();
        assert_eq!(time.map(str::len), Some("2026-11-23T08:00:00.000Z".len()), "{member} {time:?}");
    }
    assert_eq!(detail["lastStatus"], "RUNNING");
    assert_eq!(detail["desiredStatus"], "RUNNING");
    assert_eq!(detail["containerInstanceArn"], instance);
    assert_eq!(detail["clusterArn"], "arn:aws:ecs:us-east-1:000000000000:cluster/default");
    assert_eq!(detail["group"], "service:web");
    assert_eq!(detail["containers"][0]["name"], "main");
    assert_eq!(
        detail["overrides"],
        json!({"containerOverrides": [], "inferenceAcceleratorOverrides": []})
    );
    assert_eq!(detail["tags"], Value::Null);
    let version = |event: &Value| event["detail"]["version"].as_u64().expect("a version");
    assert_eq!(version(running), version(pending) + 1);
    // Told again, it is the same event.
    assert_eq!(of(&server, DetailType::Task).await[1], *running);
}

#[tokio::test]
async fn a_hook_that_waits_is_told_in_the_form_of_eventbridge() {
    let (server, scheduler, _) = steady().await;
    let hook = json!({"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]});
    let input = json!({
        "service": "web", "forceNewDeployment": true,
        "deploymentConfiguration": {"lifecycleHooks": [hook]},
    });
    ask(&server, "UpdateService", input).await.expect("updated");
    scheduler.settle(&server).await;
    let waiting = of(&server, DetailType::Hook).await.pop().expect("an event");
    assert_eq!(waiting["detail-type"], "ECS Hook State Change");
    let listed = ask(&server, "ListServiceDeployments", json!({"service": "web"})).await;
    let arn = &listed.expect("listed")["serviceDeployments"][0]["serviceDeploymentArn"];
    assert_eq!(waiting["resources"], json!([arn]));
    let mut detail = waiting["detail"].clone();
    for member in ["hookId", "expiresAt", "updatedAt"] {
        assert!(detail[member].take().is_string(), "{member}");
    }
    let expected = json!({
        "eventType": "INFO",
        "eventName": "HOOK_AWAITING_ACTION",
        "hookId": null,
        "hookType": "PAUSE",
        "expiresAt": null,
        "lifecycleStage": "PRE_SCALE_UP",
        "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
        "serviceArn": "arn:aws:ecs:us-east-1:000000000000:service/default/web",
        "serviceDeploymentArn": arn,
        "updatedAt": null,
    });
    assert_eq!(detail, expected);
}

#[tokio::test]
async fn the_other_events_have_the_form_of_eventbridge() {
    let (server, scheduler, instance) = steady().await;
    let service = "arn:aws:ecs:us-east-1:000000000000:service/default/web";
    let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/default";

    let connected = of(&server, DetailType::ContainerInstance).await.pop().expect("an event");
    assert_eq!(connected["resources"], json!([instance]));
    let detail = &connected["detail"];
    assert_eq!(detail["containerInstanceArn"], instance);
    assert_eq!((&detail["clusterArn"], &detail["agentConnected"]), (&json!(cluster), &json!(true)));
    assert_eq!(detail["registeredResources"][0]["integerValue"], 1000);
    assert!(detail["version"].is_u64() && detail["updatedAt"].is_string(), "{detail}");
    assert_eq!(detail["runningTasksCount"], Value::Null);

    let steps = of(&server, DetailType::Deployment).await;
    let done = &steps[1];
    assert_eq!(done["detail-type"], "ECS Deployment State Change");
    assert_eq!(done["resources"], json!([service]));
    let id = done["detail"]["deploymentId"].as_str().expect("an id");
    assert!(id.starts_with("ecs-svc/"));
    let mut detail = done["detail"].clone();
    assert!(detail["updatedAt"].take().is_string());
    let expected = json!({
        "eventType": "INFO",
        "eventName": "SERVICE_DEPLOYMENT_COMPLETED",
        "deploymentId": id,
        "updatedAt": null,
        "reason": format!("ECS deployment {id} completed."),
    });
    assert_eq!(detail, expected);

    let input = json!({"service": "web", "desiredCount": 20});
    ask(&server, "UpdateService", input).await.expect("updated");
    scheduler.settle(&server).await;
    let actions = of(&server, DetailType::ServiceAction).await;
    let (steady, failure) = (&actions[0], actions.last().expect("an event"));
    assert_eq!(steady["detail-type"], "ECS Service Action");
    assert_eq!(steady["resources"], json!([service]));
    let mut detail = steady["detail"].clone();
    assert!(detail["createdAt"].take().is_string());
    let expected = json!({
        "eventType": "INFO",
        "eventName": "SERVICE_STEADY_STATE",
        "clusterArn": cluster,
        "createdAt": null,
    });
    assert_eq!(detail, expected);
    let mut detail = failure["detail"].clone();
    assert!(detail["createdAt"].take().is_string());
    let expected = json!({
        "eventType": "ERROR",
        "eventName": "SERVICE_TASK_PLACEMENT_FAILURE",
        "clusterArn": cluster,
        "createdAt": null,
        "reason": "RESOURCE:CPU",
        "containerInstanceArns": [instance],
    });
    assert_eq!(detail, expected);
    let refusals = of(&server, DetailType::Refusal).await;
    assert_eq!(refusals.len(), 1, "told once, not at each attempt");
    assert_eq!(refusals[0]["source"], "longshore");
    assert_eq!(refusals[0]["detail"]["instances"][0]["containerInstanceArn"], instance);
}

/// The lines that a query gives, until the stream ends.
async fn lines(server: &Arc<Server>, query: &[(&str, &str)]) -> Vec<Value> {
    let query: BTreeMap<String, String> =
        query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let reply = events::answer(server, &scope(), &query).await.expect("a stream");
    let body = reply.into_body().collect().await.expect("lines").to_bytes();
    let text = std::str::from_utf8(&body).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn a_stream_resumes_after_any_line_and_chooses() {
    let (server, ..) = steady().await;
    let whole = lines(&server, &[]).await;
    assert_eq!(whole.len(), all(&server).await.len());
    for (read, line) in whole.iter().enumerate() {
        let after = line["sequence"].to_string();
        assert_eq!(lines(&server, &[("after", &after)]).await, whole[read + 1..]);
    }
    let of_type = |kind: &'static str| {
        let server = &server;
        async move { lines(server, &[("type", kind)]).await.len() }
    };
    assert_eq!(of_type("task").await, 2);
    assert_eq!(of_type("ECS Task State Change,deployment").await, 4);
    let task = whole.iter().find_map(|line| line["task"].as_str()).expect("a task");
    assert_eq!(lines(&server, &[("task", task)]).await.len(), 2);
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{task}");
    assert_eq!(lines(&server, &[("task", &arn)]).await.len(), 2);
    assert_eq!(lines(&server, &[("service", "web"), ("type", "instance")]).await, [json!(null); 0]);
    assert_eq!(lines(&server, &[("cluster", "other")]).await, [json!(null); 0]);
    assert_eq!(lines(&server, &[("since", "1h")]).await, whole);
    assert_eq!(lines(&server, &[("until", "1h")]).await, [json!(null); 0]);
    let other = Scope { account: "111111111111".parse().expect("an account"), ..scope() };
    let reply = events::answer(&server, &other, &BTreeMap::new()).await.expect("a stream");
    assert!(reply.into_body().collect().await.expect("nothing").to_bytes().is_empty());
    for wrong in [("type", "tasks"), ("after", "x"), ("since", "noon"), ("until", "25:00")] {
        let query = BTreeMap::from([(wrong.0.to_owned(), wrong.1.to_owned())]);
        let refusal = events::answer(&server, &scope(), &query).await.expect_err("refused");
        assert_eq!(refusal.status(), 400, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_follower_waits_for_more_and_ends_with_the_server() {
    let (server, scheduler, _) = steady().await;
    let newest = lines(&server, &[]).await.pop().expect("a line")["sequence"].to_string();
    let query = BTreeMap::from([
        ("follow".to_owned(), "true".to_owned()),
        ("after".to_owned(), newest),
        ("type".to_owned(), "task".to_owned()),
    ]);
    let reply = events::answer(&server, &scope(), &query).await.expect("a stream");
    let mut body = reply.into_body();
    let follower = tokio::spawn(async move {
        let frame = body.frame().await.expect("a line").expect("no error");
        (frame.into_data().expect("data"), body)
    });
    let row = server.state.view().tasks.iter().next().expect("a task").clone();
    report(&server, &row, ContainerStatus::Stopped).await;
    let (line, mut body) = follower.await.expect("no panic");
    let line: Value = serde_json::from_slice(&line).expect("JSON");
    assert_eq!(line["event"]["detail"]["lastStatus"], "STOPPED");
    scheduler.settle(&server).await;
    let frame = body.frame().await.expect("a line").expect("no error").into_data();
    let line: Value = serde_json::from_slice(&frame.expect("data")).expect("JSON");
    assert_eq!(line["event"]["detail"]["lastStatus"], "PENDING");
    server.shutdown.send_replace(true);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn the_past_can_be_looked_at() {
    let (server, scheduler, _) = steady().await;
    let before = lines(&server, &[("type", "service")]).await.pop().expect("a line");
    let before = before["time"].as_str().expect("a time").to_owned();
    let row = server.state.view().tasks.iter().next().expect("a task").clone();
    // The clock has milliseconds; what follows must have a later one.
    while to_millisecond(clock::now()) <= before {
        tokio::task::yield_now().await;
    }
    report(&server, &row, ContainerStatus::Stopped).await;
    scheduler.settle(&server).await;
    let at = async |query: &[(&str, &str)]| {
        let query = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let reply = operator::at::answer(&server, &scope(), &query).await;
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice::<Value>(&body).expect("JSON"))
    };
    let (status, then) = at(&[("time", &before)]).await;
    assert_eq!(status, 200, "{then}");
    let service = &then["services"][0];
    assert_eq!((&service["desiredCount"], &service["runningCount"]), (&json!(1), &json!(1)));
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    let on_instance = &then["containerInstances"][0]["tasks"];
    assert_eq!(on_instance[0]["task"], row.id.to_string());
    assert_eq!(on_instance[0]["lastStatus"], "RUNNING");
    assert_eq!(then["events"].as_array().expect("events").len(), all(&server).await.len());
    let (_, now) = at(&[("time", "0s")]).await;
    assert_eq!(now["services"][0]["pendingCount"], 1);
    assert_ne!(now["tasks"][0]["task"], row.id.to_string());
    let refused = [
        (400, vec![]),
        (400, vec![("time", "noon")]),
        (400, vec![("time", "2999-01-01")]),
        (400, vec![("time", "0s"), ("cluster", "no such name")]),
        (400, vec![("time", "0s"), ("around", "-1")]),
        (404, vec![("time", "2020-01-01")]),
    ];
    for (code, query) in refused {
        let (status, body) = at(&query).await;
        assert_eq!(status, code, "{query:?}");
        assert!(body["error"].is_string());
    }
}
