//! Custom attributes of container instances.

use std::sync::Arc;

use longshore_auth::Authorized;
use longshore_domain::ids::Resource;
use longshore_domain::limits;
use longshore_domain::record::{ContainerInstance, InstanceStatus};
use longshore_store::tables::ContainerInstanceKey;
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::TargetType;
use longshore_wire::ecs::{
    Attribute, DeleteAttributesRequest, DeleteAttributesResponse, ErrorCode, ListAttributesRequest,
    ListAttributesResponse, PutAttributesRequest, PutAttributesResponse,
};

use super::page::PageRequest;
use super::references::instance_ref;
use super::{invalid_parameter, lookup};
use crate::access::agents;
use crate::call::Call;

/// Attributes that the agent and ECS own; they count toward no limit and cannot be changed.
const BUILT_IN: [&str; 2] = ["ecs.", "com.amazonaws.ecs."];

/// Whether an attribute is one that people put, and not one of the agent or of ECS.
pub(super) fn is_custom(name: &str) -> bool {
    !BUILT_IN.iter().any(|prefix| name.starts_with(prefix))
}

fn check(attribute: &Attribute) -> Result<(), ServiceError> {
    let name_ok = |c: char| c.is_ascii_alphanumeric() || "-_./\\".contains(c);
    let value_ok = |c: char| name_ok(c) || "@: ".contains(c);
    let name = &attribute.name;
    if name.is_empty() || name.len() > 128 || !name.chars().all(name_ok) {
        return Err(invalid_parameter(format!(
            "Invalid attribute name '{name}': use 1 to 128 letters, numbers and -_./\\"
        )));
    }
    if !is_custom(name) {
        return Err(invalid_parameter(format!(
            "Attribute '{name}' is reserved: names must not begin with {}",
            BUILT_IN.join(" or ")
        )));
    }
    let value = attribute.value.as_deref().unwrap_or_default();
    let spaced = value.starts_with(' ') || value.ends_with(' ');
    if value.len() > 128 || spaced || !value.chars().all(value_ok) {
        return Err(invalid_parameter(format!(
            "Invalid value of attribute '{name}': use at most 128 letters, numbers, inner spaces \
             and -_./\\@:"
        )));
    }
    Ok(())
}

fn target<'a>(
    call: &Call,
    view: &'a View,
    cluster: Option<&str>,
    attribute: &Attribute,
) -> Result<&'a Arc<Row<ContainerInstance>>, ServiceError> {
    let cluster = lookup::cluster(view, &call.scope, cluster)?;
    let id = attribute.target_id.as_deref().ok_or_else(|| {
        invalid_parameter(format!("Attribute '{}' has no targetId.", attribute.name))
    })?;
    instance_ref(&call.scope, &cluster.name, id)
        .and_then(|id| lookup::instance(view, &call.scope, &cluster.name, id))
        .filter(|row| row.status != InstanceStatus::Inactive)
        .ok_or_else(|| {
            ErrorCode::TargetNotFoundException
                .error(format!("Target '{id}' of attribute '{}' was not found.", attribute.name))
        })
}

/// PutAttributes.
pub(crate) async fn put(
    call: &Call,
    request: Authorized<PutAttributesRequest>,
) -> Result<PutAttributesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    request.attributes.iter().try_for_each(check)?;
    let set = |instance: &mut ContainerInstance, attribute: &Attribute| {
        let value = attribute.value.clone().filter(|value| !value.is_empty());
        instance.attributes.insert(attribute.name.clone(), value);
        if instance.attributes.keys().filter(|n| is_custom(n)).count() > limits::CUSTOM_ATTRIBUTES {
            return Err(ErrorCode::AttributeLimitExceededException.error(format!(
                "At most {} custom attributes are allowed per container instance.",
                limits::CUSTOM_ATTRIBUTES
            )));
        }
        Ok(())
    };
    let cluster = request.cluster.as_deref();
    change(call, "ecs:PutAttributes", cluster, &request.attributes, set).await?;
    Ok(PutAttributesResponse { attributes: Some(request.attributes) })
}

/// DeleteAttributes; an attribute that is not there is no error.
pub(crate) async fn delete(
    call: &Call,
    request: Authorized<DeleteAttributesRequest>,
) -> Result<DeleteAttributesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    request.attributes.iter().try_for_each(check)?;
    let remove = |instance: &mut ContainerInstance, attribute: &Attribute| {
        instance.attributes.remove(&attribute.name);
        Ok(())
    };
    let cluster = request.cluster.as_deref();
    change(call, "ecs:DeleteAttributes", cluster, &request.attributes, remove).await?;
    Ok(DeleteAttributesResponse { attributes: Some(request.attributes) })
}

/// Changes all named instances in one transaction.
async fn change(
    call: &Call,
    action: &str,
    cluster: Option<&str>,
    attributes: &[Attribute],
    apply: impl Fn(&mut ContainerInstance, &Attribute) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    if attributes.is_empty() || attributes.len() > limits::CUSTOM_ATTRIBUTES {
        return Err(invalid_parameter("attributes must hold 1 to 10 attributes."));
    }
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
        let mut changed: Vec<(&Arc<Row<ContainerInstance>>, ContainerInstance)> = Vec::new();
        for attribute in attributes {
            let row = target(call, view, cluster, attribute)?;
            agents::manages(view, &call.principal, row, action)?;
            let index = changed.iter().position(|(r, _)| r.id == row.id);
            let index = index.unwrap_or_else(|| {
                changed.push((row, row.record.clone()));
                changed.len() - 1
            });
            apply(&mut changed[index].1, attribute)?;
        }
        for (row, record) in &changed {
            txn.update(row, record);
        }
        Ok(())
    };
    call.server.decide(decide).await
}

/// ListAttributes: attributes of instances by name and value.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListAttributesRequest>,
) -> Result<ListAttributesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters =
        ("attributes", &request.cluster, &request.attribute_name, &request.attribute_value);
    let page = PageRequest::list(&filters, request.max_results, request.next_token.as_deref())?;
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, request.cluster.as_deref())?;
    let mut rows = Vec::new();
    for row in view
        .container_instances
        .range(&ContainerInstanceKey::in_cluster(&call.scope, &cluster.name))
        .filter(|row| row.status != InstanceStatus::Inactive)
    {
        let arn = call.arn(Resource::ContainerInstance(row.cluster.clone(), row.id));
        for (name, value) in &row.attributes {
            let named = request.attribute_name.as_ref().is_none_or(|wanted| wanted == name);
            let valued = request.attribute_value.is_none() || request.attribute_value == *value;
            if named && valued {
                rows.push(Attribute {
                    name: name.clone(),
                    value: value.clone(),
                    target_id: Some(arn.clone()),
                    target_type: Some(TargetType::ContainerInstance),
                });
            }
        }
    }
    let key =
        |row: &Attribute| format!("{}/{}", row.target_id.as_deref().unwrap_or_default(), row.name);
    rows.sort_by_key(key);
    let (rows, next_token) = page.cut(rows, key);
    Ok(ListAttributesResponse { attributes: Some(rows), next_token })
}
