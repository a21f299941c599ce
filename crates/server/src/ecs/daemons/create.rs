//! CreateDaemon.

use longshore_auth::Authorized;
use longshore_domain::ids::{ClusterName, DaemonDeploymentId, DaemonName};
use longshore_domain::limits;
use longshore_domain::record::{Daemon, DaemonDeployment, DaemonRevision, DaemonStatus, Tags};
use longshore_store::tables::DaemonKey;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::{CreateDaemonRequest, CreateDaemonResponse};

use super::settings::{self, Wanted};
use super::{deployment_of, revision_of};
use crate::call::Call;
use crate::clock::RandomIds;
use crate::ecs::{encode, invalid_parameter, lookup, tags};

/// CreateDaemon. A second call with the same settings gives the same daemon.
pub(crate) async fn create(
    call: &Call,
    request: Authorized<CreateDaemonRequest>,
) -> Result<CreateDaemonResponse, ServiceError> {
    let (_, request) = request.into_parts();
    check_token(request.client_token.as_deref().unwrap_or_default())?;
    let name: DaemonName = request.daemon_name.parse().map_err(|why| {
        invalid_parameter(format!("Invalid daemon name '{}': it {why}.", request.daemon_name))
    })?;
    let tags = tags::checked(request.tags.clone())?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let cluster = lookup::cluster(view, &call.scope, request.cluster_arn.as_deref())?;
        let mut daemon = daemon(call, &request, &cluster.name, &name, &tags)?;
        let revision = wanted(&request).revision(call, view, &daemon)?;
        let key = DaemonKey {
            scope: call.scope.clone(),
            cluster: cluster.name.clone(),
            name: name.clone(),
        };
        if let Some(known) = view.daemons.get(&key) {
            if known.status != DaemonStatus::Active {
                return Err(invalid_parameter(
                    "Unable to create a daemon while one of the same name is being deleted.",
                ));
            }
            let first = deployment_of(view, known);
            if same_settings(view, known, first.map(|row| &row.record), &daemon, &revision) {
                return Ok(known.record.clone());
            }
            return Err(invalid_parameter("Creation of daemon was not idempotent."));
        }
        let deployment = longshore_domain::daemons::begin(
            &daemon,
            Some(revision.id),
            Vec::new(),
            call.now,
            &mut RandomIds,
        );
        daemon.deployment = deployment.id;
        txn.insert(&daemon).insert(&revision).insert(&deployment).expect_unchanged(cluster);
        Ok(daemon)
    };
    let daemon = call.server.decide(decide).await?;
    let summary = encode::daemon_summary(&daemon);
    Ok(CreateDaemonResponse {
        created_at: summary.created_at,
        daemon_arn: summary.daemon_arn,
        deployment_arn: Some(encode::daemon_deployment_arn(&daemon, daemon.deployment)),
        status: summary.status,
    })
}

fn check_token(token: &str) -> Result<(), ServiceError> {
    let printable = token.chars().all(|c| ('!'..='~').contains(&c));
    if printable && token.chars().count() <= limits::SERVICE_CLIENT_TOKEN_LEN {
        return Ok(());
    }
    Err(invalid_parameter("clientToken must have at most 36 printable ASCII characters."))
}

fn wanted(request: &CreateDaemonRequest) -> Wanted<'_> {
    Wanted {
        capacity_provider_arns: &request.capacity_provider_arns,
        task_definition: &request.daemon_task_definition_arn,
        propagate_tags: request.propagate_tags,
        enable_ecs_managed_tags: request.enable_ecs_managed_tags,
        enable_execute_command: request.enable_execute_command,
        critical: request.critical,
    }
}

fn daemon(
    call: &Call,
    request: &CreateDaemonRequest,
    cluster: &ClusterName,
    name: &DaemonName,
    tags: &Tags,
) -> Result<Daemon, ServiceError> {
    let given = request.deployment_configuration.as_ref();
    Ok(Daemon {
        scope: call.scope.clone(),
        cluster: cluster.clone(),
        name: name.clone(),
        status: DaemonStatus::Active,
        configuration: settings::configuration(given, &settings::default_configuration())?,
        current: None,
        deployment: DaemonDeploymentId::new(0),
        client_token: request.client_token.clone(),
        created_by: call.principal.arn.clone(),
        created_at: call.now,
        updated_at: call.now,
        tags: tags.clone(),
    })
}

/// Whether a daemon was made with the settings of a request.
fn same_settings(
    view: &View,
    known: &Daemon,
    deployment: Option<&DaemonDeployment>,
    new: &Daemon,
    revision: &DaemonRevision,
) -> bool {
    let target = deployment.and_then(|deployment| deployment.target);
    let same_revision = target.and_then(|id| revision_of(view, known, id)).is_some_and(|row| {
        let as_new = DaemonRevision {
            id: revision.id,
            created_at: revision.created_at,
            ..row.record.clone()
        };
        as_new == *revision
    });
    same_revision && known.configuration == new.configuration && known.tags == new.tags
}
