//! Services and tasks as the API describes them, and what a service waits for in one line.

use longshore_agent::api::Api;
use longshore_wire::ecs::enums::DesiredStatus;
use longshore_wire::ecs::{
    DescribeServicesRequest, DescribeTasksRequest, ListTasksRequest, Service, Task, op,
};

use crate::client::failed;
use crate::failure::Failure;
use crate::{output, task};

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

/// Where a service answers, task by task, for programs.
pub(crate) fn task_rows(tasks: &[Task]) -> serde_json::Value {
    let row = |task: &Task| {
        serde_json::json!({
            "task": task::short(task.task_arn.as_deref()),
            "containerInstance": task::short(task.container_instance_arn.as_deref()),
            "availabilityZone": task.availability_zone,
            "status": task.last_status,
            "addresses": task::addresses(task),
        })
    };
    tasks.iter().map(row).collect()
}

/// Prints where a service answers, task by task.
pub(crate) fn print_tasks(tasks: &[Task], output: output::Output) {
    match output {
        output::Output::Json => output::json(&task_rows(tasks)),
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
