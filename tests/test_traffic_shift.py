"""Blue/green, linear and canary deployments: real containers behind a real balancer, under load."""

import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from harness import aws
from harness.aws import refused
from harness.balancing import Clients, Node, serving, world_with_node
from harness.process import World
from harness.services import Service
from harness.shifting import Shifting, Webhook, go_on, staged, waiting
from harness.tasks import Tasks
from harness.wait import until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[tuple[World, Node]]:
    """A server, two container instances and a node of balancers."""
    with world_with_node(tmp_path_factory.mktemp("shifting"), "shifting", image) as world:
        yield world


@pytest.fixture
def shifting(world: tuple[World, Node], name: str) -> Shifting:
    """A balancer and two target groups of the test's own."""
    return Shifting(world[0], name)


@pytest.fixture
def service(world: tuple[World, Node], name: str) -> Iterator[Service]:
    """A service of the test's own."""
    service = Service(Tasks(world[0], name))
    yield service
    service.ecs.delete_service(cluster=service.cluster, service=service.name, force=True)


BLUE_GREEN = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}


def blue_green(**members: Any) -> dict[str, Any]:
    """`deploymentConfiguration`."""
    return {**BLUE_GREEN, **members}


def begin(service: Service, shifting: Shifting, **members: Any) -> dict[str, Any]:
    """Makes the service, and waits for its first deployment."""
    configuration = {"deploymentConfiguration": blue_green(), **members}
    made = service.create(
        serving(service, "one"), 2, loadBalancers=shifting.member(), **configuration
    )
    service.ended("SUCCESSFUL")
    assert shifting.get() == (200, "one\n")
    return made


