//! Daemon task definitions: register, describe, list, delete.
//!
//! The registered document is kept verbatim; beside it stands the task definition that daemon
//! tasks run as ([`convert`]). A deleted one goes on being described as DELETED for a while.

mod convert;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_auth::Authorized;
use longshore_domain::ids::{Arn, Family, Resource, Revision, Scope};
use longshore_domain::limits;
use longshore_domain::record::{
    DaemonTaskDefinition, DaemonTaskDefinitionStatus as Status, Document, TaskDefinition,
    TaskDefinitionStatus, TaskSpec,
};
use longshore_domain::schedule::required_attributes;
use longshore_store::tables::DaemonTaskDefinitionKey;
use longshore_store::{KeyPrefix, RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::codec::json;
use longshore_wire::ecs::enums::{
    DaemonTaskDefinitionRevisionFilter, DaemonTaskDefinitionStatusFilter, SortOrder,
};
use longshore_wire::ecs::{
    DeleteDaemonTaskDefinitionRequest, DeleteDaemonTaskDefinitionResponse,
    DescribeDaemonTaskDefinitionRequest, DescribeDaemonTaskDefinitionResponse,
    ListDaemonTaskDefinitionsRequest, ListDaemonTaskDefinitionsResponse,
    RegisterDaemonTaskDefinitionRequest, RegisterDaemonTaskDefinitionResponse,
};

use super::page::PageRequest;
use super::task_definitions::{normalize, spec};
use super::{client_error, encode, invalid_parameter};
use crate::call::Call;

/// RegisterDaemonTaskDefinition: the next revision of the family.
pub(crate) async fn register(
    call: &Call,
    request: Authorized<RegisterDaemonTaskDefinitionRequest>,
) -> Result<RegisterDaemonTaskDefinitionResponse, ServiceError> {
    let (principal, request) = request.into_parts();
    let family: Family = request
        .family
        .parse()
        .map_err(|why| client_error(format!("Invalid family '{}': it {why}.", request.family)))?;
    let kept = convert::kept(&request)?;
    let converted = normalize(convert::task_definition(request)?)?;
    let (document, runs_as) = (document(&kept)?, document(&converted)?);
    let spec = TaskSpec {
        requires_attributes: required_attributes(&runs_as)
            .map_err(|e| client_error(e.to_string()))?,
        ..spec(&converted)?
    };
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<_, ServiceError> {
        // Numbers of deleted revisions are not given out again.
        let last = of_family(view, &call.scope, &family).last().map_or(0, |row| row.revision.0);
        let revision = Revision(last + 1);
        let record = DaemonTaskDefinition {
            scope: call.scope.clone(),
            family: family.clone(),
            revision,
            status: Status::Active,
            registered_at: call.now,
            registered_by: principal.arn.clone(),
            delete_requested_at: None,
            deleted_at: None,
            document: document.clone(),
            task: TaskDefinition {
                scope: call.scope.clone(),
                family: family.clone(),
                revision,
                status: TaskDefinitionStatus::Active,
                registered_at: call.now,
                registered_by: principal.arn.clone(),
                deregistered_at: None,
                delete_requested_at: None,
                document: runs_as.clone(),
                spec: spec.clone(),
                tags: BTreeMap::new(),
            },
        };
        txn.insert(&record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    Ok(RegisterDaemonTaskDefinitionResponse {
        daemon_task_definition_arn: Some(encode::daemon_task_definition_arn(&record)),
    })
}

fn document<T: longshore_wire::Value>(value: &T) -> Result<Document, ServiceError> {
    let text = String::from_utf8(json::encode(value)).map_err(|e| client_error(e.to_string()))?;
    if text.len() > limits::TASK_DEFINITION_BYTES {
        return Err(client_error(format!(
            "Daemon task definition is too large: {} bytes; the limit is {}.",
            text.len(),
            limits::TASK_DEFINITION_BYTES
        )));
    }
    Document::new(text).map_err(|e| client_error(e.to_string()))
}

/// All revisions of a family, oldest first.
fn of_family<'v>(
    view: &'v View,
    scope: &Scope,
    family: &Family,
) -> impl Iterator<Item = &'v Arc<Row<DaemonTaskDefinition>>> {
    view.daemon_task_definitions.range(&DaemonTaskDefinitionKey::in_family(scope, family))
}

/// The daemon task definition that `text` means: an ARN, `family:revision`, or a family for its
/// latest ACTIVE revision.
///
/// # Errors
/// `InvalidParameterException` where it can mean none, `ClientException` where there is none.
pub(crate) fn find<'v>(
    view: &'v View,
    scope: &Scope,
    text: &str,
) -> Result<&'v Arc<Row<DaemonTaskDefinition>>, ServiceError> {
    let unable = || client_error("Unable to describe daemon task definition.");
    let (family, revision) = reference(scope, text)?.ok_or_else(unable)?;
    let found = match revision {
        Some(revision) => view.daemon_task_definitions.get(&DaemonTaskDefinitionKey {
            scope: scope.clone(),
            family,
            revision,
        }),
        None => of_family(view, scope, &family).filter(|row| row.status == Status::Active).last(),
    };
    found.ok_or_else(unable)
}

