use std::sync::Arc;

use longshore_domain::record::ContainerStatus;
use serde_json::{Value, json};

use crate::Server;
use crate::controllers::test_services::Scheduler;
use crate::test_server::{add_instance, agents, ask, refused, register, report, server};

/// A service with two running tasks, its scheduler, and a second revision to deploy.
async fn running(configuration: Value) -> (Arc<Server>, Scheduler) {
    let server = server().await;
    add_instance(&server, 10_000).await;
    let input = json!({
        "serviceName": "web", "taskDefinition": "web:1", "desiredCount": 2,
        "deploymentConfiguration": configuration,
    });
    ask(&server, "CreateService", input).await.expect("a service");
    let scheduler = Scheduler::new(&server);
    settle(&server, &scheduler).await;
    register(&server, "web").await;
    (server, scheduler)
}

/// Scheduler and agents go on until both rest.
async fn settle(server: &Arc<Server>, scheduler: &Scheduler) {
    for _ in 0..5 {
        scheduler.settle(server).await;
        agents(server).await;
    }
}

async fn deploy(server: &Arc<Server>) -> String {
    let input = json!({"service": "web", "taskDefinition": "web:2"});
    let output = ask(server, "UpdateService", input).await.expect("updated");
    let arn = &output["service"]["currentServiceDeployment"];
    arn.as_str().expect("an ARN").to_owned()
}

async fn describe(server: &Arc<Server>, arn: &str) -> Value {
    let input = json!({"serviceDeploymentArns": [arn]});
    let output = ask(server, "DescribeServiceDeployments", input).await.expect("described");
    output["serviceDeployments"][0].clone()
}

