//! From records to AWS's shapes.

mod cluster;
mod container_instance;
mod daemon;
mod service;
mod service_deployment;
mod task;
mod task_set;

pub(crate) use cluster::cluster;
pub(crate) use container_instance::container_instance;
pub(crate) use daemon::{
    daemon, daemon_deployment, daemon_deployment_arn, daemon_deployment_summary, daemon_revision,
    daemon_summary, daemon_task_definition, daemon_task_definition_arn,
    daemon_task_definition_summary,
};
pub(crate) use service::service;
pub(crate) use service_deployment::{
    service_deployment, service_deployment_brief, service_revision,
};
pub(crate) use task::task;
pub(crate) use task_set::task_set;

use longshore_domain::ids::{Arn, Resource};
use longshore_domain::record::{self, Document, Tags, TaskDefinitionStatus};
use longshore_domain::time::Timestamp;
use longshore_wire::codec::json;
use longshore_wire::ecs::enums::{
    PlacementConstraintType, PlacementStrategyType, TargetType, TaskDefinitionStatus as WireStatus,
};
use longshore_wire::ecs::{
    Attribute, ErrorCode, PlacementConstraint, PlacementStrategy, Tag, TaskDefinition,
};
use longshore_wire::{Peer, ServiceError, Value};

/// Tags as a list, by key.
pub(crate) fn tags(tags: &Tags) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) })
        .collect()
}

/// A point in time.
pub(crate) fn time(time: Timestamp) -> longshore_wire::Timestamp {
    longshore_wire::Timestamp(time.as_epoch_seconds())
}

/// Reads a document that we wrote ourselves.
///
/// # Errors
/// `ServerException` when the store holds what we did not write.
pub(crate) fn document<T: Value>(document: &Document) -> Result<T, ServiceError> {
    json::decode(document.as_str().as_bytes(), Peer::Server).map_err(|error| {
        tracing::error!(%error, "a stored document does not have its shape");
        ErrorCode::ServerException.error("internal error: a stored document is damaged")
    })
}

/// The ARN of a task definition.
pub(crate) fn task_definition_arn(record: &record::TaskDefinition) -> String {
    let resource = Resource::TaskDefinition(record.family.clone(), record.revision);
    Arn::new(&record.scope, resource).to_string()
}

/// A task definition: the registered document and what happened to it since.
pub(crate) fn task_definition(
    record: &record::TaskDefinition,
) -> Result<TaskDefinition, ServiceError> {
    let status = match record.status {
        TaskDefinitionStatus::Active => WireStatus::Active,
        TaskDefinitionStatus::Inactive => WireStatus::Inactive,
        TaskDefinitionStatus::DeleteInProgress | TaskDefinitionStatus::Deleted => {
            WireStatus::DeleteInProgress
        }
    };
    let attributes = &record.spec.requires_attributes;
    let requires = attributes.iter().map(|(name, value)| attribute(name, value.as_deref()));
    Ok(TaskDefinition {
        task_definition_arn: Some(task_definition_arn(record)),
        revision: i32::try_from(record.revision.0).ok(),
        status: Some(status),
        registered_at: Some(time(record.registered_at)),
        registered_by: Some(record.registered_by.clone()),
        deregistered_at: record.deregistered_at.map(time),
        delete_requested_at: record.delete_requested_at.map(time),
        requires_attributes: (!attributes.is_empty()).then(|| requires.collect()),
        ..document::<TaskDefinition>(&record.document)?
    })
}

/// An attribute without target.
pub(crate) fn attribute(name: &str, value: Option<&str>) -> Attribute {
    Attribute {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        target_id: None,
        target_type: None::<TargetType>,
    }
}

/// Placement constraints.
pub(crate) fn constraints(list: &[record::PlacementConstraint]) -> Vec<PlacementConstraint> {
    list.iter()
        .map(|constraint| PlacementConstraint {
            r#type: Some(match constraint.kind {
                record::ConstraintKind::DistinctInstance => {
                    PlacementConstraintType::DistinctInstance
                }
                record::ConstraintKind::MemberOf => PlacementConstraintType::MemberOf,
            }),
            expression: constraint.expression.clone(),
        })
        .collect()
}

/// Placement strategies.
pub(crate) fn strategies(list: &[record::PlacementStrategy]) -> Vec<PlacementStrategy> {
    use record::{PlacementStrategy as S, Spread, StrategyField};
    list.iter()
        .map(|strategy| {
            let (kind, field) = match strategy {
                S::Random => (PlacementStrategyType::Random, None),
                S::Spread(Spread::InstanceId) => {
                    (PlacementStrategyType::Spread, Some("instanceId".to_owned()))
                }
                S::Spread(Spread::Attribute(name)) => {
                    (PlacementStrategyType::Spread, Some(format!("attribute:{name}")))
                }
                S::Binpack(StrategyField::Cpu) => {
                    (PlacementStrategyType::Binpack, Some("CPU".to_owned()))
                }
                S::Binpack(StrategyField::Memory) => {
                    (PlacementStrategyType::Binpack, Some("MEMORY".to_owned()))
                }
            };
            PlacementStrategy { r#type: Some(kind), field }
        })
        .collect()
}

/// An amount in AWS's signed integers.
pub(crate) fn int(amount: impl TryInto<i32>) -> i32 {
    amount.try_into().unwrap_or(i32::MAX)
}
