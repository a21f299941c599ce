//! The ECS API: one file per operation, and what they share.
//!
//! An operation reads a snapshot of the view, decides (with `longshore-domain` where there is
//! something to decide), commits one transaction that holds only if what it read is unchanged,
//! and answers from the records. What is not built answers with a client error that says so;
//! [`coverage`] is the list.

mod account_settings;
mod attributes;
mod clusters;
mod container_instances;
pub mod coverage;
pub(crate) mod daemon_task_definitions;
pub(crate) mod daemons;
mod discover_poll_endpoint;
pub(crate) mod encode;
mod error;
pub(crate) mod lookup;
pub(crate) mod page;
pub(crate) mod placement;
mod references;
mod roles;
mod service_deployments;
pub(crate) mod services;
mod submit_state_change;
mod tags;
mod task_definitions;
mod task_protection;
mod task_sets;
mod tasks;

pub(crate) use error::{client_error, invalid_parameter, not_found};
pub(crate) use references::{ClusterRef, task_definition_ref};
pub(crate) use roles::Roles;
pub(crate) use submit_state_change::definition_of;
pub(crate) use tasks::{Launch, make_tasks};

use longshore_auth::Authorized;
use longshore_wire::codec::json;
use longshore_wire::ecs::{OperationName, decode_problem, op};
use longshore_wire::{Operation, Peer, ServiceError};

use crate::call::Call;

/// `answer!(call, body, Op, path::handler)`: the handler takes `Authorized<Input>`, so nothing can
/// skip it.
macro_rules! answer {
    ($call:ident, $body:ident, $op:ident, $handler:path) => {{
        let input = decode::<op::$op>($body)?;
        let request: Authorized<_> = $call.authorize::<op::$op>(input)?;
        let output: <op::$op as Operation>::Output = Box::pin($handler($call, request)).await?;
        Ok(json::encode(&output))
    }};
}

/// Decodes, authorizes, runs and encodes one operation.
pub(crate) async fn dispatch(
    call: &Call,
    operation: OperationName,
    body: &[u8],
) -> Result<Vec<u8>, ServiceError> {
    macro_rules! run {
        ($op:ident, $handler:path) => {
            answer!(call, body, $op, $handler)
        };
    }
    use OperationName as O;
    match operation {
        O::CreateCluster => run!(CreateCluster, clusters::create),
        O::DeleteCluster => run!(DeleteCluster, clusters::delete),
        O::DescribeClusters => run!(DescribeClusters, clusters::describe),
        O::ListClusters => run!(ListClusters, clusters::list),
        O::UpdateCluster => run!(UpdateCluster, clusters::update),
        O::UpdateClusterSettings => run!(UpdateClusterSettings, clusters::update_settings),
        O::RegisterTaskDefinition => run!(RegisterTaskDefinition, task_definitions::register),
        O::DescribeTaskDefinition => run!(DescribeTaskDefinition, task_definitions::describe),
        O::DeregisterTaskDefinition => run!(DeregisterTaskDefinition, task_definitions::deregister),
        O::DeleteTaskDefinitions => run!(DeleteTaskDefinitions, task_definitions::delete),
        O::ListTaskDefinitions => run!(ListTaskDefinitions, task_definitions::list),
        O::ListTaskDefinitionFamilies => {
            run!(ListTaskDefinitionFamilies, task_definitions::list_families)
        }
        O::RegisterContainerInstance => {
            run!(RegisterContainerInstance, container_instances::register)
        }
        O::DeregisterContainerInstance => {
            run!(DeregisterContainerInstance, container_instances::deregister)
        }
        O::DescribeContainerInstances => {
            run!(DescribeContainerInstances, container_instances::describe)
        }
        O::ListContainerInstances => run!(ListContainerInstances, container_instances::list),
        O::UpdateContainerInstancesState => {
            run!(UpdateContainerInstancesState, container_instances::update_state)
        }
        O::UpdateContainerAgent => run!(UpdateContainerAgent, container_instances::update_agent),
        O::PutAttributes => run!(PutAttributes, attributes::put),
        O::DeleteAttributes => run!(DeleteAttributes, attributes::delete),
        O::ListAttributes => run!(ListAttributes, attributes::list),
        O::ListServiceDeployments => run!(ListServiceDeployments, service_deployments::list),
        O::DescribeServiceDeployments => {
            run!(DescribeServiceDeployments, service_deployments::describe)
        }
        O::DescribeServiceRevisions => {
            run!(DescribeServiceRevisions, service_deployments::describe_revisions)
        }
        O::StopServiceDeployment => run!(StopServiceDeployment, service_deployments::stop),
        O::ContinueServiceDeployment => {
            run!(ContinueServiceDeployment, service_deployments::resume)
        }
        O::RunTask => run!(RunTask, tasks::run),
        O::StartTask => run!(StartTask, tasks::start),
        O::StopTask => run!(StopTask, tasks::stop),
        O::DescribeTasks => run!(DescribeTasks, tasks::describe),
        O::ListTasks => run!(ListTasks, tasks::list),
        O::GetTaskProtection => run!(GetTaskProtection, task_protection::get),
        O::UpdateTaskProtection => run!(UpdateTaskProtection, task_protection::update),
        O::TagResource => run!(TagResource, tags::tag),
        O::UntagResource => run!(UntagResource, tags::untag),
        O::ListTagsForResource => run!(ListTagsForResource, tags::list),
        O::PutAccountSetting => run!(PutAccountSetting, account_settings::put),
        O::PutAccountSettingDefault => {
            run!(PutAccountSettingDefault, account_settings::put_default)
        }
        O::DeleteAccountSetting => run!(DeleteAccountSetting, account_settings::delete),
        O::ListAccountSettings => run!(ListAccountSettings, account_settings::list),
        O::DiscoverPollEndpoint => run!(DiscoverPollEndpoint, discover_poll_endpoint::discover),
        O::SubmitTaskStateChange => run!(SubmitTaskStateChange, submit_state_change::task),
        O::SubmitContainerStateChange => {
            run!(SubmitContainerStateChange, submit_state_change::container)
        }
        O::SubmitAttachmentStateChanges => {
            run!(SubmitAttachmentStateChanges, submit_state_change::attachments)
        }
        O::CreateService => run!(CreateService, services::create),
        O::UpdateService => run!(UpdateService, services::update),
        O::DeleteService => run!(DeleteService, services::delete),
        O::CreateTaskSet => run!(CreateTaskSet, task_sets::create),
        O::DescribeTaskSets => run!(DescribeTaskSets, task_sets::describe),
        O::UpdateTaskSet => run!(UpdateTaskSet, task_sets::update),
        O::UpdateServicePrimaryTaskSet => {
            run!(UpdateServicePrimaryTaskSet, task_sets::make_primary)
        }
        O::DeleteTaskSet => run!(DeleteTaskSet, task_sets::delete),
        O::DescribeServices => run!(DescribeServices, services::describe),
        O::ListServices => run!(ListServices, services::list),
        O::ListServicesByNamespace => {
            run!(ListServicesByNamespace, services::list_by_namespace)
        }
        other => dispatch_daemons(call, other, body).await,
    }
}

