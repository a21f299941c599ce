"""One service: created, changed, watched, the short way."""

from typing import Any

from harness.tasks import Tasks
from harness.wait import until

WAIT = {"Delay": 1, "MaxAttempts": 90}


class Service:
    """One service and its tasks."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.ecs = tasks.ecs
        self.cluster = tasks.cluster
        self.name = tasks.family

    def create(self, definition: str, count: int, **members: Any) -> dict[str, Any]:
        answer = self.ecs.create_service(
            cluster=self.cluster,
            serviceName=self.name,
            taskDefinition=definition,
            desiredCount=count,
            **members,
        )
        return answer["service"]

    def update(self, **members: Any) -> dict[str, Any]:
        answer = self.ecs.update_service(cluster=self.cluster, service=self.name, **members)
        return answer["service"]

    def describe(self) -> dict[str, Any]:
        answer = self.ecs.describe_services(
            cluster=self.cluster, services=[self.name], include=["TAGS"]
        )
        return answer["services"][0]

    def stable(self) -> dict[str, Any]:
        """Waits with the SDK's own waiter."""
        waiter = self.ecs.get_waiter("services_stable")
        waiter.wait(cluster=self.cluster, services=[self.name], WaiterConfig=WAIT)
        return self.describe()

    def running(self) -> list[dict[str, Any]]:
        """Its tasks that should run."""
        listed = self.ecs.list_tasks(cluster=self.cluster, serviceName=self.name)["taskArns"]
        if not listed:
            return []
        return self.ecs.describe_tasks(cluster=self.cluster, tasks=listed)["tasks"]

    def messages(self) -> list[str]:
        """Its events, the oldest first."""
        return [event["message"] for event in reversed(self.describe()["events"])]

    def deployment(self) -> dict[str, Any]:
        """Its newest service deployment."""
        listed = self.ecs.list_service_deployments(cluster=self.cluster, service=self.name)
        newest = listed["serviceDeployments"][0]["serviceDeploymentArn"]
        found = self.ecs.describe_service_deployments(serviceDeploymentArns=[newest])
        return found["serviceDeployments"][0]

    def ended(self, status: str, timeout: float = 90) -> dict[str, Any]:
        """Waits for the end of its newest service deployment, which must be this."""
        over = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")

        def ask() -> dict[str, Any] | None:
            found = self.deployment()
            return found if found["status"] in over else None

        found = until(ask, f"the deployment of {self.name} to be {status}", timeout)
        assert found["status"] == status, found
        return found
