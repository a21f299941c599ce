"""The API alone: clusters, task definitions, container instances, attributes, tags, settings."""

from collections.abc import Callable
from typing import Any

import pytest
from harness.aws import ACCOUNT, REGION, refused
from harness.process import Server

PREFIX = f"arn:aws:ecs:{REGION}:{ACCOUNT}"


def definition(name: str, **members: Any) -> dict[str, Any]:
    """The least that RegisterTaskDefinition takes."""
    containers = [{"name": "app", "image": "none:1", "memory": 16}]
    return {"family": name, "containerDefinitions": containers, **members}


def instance(ecs: Any, cluster: str, cpu: int = 1024) -> str:
    """Registers a container instance that no agent stands behind; gives its ARN."""
    resources = [
        {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": 2048},
        {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "51678"]},
        {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
    ]
    made = ecs.register_container_instance(
        cluster=cluster,
        totalResources=resources,
        versionInfo={"agentVersion": "1.2.3"},
        attributes=[{"name": "ecs.os-type", "value": "linux"}],
    )
    return str(made["containerInstance"]["containerInstanceArn"])


def test_clusters_live(ecs: Any, name: str) -> None:
    made = ecs.create_cluster(
        clusterName=name,
        settings=[{"name": "containerInsights", "value": "enabled"}],
        tags=[{"key": "team", "value": "a"}],
    )["cluster"]
    assert made["clusterArn"] == f"{PREFIX}:cluster/{name}"
    assert made["status"] == "ACTIVE"
    again = ecs.create_cluster(clusterName=name)["cluster"]
    assert again["clusterArn"] == made["clusterArn"]
    shown = ecs.describe_clusters(
        clusters=[name, made["clusterArn"], "never-made"], include=["SETTINGS", "TAGS"]
    )
    assert shown["clusters"][0]["settings"] == [{"name": "containerInsights", "value": "enabled"}]
    assert shown["clusters"][0]["tags"] == [{"key": "team", "value": "a"}]
    assert [f["reason"] for f in shown["failures"]] == ["MISSING"]
    ecs.update_cluster_settings(
        cluster=name, settings=[{"name": "containerInsights", "value": "disabled"}]
    )
    [shown] = ecs.describe_clusters(clusters=[name], include=["SETTINGS"])["clusters"]
    assert shown["settings"][0]["value"] == "disabled"
    instance(ecs, name)
    with refused("ClusterContainsContainerInstancesException"):
        ecs.delete_cluster(cluster=name)
    [arn] = ecs.list_container_instances(cluster=name)["containerInstanceArns"]
    ecs.deregister_container_instance(cluster=name, containerInstance=arn)
    assert ecs.delete_cluster(cluster=name)["cluster"]["status"] == "INACTIVE"
    [shown] = ecs.describe_clusters(clusters=[name])["clusters"]
    assert shown["status"] == "INACTIVE"
    assert made["clusterArn"] not in ecs.list_clusters()["clusterArns"]


def test_task_definitions_live(ecs: Any, name: str) -> None:
    for revision in (1, 2, 3):
        made = ecs.register_task_definition(**definition(name))["taskDefinition"]
        assert made["taskDefinitionArn"] == f"{PREFIX}:task-definition/{name}:{revision}"
        assert made["status"] == "ACTIVE"
    latest = ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
    assert latest["revision"] == 3
    gone = ecs.deregister_task_definition(taskDefinition=f"{name}:3")["taskDefinition"]
    assert gone["status"] == "INACTIVE"
    assert ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]["revision"] == 2
    listed = ecs.list_task_definitions(familyPrefix=name, sort="DESC")["taskDefinitionArns"]
    assert [arn.rsplit(":", 1)[1] for arn in listed] == ["2", "1"]
    with_failure = ecs.delete_task_definitions(taskDefinitions=[f"{name}:3", f"{name}:1"])
    assert [d["revision"] for d in with_failure["taskDefinitions"]] == [3]
    assert len(with_failure["failures"]) == 1
    assert ecs.register_task_definition(**definition(name))["taskDefinition"]["revision"] == 4
    families = ecs.list_task_definition_families(familyPrefix=name)["families"]
    assert families == [name]


