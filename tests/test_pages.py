"""Every paginator of the ECS model, on data of several pages; and tokens of other calls."""

import botocore.session
import pytest
from harness.aws import refused
from harness.process import Server
from harness.tasks import Tasks
from test_api import definition, instance


def paginators() -> dict:
    """The paginators of the pinned ECS model."""
    loader = botocore.session.get_session().get_component("data_loader")
    return loader.load_service_model("ecs", "paginators-1")["pagination"]


# Operations whose resources do not exist yet; they must say so instead of giving an empty page.
MISSING = {"ListGatewayClusterAssociations", "ListGatewayRoutes", "ListGateways"}
# Every other paginator, and the test that pages through it.
COVERED = {
    "ListAccountSettings",
    "ListAttributes",
    "ListClusters",
    "ListContainerInstances",
    "ListServices",
    "ListServicesByNamespace",
    "ListTaskDefinitionFamilies",
    "ListTaskDefinitions",
    "ListTasks",
}


def pages(ecs, operation: str, size: int, key: str, **arguments) -> list[list]:
    """All pages of an operation."""
    config = {"PageSize": size}
    paginator = ecs.get_paginator(operation)
    return [p[key] for p in paginator.paginate(**arguments, PaginationConfig=config)]


def check(found: list[list], size: int, expected: set) -> None:
    """Pages are full but for the last, nothing is missing and nothing comes twice."""
    flat = [item for page in found for item in page]
    assert len(found) >= 2
    assert all(len(page) == size for page in found[:-1])
    assert len(flat) == len(set(flat))
    assert set(flat) == expected


def test_no_paginator_is_forgotten() -> None:
    assert set(paginators()) == COVERED | MISSING


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory):
    """A server whose every resource is this module's."""
    server = Server(tmp_path_factory.mktemp("pages")).start()
    yield server
    server.stop()


def test_clusters(own: Server) -> None:
    made = {own.ecs.create_cluster(clusterName=f"c{n}")["cluster"]["clusterArn"] for n in range(23)}
    check(pages(own.ecs, "list_clusters", 5, "clusterArns"), 5, made)


def test_container_instances_and_their_attributes(own: Server) -> None:
    own.ecs.create_cluster(clusterName="fleet")
    made = {instance(own.ecs, "fleet") for _ in range(23)}
    found = pages(own.ecs, "list_container_instances", 4, "containerInstanceArns", cluster="fleet")
    check(found, 4, made)
    attributes = [{"name": "n", "value": "v", "targetId": arn} for arn in made]
    for each in attributes:
        own.ecs.put_attributes(cluster="fleet", attributes=[each])
    found = pages(
        own.ecs,
        "list_attributes",
        6,
        "attributes",
        cluster="fleet",
        targetType="container-instance",
        attributeName="n",
    )
    check([[a["targetId"] for a in page] for page in found], 6, made)


@pytest.mark.parametrize("sort", ["ASC", "DESC"])
def test_task_definitions(own: Server, sort: str) -> None:
    family = f"pages-{sort.lower()}"
    made = []
    for _ in range(12):
        answer = own.ecs.register_task_definition(**definition(family))
        made.append(answer["taskDefinition"]["taskDefinitionArn"])
    found = pages(
        own.ecs, "list_task_definitions", 5, "taskDefinitionArns", familyPrefix=family, sort=sort
    )
    check(found, 5, set(made))
    # By revision as a number: 10 comes after 9.
    assert [a for p in found for a in p] == (made if sort == "ASC" else made[::-1])


def test_families(own: Server) -> None:
    for n in range(13):
        own.ecs.register_task_definition(**definition(f"family-{n}"))
    found = pages(own.ecs, "list_task_definition_families", 4, "families", familyPrefix="family-")
    check(found, 4, {f"family-{n}" for n in range(13)})


def test_account_settings(own: Server) -> None:
    found = pages(own.ecs, "list_account_settings", 3, "settings", effectiveSettings=True)
    names = [[s["name"] for s in page] for page in found]
    check(names, 3, {name for page in names for name in page})


def test_tasks(tasks: Tasks) -> None:
    definition = tasks.define({"memory": 8})
    made = {tasks.run(definition)["taskArn"] for _ in range(7)}
    listing = {"cluster": tasks.cluster, "family": tasks.family}
    check(pages(tasks.ecs, "list_tasks", 3, "taskArns", **listing), 3, made)
    for arn in made:
        tasks.ecs.stop_task(cluster=tasks.cluster, task=arn)
    found = pages(tasks.ecs, "list_tasks", 3, "taskArns", desiredStatus="STOPPED", **listing)
    check(found, 3, made)


def test_services(own: Server) -> None:
    own.ecs.create_cluster(clusterName="services")
    own.ecs.register_task_definition(**definition("service"))
    made = set()
    for n in range(23):
        answer = own.ecs.create_service(
            cluster="services", serviceName=f"s{n}", taskDefinition="service", desiredCount=0
        )
        made.add(answer["service"]["serviceArn"])
    check(pages(own.ecs, "list_services", 7, "serviceArns", cluster="services"), 7, made)
    # The default page of this one listing is 10.
    assert len(own.ecs.list_services(cluster="services")["serviceArns"]) == 10
    with refused("NamespaceNotFoundException"):
        own.ecs.list_services_by_namespace(namespace="nobody")


def test_tokens_belong_to_their_call(own: Server) -> None:
    for n in range(3):
        own.ecs.create_cluster(clusterName=f"t{n}")
    token = own.ecs.list_clusters(maxResults=1)["nextToken"]
    with refused("InvalidParameterException"):
        own.ecs.list_task_definitions(nextToken=token)
    with refused("InvalidParameterException"):
        own.ecs.list_clusters(nextToken=token[:-2])
    with refused("InvalidParameterException"):
        own.ecs.list_clusters(nextToken="x" * 5000)
    for size in (-1, 0, 101, 2**31 - 1):
        with refused("InvalidParameterException"):
            own.ecs.list_clusters(maxResults=size)
