//! What agents report: SubmitTaskStateChange and its kin.
//!
//! A report of an unknown or ended task is acknowledged like any other: the agent would send it
//! for ever otherwise.

use longshore_auth::Authorized;
use longshore_domain::ids::{Arn, ClusterName, Resource, TaskId};
use longshore_domain::lifecycle::{self, ContainerReport, TaskReport};
use longshore_domain::record::{
    ContainerInstance, ContainerStatus, NetworkBinding, Protocol, Task, TaskDefinition,
};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{ContainerInstanceIndex, DaemonTaskDefinitionKey, TaskDefinitionKey};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::TransportProtocol;
use longshore_wire::ecs::{
    self, ContainerStateChange, SubmitAttachmentStateChangesRequest,
    SubmitAttachmentStateChangesResponse, SubmitContainerStateChangeRequest,
    SubmitContainerStateChangeResponse, SubmitTaskStateChangeRequest,
    SubmitTaskStateChangeResponse,
};

use super::references::task_ref;
use super::{ClusterRef, invalid_parameter, lookup};
use crate::access::agents;
use crate::call::Call;

const ACKNOWLEDGED: &str = "ACK";

/// SubmitTaskStateChange.
pub(crate) async fn task(
    call: &Call,
    request: Authorized<SubmitTaskStateChangeRequest>,
) -> Result<SubmitTaskStateChangeResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let status = request.status.as_deref().and_then(container_status);
    let report = TaskReport {
        status,
        reason: request.reason,
        containers: request
            .containers
            .unwrap_or_default()
            .into_iter()
            .map(container_report)
            .collect(),
        pull_started_at: request.pull_started_at.map(timestamp),
        pull_stopped_at: request.pull_stopped_at.map(timestamp),
        execution_stopped_at: request.execution_stopped_at.map(timestamp),
    };
    let cluster = request.cluster.as_deref();
    record(call, "ecs:SubmitTaskStateChange", cluster, request.task.as_deref(), &report).await?;
    Ok(SubmitTaskStateChangeResponse { acknowledgment: Some(ACKNOWLEDGED.to_owned()) })
}

/// SubmitContainerStateChange: one container of a task.
pub(crate) async fn container(
    call: &Call,
    request: Authorized<SubmitContainerStateChangeRequest>,
) -> Result<SubmitContainerStateChangeResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let container = ContainerStateChange {
        container_name: request.container_name,
        exit_code: request.exit_code,
        network_bindings: request.network_bindings,
        reason: request.reason,
        runtime_id: request.runtime_id,
        status: request.status,
        image_digest: None,
    };
    let containers = vec![container_report(container)];
    let report = TaskReport { containers, ..TaskReport::default() };
    let cluster = request.cluster.as_deref();
    record(call, "ecs:SubmitContainerStateChange", cluster, request.task.as_deref(), &report)
        .await?;
    Ok(SubmitContainerStateChangeResponse { acknowledgment: Some(ACKNOWLEDGED.to_owned()) })
}

/// SubmitAttachmentStateChanges. Attachments are not built, so none can change.
pub(crate) async fn attachments(
    call: &Call,
    request: Authorized<SubmitAttachmentStateChangesRequest>,
) -> Result<SubmitAttachmentStateChangesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    ClusterRef::parse(&call.scope, request.cluster.as_deref())?;
    Ok(SubmitAttachmentStateChangesResponse { acknowledgment: Some(ACKNOWLEDGED.to_owned()) })
}

