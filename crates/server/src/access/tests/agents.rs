//! Agents speak for their own instances only.

use serde_json::json;

use super::*;

fn session(name: &str) -> Principal {
    let kind =
        PrincipalKind::AssumedRole { role: "instances".to_owned(), session: name.to_owned() };
    Principal::new(Account::default(), kind, None)
}

fn user(name: &str) -> Principal {
    Principal::new(Account::default(), PrincipalKind::User { name: name.to_owned() }, None)
}

async fn ask(
    server: &Arc<Server>,
    who: &Principal,
    operation: &str,
    input: serde_json::Value,
) -> Result<serde_json::Value, String> {
    let call = call_of(server, who.clone());
    let name = longshore_wire::ecs::OperationName::parse(operation).expect("an operation");
    let output = crate::ecs::dispatch(&call, name, input.to_string().as_bytes()).await;
    let output = output.map_err(|error| format!("{}: {}", error.code, error.message))?;
    Ok(serde_json::from_slice(&output).expect("JSON"))
}

async fn register(server: &Arc<Server>, who: &Principal) -> String {
    let integer = |name: &str| json!({"name": name, "type": "INTEGER", "integerValue": 4096});
    let input = json!({"totalResources": [integer("CPU"), integer("MEMORY")]});
    let output = ask(server, who, "RegisterContainerInstance", input).await.expect("an instance");
    output["containerInstance"]["containerInstanceArn"].as_str().expect("an ARN").to_owned()
}

/// A task that is on an instance, whether its agent has a session or not.
async fn task_on(server: &Arc<Server>, instance: &str) -> String {
    test_server::connect_all(server).await;
    let root = Principal::new(Account::default(), PrincipalKind::Root, None);
    let input = json!({"taskDefinition": "web", "containerInstances": [instance]});
    let output = ask(server, &root, "StartTask", input).await.expect("a task");
    output["tasks"][0]["taskArn"].as_str().expect("an ARN").to_owned()
}

fn is_refused(outcome: Result<serde_json::Value, String>) {
    let error = outcome.expect_err("it is another's instance");
    assert!(error.starts_with("AccessDeniedException: User: "), "{error}");
    assert!(error.ends_with("another principal registered the container instance"), "{error}");
}

#[tokio::test]
async fn an_agent_does_not_report_for_another() {
    let server = server().await;
    let (a, b) = (session("i-a"), session("i-b"));
    let (of_a, of_b) = (register(&server, &a).await, register(&server, &b).await);
    let task = task_on(&server, &of_b).await;
    let report = json!({"cluster": "default", "task": task, "status": "RUNNING"});
    let of_container =
        json!({"cluster": "default", "task": task, "containerName": "main", "status": "RUNNING"});
    is_refused(ask(&server, &a, "SubmitTaskStateChange", report.clone()).await);
    is_refused(ask(&server, &a, "SubmitContainerStateChange", of_container).await);
    is_refused(
        ask(&server, &a, "RegisterContainerInstance", json!({"containerInstanceArn": of_b})).await,
    );
    for (operation, input) in [
        ("DeregisterContainerInstance", json!({"containerInstance": of_b, "force": true})),
        (
            "UpdateContainerInstancesState",
            json!({"containerInstances": [of_b], "status": "DRAINING"}),
        ),
        ("PutAttributes", json!({"attributes": [{"name": "k", "targetId": of_b}]})),
        ("DeleteAttributes", json!({"attributes": [{"name": "k", "targetId": of_b}]})),
        ("UpdateContainerAgent", json!({"containerInstance": of_b})),
    ] {
        is_refused(ask(&server, &a, operation, input).await);
    }
    ask(&server, &b, "SubmitTaskStateChange", report).await.expect("its own task");
    ask(&server, &a, "RegisterContainerInstance", json!({"containerInstanceArn": of_a}))
        .await
        .expect("its own instance");
    let drain = json!({"containerInstances": [of_a], "status": "DRAINING"});
    ask(&server, &a, "UpdateContainerInstancesState", drain).await.expect("its own instance");
    assert!(server.state.view().tasks.iter().all(|task| !task.is_stopped()));
}

#[tokio::test]
async fn an_agent_without_an_instance_is_still_one() {
    let server = server().await;
    let a = session("i-a");
    let (of_a, of_b) = (register(&server, &a).await, register(&server, &session("i-b")).await);
    let leave = json!({"containerInstance": of_a, "force": true});
    ask(&server, &a, "DeregisterContainerInstance", leave).await.expect("its own");
    // Another joined by a token and has registered none.
    let joined = longshore_auth::Session { joined: true, ..longshore_auth::Session::default() };
    let joined = Principal { session: Some(Box::new(joined)), ..session("i-0123456789abcdef0") };
    for who in [&a, &joined] {
        let drain = json!({"containerInstances": [of_b], "status": "DRAINING"});
        is_refused(ask(&server, who, "UpdateContainerInstancesState", drain).await);
        let remove = json!({"containerInstance": of_b, "force": true});
        is_refused(ask(&server, who, "DeregisterContainerInstance", remove).await);
    }
}

#[tokio::test]
async fn instances_that_share_a_key_report_for_each_other() {
    let server = server().await;
    let shared = user("agents");
    register(&server, &shared).await;
    let second = register(&server, &shared).await;
    let task = task_on(&server, &second).await;
    let report = json!({"cluster": "default", "task": task, "status": "RUNNING"});
    ask(&server, &shared, "SubmitTaskStateChange", report.clone())
        .await
        .expect("the same principal");
    is_refused(ask(&server, &user("other"), "SubmitTaskStateChange", report).await);
}

#[tokio::test]
async fn people_manage_instances_that_agents_registered() {
    let server = server().await;
    let instance = register(&server, &session("i-a")).await;
    let drain = json!({"containerInstances": [instance], "status": "DRAINING"});
    for who in [user("operator"), session("a-person")] {
        ask(&server, &who, "UpdateContainerInstancesState", drain.clone()).await.expect("no agent");
    }
}

#[tokio::test]
async fn instances_of_before_are_anybodys() {
    let server = server().await;
    let instance = register(&server, &session("i-a")).await;
    test_server::forget_owners(&server).await;
    let task = task_on(&server, &instance).await;
    let report = json!({"cluster": "default", "task": task, "status": "RUNNING"});
    ask(&server, &session("i-b"), "SubmitTaskStateChange", report).await.expect("nobody's");
    // Registering again makes it somebody's.
    let again = json!({"containerInstanceArn": instance});
    ask(&server, &session("i-c"), "RegisterContainerInstance", again.clone())
        .await
        .expect("nobody's");
    is_refused(ask(&server, &session("i-b"), "RegisterContainerInstance", again).await);
}

#[tokio::test]
async fn root_speaks_for_every_instance() {
    let server = server().await;
    let instance = register(&server, &session("i-a")).await;
    let task = task_on(&server, &instance).await;
    let root = Principal::new(Account::default(), PrincipalKind::Root, None);
    let report = json!({"cluster": "default", "task": task, "status": "RUNNING"});
    ask(&server, &root, "SubmitTaskStateChange", report).await.expect("root");
}
