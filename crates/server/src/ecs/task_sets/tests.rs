use std::sync::Arc;

use serde_json::{Value, json};

use crate::Server;
use crate::controllers::test_services::Scheduler;
use crate::test_server::{add_instance, agents, ask, refused, register, server};

fn external() -> Value {
    json!({
        "serviceName": "web", "desiredCount": 4, "deploymentController": {"type": "EXTERNAL"},
    })
}

/// Members of a call about the service, and more.
fn of_web(more: &Value) -> Value {
    let mut input = json!({"cluster": "default", "service": "web"});
    for (name, value) in more.as_object().expect("members") {
        input[name] = value.clone();
    }
    input
}

fn percent(value: f64) -> Value {
    json!({"value": value, "unit": "PERCENT"})
}

async fn with_web() -> (Arc<Server>, Scheduler) {
    let server = server().await;
    add_instance(&server, 10_000).await;
    ask(&server, "CreateService", external()).await.expect("a service");
    let scheduler = Scheduler::new(&server);
    (server, scheduler)
}

async fn create(server: &Arc<Server>, more: &Value) -> Value {
    let mut input = of_web(more);
    if input.get("taskDefinition").is_none() {
        input["taskDefinition"] = json!("web");
    }
    ask(server, "CreateTaskSet", input).await.expect("a task set")["taskSet"].clone()
}

async fn settle(server: &Arc<Server>, scheduler: &Scheduler) {
    scheduler.settle(server).await;
    agents(server).await;
    scheduler.settle(server).await;
}

async fn service(server: &Arc<Server>) -> Value {
    let output = ask(server, "DescribeServices", json!({"services": ["web"]})).await;
    output.expect("described")["services"][0].clone()
}

#[tokio::test]
async fn a_service_of_task_sets_has_no_deployments() {
    let (server, scheduler) = with_web().await;
    settle(&server, &scheduler).await;
    let made = service(&server).await;
    assert_eq!(made["deploymentController"]["type"], "EXTERNAL");
    assert_eq!((&made["taskSets"], &made["deployments"]), (&json!([]), &json!([])));
    assert_eq!(made.get("taskDefinition"), None);
    assert_eq!(made["runningCount"], 0);
    let again = ask(&server, "CreateService", external()).await.expect("idempotent");
    assert_eq!(again["service"]["createdAt"], made["createdAt"]);
    let bare = json!({"serviceName": "bare", "deploymentController": {"type": "EXTERNAL"}});
    let bare = ask(&server, "CreateService", bare).await.expect("the name is enough");
    assert_eq!(bare["service"]["desiredCount"], 0);
}