def test_what_is_registered_is_given_back(ecs: Any, name: str) -> None:
    container = {
        "name": "app",
        "image": "registry.example.com/team/app@sha256:" + "a" * 64,
        "cpu": 10,
        "memory": 64,
        "memoryReservation": 32,
        "portMappings": [
            {"containerPort": 80, "hostPort": 8080, "protocol": "tcp", "name": "web"},
        ],
        "essential": True,
        "environment": [{"name": "A", "value": "1"}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/v", "readOnly": True}],
        "ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
        "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1m"}},
        "healthCheck": {
            "command": ["CMD-SHELL", "true"],
            "interval": 5,
            "timeout": 2,
            "retries": 3,
            "startPeriod": 1,
        },
        "systemControls": [{"namespace": "net.core.somaxconn", "value": "100"}],
        "dockerLabels": {"a": "b"},
    }
    given = definition(
        name,
        containerDefinitions=[container],
        volumes=[{"name": "v", "host": {"sourcePath": "/srv"}}],
        placementConstraints=[{"type": "memberOf", "expression": "attribute:a == b"}],
        networkMode="bridge",
    )
    ecs.register_task_definition(**given)
    got = ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
    for member in ("volumes", "placementConstraints", "networkMode"):
        assert got[member] == given[member]
    [shown] = got["containerDefinitions"]
    assert {key: shown[key] for key in container} == container


def test_container_instances_live(ecs: Any, name: str) -> None:
    ecs.create_cluster(clusterName=name)
    arn = instance(ecs, name)
    short = arn.rsplit("/", 1)[1]
    [shown] = ecs.describe_container_instances(cluster=name, containerInstances=[short])[
        "containerInstances"
    ]
    assert shown["status"] == "ACTIVE"
    assert shown["agentConnected"] is False
    assert shown["versionInfo"]["agentVersion"] == "1.2.3"
    ecs.register_task_definition(**definition(name))
    answer = ecs.run_task(cluster=name, taskDefinition=name)
    assert [failure["reason"] for failure in answer["failures"]] == ["AGENT"]
    answer = ecs.update_container_instances_state(
        cluster=name, containerInstances=[arn, "0" * 32], status="DRAINING"
    )
    assert [c["status"] for c in answer["containerInstances"]] == ["DRAINING"]
    assert [f["reason"] for f in answer["failures"]] == ["MISSING"]
    draining = ecs.list_container_instances(cluster=name, status="DRAINING")
    assert draining["containerInstanceArns"] == [arn]
    assert (
        ecs.list_container_instances(cluster=name, status="ACTIVE")["containerInstanceArns"] == []
    )
    ecs.deregister_container_instance(cluster=name, containerInstance=arn)
    missing = ecs.describe_container_instances(cluster=name, containerInstances=[arn])
    statuses = [c["status"] for c in missing["containerInstances"]]
    assert statuses in ([], ["INACTIVE"])


def test_attributes_live(ecs: Any, name: str) -> None:
    ecs.create_cluster(clusterName=name)
    arn = instance(ecs, name)
    own = {"name": "stack", "value": "blue", "targetId": arn}
    ecs.put_attributes(cluster=name, attributes=[own])
    listed = ecs.list_attributes(
        cluster=name, targetType="container-instance", attributeName="stack"
    )
    assert [a["value"] for a in listed["attributes"]] == ["blue"]
    query = "attribute:stack == blue and attribute:ecs.os-type == linux"
    found = ecs.list_container_instances(cluster=name, filter=query)["containerInstanceArns"]
    assert found == [arn]
    ecs.delete_attributes(cluster=name, attributes=[{"name": "stack", "targetId": arn}])
    assert not ecs.list_container_instances(cluster=name, filter=query)["containerInstanceArns"]
    many = [{"name": f"a{n}", "value": "x", "targetId": arn} for n in range(10)]
    ecs.put_attributes(cluster=name, attributes=many)
    with refused("AttributeLimitExceededException"):
        ecs.put_attributes(cluster=name, attributes=[{"name": "one-more", "targetId": arn}])


def test_tags_live(ecs: Any, name: str) -> None:
    cluster = ecs.create_cluster(clusterName=name)["cluster"]["clusterArn"]
    ecs.register_task_definition(**definition(name))
    for arn in (cluster, f"{PREFIX}:task-definition/{name}:1", instance(ecs, name)):
        pairs = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
        ecs.tag_resource(resourceArn=arn, tags=pairs)
        ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "3"}])
        ecs.untag_resource(resourceArn=arn, tagKeys=["b"])
        tags = ecs.list_tags_for_resource(resourceArn=arn)["tags"]
        assert tags == [{"key": "a", "value": "3"}]
    with refused("InvalidParameterException"):
        ecs.tag_resource(resourceArn=cluster, tags=[{"key": "aws:x", "value": "1"}])
    with refused(("InvalidParameterException", "LimitExceededException")):
        many = [{"key": f"k{n}", "value": ""} for n in range(51)]
        ecs.tag_resource(resourceArn=cluster, tags=many)


def test_account_settings_live(new_server: Callable[..., Server]) -> None:
    ecs = new_server().ecs
    ecs.put_account_setting_default(name="containerInsights", value="enabled")
    settings = {
        s["name"]: s["value"]
        for page in ecs.get_paginator("list_account_settings").paginate(effectiveSettings=True)
        for s in page["settings"]
    }
    assert settings["containerInsights"] == "enabled"
    ecs.put_account_setting(name="containerInsights", value="disabled")
    shown = ecs.list_account_settings(name="containerInsights", effectiveSettings=True)
    assert [s["value"] for s in shown["settings"]] == ["disabled"]
    ecs.delete_account_setting(name="containerInsights")
    with refused("InvalidParameterException"):
        ecs.put_account_setting(name="containerInsights", value="perhaps")


