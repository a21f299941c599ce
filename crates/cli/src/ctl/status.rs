//! `ctl status`: servers, clusters, instances, services and tasks at a glance.
//!
//! As JSON it is the list of clusters; `ctl servers` has the servers.

use longshore_agent::api::Api;
use longshore_wire::ecs::enums::ClusterField;
use longshore_wire::ecs::{
    ContainerInstance, DescribeClustersRequest, DescribeContainerInstancesRequest,
    DescribeServicesRequest, ListClustersRequest, ListContainerInstancesRequest,
    ListServicesRequest, Service, op,
};
use serde_json::json;

use super::servers;
use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::waiting_for;
use crate::task::short;

/// Services that one DescribeServices call takes.
const SERVICES_PER_CALL: usize = 10;

/// Prints the state of every cluster.
pub(super) async fn run(client: &Api, output: Output) -> Result<(), Failure> {
    if output == Output::Table {
        servers::run(client, output).await?;
        output::line("");
    }
    let clusters = client
        .call::<op::ListClusters>(&ListClustersRequest::default())
        .await
        .map_err(failed("cannot list clusters"))?
        .cluster_arns
        .unwrap_or_default();
    let request = DescribeClustersRequest {
        clusters: Some(clusters),
        include: Some(vec![ClusterField::Statistics]),
    };
    let described = client
        .call::<op::DescribeClusters>(&request)
        .await
        .map_err(failed("cannot describe clusters"))?;
    let mut report = Vec::new();
    for cluster in described.clusters.iter().flatten() {
        let name = cluster.cluster_name.clone().unwrap_or_default();
        let instances = instances(client, &name).await?;
        let services = services(client, &name).await?;
        if output == Output::Table {
            output::line(&format!(
                "cluster {name}: {} running and {} pending tasks",
                cluster.running_tasks_count.unwrap_or_default(),
                cluster.pending_tasks_count.unwrap_or_default()
            ));
            print_instances(&instances);
            print_services(&services);
            output::line("");
        }
        report.push(json!({
            "cluster": name,
            "runningTasks": cluster.running_tasks_count,
            "pendingTasks": cluster.pending_tasks_count,
            "containerInstances": instances.iter().map(instance_row).collect::<Vec<_>>(),
            "services": services.iter().map(service_row).collect::<Vec<_>>(),
        }));
    }
    if output == Output::Json {
        output::json(&report.into());
    }
    Ok(())
}

async fn instances(client: &Api, cluster: &str) -> Result<Vec<ContainerInstance>, Failure> {
    let mut found = Vec::new();
    let mut next_token = None;
    loop {
        let request = ListContainerInstancesRequest {
            cluster: Some(cluster.to_owned()),
            next_token,
            ..ListContainerInstancesRequest::default()
        };
        let page = client
            .call::<op::ListContainerInstances>(&request)
            .await
            .map_err(failed("cannot list container instances"))?;
        let arns = page.container_instance_arns.unwrap_or_default();
        if !arns.is_empty() {
            let request = DescribeContainerInstancesRequest {
                cluster: Some(cluster.to_owned()),
                container_instances: arns,
                include: None,
            };
            let described = client
                .call::<op::DescribeContainerInstances>(&request)
                .await
                .map_err(failed("cannot describe container instances"))?;
            found.extend(described.container_instances.unwrap_or_default());
        }
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(found);
        }
    }
}

/// Every service of a cluster.
pub(super) async fn services(client: &Api, cluster: &str) -> Result<Vec<Service>, Failure> {
    let mut arns = Vec::new();
    let mut next_token = None;
    loop {
        let request = ListServicesRequest {
            cluster: Some(cluster.to_owned()),
            next_token,
            max_results: Some(100),
            ..ListServicesRequest::default()
        };
        let page = client
            .call::<op::ListServices>(&request)
            .await
            .map_err(failed("cannot list services"))?;
        arns.extend(page.service_arns.unwrap_or_default());
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    let mut found = Vec::new();
    for batch in arns.chunks(SERVICES_PER_CALL) {
        let request = DescribeServicesRequest {
            cluster: Some(cluster.to_owned()),
            services: batch.to_vec(),
            include: None,
        };
        let described = client
            .call::<op::DescribeServices>(&request)
            .await
            .map_err(failed("cannot describe services"))?;
        found.extend(described.services.unwrap_or_default());
    }
    Ok(found)
}

/// What is left of a resource, and what there is of it.
fn amount(instance: &ContainerInstance, name: &str) -> String {
    let value = |list: &Option<Vec<longshore_wire::ecs::Resource>>| {
        let resource = list.iter().flatten().find(|r| r.name.as_deref() == Some(name));
        resource.and_then(|resource| resource.integer_value).unwrap_or_default()
    };
    format!("{}/{}", value(&instance.remaining_resources), value(&instance.registered_resources))
}

fn zone(instance: &ContainerInstance) -> String {
    let zone = instance.attributes.iter().flatten().find(|a| a.name == "ecs.availability-zone");
    zone.and_then(|zone| zone.value.clone()).unwrap_or_default()
}

fn agent(instance: &ContainerInstance) -> &'static str {
    if instance.agent_connected == Some(true) { "connected" } else { "disconnected" }
}

fn print_instances(instances: &[ContainerInstance]) {
    output::table(
        ["INSTANCE", "ZONE", "STATUS", "AGENT", "TASKS", "CPU LEFT", "MEMORY LEFT (MiB)"],
        instances.iter().map(|instance| {
            [
                short(instance.container_instance_arn.as_deref()),
                zone(instance),
                instance.status.clone().unwrap_or_default(),
                agent(instance).to_owned(),
                instance.running_tasks_count.unwrap_or_default().to_string(),
                amount(instance, "CPU"),
                amount(instance, "MEMORY"),
            ]
        }),
    );
}

fn print_services(services: &[Service]) {
    if services.is_empty() {
        return;
    }
    output::table(
        ["SERVICE", "STATUS", "RUNNING", "DEFINITION", "STATE"],
        services.iter().map(|service| {
            [
                service.service_name.clone().unwrap_or_default(),
                service.status.clone().unwrap_or_default(),
                format!(
                    "{}/{}",
                    service.running_count.unwrap_or_default(),
                    service.desired_count.unwrap_or_default()
                ),
                short(service.task_definition.as_deref()),
                waiting_for(service),
            ]
        }),
    );
}

fn instance_row(instance: &ContainerInstance) -> serde_json::Value {
    json!({
        "containerInstance": short(instance.container_instance_arn.as_deref()),
        "availabilityZone": zone(instance),
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "runningTasks": instance.running_tasks_count,
    })
}

fn service_row(service: &Service) -> serde_json::Value {
    json!({
        "service": service.service_name,
        "status": service.status,
        "running": service.running_count,
        "desired": service.desired_count,
        "taskDefinition": short(service.task_definition.as_deref()),
        "state": waiting_for(service),
    })
}