#[tokio::test]
async fn a_set_is_made_scaled_made_primary_and_deleted() {
    let (server, scheduler) = with_web().await;
    let blue = create(
        &server,
        &json!({"externalId": "blue", "tags": [{"key": "colour", "value": "blue"}]}),
    )
    .await;
    let id = blue["id"].as_str().expect("an id").to_owned();
    assert_eq!(id.len(), "ecs-svc/".len() + 19);
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task-set/default/web/{id}");
    assert_eq!(blue["taskSetArn"], json!(arn));
    assert_eq!(blue["status"], "ACTIVE");
    assert_eq!(blue["scale"]["unit"], "PERCENT");
    assert_eq!(blue["scale"]["value"].as_f64(), Some(100.0));
    assert_eq!((&blue["computedDesiredCount"], &blue["runningCount"]), (&json!(4), &json!(0)));
    assert_eq!(blue["stabilityStatus"], "STABILIZING");
    assert_eq!(blue["externalId"], "blue");
    assert_eq!(blue["tags"], json!([{"key": "colour", "value": "blue"}]));
    assert_eq!(blue.get("startedBy"), None);
    settle(&server, &scheduler).await;
    {
        let view = server.state.view();
        assert!(view.tasks.iter().all(|task| task.started_by.as_ref() == Some(&id)));
        assert_eq!(view.tasks.len(), 4);
    }
    let input = of_web(&json!({"taskSets": [id, "ecs-svc/1"]}));
    let output = ask(&server, "DescribeTaskSets", input).await.expect("described");
    let found = &output["taskSets"][0];
    assert_eq!((&found["runningCount"], &found["pendingCount"]), (&json!(4), &json!(0)));
    assert_eq!(found["stabilityStatus"], "STEADY_STATE");
    assert_eq!(found.get("tags"), None);
    let missing = "arn:aws:ecs:us-east-1:000000000000:task-set/default/web/ecs-svc/1";
    assert_eq!(output["failures"], json!([{"arn": missing, "reason": "MISSING"}]));

    let input = of_web(&json!({"primaryTaskSet": arn}));
    let output = ask(&server, "UpdateServicePrimaryTaskSet", input).await.expect("primary");
    assert_eq!(output["taskSet"]["status"], "PRIMARY");
    assert_eq!(service(&server).await["taskDefinition"], blue["taskDefinition"]);

    register(&server, "web").await;
    let green = create(&server, &json!({"scale": percent(12.5)})).await;
    assert_eq!(green["scale"]["value"].as_f64(), Some(12.5));
    assert_eq!(green["computedDesiredCount"], 1);
    settle(&server, &scheduler).await;
    let input = of_web(&json!({"taskSet": green["id"], "scale": percent(60.0)}));
    let output = ask(&server, "UpdateTaskSet", input).await.expect("scaled");
    assert_eq!(output["taskSet"]["computedDesiredCount"], 3);
    assert_eq!(output["taskSet"]["stabilityStatus"], "STABILIZING", "before anything starts");
    settle(&server, &scheduler).await;
    let shown = service(&server).await;
    assert_eq!((&shown["runningCount"], &shown["desiredCount"]), (&json!(7), &json!(4)));
    let sets = shown["taskSets"].as_array().expect("sets");
    assert_eq!(sets[1]["stabilityStatus"], "STEADY_STATE");
    assert_eq!(sets[1]["runningCount"], 3);
    assert_eq!(shown["events"][0]["message"], "(service web) has reached a steady state.");

    let input = of_web(&json!({"primaryTaskSet": green["id"]}));
    ask(&server, "UpdateServicePrimaryTaskSet", input).await.expect("primary");
    let input = of_web(&json!({"taskSet": id}));
    let output = ask(&server, "DeleteTaskSet", input.clone()).await.expect("deleted");
    assert_eq!(output["taskSet"]["status"], "DRAINING");
    ask(&server, "DeleteTaskSet", input.clone()).await.expect("deleted already");
    settle(&server, &scheduler).await;
    let shown = service(&server).await;
    assert_eq!(shown["taskSets"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["runningCount"], 3);
    assert_eq!(
        refused(&server, "DeleteTaskSet", input).await,
        "TaskSetNotFoundException: TaskSet not found."
    );
}

#[tokio::test]
async fn the_same_token_gives_the_same_set() {
    let (server, _) = with_web().await;
    let first = create(&server, &json!({"clientToken": "t"})).await;
    let again = create(&server, &json!({"clientToken": "t"})).await;
    assert_eq!(first["id"], again["id"]);
    let input =
        of_web(&json!({"clientToken": "t", "taskDefinition": "web", "externalId": "other"}));
    assert_eq!(
        refused(&server, "CreateTaskSet", input).await,
        "InvalidParameterException: Creation of TaskSet was not idempotent."
    );
    let other = create(&server, &json!({})).await;
    assert_ne!(first["id"], other["id"], "without a token every call makes one");
}

#[tokio::test]
async fn bad_requests_get_the_errors_of_aws() {
    let (server, _) = with_web().await;
    let rolling = json!({"serviceName": "rolling", "taskDefinition": "web", "desiredCount": 1});
    ask(&server, "CreateService", rolling).await.expect("a service");
    let set = create(&server, &json!({})).await["id"].clone();
    let input = of_web(&json!({"primaryTaskSet": set}));
    ask(&server, "UpdateServicePrimaryTaskSet", input).await.expect("primary");
    let with = |name: &str, value: Value| {
        let mut input = of_web(&json!({"taskDefinition": "web", "taskSet": set}));
        input[name] = value;
        input
    };
    let only = "InvalidParameterException: Amazon ECS only supports task set management on \
                services configured to use external deployment controllers.";
    let range = "InvalidParameterException: Scale value must be between 0 and 100 percent.";
    let cases = [
        ("CreateTaskSet", with("service", json!("rolling")), only),
        ("DescribeTaskSets", with("service", json!("rolling")), only),
        (
            "CreateTaskSet",
            with("service", json!("absent")),
            "ServiceNotFoundException: Service not found.",
        ),
        (
            "DescribeTaskSets",
            with("cluster", json!("absent")),
            "ClusterNotFoundException: Cluster not found.",
        ),
        (
            "CreateTaskSet",
            with("taskDefinition", json!("absent")),
            "ClientException: TaskDefinition not found.",
        ),
        ("CreateTaskSet", with("scale", percent(100.1)), range),
        ("UpdateTaskSet", with("scale", percent(-0.1)), range),
        ("UpdateTaskSet", with("scale", percent(1e300)), range),
        (
            "CreateTaskSet",
            with("clientToken", json!("t".repeat(37))),
            "InvalidParameterException: clientToken must have at most 36 printable ASCII \
             characters.",
        ),
        (
            "DeleteTaskSet",
            with("x", json!(1)),
            "InvalidParameterException: Primary TaskSet cannot be deleted",
        ),
    ];
    for (operation, input, expected) in cases {
        assert_eq!(refused(&server, operation, input.clone()).await, expected, "{input}");
    }
    for operation in ["UpdateTaskSet", "DeleteTaskSet", "UpdateServicePrimaryTaskSet"] {
        for absent in [
            "ecs-svc/1",
            "1",
            "ecs-svc/x",
            "",
            "arn:aws:ecs:us-east-1:000000000000:task-set/default/other/ecs-svc/1",
        ] {
            let mut input = with("taskSet", json!(absent));
            input["primaryTaskSet"] = json!(absent);
            input["scale"] = percent(1.0);
            assert_eq!(
                refused(&server, operation, input).await,
                "TaskSetNotFoundException: TaskSet not found."
            );
        }
    }
    for (name, value) in [
        ("loadBalancers", json!([{"loadBalancerName": "classic"}])),
        ("serviceRegistries", json!([{"registryArn": "arn"}])),
        ("launchType", json!("FARGATE")),
    ] {
        let error = refused(&server, "CreateTaskSet", with(name, value)).await;
        assert!(error.starts_with("UnsupportedFeatureException: "), "{name}: {error}");
    }
}

#[tokio::test]
async fn five_sets_are_the_most() {
    let (server, _) = with_web().await;
    for _ in 0..5 {
        create(&server, &json!({})).await;
    }
    let input = of_web(&json!({"taskDefinition": "web"}));
    assert_eq!(
        refused(&server, "CreateTaskSet", input).await,
        "InvalidParameterException: 5 deployments exist on the service. Unable to create new \
         TaskSet since this exceeds the maximum limit."
    );
}

#[tokio::test]
async fn what_belongs_to_task_sets_is_refused_of_the_service() {
    let (server, scheduler) = with_web().await;
    let invalid = "InvalidParameterException: ";
    for (name, value) in [
        ("taskDefinition", json!("web")),
        ("platformVersion", json!("LATEST")),
        ("schedulingStrategy", json!("DAEMON")),
        (
            "deploymentConfiguration",
            json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}}),
        ),
    ] {
        let mut input = external();
        input["serviceName"] = json!("other");
        input[name] = value;
        let error = refused(&server, "CreateService", input).await;
        assert!(error.starts_with(invalid), "{name}: {error}");
    }
    for (name, value) in [
        ("taskDefinition", json!("web")),
        ("platformVersion", json!("LATEST")),
        ("forceNewDeployment", json!(true)),
        ("deploymentConfiguration", json!({"maximumPercent": 150})),
        ("deploymentController", json!({"type": "ECS"})),
    ] {
        let error = refused(&server, "UpdateService", of_web(&json!({name: value}))).await;
        assert!(error.starts_with(invalid), "{name}: {error}");
    }
    let code_deploy = json!({"serviceName": "cd", "taskDefinition": "web", "desiredCount": 1, "deploymentController": {"type": "CODE_DEPLOY"}});
    assert_eq!(
        refused(&server, "CreateService", code_deploy).await,
        "UnsupportedFeatureException: The deployment controller CODE_DEPLOY, which needs AWS \
         CodeDeploy, is not available in this version of Longshore. Remove it and try again."
    );
    create(&server, &json!({"scale": percent(50.0)})).await;
    settle(&server, &scheduler).await;
    let input = of_web(&json!({
        "desiredCount": 6, "healthCheckGracePeriodSeconds": 5, "propagateTags": "SERVICE",
        "enableECSManagedTags": true, "placementStrategy": [],
    }));
    ask(&server, "UpdateService", input).await.expect("that may change");
    settle(&server, &scheduler).await;
    assert_eq!(service(&server).await["runningCount"], 3);
}