/// Whether a call that places tasks may be made at all; it is made elsewhere, or later.
///
/// # Errors
/// It is malformed, or denied.
pub(crate) fn admit(
    call: &Call,
    operation: OperationName,
    body: &[u8],
) -> Result<(), ServiceError> {
    match operation {
        OperationName::RunTask => {
            call.authorize::<op::RunTask>(decode::<op::RunTask>(body)?).map(drop)
        }
        OperationName::StartTask => {
            call.authorize::<op::StartTask>(decode::<op::StartTask>(body)?).map(drop)
        }
        other => Err(client_error(format!("{} places no tasks.", other.info().name))),
    }
}

/// The same for the operations of managed daemons, and for what is missing.
async fn dispatch_daemons(
    call: &Call,
    operation: OperationName,
    body: &[u8],
) -> Result<Vec<u8>, ServiceError> {
    macro_rules! run {
        ($op:ident, $handler:path) => {
            answer!(call, body, $op, $handler)
        };
    }
    use OperationName as O;
    match operation {
        O::RegisterDaemonTaskDefinition => {
            run!(RegisterDaemonTaskDefinition, daemon_task_definitions::register)
        }
        O::DescribeDaemonTaskDefinition => {
            run!(DescribeDaemonTaskDefinition, daemon_task_definitions::describe)
        }
        O::ListDaemonTaskDefinitions => {
            run!(ListDaemonTaskDefinitions, daemon_task_definitions::list)
        }
        O::DeleteDaemonTaskDefinition => {
            run!(DeleteDaemonTaskDefinition, daemon_task_definitions::delete)
        }
        O::CreateDaemon => run!(CreateDaemon, daemons::create),
        O::DescribeDaemon => run!(DescribeDaemon, daemons::describe),
        O::UpdateDaemon => run!(UpdateDaemon, daemons::update),
        O::DeleteDaemon => run!(DeleteDaemon, daemons::delete),
        O::ListDaemons => run!(ListDaemons, daemons::list),
        O::ListDaemonDeployments => run!(ListDaemonDeployments, daemons::list_deployments),
        O::DescribeDaemonDeployments => {
            run!(DescribeDaemonDeployments, daemons::describe_deployments)
        }
        O::DescribeDaemonRevisions => {
            run!(DescribeDaemonRevisions, daemons::describe_revisions)
        }
        missing => {
            // Bad input is reported as such even where the operation is missing.
            json::parse(body).map_err(|error| decode_problem(&error))?;
            Err(error::unsupported(&coverage::refusal(missing)))
        }
    }
}

fn decode<O: Operation>(body: &[u8]) -> Result<O::Input, ServiceError> {
    json::decode(body, Peer::Client).map_err(|error| decode_problem(&error))
}