@pytest.mark.parametrize(
    "members",
    [
        {"containerDefinitions": []},
        {"containerDefinitions": [{"name": "app", "image": "i"}]},
        {"containerDefinitions": [{"name": "a b", "image": "i", "memory": 16}]},
        {"containerDefinitions": [{"name": "app", "memory": 16}]},
        {"containerDefinitions": [{"name": "app", "image": "i", "memory": 1}]},
        {"containerDefinitions": [{"name": "app", "image": "i", "memory": 8}] * 2},
        {"containerDefinitions": [{"name": "a", "image": "i", "memory": 8, "essential": False}]},
        {
            "containerDefinitions": [
                {
                    "name": "app",
                    "image": "i",
                    "memory": 8,
                    "portMappings": [{"containerPort": 70000}],
                }
            ]
        },
        {
            "containerDefinitions": [
                {
                    "name": "app",
                    "image": "i",
                    "memory": 8,
                    "portMappings": [
                        {"containerPort": 80, "hostPort": 8080},
                        {"containerPort": 81, "hostPort": 8080},
                    ],
                }
            ]
        },
        {
            "containerDefinitions": [
                {
                    "name": "app",
                    "image": "i",
                    "memory": 8,
                    "portMappings": [{"containerPort": 80, "hostPort": 81}],
                }
            ],
            "networkMode": "host",
        },
        {
            "containerDefinitions": [
                {
                    "name": name,
                    "image": "i",
                    "memory": 8,
                    "dependsOn": [{"containerName": on, "condition": "START"}],
                }
                for name, on in (("a", "b"), ("b", "c"), ("c", "a"))
            ]
        },
        {
            "containerDefinitions": [
                {
                    "name": "a",
                    "image": "i",
                    "memory": 8,
                    "dependsOn": [{"containerName": "nobody", "condition": "START"}],
                }
            ]
        },
        {
            "containerDefinitions": [
                {
                    "name": "a",
                    "image": "i",
                    "memory": 8,
                    "mountPoints": [{"sourceVolume": "none", "containerPath": "/x"}],
                }
            ]
        },
        {"networkMode": "carrier-pigeon"},
        {"family": "no spaces, please"},
        {"family": "x" * 256},
        {"placementConstraints": [{"type": "distinctInstance"}]},
        {"placementConstraints": [{"type": "memberOf", "expression": "attribute:("}]},
        {"volumes": [{"name": "v"}, {"name": "v"}]},
        {"cpu": "a lot"},
        {"memory": "-5"},
    ],
    ids=lambda members: "-".join(members),
)
def test_impossible_definitions_are_refused(ecs: Any, name: str, members: dict[str, Any]) -> None:
    with refused(("ClientException", "InvalidParameterException")):
        ecs.register_task_definition(**definition(name, **members))
    assert not ecs.list_task_definitions(familyPrefix=name)["taskDefinitionArns"]


def test_other_accounts_and_unknown_things_are_refused(ecs: Any, name: str) -> None:
    ecs.create_cluster(clusterName=name)
    ecs.register_task_definition(**definition(name))
    foreign = f"arn:aws:ecs:{REGION}:111122223333"
    with refused(("ClusterNotFoundException", "InvalidParameterException")):
        ecs.list_tasks(cluster=f"{foreign}:cluster/{name}")
    with refused(("ClientException", "InvalidParameterException")):
        ecs.describe_task_definition(taskDefinition=f"{foreign}:task-definition/{name}:1")
    with refused(("ResourceNotFoundException", "InvalidParameterException")):
        ecs.tag_resource(resourceArn=f"{foreign}:cluster/{name}", tags=[{"key": "a", "value": "b"}])
    with refused("ClusterNotFoundException"):
        ecs.run_task(cluster="nowhere", taskDefinition=name)
    with refused(("ClientException", "InvalidParameterException")):
        ecs.run_task(cluster=name, taskDefinition="never-registered")
    with refused("InvalidParameterException"):
        ecs.stop_task(cluster=name, task="0" * 32)
    with refused("InvalidParameterException"):
        ecs.run_task(cluster=name, taskDefinition=name, count=11)
    answer = ecs.describe_tasks(cluster=name, tasks=["0" * 32])
    assert [f["reason"] for f in answer["failures"]] == ["MISSING"]
    with refused("InvalidParameterException"):
        ecs.describe_tasks(cluster=name, tasks=["x"] * 101)


def test_what_is_missing_says_so(ecs: Any) -> None:
    with refused("UnsupportedFeatureException", "not built yet"):
        ecs.list_gateways()
