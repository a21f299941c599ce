use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::required_attributes;
use crate::record::Document;

/// `short` names: a bare one is `ecs.capability.…`, `+x` is `com.amazonaws.ecs.capability.x`, and a
/// number is a minor version of Docker's API.
fn check(document: &str, short: &str) {
    let document = Document::new(document.to_string()).expect("JSON");
    let found: Vec<String> = required_attributes(&document)
        .expect("a task definition")
        .into_iter()
        .map(|(name, value)| {
            assert_eq!(value, None, "{name} has no value");
            name
        })
        .collect();
    let mut wanted: Vec<String> = short
        .split_whitespace()
        .map(|name| match (name.parse::<u8>(), name.strip_prefix('+')) {
            (Ok(minor), _) => {
                alloc::format!("com.amazonaws.ecs.capability.docker-remote-api.1.{minor}")
            }
            (_, Some(name)) => alloc::format!("com.amazonaws.ecs.capability.{name}"),
            _ => alloc::format!("ecs.capability.{name}"),
        })
        .collect();
    wanted.sort();
    assert_eq!(found, wanted);
}

#[test]
fn a_plain_container_requires_nothing() {
    check("{}", "");
    check(
        r#"{"containerDefinitions": [{"name": "a", "image": "nginx", "cpu": 0, "memory": 128,
            "command": ["x"], "environment": [], "mountPoints": [], "systemControls": [],
            "portMappings": [{"containerPort": 80}], "linuxParameters": null}],
            "cpu": "256", "memory": "512", "networkMode": "bridge", "volumes": []}"#,
        "",
    );
}

#[test]
fn published_answer_for_awsvpc_with_env_files() {
    check(
        r#"{"containerDefinitions": [{"name": "server",
            "image": "111122223333.dkr.ecr.ap-south-1.amazonaws.com/a:b", "cpu": 0,
            "command": ["gunicorn"], "environmentFiles": [{"value": "arn:aws:s3:::b/e", "type": "s3"}],
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-create-group": "true"}},
            "systemControls": []}],
            "taskRoleArn": "r", "executionRoleArn": "e", "networkMode": "awsvpc"}"#,
        "+logging-driver.awslogs execution-role-awslogs +ecr-auth 19 env-files.s3 +task-iam-role \
         execution-role-ecr-pull 18 task-eni 29",
    );
}

#[test]
fn published_answer_for_bridge_with_links_and_health_check() {
    check(
        r#"{"containerDefinitions": [
            {"name": "app", "image": "111122223333.dkr.ecr.us-west-1.amazonaws.com/a", "hostname": "a",
             "logConfiguration": {"logDriver": "awslogs", "secretOptions": [], "options": {
                "mode": "non-blocking", "awslogs-create-group": "true", "max-buffer-size": "25m"}},
             "healthCheck": {"command": ["CMD-SHELL", "x"], "interval": 30}},
            {"name": "nginx", "image": "111122223333.dkr.ecr.us-west-1.amazonaws.com/n",
             "links": ["app:x"], "dependsOn": [{"containerName": "app", "condition": "HEALTHY"}]}],
            "taskRoleArn": "r", "executionRoleArn": "e", "networkMode": "bridge",
            "volumes": [{"name": "certs", "host": {"sourcePath": "/etc/ssl/certs"}}]}"#,
        "execution-role-awslogs +ecr-auth 17 28 +task-iam-role container-health-check \
         execution-role-ecr-pull 29 +logging-driver.awslogs 24 19 container-ordering",
    );
}

