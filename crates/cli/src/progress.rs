//! Waiting for a service to become steady, with the reason for every wait.

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use longshore_agent::api::Api;
use longshore_wire::ecs::enums::DesiredStatus;
use longshore_wire::ecs::{
    DescribeServicesRequest, DescribeTasksRequest, ListTasksRequest, Service, Task, op,
};
use tokio::time::Instant;

use crate::client::failed;
use crate::failure::Failure;
use crate::{output, task};

/// How often the service is looked at.
const POLL: Duration = Duration::from_millis(250);

/// Waits until `service` is steady, and gives its running tasks.
pub(crate) async fn until_steady(
    client: &Api,
    cluster: &str,
    service: &str,
    timeout: Duration,
) -> Result<Vec<Task>, Failure> {
    let deadline = Instant::now() + timeout;
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(service.to_owned());
    let mut told = BTreeSet::new();
    loop {
        let found = describe(client, cluster, service).await?;
        for event in found.events.iter().flatten().rev() {
            let id = event.id.clone().unwrap_or_default();
            if told.insert(id) {
                let message = event.message.clone().unwrap_or_default();
                bar.suspend(|| output::note(&format!("  {message}")));
            }
        }
        bar.set_length(found.desired_count.map_or(0, |n| u64::from(n.unsigned_abs())));
        bar.set_position(found.running_count.map_or(0, |n| u64::from(n.unsigned_abs())));
        bar.set_message(waiting_for(&found));
        if let Some(why) = failed_rollout(&found) {
            bar.finish_and_clear();
            return Err(Failure::new(format!("the deployment of {service} failed"), why)
                .fix(format!("longshore ctl explain {service} --cluster {cluster}")));
        }
        if task::is_stable(&found) {
            bar.finish_and_clear();
            return tasks(client, cluster, Some(service), DesiredStatus::Running).await;
        }
        if Instant::now() >= deadline {
            bar.finish_and_clear();
            let what = format!("{service} is not steady after {} s", timeout.as_secs());
            return Err(Failure::new(what, waiting_for(&found))
                .fix(format!("longshore ctl explain {service} --cluster {cluster}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What a service that is not steady waits for.
pub(crate) fn waiting_for(service: &Service) -> String {
    let (desired, running, pending) = (
        service.desired_count.unwrap_or_default(),
        service.running_count.unwrap_or_default(),
        service.pending_count.unwrap_or_default(),
    );
    let old = service.deployments.as_ref().map_or(0, Vec::len).saturating_sub(1);
    if pending > 0 {
        format!("{pending} tasks are starting")
    } else if running < desired {
        let event = service.events.iter().flatten().next();
        let event = event.and_then(|event| event.message.clone());
        event.unwrap_or_else(|| "tasks are about to be placed".to_owned())
    } else if old > 0 {
        format!("tasks of {old} older deployments are being replaced")
    } else if running > desired {
        format!("{} tasks are being stopped", running - desired)
    } else {
        "steady".to_owned()
    }
}

fn failed_rollout(service: &Service) -> Option<String> {
    let primary = service.deployments.iter().flatten().next()?;
    let failed = primary.rollout_state.is_some_and(|state| state.as_str() == "FAILED");
    failed.then(|| primary.rollout_state_reason.clone().unwrap_or_default())
}

/// The service, which must be there.
pub(crate) async fn describe(
    client: &Api,
    cluster: &str,
    service: &str,
) -> Result<Service, Failure> {
    find(client, cluster, service).await?.ok_or_else(|| {
        Failure::new(
            format!("no service {service}"),
            format!("cluster {cluster} has none of that name"),
        )
    })
}

/// The service, if there is one of that name that is not INACTIVE.
pub(crate) async fn find(
    client: &Api,
    cluster: &str,
    service: &str,
) -> Result<Option<Service>, Failure> {
    let request = DescribeServicesRequest {
        cluster: Some(cluster.to_owned()),
        services: vec![service.to_owned()],
        include: None,
    };
    let answer = client
        .call::<op::DescribeServices>(&request)
        .await
        .map_err(failed("cannot describe the service"))?;
    let services = answer.services.unwrap_or_default();
    Ok(services.into_iter().find(|service| service.status.as_deref() != Some("INACTIVE")))
}

/// The tasks of a service, or of the cluster.
pub(crate) async fn tasks(
    client: &Api,
    cluster: &str,
    service: Option<&str>,
    desired: DesiredStatus,
) -> Result<Vec<Task>, Failure> {
    let mut tasks = Vec::new();
    let mut next_token = None;
    loop {
        let request = ListTasksRequest {
            cluster: Some(cluster.to_owned()),
            service_name: service.map(str::to_owned),
            desired_status: Some(desired),
            next_token,
            ..ListTasksRequest::default()
        };
        let page =
            client.call::<op::ListTasks>(&request).await.map_err(failed("cannot list tasks"))?;
        let arns = page.task_arns.unwrap_or_default();
        if !arns.is_empty() {
            let request = DescribeTasksRequest {
                cluster: Some(cluster.to_owned()),
                tasks: arns,
                include: None,
            };
            let described = client
                .call::<op::DescribeTasks>(&request)
                .await
                .map_err(failed("cannot describe tasks"))?;
            tasks.extend(described.tasks.unwrap_or_default());
        }
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(tasks);
        }
    }
}

/// Prints where a service answers, task by task.
pub(crate) fn print_tasks(tasks: &[Task], output: output::Output) {
    match output {
        output::Output::Json => {
            let rows = tasks.iter().map(|task| {
                serde_json::json!({
                    "task": task::short(task.task_arn.as_deref()),
                    "containerInstance": task::short(task.container_instance_arn.as_deref()),
                    "availabilityZone": task.availability_zone,
                    "status": task.last_status,
                    "addresses": task::addresses(task),
                })
            });
            output::json(&rows.collect());
        }
        output::Output::Table => output::table(
            ["TASK", "INSTANCE", "ZONE", "STATUS", "ANSWERS AT"],
            tasks.iter().map(|task| {
                [
                    task::short(task.task_arn.as_deref()),
                    task::short(task.container_instance_arn.as_deref()),
                    task.availability_zone.clone().unwrap_or_default(),
                    task.last_status.clone().unwrap_or_default(),
                    task::addresses(task).join(" "),
                ]
            }),
        ),
    }
}
