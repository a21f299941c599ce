//! Clusters.

use longshore_domain::ids::{Arn, Resource};
use longshore_domain::record::{self, InstanceStatus, SchedulingStrategy, ServiceStatus};
use longshore_store::tables::{ContainerInstanceKey, ServiceKey};
use longshore_store::{TaskCounts, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{ClusterField, ClusterSettingName};
use longshore_wire::ecs::{Cluster, ClusterSetting, KeyValuePair};

use super::{document, int, tags};

/// A cluster with its counts.
pub(crate) fn cluster(
    view: &View,
    record: &record::Cluster,
    include: &[ClusterField],
) -> Result<Cluster, ServiceError> {
    let (scope, name) = (&record.scope, &record.name);
    let tasks = view.task_counts(scope, name);
    let instances = view
        .container_instances
        .range(&ContainerInstanceKey::in_cluster(scope, name))
        .filter(|instance| instance.status != InstanceStatus::Inactive)
        .count();
    let services: Vec<_> = view
        .services
        .range(&ServiceKey::in_cluster(scope, name))
        .filter(|service| service.status != ServiceStatus::Inactive)
        .collect();
    let active = services.iter().filter(|s| s.status == ServiceStatus::Active).count();
    let statistics = include.contains(&ClusterField::Statistics).then(|| {
        let daemons =
            services.iter().filter(|s| s.scheduling_strategy == SchedulingStrategy::Daemon).count();
        statistics(&tasks, active, services.len() - active, daemons)
    });
    let settings = record.settings.iter().map(|(_, value)| ClusterSetting {
        name: Some(ClusterSettingName::ContainerInsights),
        value: Some(value.clone()),
    });
    let configuration = record
        .configuration
        .as_ref()
        .filter(|_| include.contains(&ClusterField::Configurations))
        .map(document)
        .transpose()?;
    Ok(Cluster {
        cluster_arn: Some(Arn::new(scope, Resource::Cluster(name.clone())).to_string()),
        cluster_name: Some(name.to_string()),
        status: Some(record.status.as_str().to_owned()),
        active_services_count: Some(int(active)),
        pending_tasks_count: Some(int(tasks.pending + tasks.pending_external)),
        running_tasks_count: Some(int(tasks.running + tasks.running_external)),
        registered_container_instances_count: Some(int(instances)),
        statistics: Some(statistics.unwrap_or_default()),
        settings: Some(if include.contains(&ClusterField::Settings) {
            settings.collect()
        } else {
            Vec::new()
        }),
        configuration,
        capacity_providers: Some(record.capacity_providers.clone()),
        default_capacity_provider_strategy: Some(
            record
                .default_capacity_provider_strategy
                .as_ref()
                .map(document)
                .transpose()?
                .unwrap_or_default(),
        ),
        service_connect_defaults: record
            .service_connect_defaults
            .as_ref()
            .map(document)
            .transpose()?,
        tags: Some(if include.contains(&ClusterField::Tags) {
            tags(&record.tags)
        } else {
            Vec::new()
        }),
        ..Cluster::default()
    })
}

fn statistics(
    tasks: &TaskCounts,
    active: usize,
    draining: usize,
    daemons: usize,
) -> Vec<KeyValuePair> {
    let rows = [
        ("runningEC2TasksCount", tasks.running),
        ("runningFargateTasksCount", 0),
        ("pendingEC2TasksCount", tasks.pending),
        ("pendingFargateTasksCount", 0),
        ("runningExternalTasksCount", tasks.running_external),
        ("pendingExternalTasksCount", tasks.pending_external),
        ("activeEC2ServiceCount", active),
        ("activeFargateServiceCount", 0),
        ("activeExternalServiceCount", 0),
        ("drainingEC2ServiceCount", draining),
        ("drainingFargateServiceCount", 0),
        ("drainingExternalServiceCount", 0),
        ("daemonServiceCount", daemons),
    ];
    rows.map(|(name, count)| KeyValuePair {
        name: Some(name.to_owned()),
        value: Some(count.to_string()),
    })
    .into()
}
