use std::sync::Arc;

use serde_json::{Value, json};

use crate::Server;
use crate::test_server::{ask, refused, register, server};

fn web() -> Value {
    json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 2})
}

fn with(mut input: Value, name: &str, value: Value) -> Value {
    input[name] = value;
    input
}

async fn with_web() -> Arc<Server> {
    let server = server().await;
    ask(&server, "CreateService", web()).await.expect("a service");
    server
}

#[tokio::test]
async fn a_service_has_the_defaults_of_ecs() {
    let server = server().await;
    let output = ask(&server, "CreateService", web()).await.expect("a service");
    let service = &output["service"];
    assert_eq!(service["serviceArn"], "arn:aws:ecs:us-east-1:000000000000:service/default/web");
    assert_eq!(service["schedulingStrategy"], "REPLICA");
    assert_eq!(service["launchType"], "EC2");
    assert_eq!(service["propagateTags"], "NONE");
    assert_eq!(service["deploymentController"]["type"], "ECS");
    assert_eq!(service["deploymentConfiguration"]["minimumHealthyPercent"], 100);
    assert_eq!(service["deploymentConfiguration"]["maximumPercent"], 200);
    let deployment = &service["deployments"][0];
    assert_eq!(deployment["status"], "PRIMARY");
    assert_eq!(deployment["rolloutState"], "IN_PROGRESS");
    let reason = deployment["rolloutStateReason"].as_str().expect("text");
    let id = deployment["id"].as_str().expect("text");
    assert_eq!(reason, format!("ECS deployment {id} in progress."));
    let daemon = json!({
        "serviceName": "d", "taskDefinition": "web", "schedulingStrategy": "DAEMON",
    });
    let output = ask(&server, "CreateService", daemon).await.expect("a service");
    let configuration = &output["service"]["deploymentConfiguration"];
    assert_eq!(configuration["minimumHealthyPercent"], 0);
    assert_eq!(configuration["maximumPercent"], 100);
}

#[tokio::test]
async fn bad_requests_get_the_errors_of_aws() {
    let server = with_web().await;
    register(&server, "gone").await;
    let input = json!({"taskDefinition": "gone:1"});
    ask(&server, "DeregisterTaskDefinition", input).await.expect("deregistered");
    let create =
        |name: &str, value: Value| with(with(web(), "serviceName", json!("x")), name, value);
    let invalid = "InvalidParameterException: ";
    let cases = [
        (
            with(web(), "desiredCount", json!(3)),
            format!("{invalid}Creation of service was not idempotent."),
        ),
        (
            create("taskDefinition", json!("absent")),
            "ClientException: TaskDefinition not found.".to_owned(),
        ),
        (
            create("desiredCount", json!(-1)),
            format!("{invalid}desiredCount must be between 0 and 5000."),
        ),
        (
            create("schedulingStrategy", json!("DAEMON")),
            format!(
                "{invalid}The daemon scheduling strategy does not support a desired count for \
                 services. Remove the desired count value and try again"
            ),
        ),
        (
            create("desiredCount", json!(5001)),
            format!("{invalid}desiredCount must be between 0 and 5000."),
        ),
        (
            create("desiredCount", json!(i32::MAX)),
            format!("{invalid}desiredCount must be between 0 and 5000."),
        ),
        (
            create("desiredCount", Value::Null),
            format!("{invalid}desiredCount should not be null or empty."),
        ),
        (
            create("taskDefinition", json!("gone:1")),
            "ClientException: TaskDefinition is inactive".to_owned(),
        ),
        (
            create("taskDefinition", json!("gone")),
            "ClientException: TaskDefinition not found.".to_owned(),
        ),
        (
            create("healthCheckGracePeriodSeconds", json!(-1)),
            format!("{invalid}healthCheckGracePeriodSeconds cannot be negative."),
        ),
        (
            create("clientToken", json!("t".repeat(37))),
            format!("{invalid}clientToken must have at most 36 printable ASCII characters."),
        ),
        (
            create(
                "deploymentConfiguration",
                json!({"lifecycleHooks": [
                    {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]},
                ]}),
            ),
            format!(
                "{invalid}The lifecycle stage POST_TEST_TRAFFIC_SHIFT is not available for the \
                 ROLLING deployment strategy."
            ),
        ),
        (
            create(
                "deploymentConfiguration",
                json!({"deploymentCircuitBreaker": {
                    "enable": true, "rollback": true,
                    "thresholdConfiguration": {"type": "COUNT", "value": 0},
                }}),
            ),
            format!("{invalid}The value of thresholdConfiguration must be greater than 0."),
        ),
        (
            create("cluster", json!("absent")),
            "ClusterNotFoundException: Cluster not found.".to_owned(),
        ),
        (
            create("capacityProviderStrategy", json!([{"capacityProvider": "p"}])),
            "ClientException: The specified capacity provider 'p' was not found.".to_owned(),
        ),
        (
            with(
                create("capacityProviderStrategy", json!([{"capacityProvider": "p"}])),
                "launchType",
                json!("EC2"),
            ),
            format!(
                "{invalid}Specifying both a launch type and capacity provider strategy is not \
                 supported. Remove one and try again."
            ),
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(refused(&server, "CreateService", input).await, expected);
    }
}