type Reference = (Family, Option<Revision>);

fn reference(scope: &Scope, text: &str) -> Result<Option<Reference>, ServiceError> {
    if text.is_empty() {
        return Err(invalid_parameter("Daemon task definition should not be null or empty."));
    }
    if Arn::looks_like(text) {
        return match text.parse::<Arn>() {
            Ok(Arn {
                scope: theirs,
                resource: Resource::DaemonTaskDefinition(family, revision),
            }) => Ok((theirs == *scope).then_some((family, Some(revision)))),
            _ => Err(invalid_parameter(format!(
                "Invalid identifier: {text} is no daemon task definition."
            ))),
        };
    }
    let (family, revision) = match text.split_once(':') {
        None => (text, None),
        Some((family, number)) => {
            let revision = number.parse().ok().filter(|&n: &u32| n > 0).map(Revision);
            let wrong = || invalid_parameter(format!("Invalid revision number. Number: {number}"));
            (family, Some(revision.ok_or_else(wrong)?))
        }
    };
    Ok(family.parse().ok().map(|family| (family, revision)))
}

/// DescribeDaemonTaskDefinition.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeDaemonTaskDefinitionRequest>,
) -> Result<DescribeDaemonTaskDefinitionResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let found = find(&view, &call.scope, &request.daemon_task_definition)?;
    Ok(DescribeDaemonTaskDefinitionResponse {
        daemon_task_definition: Some(encode::daemon_task_definition(found)?),
    })
}

/// DeleteDaemonTaskDefinition: daemons that have it go on with it; it is DELETED when none has.
pub(crate) async fn delete(
    call: &Call,
    request: Authorized<DeleteDaemonTaskDefinitionRequest>,
) -> Result<DeleteDaemonTaskDefinitionResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let text = request.daemon_task_definition;
    if !text.contains(':') {
        return Err(invalid_parameter(
            "Invalid revision: a revision is required, as FAMILY:REVISION.",
        ));
    }
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<_, ServiceError> {
        let found = find(view, &call.scope, &text)?;
        if found.status != Status::Active {
            return Err(client_error(format!(
                "The daemon task definition cannot be deleted: it is {}.",
                found.status.as_str()
            )));
        }
        let record = DaemonTaskDefinition {
            status: Status::DeleteInProgress,
            delete_requested_at: Some(call.now),
            ..found.record.clone()
        };
        txn.update(found, &record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    Ok(DeleteDaemonTaskDefinitionResponse {
        daemon_task_definition_arn: Some(encode::daemon_task_definition_arn(&record)),
    })
}

/// ListDaemonTaskDefinitions, by family and revision; those that are ACTIVE by default.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListDaemonTaskDefinitionsRequest>,
) -> Result<ListDaemonTaskDefinitionsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters =
        ListDaemonTaskDefinitionsRequest { next_token: None, max_results: None, ..request.clone() };
    let page = PageRequest::list(
        &("daemon-task-definitions", filters),
        request.max_results,
        request.next_token.as_deref(),
    )?;
    let wanted = match request.status.unwrap_or(DaemonTaskDefinitionStatusFilter::Active) {
        DaemonTaskDefinitionStatusFilter::Active => Some(Status::Active),
        DaemonTaskDefinitionStatusFilter::DeleteInProgress => Some(Status::DeleteInProgress),
        DaemonTaskDefinitionStatusFilter::All => None,
    };
    let (family, prefix) = (request.family.as_deref(), request.family_prefix.as_deref());
    let view = call.server.state.view();
    let mut rows: Vec<&Arc<Row<DaemonTaskDefinition>>> = view
        .daemon_task_definitions
        .range(&KeyPrefix::scope(&call.scope))
        .filter(|row| wanted.is_none_or(|wanted| row.status == wanted))
        .filter(|row| family.is_none_or(|family| row.family.as_str() == family))
        .filter(|row| prefix.is_none_or(|prefix| row.family.as_str().starts_with(prefix)))
        .collect();
    match request.revision {
        Some(DaemonTaskDefinitionRevisionFilter::LastRegistered) => {
            let last: BTreeMap<&Family, _> = rows.iter().map(|row| (&row.family, *row)).collect();
            rows.retain(|row| last.get(&row.family).is_some_and(|last| last.key == row.key));
        }
        None => {}
    }
    let descending = request.sort == Some(SortOrder::Desc);
    if descending {
        rows.reverse();
    }
    let (rows, next_token) = page.cut_ordered(rows, descending, |row| row.key.to_string());
    let summaries = rows.into_iter().map(|row| encode::daemon_task_definition_summary(row));
    Ok(ListDaemonTaskDefinitionsResponse {
        daemon_task_definitions: Some(summaries.collect()),
        next_token,
    })
}