async fn record(
    call: &Call,
    action: &str,
    cluster: Option<&str>,
    task: Option<&str>,
    report: &TaskReport,
) -> Result<(), ServiceError> {
    let text = task.ok_or_else(|| invalid_parameter("Task should not be null or empty."))?;
    // The agent names its cluster as it was configured; the ARN of the task says it for sure.
    let cluster: ClusterName = match text.parse::<Arn>() {
        Ok(Arn { resource: Resource::Task(cluster, _), .. }) => cluster,
        _ => ClusterRef::parse(&call.scope, cluster)?,
    };
    let Some(id) = task_ref(&call.scope, &cluster, text) else { return Ok(()) };
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
        if report.status == Some(ContainerStatus::Stopped) {
            lift_fence(call, view, txn, action, id)?;
        }
        let Some(row) = lookup::task(view, &call.scope, &cluster, id) else { return Ok(()) };
        if let Some(instance) = instance_of(view, row) {
            agents::speaks_for(&call.principal, instance, action)?;
        }
        let Some(definition) = definition_of(view, row) else { return Ok(()) };
        if let Some(next) = lifecycle::reported(row, &definition.spec, report, call.now) {
            let (from, to) = (row.observed.status.as_str(), next.observed.status.as_str());
            tracing::debug!(task = %id, from, to, "reported");
            txn.update(row, &next);
        }
        Ok(())
    };
    call.server.decide(decide).await
}

/// A task that was given up has stopped after all: its instance need not wait for it any more.
fn lift_fence(
    call: &Call,
    view: &View,
    txn: &mut RecordTxn,
    action: &str,
    id: TaskId,
) -> Result<(), ServiceError> {
    let fenced = view.container_instances.by(&ContainerInstanceIndex::Fence(id));
    for row in fenced.filter(|row| row.scope == call.scope) {
        agents::speaks_for(&call.principal, row, action)?;
        let mut instance = row.record.clone();
        instance.fence.remove(&id);
        instance.version += 1;
        txn.update(row, &instance);
    }
    Ok(())
}

/// The instance that a task is on.
fn instance_of<'v>(view: &'v View, task: &Task) -> Option<&'v ContainerInstance> {
    let row = lookup::instance(view, &task.scope, &task.cluster, task.instance)?;
    Some(&row.record)
}

/// The task definition of a task; it stays as long as the task does.
pub(crate) fn definition_of<'a>(view: &'a View, task: &Task) -> Option<&'a TaskDefinition> {
    let (scope, family) = (task.scope.clone(), task.family.clone());
    if task.daemon().is_some() {
        let key = DaemonTaskDefinitionKey { scope, family, revision: task.revision };
        return view.daemon_task_definitions.get(&key).map(|row| &row.task);
    }
    let key = TaskDefinitionKey { scope, family, revision: task.revision };
    view.task_definitions.get(&key).map(|row| &row.record)
}

fn container_status(text: &str) -> Option<ContainerStatus> {
    match text {
        "RUNNING" => Some(ContainerStatus::Running),
        "STOPPED" => Some(ContainerStatus::Stopped),
        "" => None,
        _ => Some(ContainerStatus::Pending),
    }
}

fn container_report(change: ContainerStateChange) -> ContainerReport {
    ContainerReport {
        name: change.container_name.unwrap_or_default(),
        status: change.status.as_deref().and_then(container_status),
        exit_code: change.exit_code,
        reason: change.reason,
        runtime_id: change.runtime_id,
        image_digest: change.image_digest,
        bindings: change.network_bindings.unwrap_or_default().into_iter().map(binding).collect(),
    }
}

fn binding(binding: ecs::NetworkBinding) -> NetworkBinding {
    let port = |port: Option<i32>| port.and_then(|n| u16::try_from(n).ok());
    NetworkBinding {
        bind_ip: binding.bind_ip.unwrap_or_default(),
        container_port: port(binding.container_port),
        host_port: port(binding.host_port),
        container_port_range: binding.container_port_range,
        host_port_range: binding.host_port_range,
        protocol: match binding.protocol {
            Some(TransportProtocol::Udp) => Protocol::Udp,
            _ => Protocol::Tcp,
        },
    }
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of any sane date fit")]
fn timestamp(time: longshore_wire::Timestamp) -> Timestamp {
    Timestamp::from_millis((time.0 * 1000.0).round() as i64)
}
