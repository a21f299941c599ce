use std::sync::Arc;

use longshore_domain::record::DaemonTaskDefinitionStatus;
use serde_json::{Value, json};

use crate::Server;
use crate::test_server::{ask, refused, server};

fn container(members: &[(&str, Value)]) -> Value {
    let mut container = json!({"name": "main", "image": "agent", "memory": 64});
    for (name, value) in members {
        container[*name] = value.clone();
    }
    container
}

fn family(name: &str) -> Value {
    json!({"family": name, "containerDefinitions": [container(&[])]})
}

async fn register(server: &Arc<Server>, input: Value) -> String {
    let output = ask(server, "RegisterDaemonTaskDefinition", input).await.expect("registered");
    output["daemonTaskDefinitionArn"].as_str().expect("an ARN").to_owned()
}

async fn describe(server: &Arc<Server>, name: &str) -> Value {
    let input = json!({"daemonTaskDefinition": name});
    let output = ask(server, "DescribeDaemonTaskDefinition", input).await.expect("described");
    output["daemonTaskDefinition"].clone()
}

#[tokio::test]
async fn what_is_registered_is_given_back() {
    let server = server().await;
    let input = json!({
        "family": "watch",
        "containerDefinitions": [container(&[
            ("privileged", json!(true)),
            ("environment", json!([{"name": "A", "value": "b"}])),
            ("mountPoints", json!([{"sourceVolume": "logs", "containerPath": "/logs"}])),
            ("linuxParameters", json!({"initProcessEnabled": true})),
        ])],
        "volumes": [{"name": "logs", "logDriverVolumeConfiguration": {"driver": "json-file"}}],
        "cpu": "128", "memory": "256", "pidMode": "shared", "ipcMode": "none",
        "taskRoleArn": "arn:aws:iam::000000000000:role/watch",
    });
    let arn = register(&server, input.clone()).await;
    assert_eq!(arn, "arn:aws:ecs:us-east-1:000000000000:daemon-task-definition/watch:1");
    let described = describe(&server, "watch").await;
    for member in ["family", "volumes", "cpu", "memory", "pidMode", "ipcMode", "taskRoleArn"] {
        assert_eq!(described[member], input[member], "{member}");
    }
    let (given, kept) = (&input["containerDefinitions"][0], &described["containerDefinitions"][0]);
    for (member, value) in given.as_object().expect("a container") {
        assert_eq!(kept[member], *value, "{member}");
    }
    assert_eq!((&described["status"], &described["revision"]), (&json!("ACTIVE"), &json!(1)));
    let view = server.state.view();
    let row = view.daemon_task_definitions.iter().next().expect("a record");
    let runs_as: Value = serde_json::from_str(row.task.document.as_str()).expect("JSON");
    assert_eq!(runs_as["pidMode"], "host");
    assert_eq!(runs_as["volumes"][0]["host"]["sourcePath"], "/var/lib/docker/containers");
    assert_eq!(runs_as["containerDefinitions"][0]["mountPoints"][0]["readOnly"], true);
    // Families of task definitions are others.
    let missing = refused(&server, "DescribeTaskDefinition", json!({"taskDefinition": "watch"}));
    assert!(missing.await.starts_with("ClientException: "));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = server().await;
    let volume = |volume: Value| json!({"family": "f", "containerDefinitions": [container(&[])], "volumes": [volume]});
    let cases = [
        (json!({"family": "a b", "containerDefinitions": [container(&[])]}), "Invalid family"),
        (json!({"family": "f", "containerDefinitions": []}), "Container list cannot be empty."),
        (
            json!({"family": "f", "containerDefinitions": [{"image": "i", "memory": 64}]}),
            "Container.name should not be null or empty.",
        ),
        (
            json!({"family": "f", "containerDefinitions": [{"name": "n", "image": "i"}]}),
            "At least one of 'memory' or 'memoryReservation' must be specified.",
        ),
        (
            volume(json!({
                "name": "v", "host": {"sourcePath": "/x"},
                "logDriverVolumeConfiguration": {"driver": "json-file"},
            })),
            "has both host and logDriverVolumeConfiguration",
        ),
        (
            volume(json!({
                "name": "v", "logDriverVolumeConfiguration": {"driver": "awslogs"},
            })),
            "json-file, not awslogs",
        ),
    ];
    for (input, expected) in cases {
        let refusal = refused(&server, "RegisterDaemonTaskDefinition", input).await;
        assert!(
            refusal.starts_with("ClientException: ") && refusal.contains(expected),
            "{refusal}"
        );
    }
    assert!(server.state.view().daemon_task_definitions.is_empty());
}

async fn list(server: &Arc<Server>, input: Value) -> Vec<String> {
    let output = ask(server, "ListDaemonTaskDefinitions", input).await.expect("listed");
    let rows = output["daemonTaskDefinitions"].as_array().expect("rows").clone();
    let name = |row: &Value| {
        let arn = row["arn"].as_str().expect("an ARN");
        arn.rsplit('/').next().expect("a name").to_owned()
    };
    rows.iter().map(name).collect()
}

#[tokio::test]
async fn they_are_listed_and_deleted() {
    let server = server().await;
    for name in ["b", "ab", "ab", "a"] {
        register(&server, family(name)).await;
    }
    assert_eq!(list(&server, json!({})).await, ["a:1", "ab:1", "ab:2", "b:1"]);
    assert_eq!(list(&server, json!({"familyPrefix": "a"})).await, ["a:1", "ab:1", "ab:2"]);
    assert_eq!(list(&server, json!({"family": "a"})).await, ["a:1"]);
    assert_eq!(
        list(&server, json!({"revision": "LAST_REGISTERED", "sort": "DESC"})).await,
        ["b:1", "ab:2", "a:1"]
    );
    let delete = json!({"daemonTaskDefinition": "ab:2"});
    ask(&server, "DeleteDaemonTaskDefinition", delete.clone()).await.expect("deleted");
    assert_eq!(list(&server, json!({"status": "DELETE_IN_PROGRESS"})).await, ["ab:2"]);
    assert_eq!(describe(&server, "ab").await["revision"], 1, "the latest that is ACTIVE");
    assert_eq!(
        refused(&server, "DeleteDaemonTaskDefinition", delete).await,
        "ClientException: The daemon task definition cannot be deleted: it is DELETE_IN_PROGRESS."
    );
    crate::controllers::test_services::reap(&server).await;
    let view = server.state.view();
    let row = view.daemon_task_definitions.iter().find(|row| row.revision.0 == 2).expect("kept");
    assert_eq!(row.status, DaemonTaskDefinitionStatus::Deleted);
    assert_eq!(describe(&server, "ab:2").await["status"], "DELETED");
    assert_eq!(list(&server, json!({"status": "ALL"})).await.len(), 4);
    assert!(register(&server, family("ab")).await.ends_with("ab:3"));
    for (name, expected) in [
        ("ab", "InvalidParameterException: Invalid revision"),
        ("ab:0", "InvalidParameterException: Invalid revision number. Number: 0"),
        ("zz:1", "ClientException: Unable to describe daemon task definition."),
        ("arn:aws:ecs:us-east-1:000000000000:cluster/c", "InvalidParameterException: Invalid id"),
    ] {
        let input = json!({"daemonTaskDefinition": name});
        let refusal = refused(&server, "DeleteDaemonTaskDefinition", input).await;
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}
