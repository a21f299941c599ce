use std::sync::Arc;

use serde_json::{Value, json};

use crate::Server;
use crate::test_server::{ask, refused, server};

const ARNS: &str = "arn:aws:ecs:us-east-1:000000000000:";

async fn started() -> Arc<Server> {
    let server = server().await;
    let container = json!({"name": "main", "image": "agent", "cpu": 100, "memory": 64});
    let input = json!({"family": "watch", "containerDefinitions": [container]});
    ask(&server, "RegisterDaemonTaskDefinition", input).await.expect("a definition");
    server
}

fn input(members: &[(&str, Value)]) -> Value {
    let mut input = json!({
        "daemonName": "watch",
        "daemonTaskDefinitionArn": format!("{ARNS}daemon-task-definition/watch:1"),
        "capacityProviderArns": [format!("{ARNS}capacity-provider/machines")],
    });
    for (name, value) in members {
        input[*name] = value.clone();
    }
    input
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = started().await;
    let configuration = |member: &str, value: Value| {
        let mut configuration = json!({});
        configuration[member] = value;
        vec![("deploymentConfiguration", configuration)]
    };
    let cases: Vec<(Vec<(&str, Value)>, &str)> = vec![
        (
            vec![("daemonName", json!("a b"))],
            "InvalidParameterException: Invalid daemon name 'a b': it may contain only letters, \
             numbers, hyphens and underscores.",
        ),
        (
            vec![("capacityProviderArns", json!([]))],
            "InvalidParameterException: capacityProviderArns cannot be empty.",
        ),
        (
            vec![("capacityProviderArns", json!(["FARGATE"]))],
            "InvalidParameterException: Invalid identifier: FARGATE is no capacity provider ARN \
             of this account and region.",
        ),
        (vec![("clusterArn", json!("other"))], "ClusterNotFoundException: Cluster not found."),
        (
            vec![("daemonTaskDefinitionArn", json!(format!("{ARNS}task-definition/web:1")))],
            "InvalidParameterException: Invalid identifier: \
             arn:aws:ecs:us-east-1:000000000000:task-definition/web:1 is no daemon task \
             definition.",
        ),
        (
            vec![("daemonTaskDefinitionArn", json!("watch:9"))],
            "ClientException: Unable to describe daemon task definition.",
        ),
        (
            configuration("drainPercent", json!(0.5)),
            "InvalidParameterException: drainPercent must be between 1.0 and 100.0.",
        ),
        (
            configuration("bakeTimeInMinutes", json!(1441)),
            "InvalidParameterException: bakeTimeInMinutes must be between 0 and 1440.",
        ),
        (
            configuration("bakeTimeInMinutes", json!(-1)),
            "InvalidParameterException: bakeTimeInMinutes must be between 0 and 1440.",
        ),
        (
            configuration("alarms", json!({"enable": true, "alarmNames": ["errors"]})),
            "UnsupportedFeatureException: Deployment alarms are not available in this version of \
             Longshore: there are no CloudWatch alarms to watch. Set alarms.enable to false.",
        ),
        (
            vec![("clientToken", json!("a".repeat(37)))],
            "InvalidParameterException: clientToken must have at most 36 printable ASCII \
             characters.",
        ),
    ];
    for (members, expected) in cases {
        assert_eq!(refused(&server, "CreateDaemon", input(&members)).await, expected);
    }
    assert!(
        server.state.view().daemons.is_empty() && server.state.view().daemon_revisions.is_empty()
    );
}

