"""The Elastic Load Balancing API alone: balancers, listeners, rules, target groups, targets."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.aws import ACCOUNT, REGION, cli, client, refused
from harness.process import Server

PREFIX = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
FIXED = {
    "Type": "fixed-response",
    "FixedResponseConfig": {
        "StatusCode": "404",
        "ContentType": "text/plain",
        "MessageBody": "none",
    },
}


@pytest.fixture
def elb(server: Server) -> Any:
    """A boto3 client of the shared server."""
    return client(server.url, service="elbv2")


@pytest.fixture
def short(name: str) -> str:
    """A name that a balancer may have."""
    return name[-32:].strip("-")


@pytest.fixture
def balancer(elb: Any, short: str) -> Iterator[str]:
    """ARN of an application load balancer."""
    made = elb.create_load_balancer(Name=short)["LoadBalancers"][0]
    yield made["LoadBalancerArn"]
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])


def group(elb: Any, name: str, **members: Any) -> str:
    """ARN of a new target group."""
    given = {"Protocol": "HTTP", "Port": 80, "VpcId": "vpc-1", **members}
    return str(elb.create_target_group(Name=name, **given)["TargetGroups"][0]["TargetGroupArn"])


def listener(elb: Any, balancer: str, port: int = 80, **members: Any) -> str:
    """ARN of a new listener."""
    given = {"Protocol": "HTTP", "DefaultActions": [FIXED], **members}
    made = elb.create_listener(LoadBalancerArn=balancer, Port=port, **given)
    return str(made["Listeners"][0]["ListenerArn"])


def test_balancers_live(elb: Any, short: str) -> None:
    made = elb.create_load_balancer(
        Name=short, Subnets=["subnet-1"], Tags=[{"Key": "team", "Value": "a"}]
    )["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    assert arn.startswith(f"{PREFIX}:loadbalancer/app/{short}/")
    assert made["DNSName"].startswith("127.0.2.")
    assert (made["Type"], made["Scheme"]) == ("application", "internet-facing")
    # No node of balancers runs here, and the state says so.
    assert made["State"]["Code"] == "provisioning"
    assert "longshore lb" in made["State"]["Reason"]
    tags = [{"Key": "team", "Value": "a"}]
    again = elb.create_load_balancer(Name=short, Subnets=["subnet-1"], Tags=tags)
    assert again["LoadBalancers"][0]["LoadBalancerArn"] == arn
    with refused("DuplicateLoadBalancerName"):
        elb.create_load_balancer(Name=short, Scheme="internal")
    other = elb.create_load_balancer(Name=f"{short[:28]}-2", Type="network")["LoadBalancers"][0]
    assert other["DNSName"] != made["DNSName"]
    assert f":loadbalancer/net/{short[:28]}-2/" in other["LoadBalancerArn"]
    shown = elb.describe_load_balancers(Names=[short])["LoadBalancers"]
    assert [found["LoadBalancerArn"] for found in shown] == [arn]
    pages = elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 1})
    names = [found["LoadBalancerName"] for page in pages for found in page["LoadBalancers"]]
    assert {short, f"{short[:28]}-2"} <= set(names)
    assert len(names) == len(set(names))
    for gone in (arn, other["LoadBalancerArn"]):
        elb.delete_load_balancer(LoadBalancerArn=gone)
        elb.delete_load_balancer(LoadBalancerArn=gone)
    with refused("LoadBalancerNotFound"):
        elb.describe_load_balancers(LoadBalancerArns=[arn])
    elb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[arn])


def test_addresses_are_given_out_once_and_come_back(new_server: Callable[..., Server]) -> None:
    server = new_server("--open", "--balancer-addresses", "127.0.9.0/30")
    elb = client(server.url, service="elbv2")
    make = lambda name: elb.create_load_balancer(Name=name)["LoadBalancers"][0]  # noqa: E731
    first, second = make("a"), make("b")
    assert [first["DNSName"], second["DNSName"]] == ["127.0.9.1", "127.0.9.2"]
    with refused("TooManyLoadBalancers", "--balancer-addresses"):
        make("c")
    elb.delete_load_balancer(LoadBalancerArn=first["LoadBalancerArn"])
    assert make("c")["DNSName"] == "127.0.9.1"


def test_listeners_and_rules_live(elb: Any, balancer: str, short: str) -> None:
    first = group(elb, short)
    arn = listener(elb, balancer)
    with refused("DuplicateListener"):
        listener(elb, balancer, DefaultActions=[{"Type": "forward", "TargetGroupArn": first}])
    forward = {"Type": "forward", "TargetGroupArn": first}
    conditions = [
        {"Field": "host-header", "Values": ["*.example.com"]},
        {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api/*"]}},
        {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1"}]}},
    ]
    rule = elb.create_rule(ListenerArn=arn, Priority=20, Conditions=conditions, Actions=[forward])[
        "Rules"
    ][0]
    assert rule["Priority"] == "20"
    assert rule["Actions"][0]["TargetGroupArn"] == first
    with refused("PriorityInUse"):
        elb.create_rule(ListenerArn=arn, Priority=20, Conditions=conditions, Actions=[FIXED])
    redirect = {
        "Type": "redirect",
        "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
    }
    source = {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}
    other = elb.create_rule(ListenerArn=arn, Priority=10, Conditions=[source], Actions=[redirect])[
        "Rules"
    ][0]
    shown = elb.describe_rules(ListenerArn=arn)["Rules"]
    assert [found["Priority"] for found in shown] == ["10", "20", "default"]
    assert shown[0]["Actions"][0]["RedirectConfig"]["Path"] == "/#{path}"
    elb.set_rule_priorities(
        RulePriorities=[
            {"RuleArn": rule["RuleArn"], "Priority": 10},
            {"RuleArn": other["RuleArn"], "Priority": 20},
        ]
    )
    shown = elb.describe_rules(ListenerArn=arn)["Rules"]
    assert [found["RuleArn"] for found in shown[:2]] == [rule["RuleArn"], other["RuleArn"]]
    elb.modify_rule(RuleArn=rule["RuleArn"], Actions=[FIXED])
    with refused("OperationNotPermitted"):
        elb.delete_rule(RuleArn=shown[2]["RuleArn"])
    elb.modify_listener(ListenerArn=arn, Port=81, DefaultActions=[forward])
    [found] = elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
    assert (found["Port"], found["DefaultActions"][0]["Type"]) == (81, "forward")
    with refused("ResourceInUse"):
        elb.delete_target_group(TargetGroupArn=first)
    elb.delete_rule(RuleArn=rule["RuleArn"])
    elb.delete_listener(ListenerArn=arn)
    with refused("ListenerNotFound"):
        elb.describe_listeners(ListenerArns=[arn])
    with refused("RuleNotFound"):
        elb.describe_rules(RuleArns=[other["RuleArn"]])
    elb.delete_target_group(TargetGroupArn=first)
    with refused("TargetGroupNotFound"):
        elb.describe_target_groups(TargetGroupArns=[first])


def test_an_arn_is_whole(elb: Any, balancer: str, short: str) -> None:
    """Policies are asked about all of it, so a part that is made up finds nothing."""
    arn = listener(elb, balancer)
    made = elb.create_rule(
        ListenerArn=arn,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/a"]}],
        Actions=[FIXED],
    )["Rules"][0]["RuleArn"]
    [default] = [
        rule["RuleArn"]
        for rule in elb.describe_rules(ListenerArn=arn)["Rules"]
        if rule["IsDefault"]
    ]
    for change in [(f"/{short}/", "/dev-x/"), (":listener/app/", ":listener/net/")]:
        forged = arn.replace(*change)
        with refused("ListenerNotFound"):
            elb.delete_listener(ListenerArn=forged)
    with refused("LoadBalancerNotFound"):
        elb.describe_load_balancers(LoadBalancerArns=[balancer.replace("/app/", "/net/")])
    elb.delete_load_balancer(LoadBalancerArn=balancer.replace("/app/", "/net/"))
    elb.describe_load_balancers(LoadBalancerArns=[balancer])
    number = balancer.rsplit("/", 1)[1]
    for rule in (made, default):
        for change in [(f"/{short}/", "/dev-x/"), (f"/{number}/", "/0123456789abcdef/")]:
            with refused("RuleNotFound"):
                elb.describe_rules(RuleArns=[rule.replace(*change)])
    with refused("RuleNotFound"):
        elb.delete_rule(RuleArn=made.replace(f"/{short}/", "/dev-x/"))
    elb.delete_rule(RuleArn=made)


def test_target_groups_and_targets_live(elb: Any, balancer: str, short: str) -> None:
    arn = group(
        elb, short, TargetType="ip", HealthCheckPath="/health", Matcher={"HttpCode": "200-299"}
    )
    [shown] = elb.describe_target_groups(Names=[short])["TargetGroups"]
    assert (shown["HealthCheckIntervalSeconds"], shown["HealthyThresholdCount"]) == (30, 5)
    assert shown["Matcher"] == {"HttpCode": "200-299"}
    assert (
        group(
            elb, short, TargetType="ip", HealthCheckPath="/health", Matcher={"HttpCode": "200-299"}
        )
        == arn
    )
    with refused("DuplicateTargetGroupName"):
        group(elb, short, TargetType="ip", Port=81)
    changed = elb.modify_target_group(
        TargetGroupArn=arn, HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2
    )["TargetGroups"][0]
    assert changed["HealthCheckIntervalSeconds"] == 5
    targets = [{"Id": "10.0.0.1", "Port": 8080}, {"Id": "10.0.0.2"}]
    elb.register_targets(TargetGroupArn=arn, Targets=targets)
    found = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert {(t["Target"]["Id"], t["Target"]["Port"]) for t in found} == {
        ("10.0.0.1", 8080),
        ("10.0.0.2", 80),
    }
    assert {t["TargetHealth"]["Reason"] for t in found} == {"Target.NotInUse"}
    listener(elb, balancer, DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}])
    found = elb.describe_target_health(TargetGroupArn=arn, Targets=targets[:1])
    assert found["TargetHealthDescriptions"][0]["TargetHealth"]["State"] == "initial"
    [shown] = elb.describe_target_groups(LoadBalancerArn=balancer)["TargetGroups"]
    assert shown["LoadBalancerArns"] == [balancer]
    elb.deregister_targets(TargetGroupArn=arn, Targets=targets)
    elb.get_waiter("target_deregistered").wait(TargetGroupArn=arn, Targets=targets)


def test_attributes_have_defaults_and_bounds(elb: Any, balancer: str, short: str) -> None:
    def pairs(found: dict[str, Any]) -> dict[str, str]:
        return {attribute["Key"]: attribute["Value"] for attribute in found["Attributes"]}

    found = pairs(elb.describe_load_balancer_attributes(LoadBalancerArn=balancer))
    assert found["idle_timeout.timeout_seconds"] == "60"
    change = [{"Key": "idle_timeout.timeout_seconds", "Value": "120"}]
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=change)
    found = pairs(elb.describe_load_balancer_attributes(LoadBalancerArn=balancer))
    assert found["idle_timeout.timeout_seconds"] == "120"
    for key, value in (("idle_timeout.timeout_seconds", "0"), ("none.such", "1")):
        with refused("ValidationError"):
            elb.modify_load_balancer_attributes(
                LoadBalancerArn=balancer, Attributes=[{"Key": key, "Value": value}]
            )
    protect = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=protect)
    with refused("OperationNotPermitted"):
        elb.delete_load_balancer(LoadBalancerArn=balancer)
    protect[0]["Value"] = "false"
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=protect)
    arn = group(elb, short)
    found = pairs(elb.describe_target_group_attributes(TargetGroupArn=arn))
    assert found["deregistration_delay.timeout_seconds"] == "300"
    with refused("ValidationError"):
        elb.modify_target_group_attributes(
            TargetGroupArn=arn, Attributes=[{"Key": "slow_start.duration_seconds", "Value": "5"}]
        )


def test_tags_are_kept(elb: Any, balancer: str, short: str) -> None:
    arn = group(elb, short)
    elb.add_tags(ResourceArns=[balancer, arn], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    elb.remove_tags(ResourceArns=[arn], TagKeys=["a"])
    found = elb.describe_tags(ResourceArns=[balancer, arn])["TagDescriptions"]
    keys = {tag["ResourceArn"]: [t["Key"] for t in tag["Tags"]] for tag in found}
    assert keys == {balancer: ["a", "b"], arn: ["b"]}


@pytest.mark.parametrize(
    ("operation", "members", "code"),
    [
        ("create_load_balancer", {"Name": "-a"}, "ValidationError"),
        ("create_load_balancer", {"Name": "a" * 33}, "ValidationError"),
        ("create_load_balancer", {"Name": "a", "Subnets": ["x"]}, "SubnetNotFound"),
        ("create_load_balancer", {"Name": "a", "SecurityGroups": ["x"]}, "InvalidSecurityGroup"),
        ("describe_load_balancers", {"LoadBalancerArns": ["x"]}, "ValidationError"),
        ("describe_load_balancers", {"Names": ["never-made"]}, "LoadBalancerNotFound"),
        ("describe_listeners", {}, "ValidationError"),
        ("describe_rules", {}, "ValidationError"),
        ("create_target_group", {"Name": "a"}, "ValidationError"),
        (
            "create_target_group",
            {"Name": "a", "Protocol": "HTTP", "Port": 80, "HealthCheckPath": "x"},
            "ValidationError",
        ),
        (
            "create_target_group",
            {"Name": "a", "Protocol": "HTTP", "Port": 80, "TargetType": "lambda"},
            "InvalidConfigurationRequest",
        ),
        ("describe_ssl_policies", {"Names": ["x"]}, "SSLPolicyNotFound"),
        ("describe_trust_stores", {}, "OperationNotPermitted"),
    ],
)
def test_bad_input_is_refused(elb: Any, operation: str, members: Any, code: str) -> None:
    with refused(code):
        getattr(elb, operation)(**members)


def test_bad_actions_and_conditions_are_refused(elb: Any, balancer: str, short: str) -> None:
    gone = f"{PREFIX}:targetgroup/gone/0123456789abcdef"
    with refused("TargetGroupNotFound"):
        listener(elb, balancer, DefaultActions=[{"Type": "forward", "TargetGroupArn": gone}])
    with refused("CertificateNotFound"):
        listener(elb, balancer, Protocol="HTTPS")
    certificate = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/gone"
    with refused("CertificateNotFound"):
        listener(elb, balancer, Protocol="HTTPS", Certificates=[{"CertificateArn": certificate}])
    with refused("UnsupportedProtocol"):
        listener(elb, balancer, Protocol="TCP")
    tcp = group(elb, short, Protocol="TCP")
    with refused("IncompatibleProtocols"):
        listener(elb, balancer, DefaultActions=[{"Type": "forward", "TargetGroupArn": tcp}])
    arn = listener(elb, balancer)
    for condition in (
        {"Field": "path-pattern"},
        {"Field": "nothing", "Values": ["x"]},
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.1"]}},
        {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["("]}},
        {"Field": "host-header", "Values": ["a", "b", "c", "d", "e", "f"]},
    ):
        with refused("ValidationError"):
            elb.create_rule(ListenerArn=arn, Priority=1, Conditions=[condition], Actions=[FIXED])
    assert len(elb.describe_rules(ListenerArn=arn)["Rules"]) == 1, "nothing was half made"


def test_the_command_line_client_works(server: Server, short: str) -> None:
    made = cli(server.url, "elbv2", "create-load-balancer", "--name", short, "--type", "network")
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    shown = cli(server.url, "elbv2", "describe-load-balancers", "--load-balancer-arns", arn)
    assert shown["LoadBalancers"][0]["LoadBalancerName"] == short
    cli(server.url, "elbv2", "delete-load-balancer", "--load-balancer-arn", arn)