#[tokio::test]
async fn percentages_must_leave_room() {
    let server = with_web().await;
    let daemon =
        json!({"serviceName": "d", "taskDefinition": "web", "schedulingStrategy": "DAEMON"});
    ask(&server, "CreateService", daemon.clone()).await.expect("a daemon");
    let both = "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block \
                deployments.";
    let least = "maximumPercent must be at least 100";
    let most = "minimumHealthyPercent must be at most 100";
    let above = "The daemon scheduling strategy does not support values above 100 for \
                 maximumPercent. Change the value and try again.";
    let cases = [
        (false, json!({"minimumHealthyPercent": 100, "maximumPercent": 100}), both),
        (false, json!({"maximumPercent": 100}), both),
        (true, json!({"minimumHealthyPercent": 100}), both),
        (false, json!({"maximumPercent": 99}), least),
        (false, json!({"minimumHealthyPercent": 0, "maximumPercent": 0}), least),
        (true, json!({"maximumPercent": 50}), least),
        (false, json!({"minimumHealthyPercent": 101}), most),
        (false, json!({"minimumHealthyPercent": i32::MAX}), most),
        (true, json!({"maximumPercent": 200}), above),
        (false, json!({"minimumHealthyPercent": -1}), "minimumHealthyPercent cannot be negative."),
        (false, json!({"maximumPercent": i32::MIN}), "maximumPercent cannot be negative."),
    ];
    for (is_daemon, configuration, expected) in cases {
        let base = if is_daemon { daemon.clone() } else { web() };
        let create = with(
            with(base, "serviceName", json!("x")),
            "deploymentConfiguration",
            configuration.clone(),
        );
        let service = if is_daemon { "d" } else { "web" };
        let update = json!({"service": service, "deploymentConfiguration": configuration});
        for (operation, input) in [("CreateService", create), ("UpdateService", update)] {
            assert_eq!(
                refused(&server, operation, input.clone()).await,
                format!("InvalidParameterException: {expected}"),
                "{operation} {input}"
            );
        }
    }
    let huge = json!({"service": "web", "deploymentConfiguration": {"maximumPercent": i32::MAX}});
    ask(&server, "UpdateService", huge).await.expect("more room than anybody needs");
}

