//! Daemon deployments and revisions: list and describe. They outlive their daemon for a while.

use longshore_auth::Authorized;
use longshore_domain::ids::{Arn, Resource};
use longshore_domain::limits;
use longshore_domain::record::DaemonDeployment;
use longshore_store::Row;
use longshore_store::tables::{DaemonDeploymentKey, DaemonRevisionKey};
use longshore_wire::ServiceError;
use longshore_wire::ecs::{
    CreatedAt, DescribeDaemonDeploymentsRequest, DescribeDaemonDeploymentsResponse,
    DescribeDaemonRevisionsRequest, DescribeDaemonRevisionsResponse, Failure,
    ListDaemonDeploymentsRequest, ListDaemonDeploymentsResponse,
};

use super::parse;
use crate::call::Call;
use crate::ecs::page::PageRequest;
use crate::ecs::{client_error, encode, invalid_parameter, lookup};

/// ListDaemonDeployments: the newest first.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListDaemonDeploymentsRequest>,
) -> Result<ListDaemonDeploymentsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters =
        ListDaemonDeploymentsRequest { next_token: None, max_results: None, ..request.clone() };
    let page = PageRequest::new(
        &("daemon-deployments", filters),
        request.max_results,
        request.next_token.as_deref(),
        limits::PAGE_SERVICE_DEPLOYMENTS,
        limits::PAGE_MAX,
    )?;
    let key = parse(&request.daemon_arn)?;
    let view = call.server.state.view();
    lookup::cluster(&view, &call.scope, Some(key.cluster.as_str()))?;
    let daemon = view.daemons.get(&key).filter(|_| key.scope == call.scope);
    let prefix = DaemonDeploymentKey::of_daemon(&call.scope, &key.cluster, &key.name);
    let mut rows: Vec<_> = view.daemon_deployments.range(&prefix).collect();
    if daemon.is_none() && (rows.is_empty() || key.scope != call.scope) {
        return Err(client_error("Daemon not found."));
    }
    let statuses = request.status.unwrap_or_default();
    rows.retain(|row| {
        // A daemon of the same name that is gone has its own.
        daemon.is_none_or(|daemon| row.created_at >= daemon.created_at)
            && (statuses.is_empty()
                || statuses.iter().any(|status| status.as_str() == row.status.as_str()))
            && is_within(row, request.created_at.as_ref())
    });
    rows.reverse();
    let (rows, next_token) = page.cut_ordered(rows, true, |row| row.id.to_string());
    let summary = |row: &Row<DaemonDeployment>| encode::daemon_deployment_summary(row);
    Ok(ListDaemonDeploymentsResponse {
        daemon_deployments: Some(rows.into_iter().map(|row| summary(row)).collect()),
        next_token,
    })
}

fn is_within(row: &DaemonDeployment, range: Option<&CreatedAt>) -> bool {
    let Some(range) = range else { return true };
    let created = encode::time(row.created_at);
    range.after.is_none_or(|after| created > after)
        && range.before.is_none_or(|before| created < before)
}

/// DescribeDaemonDeployments.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeDaemonDeploymentsRequest>,
) -> Result<DescribeDaemonDeploymentsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    check_count("daemonDeploymentArns", &request.daemon_deployment_arns)?;
    let view = call.server.state.view();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in request.daemon_deployment_arns {
        let key = match text.parse::<Arn>() {
            Ok(Arn { scope, resource: Resource::DaemonDeployment(cluster, daemon, id) }) => {
                DaemonDeploymentKey { scope, cluster, daemon, id }
            }
            _ => return Err(malformed(&text)),
        };
        match view.daemon_deployments.get(&key).filter(|_| key.scope == call.scope) {
            Some(row) => found.push(encode::daemon_deployment(&view, row)),
            None => failures.push(missing(text)),
        }
    }
    Ok(DescribeDaemonDeploymentsResponse {
        daemon_deployments: Some(found),
        failures: Some(failures),
    })
}

/// DescribeDaemonRevisions.
pub(crate) async fn describe_revisions(
    call: &Call,
    request: Authorized<DescribeDaemonRevisionsRequest>,
) -> Result<DescribeDaemonRevisionsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    check_count("daemonRevisionArns", &request.daemon_revision_arns)?;
    let view = call.server.state.view();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in request.daemon_revision_arns {
        let key = match text.parse::<Arn>() {
            Ok(Arn { scope, resource: Resource::DaemonRevision(cluster, daemon, id) }) => {
                DaemonRevisionKey { scope, cluster, daemon, id }
            }
            _ => return Err(malformed(&text)),
        };
        match view.daemon_revisions.get(&key).filter(|_| key.scope == call.scope) {
            Some(row) => found.push(encode::daemon_revision(&view, row)),
            None => failures.push(missing(text)),
        }
    }
    Ok(DescribeDaemonRevisionsResponse { daemon_revisions: Some(found), failures: Some(failures) })
}

fn check_count(name: &str, arns: &[String]) -> Result<(), ServiceError> {
    if arns.is_empty() {
        return Err(invalid_parameter(format!("{name} cannot be empty.")));
    }
    if arns.len() > limits::DESCRIBE_SERVICE_DEPLOYMENTS {
        return Err(invalid_parameter(format!("{name} cannot have more than 20 elements.")));
    }
    Ok(())
}

fn malformed(text: &str) -> ServiceError {
    invalid_parameter(format!("Invalid identifier: {text} is no ARN of the expected kind."))
}

fn missing(arn: String) -> Failure {
    Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}
