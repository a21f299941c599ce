//! ListTasks.

use longshore_auth::Authorized;
use longshore_domain::daemons;
use longshore_domain::ids::{ClusterName, Resource};
use longshore_domain::record::{self, Task};
use longshore_store::tables::{DaemonKey, TaskKey};
use longshore_store::{Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{DesiredStatus, LaunchType};
use longshore_wire::ecs::{ErrorCode, ListTasksRequest, ListTasksResponse};

use crate::call::Call;
use crate::ecs::page::PageRequest;
use crate::ecs::references::{instance_ref, service_ref};
use crate::ecs::{client_error, invalid_parameter, lookup};

/// ListTasks. Without `desiredStatus` those that should run; PENDING never matches, as in ECS.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListTasksRequest>,
) -> Result<ListTasksResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters = ("tasks", without_page(&request));
    let page = PageRequest::list(&filters, request.max_results, request.next_token.as_deref())?;
    let others = [&request.family, &request.service_name, &request.container_instance];
    if request.started_by.is_some() && others.iter().any(|other| other.is_some()) {
        return Err(invalid_parameter("startedBy must be the only filter."));
    }
    if request.service_name.is_some() && request.family.is_some() {
        return Err(invalid_parameter("serviceName and family cannot be used together."));
    }
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, request.cluster.as_deref())?;
    let instance = match request.container_instance.as_deref() {
        None => None,
        Some(name) => Some(
            instance_ref(&call.scope, &cluster.name, name)
                .filter(|id| lookup::instance(&view, &call.scope, &cluster.name, *id).is_some())
                .ok_or_else(|| invalid_parameter("Referenced container instance not found."))?,
        ),
    };
    let group = match request.service_name.as_deref() {
        None => None,
        Some(name) => Some(
            service_ref(&call.scope, &cluster.name, name)
                .filter(|name| lookup::service(&view, &call.scope, &cluster.name, name).is_some())
                .map(|name| format!("service:{name}"))
                .ok_or_else(|| ErrorCode::ServiceNotFoundException.error("Service not found."))?,
        ),
    };
    let daemon = match request.daemon_name.as_deref() {
        None => None,
        Some(name) => Some(daemon_group(call, &view, &cluster.name, name)?),
    };
    let desired = match request.desired_status.unwrap_or(DesiredStatus::Running) {
        DesiredStatus::Running => Some(record::DesiredStatus::Running),
        DesiredStatus::Stopped => Some(record::DesiredStatus::Stopped),
        DesiredStatus::Pending => None,
    };
    let wanted = |task: &Row<Task>| {
        Some(task.desired) == desired
            && instance.is_none_or(|id| task.instance == id)
            && group.iter().chain(&daemon).all(|group| task.group == *group)
            && request.family.as_ref().is_none_or(|family| task.family.as_str() == family)
            && (request.started_by.is_none() || request.started_by == task.started_by)
            && request.launch_type.is_none_or(|launch| same_launch(launch, task.launch_type))
    };
    let rows = view.tasks.range(&TaskKey::in_cluster(&call.scope, &cluster.name));
    let (rows, next_token) = page.cut(rows.filter(|row| wanted(row)), |row| row.id.to_string());
    let arn = |task: &Task| call.arn(Resource::Task(task.cluster.clone(), task.id));
    Ok(ListTasksResponse {
        task_arns: Some(rows.into_iter().map(|row| arn(row)).collect()),
        next_token,
    })
}

fn daemon_group(
    call: &Call,
    view: &View,
    cluster: &ClusterName,
    name: &str,
) -> Result<String, ServiceError> {
    let key = name.parse().ok().map(|name| DaemonKey {
        scope: call.scope.clone(),
        cluster: cluster.clone(),
        name,
    });
    key.and_then(|key| view.daemons.get(&key))
        .map(|daemon| daemons::group(daemon))
        .ok_or_else(|| client_error("Daemon not found."))
}

fn without_page(request: &ListTasksRequest) -> ListTasksRequest {
    ListTasksRequest { next_token: None, max_results: None, ..request.clone() }
}

fn same_launch(wanted: LaunchType, launch: record::LaunchType) -> bool {
    match wanted {
        LaunchType::Ec2 => launch == record::LaunchType::Ec2,
        LaunchType::External => launch == record::LaunchType::External,
        LaunchType::Fargate | LaunchType::ManagedInstances => false,
    }
}