#[tokio::test]
async fn bad_changes_change_nothing() {
    let server = with_web().await;
    register(&server, "gone").await;
    let input = json!({"taskDefinition": "gone:1"});
    ask(&server, "DeregisterTaskDefinition", input).await.expect("deregistered");
    let daemon =
        json!({"serviceName": "d", "taskDefinition": "web", "schedulingStrategy": "DAEMON"});
    ask(&server, "CreateService", daemon).await.expect("a daemon");
    let before = server.state.view().revision;
    let cases = [
        (
            json!({"desiredCount": -1}),
            "InvalidParameterException: desiredCount must be between 0 and 5000.",
        ),
        (
            json!({"desiredCount": 5001}),
            "InvalidParameterException: desiredCount must be between 0 and 5000.",
        ),
        (json!({"taskDefinition": "gone:1"}), "ClientException: TaskDefinition is inactive"),
        (json!({"taskDefinition": "web:2"}), "ClientException: TaskDefinition not found."),
        (
            json!({"taskDefinition": ""}),
            "ClientException: TaskDefinition should not be null or empty.",
        ),
        (json!({"cluster": "absent"}), "ClusterNotFoundException: Cluster not found."),
        (
            json!({"service": "d", "desiredCount": 1}),
            "InvalidParameterException: The daemon scheduling strategy does not support a desired \
             count for services. Remove the desired count value and try again",
        ),
        (
            json!({"service": "d", "placementStrategy": [{"type": "random"}]}),
            "InvalidParameterException: The daemon scheduling strategy does not support placement \
             strategies. Remove the placement strategies and try again.",
        ),
        (
            json!({"capacityProviderStrategy": [{"capacityProvider": "p"}]}),
            "ClientException: The specified capacity provider 'p' was not found.",
        ),
        (
            json!({"placementConstraints": [{"type": "memberOf", "expression": "(("}]}),
            "InvalidParameterException: Invalid placement constraint",
        ),
    ];
    for (input, expected) in cases {
        let mut whole = json!({"service": "web"});
        for (name, value) in input.as_object().expect("members") {
            whole[name] = value.clone();
        }
        let error = refused(&server, "UpdateService", whole).await;
        assert!(error.starts_with(expected), "{input}: {error}");
    }
    for operation in ["UpdateService", "DeleteService"] {
        let input = json!({"cluster": "absent", "service": "web"});
        let error = refused(&server, operation, input).await;
        assert_eq!(error, "ClusterNotFoundException: Cluster not found.");
    }
    for operation in ["DescribeServices", "ListServices"] {
        let input = json!({"cluster": "absent", "services": ["web"]});
        let error = refused(&server, operation, input).await;
        assert_eq!(error, "ClusterNotFoundException: Cluster not found.");
    }
    assert_eq!(server.state.view().revision, before);
}

