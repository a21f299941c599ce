//! Task definitions: register, describe, list, deregister, delete.

mod container;
mod normalize;
mod quantity;
mod register;
mod spec;

pub(in crate::ecs) use normalize::normalize;
pub(crate) use quantity::{cpu_units, memory_mib};
pub(crate) use register::register;
pub(in crate::ecs) use spec::spec;

use std::collections::BTreeMap;

use longshore_auth::Authorized;
use longshore_domain::ids::Family;
use longshore_domain::record::{TaskDefinition, TaskDefinitionStatus};
use longshore_store::{KeyPrefix, RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{
    SortOrder, TaskDefinitionFamilyStatus, TaskDefinitionField, TaskDefinitionStatus as WireStatus,
};
use longshore_wire::ecs::{
    DeleteTaskDefinitionsRequest, DeleteTaskDefinitionsResponse, DeregisterTaskDefinitionRequest,
    DeregisterTaskDefinitionResponse, DescribeTaskDefinitionRequest,
    DescribeTaskDefinitionResponse, Failure, ListTaskDefinitionFamiliesRequest,
    ListTaskDefinitionFamiliesResponse, ListTaskDefinitionsRequest, ListTaskDefinitionsResponse,
};

use super::page::PageRequest;
use super::{client_error, encode, invalid_parameter, lookup, task_definition_ref};
use crate::call::Call;

/// Task definitions that one DeleteTaskDefinitions call takes (ECS API).
const DELETE_MAX: usize = 10;

/// DescribeTaskDefinition.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeTaskDefinitionRequest>,
) -> Result<DescribeTaskDefinitionResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let reference = task_definition_ref(&call.scope, &request.task_definition)?;
    let view = call.server.state.view();
    let found = lookup::task_definition(&view, &call.scope, &reference)
        .ok_or_else(|| client_error("Unable to describe task definition."))?;
    let include = request.include.unwrap_or_default();
    Ok(DescribeTaskDefinitionResponse {
        task_definition: Some(encode::task_definition(found)?),
        tags: include.contains(&TaskDefinitionField::Tags).then(|| encode::tags(&found.tags)),
    })
}

/// DeregisterTaskDefinition: ACTIVE becomes INACTIVE; again is no error.
pub(crate) async fn deregister(
    call: &Call,
    request: Authorized<DeregisterTaskDefinitionRequest>,
) -> Result<DeregisterTaskDefinitionResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let reference = task_definition_ref(&call.scope, &request.task_definition)?;
    if reference.revision.is_none() {
        return Err(invalid_parameter(
            "Invalid revision: a revision is required, as FAMILY:REVISION.",
        ));
    }
    let decide = |view: &View, txn: &mut RecordTxn| {
        let found = lookup::task_definition(view, &call.scope, &reference)
            .ok_or_else(|| client_error("Unable to describe task definition."))?;
        match found.status {
            TaskDefinitionStatus::Active => {}
            TaskDefinitionStatus::Inactive => return Ok(found.record.clone()),
            _ => return Err(invalid_parameter("The specified task definition is being deleted.")),
        }
        let changed = TaskDefinition {
            status: TaskDefinitionStatus::Inactive,
            deregistered_at: Some(call.now),
            ..found.record.clone()
        };
        txn.update(found, &changed);
        Ok(changed)
    };
    let record = call.server.decide(decide).await?;
    Ok(DeregisterTaskDefinitionResponse {
        task_definition: Some(encode::task_definition(&record)?),
    })
}

/// DeleteTaskDefinitions: INACTIVE becomes DELETE_IN_PROGRESS; a controller removes what
/// nothing uses.
pub(crate) async fn delete(
    call: &Call,
    request: Authorized<DeleteTaskDefinitionsRequest>,
) -> Result<DeleteTaskDefinitionsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let names = request.task_definitions;
    if names.is_empty() || names.len() > DELETE_MAX {
        return Err(invalid_parameter(format!(
            "taskDefinitions must name 1 to {DELETE_MAX} task definitions."
        )));
    }
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<_, ServiceError> {
        let (mut deleted, mut failures) = (BTreeMap::new(), Vec::new());
        for name in &names {
            match delete_one(call, view, name) {
                Ok((row, changed)) => {
                    let key = (changed.family.clone(), changed.revision);
                    if row.status != changed.status && !deleted.contains_key(&key) {
                        txn.update(&row, &changed);
                    }
                    deleted.insert(key, changed);
                }
                Err(reason) => failures.push(Failure {
                    arn: Some(name.clone()),
                    reason: Some(reason.to_owned()),
                    detail: None,
                }),
            }
        }
        Ok((deleted, failures))
    };
    let (deleted, failures) = call.server.decide(decide).await?;
    let definitions = deleted.values().map(encode::task_definition).collect::<Result<_, _>>()?;
    Ok(DeleteTaskDefinitionsResponse {
        task_definitions: Some(definitions),
        failures: Some(failures),
    })
}

