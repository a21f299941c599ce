//! UpdateDaemon: a new revision, and a deployment that leads to it.

use longshore_auth::Authorized;
use longshore_domain::record::Daemon;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::{UpdateDaemonRequest, UpdateDaemonResponse};

use super::settings::{self, Wanted};
use super::{active, existing, start_deployment};
use crate::call::Call;
use crate::ecs::encode;

/// UpdateDaemon. Every update renews the tasks, also one that changes nothing. Members that are
/// not given take their defaults, as in ECS, but for the deployment configuration, which stays.
pub(crate) async fn update(
    call: &Call,
    request: Authorized<UpdateDaemonRequest>,
) -> Result<UpdateDaemonResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = existing(view, &call.scope, &request.daemon_arn)?;
        active(row)?;
        let given = request.deployment_configuration.as_ref();
        let mut daemon = Daemon {
            configuration: settings::configuration(given, &row.configuration)?,
            updated_at: call.now,
            ..row.record.clone()
        };
        let revision = wanted(&request).revision(call, view, &daemon)?;
        start_deployment(call, view, txn, &mut daemon, Some(revision.id));
        txn.update(row, &daemon).insert(&revision);
        Ok(daemon)
    };
    let daemon = call.server.decide(decide).await?;
    let summary = encode::daemon_summary(&daemon);
    Ok(UpdateDaemonResponse {
        created_at: summary.created_at,
        daemon_arn: summary.daemon_arn,
        deployment_arn: Some(encode::daemon_deployment_arn(&daemon, daemon.deployment)),
        status: summary.status,
        updated_at: summary.updated_at,
    })
}

fn wanted(request: &UpdateDaemonRequest) -> Wanted<'_> {
    Wanted {
        capacity_provider_arns: &request.capacity_provider_arns,
        task_definition: &request.daemon_task_definition_arn,
        propagate_tags: request.propagate_tags,
        enable_ecs_managed_tags: request.enable_ecs_managed_tags,
        enable_execute_command: request.enable_execute_command,
        critical: request.critical,
    }
}