#[tokio::test]
async fn a_service_with_tasks_in_sets_is_deleted_by_force_or_scaled_to_zero() {
    for force in [true, false] {
        let (server, scheduler) = with_web().await;
        let set = create(&server, &json!({})).await["id"].clone();
        settle(&server, &scheduler).await;
        assert_eq!(
            refused(&server, "DeleteService", json!({"service": "web"})).await,
            "InvalidParameterException: The service cannot be stopped while it is scaled above 0."
        );
        if !force {
            let input = of_web(&json!({"taskSet": set, "scale": percent(0.0)}));
            ask(&server, "UpdateTaskSet", input).await.expect("scaled");
        }
        let input = json!({"service": "web", "force": force});
        let output = ask(&server, "DeleteService", input).await.expect("deleted");
        assert_eq!(output["service"]["taskSets"][0]["status"], "DRAINING");
        let input = of_web(&json!({"taskSet": set, "scale": percent(1.0)}));
        assert_eq!(
            refused(&server, "UpdateTaskSet", input).await,
            "ServiceNotActiveException: Service was not ACTIVE."
        );
        settle(&server, &scheduler).await;
        let shown = service(&server).await;
        assert_eq!((&shown["status"], &shown["taskSets"]), (&json!("INACTIVE"), &json!([])));
        assert_eq!(
            refused(&server, "DescribeTaskSets", of_web(&json!({}))).await,
            "ServiceNotActiveException: Service was not ACTIVE."
        );
    }
}

#[tokio::test]
async fn sets_have_tags_of_their_own() {
    let (server, _) = with_web().await;
    let arn = create(&server, &json!({})).await["taskSetArn"].clone();
    let tags = json!([{"key": "colour", "value": "green"}]);
    let input = json!({"resourceArn": arn, "tags": tags});
    ask(&server, "TagResource", input).await.expect("tagged");
    let output = ask(&server, "ListTagsForResource", json!({"resourceArn": arn})).await;
    assert_eq!(output.expect("tags")["tags"], tags);
    let input = of_web(&json!({"include": ["TAGS"]}));
    let output = ask(&server, "DescribeTaskSets", input).await.expect("described");
    assert_eq!(output["taskSets"][0]["tags"], tags);
}
