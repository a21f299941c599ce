//! `ctl explain`: what a task, a service or a task group waits for, or why it ended.

use longshore_agent::api::{Api, ApiError};
use longshore_wire::ecs::enums::DesiredStatus;
use longshore_wire::ecs::{DescribeTasksRequest, Task, op};
use serde_json::{Value, json};

use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::{progress, task};

/// Stopped tasks of a service that are shown.
const STOPPED_SHOWN: usize = 5;

/// Explains `subject`.
pub(super) async fn run(
    client: &Api,
    cluster: &str,
    subject: &str,
    output: Output,
) -> Result<(), Failure> {
    if subject.contains(":task/") || (subject.len() == 32 && !subject.contains(':')) {
        return explain_task(client, cluster, subject, output).await;
    }
    let group =
        if subject.contains(':') { subject.to_owned() } else { format!("service:{subject}") };
    let refusals = refusals(client, cluster, &group).await?;
    let mut lines = Vec::new();
    let mut report = json!({ "group": group, "placement": refusals });
    if let Some(name) = group.strip_prefix("service:") {
        let service = progress::describe(client, cluster, name).await?;
        let state = progress::waiting_for(&service);
        lines.push(format!("service {name}: {state}"));
        let events: Vec<String> =
            service.events.iter().flatten().take(10).filter_map(|e| e.message.clone()).collect();
        lines.extend(events.iter().map(|event| format!("  event: {event}")));
        let stopped = progress::tasks(client, cluster, Some(name), DesiredStatus::Stopped).await?;
        for task in newest(stopped) {
            lines.push(format!(
                "  stopped task {}: {}",
                task::short(task.task_arn.as_deref()),
                task::reason(&task)
            ));
            lines.extend(task::containers(&task).into_iter().map(|line| format!("    {line}")));
        }
        report["state"] = json!(state);
        report["events"] = json!(events);
    }
    lines.extend(placement_lines(&report["placement"]));
    if lines.is_empty() {
        lines.push(format!("{group}: no placement was refused since the server started"));
    }
    print(output, &report, &lines);
    Ok(())
}

fn newest(mut tasks: Vec<Task>) -> Vec<Task> {
    let stopped = |task: &Task| task.stopped_at.map_or(0.0, |at| at.0);
    tasks.sort_by(|a, b| stopped(b).total_cmp(&stopped(a)));
    tasks.truncate(STOPPED_SHOWN);
    tasks
}

async fn explain_task(
    client: &Api,
    cluster: &str,
    subject: &str,
    output: Output,
) -> Result<(), Failure> {
    let request = DescribeTasksRequest {
        cluster: Some(cluster.to_owned()),
        tasks: vec![subject.to_owned()],
        include: None,
    };
    let described = client
        .call::<op::DescribeTasks>(&request)
        .await
        .map_err(failed("cannot describe the task"))?;
    let Some(found) = described.tasks.into_iter().flatten().next() else {
        return Err(Failure::new(
            format!("no task {subject}"),
            format!("cluster {cluster} has none; stopped tasks are forgotten after an hour"),
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
    lines.push(format!("  {}", task::reason(&found)));
    lines.extend(containers.iter().map(|line| format!("  {line}")));
    let report = json!({
        "task": found.task_arn,
        "lastStatus": found.last_status,
        "desiredStatus": found.desired_status,
        "reason": task::reason(&found),
        "containers": containers,
    });
    print(output, &report, &lines);
    Ok(())
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