def as_tester(shifting: Shifting) -> str:
    """What test traffic is answered."""
    request = urllib.request.Request(f"http://{shifting.host}/", headers={"x-test": "1"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def test_blue_green_loses_no_request_and_groups_change_places(
    shifting: Shifting, service: Service
) -> None:
    made = begin(service, shifting)
    assert made["loadBalancers"] == shifting.member()
    assert made["deploymentConfiguration"]["strategy"] == "BLUE_GREEN"
    assert shifting.weights() == (0, 100), "the first one goes where nothing served"
    with Clients(shifting.host) as clients:
        for text, weights in (("two", (100, 0)), ("three", (0, 100))):
            service.update(taskDefinition=serving(service, text))
            done = service.ended("SUCCESSFUL")
            assert shifting.weights() == weights
            assert shifting.weights(shifting.test) == weights
            until(lambda text=text: clients.answers[text] > 100, f"answers of {text}")
            assert done["targetServiceRevision"]["requestedProductionTrafficWeight"] == 100
            assert done["sourceServiceRevisions"][0]["requestedProductionTrafficWeight"] == 0
    assert clients.failures == []
    assert clients.answers["one"] > 0
    arn = service.deployment()["targetServiceRevision"]["arn"]
    found = service.ecs.describe_service_revisions(serviceRevisionArns=[arn])
    [revision] = found["serviceRevisions"]
    assert revision["loadBalancers"] == shifting.member()
    assert revision["resolvedConfiguration"]["loadBalancers"] == [
        {"targetGroupArn": shifting.other, "productionListenerRule": shifting.production}
    ]
    shown = service.stable()
    assert shown["loadBalancers"] == shifting.member(), "as it was given"
    assert any("has shifted 100.0% of production traffic" in text for text in service.messages())


def test_a_pause_lets_testers_look_before_anybody_else(
    shifting: Shifting, service: Service
) -> None:
    begin(service, shifting)
    pause = {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]}
    with Clients(shifting.host) as clients:
        service.update(
            taskDefinition=serving(service, "two"),
            deploymentConfiguration=blue_green(lifecycleHooks=[pause]),
        )
        hook = waiting(service, "POST_TEST_TRAFFIC_SHIFT")
        assert hook.startswith("ecs-pause-")
        assert (as_tester(shifting), shifting.get()[1]) == ("two\n", "one\n")
        found = service.deployment()
        assert found["targetServiceRevision"]["requestedTestTrafficWeight"] == 100
        assert found["targetServiceRevision"]["requestedProductionTrafficWeight"] == 0
        assert found["sourceServiceRevisions"][0]["requestedProductionTrafficWeight"] == 100
        assert found["targetServiceRevision"]["runningTaskCount"] == 2
        assert found["sourceServiceRevisions"][0]["runningTaskCount"] == 2
        arn = found["serviceDeploymentArn"]
        resume = service.ecs.continue_service_deployment
        with refused("InvalidParameterException", "ecs-{hookType}-{id}"):
            resume(serviceDeploymentArn=arn, hookId="nothing")
        with refused("InvalidParameterException", "completed, unavailable, or not associated"):
            resume(serviceDeploymentArn=arn, hookId="ecs-pause-0")
        go_on(service, hook)
        service.ended("SUCCESSFUL")
        with refused("ConflictException", "terminal states"):
            resume(serviceDeploymentArn=arn, hookId=hook)
        # And the same again, but somebody says no.
        service.update(taskDefinition=serving(service, "three"))
        go_on(service, waiting(service, "POST_TEST_TRAFFIC_SHIFT"), "ROLLBACK")
        done = service.ended("ROLLBACK_SUCCESSFUL")
        assert "POST_TEST_TRAFFIC_SHIFT" in done["rollback"]["reason"]
        assert (as_tester(shifting), shifting.get()[1]) == ("two\n", "two\n")
    assert clients.failures == []
    assert "three" not in clients.answers


def test_stopping_it_brings_traffic_back_at_once(shifting: Shifting, service: Service) -> None:
    begin(service, shifting)
    before = shifting.weights()
    with Clients(shifting.host) as clients:
        service.update(
            taskDefinition=serving(service, "two"),
            deploymentConfiguration=blue_green(bakeTimeInMinutes=1440),
        )
        found = staged(service, "BAKE_TIME")
        until(lambda: clients.answers["two"] > 50, "answers of the new revision")
        assert shifting.weights() == before[::-1]
        service.ecs.stop_service_deployment(serviceDeploymentArn=found["serviceDeploymentArn"])
        until(lambda: shifting.weights() == before, "traffic to be back", 5)
        done = service.ended("ROLLBACK_SUCCESSFUL")
        assert done["statusReason"] == "Service deployment rolled back because it was requested."
        until(lambda: len(service.describe()["deployments"]) == 1, "the new one to be gone")
        assert shifting.get() == (200, "one\n")
    assert clients.failures == []
    assert len(service.running()) == 2


def test_linear_and_canary_shift_in_steps(shifting: Shifting, service: Service) -> None:
    begin(service, shifting)
    pause = {"targetType": "PAUSE", "lifecycleStages": ["PRE_PRODUCTION_TRAFFIC_SHIFT"]}
    linear = {"stepPercent": 40.0, "stepBakeTimeInMinutes": 0}
    canary = {"canaryPercent": 12.5, "canaryBakeTimeInMinutes": 0}
    strategies = [
        ({"strategy": "LINEAR", "linearConfiguration": linear}, [0, 40, 80]),
        ({"strategy": "CANARY", "canaryConfiguration": canary}, [0, 12.5]),
    ]
    with Clients(shifting.host) as clients:
        for number, (configuration, steps) in enumerate(strategies):
            service.update(
                taskDefinition=serving(service, f"new-{number}"),
                deploymentConfiguration={
                    "bakeTimeInMinutes": 0,
                    "lifecycleHooks": [pause],
                    **configuration,
                },
            )
            seen = set()
            for step in steps:
                hook = waiting(service, "PRODUCTION_TRAFFIC_SHIFT")
                seen.add(hook)
                found = service.deployment()
                share = found["targetServiceRevision"]["requestedProductionTrafficWeight"]
                assert share == step
                source = found["sourceServiceRevisions"][0]
                assert source["requestedProductionTrafficWeight"] == 100 - step
                assert sorted(shifting.weights()) == sorted((round(step), round(100 - step)))
                if step:
                    text = f"new-{number}"
                    until(lambda text=text: clients.answers[text] > 20, f"answers of {text}")
                go_on(service, hook)
            assert len(seen) == len(steps), "each step has a pause of its own"
            service.ended("SUCCESSFUL")
    assert clients.failures == []


def test_a_webhook_decides(shifting: Shifting, service: Service) -> None:
    begin(service, shifting)
    later = {"hookStatus": "IN_PROGRESS", "callBackDelay": 1, "hookDetails": {"seen": True}}
    with Clients(shifting.host) as clients:
        with Webhook(later, {"hookStatus": "SUCCEEDED"}) as webhook:
            hook = webhook.hook(
                "POST_TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", hookDetails={"name": "x"}
            )
            updated = service.update(
                taskDefinition=serving(service, "two"),
                deploymentConfiguration=blue_green(lifecycleHooks=[hook]),
            )
            [shown] = updated["deploymentConfiguration"]["lifecycleHooks"]
            assert shown["hookTargetArn"] == webhook.url
            assert shown["hookDetails"] == {"name": "x"}
            done = service.ended("SUCCESSFUL")
            first, second, third = webhook.calls
        target = done["targetServiceRevision"]["arn"]
        source = done["sourceServiceRevisions"][0]["arn"]
        assert first["lifecycleStage"] == second["lifecycleStage"] == "POST_TEST_TRAFFIC_SHIFT"
        assert first["executionId"] == second["executionId"] != third["executionId"]
        assert first["hookDetails"] == {"name": "x"}
        assert second["hookDetails"] == {"name": "x", "seen": True}
        assert first["resourceArn"] == done["serviceDeploymentArn"]
        assert first["executionDetails"] == {
            "serviceArn": service.describe()["serviceArn"],
            "targetServiceRevisionArn": target,
            "testTrafficWeights": {},
            "productionTrafficWeights": {},
        }
        assert third["lifecycleStage"] == "PRODUCTION_TRAFFIC_SHIFT"
        weights = third["executionDetails"]["productionTrafficWeights"]
        assert weights == {target: 100, source: 0}
        with Webhook({"hookStatus": "FAILED"}) as webhook:
            service.update(
                taskDefinition=serving(service, "three"),
                deploymentConfiguration=blue_green(
                    lifecycleHooks=[webhook.hook("PRODUCTION_TRAFFIC_SHIFT")]
                ),
            )
            done = service.ended("ROLLBACK_SUCCESSFUL")
            forth, back = webhook.calls
        assert done["statusReason"] == (
            "Service deployment rolled back because PRODUCTION_TRAFFIC_SHIFT lifecycle hook(s) "
            f"failed. Lifecycle hook target {webhook.url} returned FAILED status."
        )
        target = done["targetServiceRevision"]["arn"]
        assert forth["executionDetails"]["productionTrafficWeights"][target] == 100
        assert back["executionDetails"]["productionTrafficWeights"][target] == 0
        assert shifting.get() == (200, "two\n")
    assert clients.failures == []


def test_a_webhook_that_is_not_there_takes_it_back(shifting: Shifting, service: Service) -> None:
    begin(service, shifting)
    with Webhook({}) as webhook:
        hook = webhook.hook("PRE_SCALE_UP")
    service.update(
        taskDefinition=serving(service, "two"),
        deploymentConfiguration=blue_green(lifecycleHooks=[hook]),
    )
    done = service.ended("ROLLBACK_SUCCESSFUL")
    assert f"ECS was unable to invoke hook target {webhook.url} due to" in done["statusReason"]
    assert shifting.get() == (200, "one\n")


def test_what_happens_in_the_middle(shifting: Shifting, service: Service) -> None:
    begin(service, shifting)
    with Clients(shifting.host) as clients:
        service.update(
            taskDefinition=serving(service, "two"),
            deploymentConfiguration=blue_green(bakeTimeInMinutes=1440),
        )
        staged(service, "BAKE_TIME")
        # More tasks: of both revisions.
        service.update(desiredCount=3)
        until(lambda: len(service.running()) == 6, "six tasks")
        with refused("InvalidParameterException", "while a service deployment shifts traffic"):
            service.update(loadBalancers=[])
        # A newer revision: the one before has never been completed.
        service.update(
            taskDefinition=serving(service, "three"), deploymentConfiguration=blue_green()
        )
        service.ended("SUCCESSFUL")
        until(lambda: clients.answers["three"] > 50, "answers of the newest revision")
        until(lambda: len(service.running()) == 3, "three tasks")
        # The rule goes while the traffic is on its way.
        service.update(
            taskDefinition=serving(service, "four"),
            deploymentConfiguration=blue_green(bakeTimeInMinutes=1440),
        )
        staged(service, "BAKE_TIME")
        shifting.elb.delete_rule(RuleArn=shifting.test)
        done = service.ended("ROLLBACK_SUCCESSFUL")
        assert done["statusReason"] == (
            "Service deployment rolled back because of invalid networking configuration. One or "
            "more rules not found"
        )
        until(lambda: len(service.running()) == 3, "three tasks")
        assert shifting.get() == (200, "three\n")
    assert clients.failures == []


def test_a_revision_that_does_not_start_gets_nothing(shifting: Shifting, service: Service) -> None:
    begin(service, shifting)
    before = shifting.weights()
    breaker = {
        "enable": True,
        "rollback": True,
        "thresholdConfiguration": {"type": "COUNT", "value": 1},
    }
    with Clients(shifting.host) as clients:
        broken = service.tasks.define(
            {"command": ["/not-there"], "portMappings": [{"containerPort": 80}]}
        )
        service.update(
            taskDefinition=broken,
            deploymentConfiguration=blue_green(deploymentCircuitBreaker=breaker),
        )
        done = service.ended("ROLLBACK_SUCCESSFUL")
        assert "circuit breaker" in done["statusReason"]
        assert shifting.weights() == before
    assert clients.failures == []


def test_the_server_may_die_in_every_stage(
    world: tuple[World, Node], shifting: Shifting, service: Service
) -> None:
    begin(service, shifting)
    stages = ["PRE_SCALE_UP", "POST_SCALE_UP", "POST_TEST_TRAFFIC_SHIFT"]
    stages += ["PRE_PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"]
    shown = [s.replace("PRE_PRODUCTION", "PRODUCTION") for s in stages]
    pause = {"targetType": "PAUSE", "lifecycleStages": stages}
    with Clients(shifting.host) as clients:
        service.update(
            taskDefinition=serving(service, "two"),
            deploymentConfiguration=blue_green(lifecycleHooks=[pause]),
        )
        for stage in shown:
            hook = waiting(service, stage)
            world[0].server.kill()
            world[0].server.start()
            go_on(service, hook)
        service.ended("SUCCESSFUL")
        until(lambda: clients.answers["two"] > 50, "answers of the new revision")
    assert clients.failures == []


def test_a_network_balancer_by_its_listeners(
    world: tuple[World, Node], service: Service, name: str
) -> None:
    elb = aws.client(world[0].server.url, service="elbv2")
    short = name[-28:].strip("-")
    made = elb.create_load_balancer(Name=short, Type="network")["LoadBalancers"][0]
    groups = [
        elb.create_target_group(
            Name=f"{short}-{letter}",
            Protocol="TCP",
            Port=80,
            HealthCheckIntervalSeconds=5,
        )["TargetGroups"][0]["TargetGroupArn"]
        for letter in "ab"
    ]
    [listener] = elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"],
        Port=80,
        Protocol="TCP",
        DefaultActions=[{"Type": "forward", "TargetGroupArn": groups[0]}],
    )["Listeners"]
    balancers = [
        {
            "targetGroupArn": groups[0],
            "containerName": "app",
            "containerPort": 80,
            "advancedConfiguration": {
                "alternateTargetGroupArn": groups[1],
                "productionListenerRule": listener["ListenerArn"],
            },
        }
    ]
    service.create(
        serving(service, "one"), 1, loadBalancers=balancers, deploymentConfiguration=BLUE_GREEN
    )
    service.ended("SUCCESSFUL")
    with Clients(made["DNSName"]) as clients:
        until(lambda: clients.answers["one"] > 20, "answers")
        clients.failures.clear()
        service.update(taskDefinition=serving(service, "two"))
        service.ended("SUCCESSFUL")
        until(lambda: clients.answers["two"] > 20, "answers of the new revision")
    assert clients.failures == []


