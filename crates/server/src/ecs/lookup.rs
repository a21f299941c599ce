//! Finding records for requests, with AWS's error when they are not there.

use std::sync::Arc;

use longshore_domain::ids::{ClusterName, Family, InstanceId, Scope, ServiceName, TaskId};
use longshore_domain::record::{
    Cluster, ClusterStatus, ContainerInstance, Service, ServiceDeployment, Task, TaskDefinition,
    TaskDefinitionStatus,
};
use longshore_store::tables::{
    ClusterKey, ContainerInstanceKey, ServiceDeploymentKey, ServiceKey, TaskDefinitionKey, TaskKey,
};
use longshore_store::{Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::ErrorCode;

use super::references::{ClusterRef, TaskDefinitionRef};
use super::{client_error, not_found};

/// The cluster called `name`, in whatever status.
pub(crate) fn any_cluster<'a>(
    view: &'a View,
    scope: &Scope,
    name: &ClusterName,
) -> Option<&'a Arc<Row<Cluster>>> {
    view.clusters.get(&ClusterKey { scope: scope.clone(), name: name.clone() })
}

/// The ACTIVE cluster that `reference` means.
///
/// # Errors
/// `ClusterNotFoundException`.
pub(crate) fn cluster<'a>(
    view: &'a View,
    scope: &Scope,
    reference: Option<&str>,
) -> Result<&'a Arc<Row<Cluster>>, ServiceError> {
    let name = ClusterRef::parse(scope, reference)?;
    any_cluster(view, scope, &name)
        .filter(|cluster| cluster.status == ClusterStatus::Active)
        .ok_or_else(|| not_found(ErrorCode::ClusterNotFoundException, "Cluster"))
}

/// The task with `id`.
pub(crate) fn task<'a>(
    view: &'a View,
    scope: &Scope,
    cluster: &ClusterName,
    id: TaskId,
) -> Option<&'a Arc<Row<Task>>> {
    view.tasks.get(&TaskKey { scope: scope.clone(), cluster: cluster.clone(), id })
}

/// The container instance with `id`.
pub(crate) fn instance<'a>(
    view: &'a View,
    scope: &Scope,
    cluster: &ClusterName,
    id: InstanceId,
) -> Option<&'a Arc<Row<ContainerInstance>>> {
    let key = ContainerInstanceKey { scope: scope.clone(), cluster: cluster.clone(), id };
    view.container_instances.get(&key)
}

/// The service called `name`.
pub(crate) fn service<'a>(
    view: &'a View,
    scope: &Scope,
    cluster: &ClusterName,
    name: &ServiceName,
) -> Option<&'a Arc<Row<Service>>> {
    let key = ServiceKey { scope: scope.clone(), cluster: cluster.clone(), name: name.clone() };
    view.services.get(&key)
}

/// The service deployment that a service's PRIMARY deployment belongs to.
pub(crate) fn current_deployment<'a>(
    view: &'a View,
    service: &Service,
) -> Option<&'a Arc<Row<ServiceDeployment>>> {
    let key = ServiceDeploymentKey {
        scope: service.scope.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        id: service.service_deployment?,
    };
    view.service_deployments.get(&key)
}

/// The revisions of a family that still exist, oldest first.
pub(crate) fn revisions<'a>(
    view: &'a View,
    scope: &Scope,
    family: &Family,
) -> impl Iterator<Item = &'a Arc<Row<TaskDefinition>>> {
    view.task_definitions
        .range(&TaskDefinitionKey::in_family(scope, family))
        .filter(|row| row.status != TaskDefinitionStatus::Deleted)
}

/// The task definition that `reference` means; a bare family means its latest ACTIVE revision.
pub(crate) fn task_definition<'a>(
    view: &'a View,
    scope: &Scope,
    reference: &TaskDefinitionRef,
) -> Option<&'a Arc<Row<TaskDefinition>>> {
    match reference.revision {
        Some(revision) => view
            .task_definitions
            .get(&TaskDefinitionKey {
                scope: scope.clone(),
                family: reference.family.clone(),
                revision,
            })
            .filter(|row| row.status != TaskDefinitionStatus::Deleted),
        None => revisions(view, scope, &reference.family)
            .filter(|row| row.status == TaskDefinitionStatus::Active)
            .last(),
    }
}

/// The ACTIVE task definition that a new task or service is to run.
///
/// # Errors
/// `ClientException` with AWS's texts.
pub(crate) fn runnable_task_definition<'a>(
    view: &'a View,
    scope: &Scope,
    reference: &TaskDefinitionRef,
) -> Result<&'a Arc<Row<TaskDefinition>>, ServiceError> {
    let found = task_definition(view, scope, reference)
        .ok_or_else(|| client_error("TaskDefinition not found."))?;
    if found.status != TaskDefinitionStatus::Active {
        return Err(client_error("TaskDefinition is inactive"));
    }
    Ok(found)
}