#[tokio::test]
async fn the_same_call_again_gives_the_same_daemon() {
    let server = started().await;
    let first = ask(&server, "CreateDaemon", input(&[])).await.expect("created");
    let again = ask(&server, "CreateDaemon", input(&[])).await.expect("the same");
    assert_eq!(first, again);
    assert_eq!(
        refused(&server, "CreateDaemon", input(&[("critical", json!(false))])).await,
        "InvalidParameterException: Creation of daemon was not idempotent."
    );
    let reserved = json!({"taskDefinition": "web", "group": "daemon:watch"});
    assert_eq!(
        refused(&server, "RunTask", reserved).await,
        "InvalidParameterException: Invalid namespace for group."
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = started().await;
    let arn = |rest: &str| json!({"daemonArn": format!("{ARNS}{rest}")});
    for operation in ["DescribeDaemon", "DeleteDaemon"] {
        let missing = refused(&server, operation, arn("daemon/default/other")).await;
        assert_eq!(missing, "DaemonNotFoundException: Daemon not found.");
        let cluster = refused(&server, operation, arn("daemon/other/watch")).await;
        assert_eq!(cluster, "ClusterNotFoundException: Cluster not found.");
        let kind = refused(&server, operation, arn("service/default/watch")).await;
        assert!(kind.ends_with("is no daemon ARN."), "{kind}");
    }
    let mut update = input(&[("daemonArn", json!(format!("{ARNS}daemon/default/other")))]);
    update.as_object_mut().expect("an object").remove("daemonName");
    let missing = refused(&server, "UpdateDaemon", update).await;
    assert_eq!(missing, "DaemonNotFoundException: Daemon not found.");
    let missing = refused(&server, "ListDaemonDeployments", arn("daemon/default/other")).await;
    assert_eq!(missing, "ClientException: Daemon not found.");
    let missing = refused(&server, "ListTasks", json!({"daemonName": "other"})).await;
    assert_eq!(missing, "ClientException: Daemon not found.");
    let revision = format!("{ARNS}daemon-revision/default/watch/7");
    let output = ask(&server, "DescribeDaemonRevisions", json!({"daemonRevisionArns": [revision]}));
    let failures = output.await.expect("answers")["failures"].clone();
    assert_eq!(failures, json!([{"arn": revision, "reason": "MISSING"}]));
    let many: Vec<&str> = vec!["x"; 21];
    for (operation, member) in [
        ("DescribeDaemonRevisions", "daemonRevisionArns"),
        ("DescribeDaemonDeployments", "daemonDeploymentArns"),
    ] {
        for arns in [json!([]), json!(many), json!(["x"])] {
            let mut input = json!({});
            input[member] = arns;
            let refusal = refused(&server, operation, input).await;
            assert!(refusal.starts_with("InvalidParameterException: "), "{refusal}");
        }
    }
}

#[tokio::test]
async fn daemons_are_listed_by_name_and_capacity_provider() {
    let server = started().await;
    for (name, provider) in [("b", "machines"), ("a", "machines"), ("c", "others")] {
        let arns = json!([format!("{ARNS}capacity-provider/{provider}")]);
        let input = input(&[("daemonName", json!(name)), ("capacityProviderArns", arns)]);
        ask(&server, "CreateDaemon", input).await.expect("created");
    }
    let list = async |input: Value| -> (Vec<String>, Value) {
        let output = ask(&server, "ListDaemons", input).await.expect("listed");
        let rows = output["daemonSummariesList"].as_array().expect("daemons").clone();
        let arn = |row: &Value| row["daemonArn"].as_str().expect("an ARN").replace(ARNS, "");
        (rows.iter().map(arn).collect(), output["nextToken"].clone())
    };
    assert_eq!(
        list(json!({})).await.0,
        ["daemon/default/a", "daemon/default/b", "daemon/default/c"]
    );
    let (page, token) = list(json!({"maxResults": 2})).await;
    assert_eq!(page.len(), 2);
    assert_eq!(list(json!({"maxResults": 2, "nextToken": token})).await.0, ["daemon/default/c"]);
    let others = json!({"capacityProviderArns": [format!("{ARNS}capacity-provider/others")]});
    assert_eq!(list(others).await.0, ["daemon/default/c"]);
}

#[tokio::test]
async fn daemons_have_tags_and_keep_their_cluster() {
    let server = started().await;
    ask(&server, "CreateDaemon", input(&[])).await.expect("created");
    let arn = format!("{ARNS}daemon/default/watch");
    let tags = json!([{"key": "team", "value": "a"}]);
    let input = json!({"resourceArn": arn, "tags": tags});
    ask(&server, "TagResource", input).await.expect("tagged");
    let output = ask(&server, "ListTagsForResource", json!({"resourceArn": arn})).await;
    assert_eq!(output.expect("listed")["tags"], tags);
    assert_eq!(
        refused(&server, "DeleteCluster", json!({"cluster": "default"})).await,
        "ClientException: The Cluster cannot be deleted while Daemons are active."
    );
}