#[test]
fn published_answer_for_efs_with_empty_members() {
    check(
        r#"{"containerDefinitions": [{"name": "c",
            "image": "111122223333.dkr.ecr.eu-central-1.amazonaws.com/c:latest", "links": [],
            "environmentFiles": [], "secrets": [], "dnsServers": [], "dockerLabels": {}, "ulimits": [],
            "dockerSecurityOptions": [], "logConfiguration": {"logDriver": "awslogs", "options": {}},
            "healthCheck": {"command": ["x"]}, "systemControls": []}],
            "taskRoleArn": "r", "executionRoleArn": "e", "networkMode": "awsvpc",
            "volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]}"#,
        "execution-role-awslogs +ecr-auth 17 +task-iam-role container-health-check \
         execution-role-ecr-pull 18 task-eni +logging-driver.awslogs 24 efsAuth 19 efs 25",
    );
}

#[test]
fn published_answer_for_linux_parameters() {
    check(
        r#"{"containerDefinitions": [{"name": "job", "image": "amazonlinux:2", "user": "nobody",
            "linuxParameters": {"capabilities": {"drop": ["ALL"]}, "initProcessEnabled": true,
                "maxSwap": 0, "swappiness": 0},
            "disableNetworking": true, "privileged": false,
            "dockerSecurityOptions": ["no-new-privileges"],
            "ulimits": [{"name": "nproc", "softLimit": 128, "hardLimit": 128}],
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-region": "r"}}}],
            "networkMode": "none", "ipcMode": "none"}"#,
        "+logging-driver.awslogs 19 pid-ipc-namespace-sharing 17 32 25 23 18",
    );
    check(
        r#"{"containerDefinitions": [{"name": "job", "memory": 2048,
            "image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/t:latest",
            "linuxParameters": {"tmpfs": [{"containerPath": "/run", "size": 50}]},
            "dockerSecurityOptions": ["label:seccomp:unconfined"]}],
            "taskRoleArn": "r", "executionRoleArn": "e"}"#,
        "+ecr-auth +selinux +task-iam-role 22 execution-role-ecr-pull",
    );
}

#[test]
fn the_other_capabilities() {
    check(
        r#"{"containerDefinitions": [{"name": "a", "image": "x", "privileged": true,
            "memoryReservation": 64, "repositoryCredentials": {"credentialsParameter": "p"},
            "secrets": [{"name": "A", "valueFrom": "arn:aws:secretsmanager:r:1:secret:s"},
                {"name": "B", "valueFrom": "/plain/name"}],
            "logConfiguration": {"logDriver": "splunk", "secretOptions": [
                {"name": "splunk-token", "valueFrom": "arn:aws:ssm:r:1:parameter/t"}]},
            "restartPolicy": {"enabled": true},
            "portMappings": [{"containerPortRange": "80-90"}]},
           {"name": "log", "image": "y", "healthCheck": {"command": ["x"], "startPeriod": 9},
            "firelensConfiguration": {"type": "fluentbit", "options": {"config-file-type": "s3"}}}],
            "taskRoleArn": "r", "networkMode": "host", "pidMode": "host", "enableFaultInjection": true,
            "proxyConfiguration": {"type": "APPMESH"},
            "volumes": [{"dockerVolumeConfiguration": {"driver": "rexray"}},
                {"configuredAtLaunch": true}]}"#,
        "+privileged-container 17 21 private-registry-authentication.secretsmanager \
         secrets.asm.environment-variables secrets.ssm.environment-variables \
         +logging-driver.splunk 22 secrets.ssm.bootstrap.log-driver container-restart-policy \
         network.container-port-range container-health-check 24 29 firelens.fluentbit \
         firelens.options.config.s3 +task-iam-role-network-host pid-ipc-namespace-sharing \
         fault-injection aws-appmesh docker-plugin.rexray 25 storage.ebs-task-volume-attach",
    );
}

#[test]
fn other_shapes_are_an_error_or_nothing() {
    for text in
        ["[]", "7", "\"x\"", "null", r#"{"containerDefinitions": 1}"#, "{\"volumes\": [[]]}"]
    {
        let document = Document::new(text.to_string()).expect("JSON");
        let found = required_attributes(&document);
        assert!(found.as_ref().map_or(true, Vec::is_empty), "{text}: {found:?}");
    }
}
