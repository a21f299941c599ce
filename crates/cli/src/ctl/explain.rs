//! `ctl explain`: what a task, a service or a task group waits for, or why it ended; without any of
//! them, all that waits in a cluster.

mod waits;

use longshore_agent::api::{Api, ApiError};
use longshore_wire::ecs::enums::DesiredStatus;
use longshore_wire::ecs::{DescribeTasksRequest, Task, op};
use serde_json::{Value, json};

use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::{logs, progress, task};

/// Stopped tasks of a service that are shown.
const STOPPED_SHOWN: usize = 5;

/// A question about a cluster.
pub(super) struct Asked<'a> {
    /// The API.
    pub(super) client: &'a Api,
    /// The cluster.
    pub(super) cluster: &'a str,
    /// Docker's socket, where logs may be.
    pub(super) docker_socket: &'a str,
}

impl Asked<'_> {
    /// Explains `subject`, or all that waits.
    pub(super) async fn run(&self, subject: Option<&str>, output: Output) -> Result<(), Failure> {
        match subject {
            None => self.everything(output).await,
            Some(subject) if is_task(subject) => self.task(subject, output).await,
            Some(subject) => self.group(subject, output).await,
        }
    }

    async fn everything(&self, output: Output) -> Result<(), Failure> {
        let waits = waits::ask(self.client, self.cluster, None).await?;
        let mut lines = waits::lines(&waits);
        if lines.is_empty() {
            let text = "nothing waits: every service is steady, and every task is RUNNING";
            lines.push(format!("cluster {}: {text}", self.cluster));
        }
        print(output, &waits, &lines);
        Ok(())
    }

    async fn group(&self, subject: &str, output: Output) -> Result<(), Failure> {
        let (client, cluster) = (self.client, self.cluster);
        let group =
            if subject.contains(':') { subject.to_owned() } else { format!("service:{subject}") };
        let refusals = refusals(client, cluster, &group).await?;
        let mut lines = Vec::new();
        let mut report = json!({ "group": group, "placement": refusals });
        if let Some(name) = group.strip_prefix("service:") {
            let service = progress::describe(client, cluster, name).await?;
            let state = progress::waiting_for(&service);
            lines.push(format!("service {name}: {state}"));
            let waits = waits::ask(client, cluster, Some(("service", name))).await?;
            lines.extend(waits::lines(&waits));
            let events = service.events.iter().flatten().take(10);
            let events: Vec<String> = events.filter_map(|event| event.message.clone()).collect();
            lines.extend(events.iter().map(|event| format!("  event: {event}")));
            let stopped = DesiredStatus::Stopped;
            let stopped = progress::tasks(client, cluster, Some(name), stopped).await?;
            lines.extend(stopped_lines(stopped));
            report["state"] = json!(state);
            report["waits"] = waits;
            report["events"] = json!(events);
        }
        lines.extend(placement_lines(&report["placement"]));
        if lines.is_empty() {
            lines.push(format!("{group}: no placement was refused since the server started"));
        }
        print(output, &report, &lines);
        Ok(())
    }

    async fn task(&self, subject: &str, output: Output) -> Result<(), Failure> {
        let request = DescribeTasksRequest {
            cluster: Some(self.cluster.to_owned()),
            tasks: vec![subject.to_owned()],
            include: None,
        };
        let described = self.client.call::<op::DescribeTasks>(&request).await;
        let described = described.map_err(failed("cannot describe the task"))?;
        let Some(found) = described.tasks.into_iter().flatten().next() else {
            return Err(Failure::new(
                format!("no task {subject}"),
                format!(
                    "cluster {} has none; stopped tasks are forgotten after an hour",
                    self.cluster
                ),
            ));
        };
        let containers = task::containers(&found);
        let mut lines = vec![format!(
            "task {} on instance {}: {} (should be {})",
            task::short(found.task_arn.as_deref()),
            task::short(found.container_instance_arn.as_deref()),
            found.last_status.as_deref().unwrap_or("-"),
            found.desired_status.as_deref().unwrap_or("-"),
        )];
        let id = task::short(found.task_arn.as_deref());
        let waits = waits::ask(self.client, self.cluster, Some(("task", &id))).await?;
        lines.push(format!("  {}", task::reason(&found)));
        lines.extend(containers.iter().map(|line| format!("  {line}")));
        lines.extend(waits::of(&waits["tasks"][0]));
        let mut left = Vec::new();
        if found.last_status.as_deref() != Some("RUNNING") {
            let arn = found.task_arn.as_deref().unwrap_or_default();
            left = logs::of_task(self.docker_socket, arn).await;
            lines.extend(left.iter().map(|line| format!("  {line}")));
        }
        let report = json!({
            "task": found.task_arn,
            "lastStatus": found.last_status,
            "desiredStatus": found.desired_status,
            "reason": task::reason(&found),
            "containers": containers,
            "waits": waits["tasks"][0]["waits"],
            "left": left,
        });
        print(output, &report, &lines);
        Ok(())
    }
}

fn is_task(subject: &str) -> bool {
    subject.contains(":task/") || (subject.len() == 32 && !subject.contains(':'))
}

fn stopped_lines(stopped: Vec<Task>) -> Vec<String> {
    let mut lines = Vec::new();
    for task in newest(stopped) {
        let id = task::short(task.task_arn.as_deref());
        lines.push(format!("  stopped task {id}: {}", task::reason(&task)));
        lines.extend(task::containers(&task).into_iter().map(|line| format!("    {line}")));
    }
    lines
}

fn newest(mut tasks: Vec<Task>) -> Vec<Task> {
    let stopped = |task: &Task| task.stopped_at.map_or(0.0, |at| at.0);
    tasks.sort_by(|a, b| stopped(b).total_cmp(&stopped(a)));
    tasks.truncate(STOPPED_SHOWN);
    tasks
}

/// The last refused placement of a group; null when there is none.
async fn refusals(client: &Api, cluster: &str, group: &str) -> Result<Value, Failure> {
    let path = format!("explain?cluster={cluster}&group={group}");
    match client.operator("GET", &path).await {
        Ok(report) => Ok(report),
        Err(ApiError::Service { status: 404, .. }) => Ok(Value::Null),
        Err(error) => Err(failed("cannot ask why placements were refused")(error)),
    }
}

fn placement_lines(placement: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = Vec::new();
    if placement.is_null() {
        return lines;
    }
    lines.push(format!("last refused placement, at {}:", text(&placement["at"])));
    for instance in placement["instances"].as_array().into_iter().flatten() {
        lines.push(format!("  instance {}", text(&instance["containerInstance"])));
        for reason in instance["reasons"].as_array().into_iter().flatten() {
            lines.push(format!(
                "    {}: {} (to fix: {})",
                text(&reason["code"]),
                text(&reason["why"]),
                text(&reason["fix"])
            ));
        }
    }
    if let Some(fix) = placement["nearestFix"].as_str() {
        lines.push(format!("nearest fix: {fix}"));
    } else if placement["instances"].as_array().is_some_and(Vec::is_empty) {
        lines.push("the cluster has no container instances: start an agent".to_owned());
    }
    lines
}

fn print(output: Output, report: &Value, lines: &[String]) {
    match output {
        Output::Json => output::json(report),
        Output::Table => lines.iter().for_each(|line| output::line(line)),
    }
}