async fn list(server: &Arc<Server>, mut input: Value) -> Vec<Value> {
    input["service"] = json!("web");
    let output = ask(server, "ListServiceDeployments", input).await.expect("listed");
    output["serviceDeployments"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_deployment_is_a_resource_from_beginning_to_end() {
    let (server, scheduler) = running(json!({"minimumHealthyPercent": 0})).await;
    let first = list(&server, json!({})).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["status"], "SUCCESSFUL");
    let arn = deploy(&server).await;
    let prefix = "arn:aws:ecs:us-east-1:000000000000:service-deployment/default/web/";
    assert!(arn.starts_with(prefix), "{arn}");
    assert_eq!(describe(&server, &arn).await["status"], "PENDING");
    scheduler.settle(&server).await;
    let under_way = describe(&server, &arn).await;
    assert_eq!(under_way["status"], "IN_PROGRESS");
    assert_eq!(under_way["lifecycleStage"], "SCALE_UP");
    assert_eq!(under_way["deploymentCircuitBreaker"]["status"], "DISABLED");
    assert_eq!(under_way["targetServiceRevision"]["requestedTaskCount"], 2);
    assert_eq!(under_way["targetServiceRevision"]["pendingTaskCount"], 2);
    assert_eq!(under_way["sourceServiceRevisions"][0]["arn"], first[0]["targetServiceRevisionArn"]);
    settle(&server, &scheduler).await;
    let end = describe(&server, &arn).await;
    assert_eq!(end["status"], "SUCCESSFUL");
    assert_eq!(end["targetServiceRevision"]["runningTaskCount"], 2);
    assert!(end["finishedAt"].is_number());
    let output = ask(&server, "DescribeServices", json!({"services": ["web"]})).await.expect("ok");
    let service = &output["services"][0];
    assert_eq!(service.get("currentServiceDeployment"), None);
    assert_eq!(service["currentServiceRevisions"][0]["arn"], end["targetServiceRevision"]["arn"]);
    let input = json!({"serviceRevisionArns": [end["targetServiceRevision"]["arn"]]});
    let output = ask(&server, "DescribeServiceRevisions", input).await.expect("described");
    let revision = &output["serviceRevisions"][0];
    assert_eq!(
        revision["taskDefinition"],
        "arn:aws:ecs:us-east-1:000000000000:task-definition/web:2"
    );
    assert_eq!(revision["containerImages"][0]["image"], "image");
}

#[tokio::test]
async fn deployments_are_listed_newest_first_and_filtered() {
    let (server, scheduler) = running(json!({"minimumHealthyPercent": 0})).await;
    let replaced = deploy(&server).await;
    scheduler.settle(&server).await;
    let input = json!({"service": "web", "forceNewDeployment": true});
    ask(&server, "UpdateService", input).await.expect("updated");
    let statuses = |rows: &[Value]| -> Vec<String> {
        rows.iter().map(|row| row["status"].as_str().expect("text").to_owned()).collect()
    };
    let all = list(&server, json!({})).await;
    assert_eq!(statuses(&all), ["PENDING", "STOPPED", "SUCCESSFUL"]);
    assert_eq!(all[1]["serviceDeploymentArn"], json!(replaced));
    let some = list(&server, json!({"status": ["STOPPED", "ROLLBACK_FAILED"]})).await;
    assert_eq!(statuses(&some), ["STOPPED"]);
    assert_eq!(list(&server, json!({"createdAt": {"before": 1.0}})).await.len(), 0);
    assert_eq!(list(&server, json!({"createdAt": {"after": 1.0}})).await.len(), 3);
    let input = json!({"service": "web", "maxResults": 2});
    let page = ask(&server, "ListServiceDeployments", input).await.expect("a page");
    let input = json!({"service": "web", "maxResults": 2, "nextToken": page["nextToken"]});
    let page = ask(&server, "ListServiceDeployments", input).await.expect("a page");
    assert_eq!(page["serviceDeployments"][0], all[2]);
    assert_eq!(page.get("nextToken"), None);
}

#[tokio::test]
async fn a_deployment_goes_back_when_asked_without_a_circuit_breaker() {
    let (server, scheduler) = running(json!({})).await;
    let arn = deploy(&server).await;
    scheduler.settle(&server).await;
    let input = json!({"serviceDeploymentArn": arn});
    let output = ask(&server, "StopServiceDeployment", input.clone()).await.expect("accepted");
    assert_eq!(output["serviceDeploymentArn"], json!(arn));
    assert_eq!(describe(&server, &arn).await["status"], "ROLLBACK_REQUESTED");
    settle(&server, &scheduler).await;
    let end = describe(&server, &arn).await;
    assert_eq!(end["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(end["rollback"]["serviceRevisionArn"], end["sourceServiceRevisions"][0]["arn"]);
    assert_eq!(
        refused(&server, "StopServiceDeployment", input).await,
        "ConflictException: The service deployment cannot be stopped: it is ROLLBACK_SUCCESSFUL."
    );
}

#[tokio::test]
async fn a_deployment_stays_where_it_is_when_aborted() {
    let (server, scheduler) = running(json!({})).await;
    let arn = deploy(&server).await;
    scheduler.settle(&server).await;
    let input = json!({"serviceDeploymentArn": arn, "stopType": "ABORT"});
    ask(&server, "StopServiceDeployment", input).await.expect("accepted");
    assert_eq!(describe(&server, &arn).await["status"], "STOP_REQUESTED");
    settle(&server, &scheduler).await;
    let end = describe(&server, &arn).await;
    assert_eq!(end["status"], "STOPPED");
    assert_eq!(end["sourceServiceRevisions"][0]["runningTaskCount"], 2);
}

#[tokio::test]
async fn the_circuit_breaker_shows_in_the_deployment() {
    let breaker = json!({
        "enable": true, "rollback": true, "thresholdConfiguration": {"type": "COUNT", "value": 2},
    });
    let (server, scheduler) = running(json!({"deploymentCircuitBreaker": breaker})).await;
    let arn = deploy(&server).await;
    scheduler.settle(&server).await;
    assert_eq!(describe(&server, &arn).await["deploymentCircuitBreaker"]["status"], "MONITORING");
    let view = server.state.view();
    for row in view.tasks.iter().filter(|row| row.observed.started_at.is_none()) {
        report(&server, row, ContainerStatus::Stopped).await;
    }
    settle(&server, &scheduler).await;
    let end = describe(&server, &arn).await;
    assert_eq!(end["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(
        end["deploymentCircuitBreaker"],
        json!({"status": "TRIGGERED", "failureCount": 2, "threshold": 2})
    );
    let reason =
        "Service deployment rolled back because the circuit breaker threshold was exceeded.";
    assert_eq!(end["statusReason"], reason);
    assert_eq!(end["rollback"]["reason"], reason);
    let configured = &end["deploymentConfiguration"]["deploymentCircuitBreaker"];
    assert_eq!(configured["thresholdConfiguration"], json!({"type": "COUNT", "value": 2}));
    assert_eq!(configured["resetOnHealthyTask"], true);
}

#[tokio::test]
async fn a_paused_deployment_goes_on_when_told() {
    let hook = json!({"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]});
    let (server, scheduler) =
        running(json!({"minimumHealthyPercent": 0, "lifecycleHooks": [hook]})).await;
    // The first deployment waits as well.
    let first = list(&server, json!({})).await[0]["serviceDeploymentArn"].clone();
    let first = first.as_str().expect("an ARN").to_owned();
    for (arn, action, end) in
        [(first, "CONTINUE", "SUCCESSFUL"), (String::new(), "ROLLBACK", "ROLLBACK_SUCCESSFUL")]
    {
        let arn = if arn.is_empty() { deploy(&server).await } else { arn };
        settle(&server, &scheduler).await;
        let waiting = describe(&server, &arn).await;
        assert_eq!(waiting["lifecycleStage"], "PRE_SCALE_UP");
        let detail = &waiting["lifecycleHookDetails"][0];
        assert_eq!(detail["status"], "AWAITING_ACTION");
        assert_eq!(detail["timeoutAction"], "ROLLBACK");
        let waits = detail["expiresAt"].as_f64().expect("a time")
            - waiting["startedAt"].as_f64().expect("a time");
        assert!((waits - 86_400.0).abs() < 60.0, "{waits}");
        let input = json!({
            "serviceDeploymentArn": arn, "hookId": detail["hookId"], "action": action,
        });
        ask(&server, "ContinueServiceDeployment", input.clone()).await.expect("accepted");
        assert_eq!(
            refused(&server, "ContinueServiceDeployment", input.clone()).await,
            "InvalidParameterException: Provided hookId is either completed, unavailable, or not \
             associated with the given Resource ARN"
        );
        let other = json!({"serviceDeploymentArn": arn, "hookId": "h"});
        assert_eq!(
            refused(&server, "ContinueServiceDeployment", other).await,
            "InvalidParameterException: Invalid hookId: hookId must follow the format: \
             ecs-{hookType}-{id}"
        );
        settle(&server, &scheduler).await;
        assert_eq!(describe(&server, &arn).await["status"], end);
        assert_eq!(
            refused(&server, "ContinueServiceDeployment", input).await,
            "ConflictException: Continuing a service deployment is not allowed for service \
             deployment in terminal states."
        );
    }
}

#[tokio::test]
async fn bad_requests_get_the_errors_of_aws() {
    let (server, _) = running(json!({})).await;
    let arn = |kind: &str| {
        format!("arn:aws:ecs:us-east-1:000000000000:{kind}/default/web/{}", "0".repeat(32))
    };
    let unknown = arn("service-deployment");
    let input = json!({"serviceDeploymentArns": [unknown]});
    let output = ask(&server, "DescribeServiceDeployments", input).await.expect("described");
    assert_eq!(output["failures"], json!([{"arn": unknown, "reason": "MISSING"}]));
    let absent = json!({"serviceDeploymentArn": unknown, "hookId": "h"});
    for operation in ["StopServiceDeployment", "ContinueServiceDeployment"] {
        let mut input = absent.clone();
        if operation == "StopServiceDeployment" {
            input.as_object_mut().expect("an object").remove("hookId");
        }
        assert_eq!(
            refused(&server, operation, input).await,
            "ServiceDeploymentNotFoundException: Service deployment not found."
        );
    }
    for (operation, input) in [
        ("DescribeServiceDeployments", json!({"serviceDeploymentArns": ["web"]})),
        ("DescribeServiceDeployments", json!({"serviceDeploymentArns": []})),
        ("DescribeServiceRevisions", json!({"serviceRevisionArns": [unknown]})),
        ("ListServiceDeployments", json!({"service": "web", "maxResults": 101})),
    ] {
        let error = refused(&server, operation, input).await;
        assert!(error.starts_with("InvalidParameterException: "), "{operation}: {error}");
    }
    assert_eq!(
        refused(&server, "ListServiceDeployments", json!({"service": "absent"})).await,
        "ServiceNotFoundException: Service not found."
    );
}
