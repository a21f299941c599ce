"""A service between two target groups, with rules for production and test traffic."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness.balancing import Balanced
from harness.process import World
from harness.services import Service
from harness.wait import until


class Shifting(Balanced):
    """A balancer whose rule for all paths forwards to the first of two groups, and whose rule for
    requests with the header `x-test` to the second."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.other = self.elb.create_target_group(
            Name=f"{name[-30:].strip('-')}-b",
            Protocol="HTTP",
            Port=80,
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.groups = (self.group, self.other)
        for group in self.groups:
            self.elb.modify_target_group_attributes(
                TargetGroupArn=group,
                Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}],
            )
        header = {"HttpHeaderName": "x-test", "Values": ["1"]}
        self.test = self.rule(10, self.other, {"Field": "http-header", "HttpHeaderConfig": header})
        self.production = self.rule(
            20, self.group, {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}
        )

    def rule(self, priority: int, group: str, condition: dict[str, Any]) -> str:
        """ARN of a new rule."""
        made = self.elb.create_rule(
            ListenerArn=self.listener,
            Priority=priority,
            Conditions=[condition],
            Actions=[{"Type": "forward", "TargetGroupArn": group}],
        )
        return made["Rules"][0]["RuleArn"]

    def member(self, **members: Any) -> list[dict[str, Any]]:
        """`loadBalancers` of a service behind it."""
        advanced = {
            "alternateTargetGroupArn": self.other,
            "productionListenerRule": self.production,
            "testListenerRule": self.test,
            "roleArn": "arn:aws:iam::000000000000:role/elb",
            **members,
        }
        [plain] = super().member()
        return [{**plain, "advancedConfiguration": advanced}]

    def weights(self, rule: str | None = None) -> tuple[int, int]:
        """Weights of the two groups in a rule, in percent."""
        found = self.elb.describe_rules(RuleArns=[rule or self.production])["Rules"][0]
        groups = found["Actions"][-1]["ForwardConfig"]["TargetGroups"]
        weights = {group["TargetGroupArn"]: group["Weight"] for group in groups}
        total = sum(weights.values())
        first, second = (round(weights.get(group, 0) * 100 / total) for group in self.groups)
        return first, second


def staged(service: Service, stage: str) -> dict[str, Any]:
    """Waits until the newest service deployment is in a stage."""

    def ask() -> dict[str, Any] | None:
        found = service.deployment()
        return found if found.get("lifecycleStage") == stage else None

    return until(ask, f"{service.name} to be in {stage}", 60)


def waiting(service: Service, stage: str) -> str:
    """Waits until the newest service deployment waits at a PAUSE hook there; the id of the hook."""

    def ask() -> str | None:
        found = service.deployment()
        if found.get("lifecycleStage") != stage:
            return None
        hooks = found.get("lifecycleHookDetails", [])
        return next((hook["hookId"] for hook in hooks if hook["status"] == "AWAITING_ACTION"), None)

    return until(ask, f"{service.name} to pause in {stage}", 60)


def go_on(service: Service, hook: str, action: str = "CONTINUE") -> None:
    """ContinueServiceDeployment."""
    arn = service.deployment()["serviceDeploymentArn"]
    service.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook, action=action)


class Webhook:
    """A webhook in this process that answers as it is told to."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.calls.append(json.loads(body))
                last = len(hook.answers) == 1
                answer = hook.answers[0] if last else hook.answers.pop(0)
                text = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def __enter__(self) -> "Webhook":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def hook(self, *stages: str, **members: Any) -> dict[str, Any]:
        """`lifecycleHooks` element that names it."""
        return {
            "targetType": "AWS_LAMBDA",
            "hookTargetArn": self.url,
            "lifecycleStages": list(stages),
            **members,
        }