def test_without_a_balancer_the_stages_are_passed(service: Service) -> None:
    pause = {"targetType": "PAUSE", "lifecycleStages": ["POST_PRODUCTION_TRAFFIC_SHIFT"]}
    configuration = blue_green(lifecycleHooks=[pause])
    service.create(serving(service, "one"), 1, deploymentConfiguration=configuration)
    go_on(service, waiting(service, "POST_PRODUCTION_TRAFFIC_SHIFT"))
    service.ended("SUCCESSFUL")


def test_what_makes_no_sense_is_refused(shifting: Shifting, service: Service) -> None:
    definition = serving(service, "one")

    def check(expected: str, code: str = "InvalidParameterException", **members: Any) -> None:
        request = {
            "loadBalancers": shifting.member(),
            "deploymentConfiguration": blue_green(),
            **members,
        }
        with refused(code, expected):
            service.create(definition, 1, **request)

    def configured(expected: str, **members: Any) -> None:
        check(expected, deploymentConfiguration=members)

    def advanced(expected: str, **members: Any) -> None:
        check(expected, loadBalancers=shifting.member(**members))

    advanced(
        f"productionListenerRule has an invalid ARN format. Must be RuleArn for ALB or ListenerArn "
        f"for NLB. Got: {shifting.listener}",
        productionListenerRule=shifting.listener,
    )
    advanced(
        f"cannot be used as both production and test listener rules: {shifting.production}",
        testListenerRule=shifting.production,
    )
    advanced(
        "testListenerRule is required when productionListenerRule is not associated with both",
        testListenerRule="",
    )
    advanced("Duplicate targetGroupArn found", alternateTargetGroupArn=shifting.group)
    advanced("does not exist", alternateTargetGroupArn=shifting.other + "0")
    advanced("does not exist", testListenerRule=shifting.test[:-16] + "0" * 16)
    advanced("alternateTargetGroupArn cannot be null", alternateTargetGroupArn="")
    [balancer] = shifting.member()
    plain = {k: v for k, v in balancer.items() if k != "advancedConfiguration"}
    check("required for all loadBalancers when using a non-ROLLING", loadBalancers=[plain])
    check("Either all or none of the provided", loadBalancers=[balancer, plain])
    classic = {**balancer, "loadBalancerName": "x"}
    check("not allowed with ELBv1", loadBalancers=[classic])
    configured("bakeTimeInMinutes is required", strategy="BLUE_GREEN")
    configured("between 0 and 1440", strategy="BLUE_GREEN", bakeTimeInMinutes=1441)
    for percent in (2.9, 100.1, 3.05, -1.0):
        linear = {"stepPercent": percent}
        configured("from 3.0 to 100.0", strategy="LINEAR", linearConfiguration=linear)
    for percent in (0.0, 0.05, 100.1):
        canary = {"canaryPercent": percent}
        configured("from 0.1 to 100.0", strategy="CANARY", canaryConfiguration=canary)
    bake = {"stepBakeTimeInMinutes": 1441}
    configured("between 0 and 1440", strategy="LINEAR", linearConfiguration=bake)
    configured("only valid when", strategy="LINEAR", canaryConfiguration={})
    configured("only valid when", strategy="ROLLING", linearConfiguration={})

    def hook(expected: str, code: str = "InvalidParameterException", **members: Any) -> None:
        hooks = [{"lifecycleStages": ["POST_SCALE_UP"], **members}]
        check(expected, code, deploymentConfiguration=blue_green(lifecycleHooks=hooks))

    def minutes(minutes: int) -> dict[str, int]:
        return {"timeoutInMinutes": minutes}

    hook("hookTargetArn of a lifecycle hook cannot be null")
    arn = "arn:aws:lambda:us-east-1:000000000000:function:x"
    hook("is not available", "UnsupportedFeatureException", hookTargetArn=arn)
    hook("hookTargetArn", hookTargetArn="ftp://x")
    hook("hookDetails must be", hookTargetArn="http://x/", hookDetails=[1])
    hook(
        "between 1 and 1440",
        hookTargetArn="http://x/",
        timeoutConfiguration=minutes(1441),
    )
    hook("less than or equal to 20160", targetType="PAUSE", timeoutConfiguration=minutes(20161))
    for stage in ("TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"):
        hook("for Pause Hook", targetType="PAUSE", lifecycleStages=[stage])
    hook("not applicable for PAUSE", targetType="PAUSE", hookTargetArn="http://x/")
    pauses = [{"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]}] * 11
    check("at most 10", deploymentConfiguration=blue_green(lifecycleHooks=pauses))
    with refused("InvalidParameterException", "daemon scheduling strategy does not support"):
        service.ecs.create_service(
            cluster=service.cluster,
            serviceName=service.name,
            taskDefinition=definition,
            schedulingStrategy="DAEMON",
            deploymentConfiguration=BLUE_GREEN,
        )
    # So that the fixture has something to delete.
    service.create(definition, 0)