#[tokio::test]
async fn what_is_not_built_is_refused() {
    let server = server().await;
    let cases = [
        ("launchType", json!("FARGATE")),
        (
            "loadBalancers",
            json!([{"loadBalancerName": "classic", "containerName": "main", "containerPort": 80}]),
        ),
        ("serviceRegistries", json!([{"registryArn": "arn"}])),
        ("serviceConnectConfiguration", json!({"enabled": true})),
        ("deploymentController", json!({"type": "CODE_DEPLOY"})),
        ("volumeConfigurations", json!([{"name": "v"}])),
        ("deploymentConfiguration", json!({"bakeTimeInMinutes": 1})),
        (
            "deploymentConfiguration",
            json!({"lifecycleHooks": [{
                "lifecycleStages": ["PRE_SCALE_UP"],
                "hookTargetArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            }]}),
        ),
    ];
    for (name, value) in cases {
        let error = refused(&server, "CreateService", with(web(), name, value)).await;
        assert!(error.starts_with("UnsupportedFeatureException: "), "{name}: {error}");
    }
    assert!(server.state.view().services.is_empty());
    for (name, value) in [
        ("loadBalancers", json!([])),
        ("serviceConnectConfiguration", json!({"enabled": false})),
        ("deploymentController", json!({"type": "ECS"})),
        ("deploymentConfiguration", json!({"strategy": "ROLLING"})),
    ] {
        let input = with(with(web(), name, value), "serviceName", json!(name));
        ask(&server, "CreateService", input).await.expect("asks for nothing that is not built");
    }
}

#[tokio::test]
async fn the_same_call_again_gives_the_same_service() {
    let server = with_web().await;
    let first = ask(&server, "DescribeServices", json!({"services": ["web"]})).await.expect("ok");
    let again = ask(&server, "CreateService", web()).await.expect("idempotent");
    assert_eq!(
        again["service"]["deployments"][0]["id"],
        first["services"][0]["deployments"][0]["id"]
    );
}

#[tokio::test]
async fn only_what_tasks_are_made_from_begins_a_deployment() {
    let server = with_web().await;
    register(&server, "web").await;
    let hook = json!({"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]});
    let breaker = json!({"enable": true, "rollback": true});
    let cases = [
        (json!({}), 1),
        (json!({"desiredCount": 1}), 1),
        (json!({"deploymentConfiguration": {"maximumPercent": 150}}), 1),
        (json!({"deploymentConfiguration": {"deploymentCircuitBreaker": breaker}}), 1),
        (json!({"deploymentConfiguration": {"lifecycleHooks": [hook]}}), 1),
        (json!({"availabilityZoneRebalancing": "ENABLED"}), 1),
        (json!({"availabilityZoneRebalancing": "DISABLED"}), 1),
        (json!({"placementConstraints": [{"type": "distinctInstance"}]}), 1),
        (json!({"placementStrategy": [{"type": "random"}]}), 1),
        (json!({"enableExecuteCommand": true}), 1),
        (json!({"enableECSManagedTags": true}), 1),
        (json!({"propagateTags": "SERVICE"}), 1),
        (json!({"forceNewDeployment": false}), 1),
        (json!({"taskDefinition": "web:1"}), 1),
        (json!({"taskDefinition": "web"}), 2),
        (json!({"platformVersion": "LATEST"}), 3),
        (json!({"platformVersion": "LATEST"}), 3),
        (json!({"forceNewDeployment": true}), 4),
        (json!({}), 4),
    ];
    for (input, deployments) in cases {
        let input = with(input, "service", json!("web"));
        let output = ask(&server, "UpdateService", input.clone()).await.expect("updated");
        let found = output["service"]["deployments"].as_array().map(Vec::len);
        assert_eq!(found, Some(deployments), "{input}");
        let view = server.state.view();
        assert_eq!(view.service_deployments.len(), deployments, "{input}");
        assert_eq!(view.service_revisions.len(), deployments, "{input}");
    }
    let view = server.state.view();
    let under_way = view.service_deployments.iter().filter(|row| !row.status.is_over());
    assert_eq!(under_way.count(), 1, "a newer deployment ends the one before");
    let output = ask(&server, "DescribeServices", json!({"services": ["web"]})).await.expect("ok");
    let service = &output["services"][0];
    assert_eq!(service["deploymentConfiguration"]["minimumHealthyPercent"], 100);
    assert_eq!(service["deploymentConfiguration"]["maximumPercent"], 150);
}

#[tokio::test]
async fn other_subnets_begin_a_deployment() {
    let server = server().await;
    let container = json!({"name": "main", "image": "image", "memory": 64});
    let input = json!({
        "family": "net", "networkMode": "awsvpc", "containerDefinitions": [container],
    });
    ask(&server, "RegisterTaskDefinition", input).await.expect("a task definition");
    let network = |subnet: &str| json!({"awsvpcConfiguration": {"subnets": [subnet]}});
    let input = json!({
        "serviceName": "net", "taskDefinition": "net", "desiredCount": 1,
        "networkConfiguration": network("subnet-a"),
    });
    ask(&server, "CreateService", input).await.expect("a service");
    for (input, deployments) in [
        (json!({"networkConfiguration": network("subnet-a")}), 1),
        (json!({"networkConfiguration": network("subnet-b")}), 2),
        (json!({"desiredCount": 2}), 2),
        (json!({"networkConfiguration": network("subnet-a")}), 3),
    ] {
        let input = with(input, "service", json!("net"));
        let output = ask(&server, "UpdateService", input.clone()).await.expect("updated");
        let found = output["service"]["deployments"].as_array().map(Vec::len);
        assert_eq!(found, Some(deployments), "{input}");
    }
}

#[tokio::test]
async fn a_deployment_that_is_over_shows_the_configuration_of_its_time() {
    let server = with_web().await;
    let change = async |percent: u32, force: bool| {
        let configuration = json!({"maximumPercent": percent});
        let input = json!({
            "service": "web", "deploymentConfiguration": configuration, "forceNewDeployment": force,
        });
        ask(&server, "UpdateService", input).await.expect("updated");
    };
    let percents = async || {
        let list = ask(&server, "ListServiceDeployments", json!({"service": "web"})).await;
        let list = list.expect("listed");
        let arns = list["serviceDeployments"].as_array().expect("a list").iter();
        let arns: Vec<_> = arns.map(|brief| brief["serviceDeploymentArn"].clone()).collect();
        let input = json!({"serviceDeploymentArns": arns});
        let output = ask(&server, "DescribeServiceDeployments", input).await.expect("described");
        let found = output["serviceDeployments"].as_array().expect("a list").iter();
        let percent = |deployment: &Value| {
            deployment["deploymentConfiguration"]["maximumPercent"].as_i64().expect("a number")
        };
        found.map(percent).collect::<Vec<_>>()
    };
    change(150, false).await;
    assert_eq!(percents().await, [150], "what is under way goes on with what is in force");
    change(175, true).await;
    change(180, false).await;
    assert_eq!(percents().await, [180, 150]);
}

#[tokio::test]
async fn zones_are_levelled_where_that_is_possible() {
    let server = server().await;
    let zone = "attribute:ecs.availability-zone";
    let strategies = |first: &str| json!([{"type": "spread", "field": first}, {"type": "binpack", "field": "cpu"}]);
    let constraint = json!([{"type": "memberOf", "expression": format!("{zone} == us-east-1a")}]);
    let cases = [
        ("propagateTags", json!("NONE"), "ENABLED"),
        ("placementStrategy", strategies(zone), "ENABLED"),
        ("placementStrategy", strategies("instanceId"), "DISABLED"),
        ("placementConstraints", constraint, "DISABLED"),
        ("placementConstraints", json!([{"type": "distinctInstance"}]), "ENABLED"),
        ("launchType", json!("EXTERNAL"), "DISABLED"),
        (
            "deploymentConfiguration",
            json!({"maximumPercent": 100, "minimumHealthyPercent": 50}),
            "DISABLED",
        ),
    ];
    for (n, (name, value, expected)) in cases.into_iter().enumerate() {
        let input = with(with(web(), "serviceName", json!(format!("s{n}"))), name, value);
        let output = ask(&server, "CreateService", input.clone()).await.expect("a service");
        assert_eq!(output["service"]["availabilityZoneRebalancing"], expected, "{input}");
        let input = with(input, "serviceName", json!(format!("asked{n}")));
        let input = with(input, "availabilityZoneRebalancing", json!("ENABLED"));
        let asked = ask(&server, "CreateService", input.clone()).await;
        assert_eq!(asked.is_ok(), expected == "ENABLED", "{input}");
    }
    let update = async |input: Value| {
        let output = ask(&server, "UpdateService", with(input, "service", json!("s0"))).await;
        output.expect("updated")["service"]["availabilityZoneRebalancing"].clone()
    };
    assert_eq!(update(json!({"desiredCount": 1})).await, "ENABLED");
    assert_eq!(update(json!({"availabilityZoneRebalancing": "DISABLED"})).await, "DISABLED");
    assert_eq!(update(json!({"desiredCount": 2})).await, "DISABLED", "it stays as it is");
    assert_eq!(update(json!({"availabilityZoneRebalancing": "ENABLED"})).await, "ENABLED");
    for (input, what) in [
        (
            json!({"deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 0}}),
            "maximumPercent <= 100 % as deployment configuration",
        ),
        (
            json!({"placementStrategy": [{"type": "random"}]}),
            "placement strategies whose first one does not spread over \
             attribute:ecs.availability-zone",
        ),
    ] {
        let mut input = with(input, "service", json!("s0"));
        assert_eq!(
            refused(&server, "UpdateService", input.clone()).await,
            format!(
                "InvalidParameterException: Availability Zone Rebalancing does not support {what}."
            )
        );
        input["availabilityZoneRebalancing"] = json!("DISABLED");
        ask(&server, "UpdateService", input).await.expect("that is possible without");
        let input = json!({
            "service": "s0", "availabilityZoneRebalancing": "ENABLED", "placementStrategy": [],
            "deploymentConfiguration": {"maximumPercent": 200},
        });
        ask(&server, "UpdateService", input).await.expect("that is possible with");
    }
    let daemon = json!({
        "serviceName": "d", "taskDefinition": "web", "schedulingStrategy": "DAEMON",
        "availabilityZoneRebalancing": "ENABLED",
    });
    assert_eq!(
        refused(&server, "CreateService", daemon).await,
        "InvalidParameterException: Availability Zone Rebalancing does not support DAEMON \
         services."
    );
}

#[tokio::test]
async fn missing_services_are_failures_or_errors() {
    let server = with_web().await;
    let arn = "arn:aws:ecs:us-east-1:000000000000:service/default/web";
    let input = json!({"services": [arn, "absent"], "include": ["TAGS"]});
    let output = ask(&server, "DescribeServices", input).await.expect("described");
    assert_eq!(output["services"][0]["serviceName"], "web");
    assert_eq!(output["services"][0]["tags"], json!([]));
    assert_eq!(
        output["failures"],
        json!([{
            "arn": "arn:aws:ecs:us-east-1:000000000000:service/default/absent",
            "reason": "MISSING",
        }])
    );
    let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let error = refused(&server, "DescribeServices", json!({"services": eleven})).await;
    assert_eq!(error, "InvalidParameterException: Services cannot have more than 10 elements.");
    for operation in ["UpdateService", "DeleteService"] {
        let error = refused(&server, operation, json!({"service": "absent"})).await;
        assert_eq!(error, "ServiceNotFoundException: Service not found.");
    }
    ask(&server, "DeleteService", json!({"service": "web", "force": true})).await.expect("deleted");
    let error = refused(&server, "UpdateService", json!({"service": "web"})).await;
    assert_eq!(error, "ServiceNotActiveException: Service was not ACTIVE.");
    let error = refused(&server, "ListServicesByNamespace", json!({"namespace": "n"})).await;
    assert!(error.starts_with("NamespaceNotFoundException"), "{error}");
}

#[tokio::test]
async fn services_are_listed_ten_to_a_page() {
    let server = server().await;
    for n in 0..12 {
        let input = with(web(), "serviceName", json!(format!("s{n:02}")));
        ask(&server, "CreateService", input).await.expect("a service");
    }
    let first = ask(&server, "ListServices", json!({})).await.expect("a page");
    assert_eq!(first["serviceArns"].as_array().map(Vec::len), Some(10));
    let input = json!({"nextToken": first["nextToken"]});
    let second = ask(&server, "ListServices", input).await.expect("a page");
    assert_eq!(second["serviceArns"].as_array().map(Vec::len), Some(2));
    assert_eq!(second.get("nextToken"), None);
    let input = json!({"schedulingStrategy": "DAEMON"});
    let none = ask(&server, "ListServices", input).await.expect("a page");
    assert_eq!(none["serviceArns"], json!([]));
    ask(&server, "DeleteService", json!({"service": "s00", "force": true})).await.expect("deleted");
    let all = ask(&server, "ListServices", json!({"maxResults": 100})).await.expect("a page");
    assert_eq!(all["serviceArns"].as_array().map(Vec::len), Some(11), "draining ones are hidden");
}