type DefinitionRow = std::sync::Arc<longshore_store::Row<TaskDefinition>>;

fn delete_one(
    call: &Call,
    view: &View,
    name: &str,
) -> Result<(DefinitionRow, TaskDefinition), &'static str> {
    let reference = task_definition_ref(&call.scope, name)
        .ok()
        .filter(|reference| reference.revision.is_some())
        .ok_or("The specified task definition identifier is invalid. Specify a valid name or ARN and try again.")?;
    let found = lookup::task_definition(view, &call.scope, &reference)
        .ok_or("The specified task definition does not exist. Specify a valid account, family, revision and try again.")?;
    if found.status == TaskDefinitionStatus::Active {
        return Err(
            "The specified task definition is still in ACTIVE status. Please deregister the \
             target and try again.",
        );
    }
    let changed = TaskDefinition {
        status: TaskDefinitionStatus::DeleteInProgress,
        delete_requested_at: found.delete_requested_at.or(Some(call.now)),
        ..found.record.clone()
    };
    Ok((found.clone(), changed))
}

/// ListTaskDefinitions, by family and revision.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListTaskDefinitionsRequest>,
) -> Result<ListTaskDefinitionsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters = (&request.family_prefix, request.status, request.sort);
    let page = PageRequest::list(
        &("definitions", filters),
        request.max_results,
        request.next_token.as_deref(),
    )?;
    let status = match request.status.unwrap_or(WireStatus::Active) {
        WireStatus::Active => TaskDefinitionStatus::Active,
        WireStatus::Inactive => TaskDefinitionStatus::Inactive,
        WireStatus::DeleteInProgress => TaskDefinitionStatus::DeleteInProgress,
    };
    let view = call.server.state.view();
    let family = request.family_prefix.filter(|family| !family.is_empty());
    let mut rows: Vec<_> = view
        .task_definitions
        .range(&KeyPrefix::scope(&call.scope))
        .filter(|row| row.status == status)
        .filter(|row| family.as_deref().is_none_or(|family| row.family.as_str() == family))
        .collect();
    let descending = request.sort == Some(SortOrder::Desc);
    if descending {
        rows.reverse();
    }
    let (rows, next_token) = page.cut_ordered(rows, descending, |row| row.key.to_string());
    Ok(ListTaskDefinitionsResponse {
        task_definition_arns: Some(
            rows.iter().map(|row| encode::task_definition_arn(row)).collect(),
        ),
        next_token,
    })
}

/// ListTaskDefinitionFamilies; without status both kinds of families.
pub(crate) async fn list_families(
    call: &Call,
    request: Authorized<ListTaskDefinitionFamiliesRequest>,
) -> Result<ListTaskDefinitionFamiliesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters = ("families", &request.family_prefix, request.status);
    let page = PageRequest::list(&filters, request.max_results, request.next_token.as_deref())?;
    let prefix = request.family_prefix.unwrap_or_default();
    let view = call.server.state.view();
    let mut families: BTreeMap<&Family, bool> = BTreeMap::new();
    for row in view.task_definitions.range(&KeyPrefix::scope(&call.scope)) {
        if matches!(row.status, TaskDefinitionStatus::Active | TaskDefinitionStatus::Inactive)
            && row.family.as_str().starts_with(&prefix)
        {
            *families.entry(&row.family).or_default() |= row.status == TaskDefinitionStatus::Active;
        }
    }
    let wanted = request.status.unwrap_or(TaskDefinitionFamilyStatus::All);
    families.retain(|_, active| match wanted {
        TaskDefinitionFamilyStatus::All => true,
        TaskDefinitionFamilyStatus::Active => *active,
        TaskDefinitionFamilyStatus::Inactive => !*active,
    });
    let (families, next_token) = page.cut(families.into_keys(), ToString::to_string);
    Ok(ListTaskDefinitionFamiliesResponse {
        families: Some(families.into_iter().map(ToString::to_string).collect()),
        next_token,
    })
}
