//! Tags: checked the same way wherever they come in; TagResource, UntagResource and
//! ListTagsForResource for every kind of resource that has them.

use longshore_auth::Authorized;
use longshore_domain::idle;
use longshore_domain::ids::{Arn, Resource};
use longshore_domain::limits;
use longshore_domain::record::{ClusterStatus, ServiceStatus, Tags};
use longshore_store::tables::{DaemonKey, TaskDefinitionKey};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::{
    ErrorCode, ListTagsForResourceRequest, ListTagsForResourceResponse, Tag, TagResourceRequest,
    TagResourceResponse, UntagResourceRequest, UntagResourceResponse,
};

use super::{encode, invalid_parameter, lookup};
use crate::call::Call;

/// Prefix of tags that only AWS's own services, and ours, may set.
const RESERVED: &str = "aws:";

/// Checks tags of a request and gives them as a map.
///
/// # Errors
/// `InvalidParameterException` for a missing or repeated key, a reserved prefix, or too many.
pub(crate) fn checked(tags: Option<Vec<Tag>>) -> Result<Tags, ServiceError> {
    let mut map = Tags::new();
    for Tag { key, value } in tags.unwrap_or_default() {
        let key = key.ok_or_else(|| invalid_parameter("Tag key should not be null or empty."))?;
        if key.to_ascii_lowercase().starts_with(RESERVED) {
            return Err(invalid_parameter(
                "aws: prefixed tag key names are not allowed for external use.",
            ));
        }
        let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
        let value = value.unwrap_or_default();
        if !key.chars().chain(value.chars()).all(allowed) {
            return Err(invalid_parameter(format!(
                "Tag '{key}' contains characters that are not allowed: use letters, numbers, \
                 spaces and _.:/=+-@."
            )));
        }
        if let Some(why) = idle::refusal(&key, &value) {
            return Err(invalid_parameter(why));
        }
        if map.insert(key.clone(), value).is_some() {
            return Err(invalid_parameter(format!("Duplicate tag key '{key}'.")));
        }
    }
    if map.len() > limits::TAGS {
        return Err(invalid_parameter(format!("At most {} tags are allowed.", limits::TAGS)));
    }
    Ok(map)
}

/// TagResource.
pub(crate) async fn tag(
    call: &Call,
    request: Authorized<TagResourceRequest>,
) -> Result<TagResourceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let new = checked(Some(request.tags))?;
    let change = |tags: &Tags| {
        let mut tags = tags.clone();
        tags.extend(new.clone());
        let own = tags.keys().filter(|key| !key.starts_with(RESERVED)).count();
        if own > limits::TAGS {
            return Err(invalid_parameter(format!("At most {} tags are allowed.", limits::TAGS)));
        }
        Ok(tags)
    };
    let arn = parse(call, &request.resource_arn)?;
    call.server.decide(|view, txn| rewrite(call, view, txn, &arn, &change)).await?;
    Ok(TagResourceResponse {})
}

/// UntagResource.
pub(crate) async fn untag(
    call: &Call,
    request: Authorized<UntagResourceRequest>,
) -> Result<UntagResourceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let change = |tags: &Tags| {
        let mut tags = tags.clone();
        tags.retain(|key, _| key.starts_with(RESERVED) || !request.tag_keys.contains(key));
        Ok(tags)
    };
    let arn = parse(call, &request.resource_arn)?;
    call.server.decide(|view, txn| rewrite(call, view, txn, &arn, &change)).await?;
    Ok(UntagResourceResponse {})
}

/// ListTagsForResource.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListTagsForResourceRequest>,
) -> Result<ListTagsForResourceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let arn = parse(call, &request.resource_arn)?;
    let view = call.server.state.view();
    let mut found = Tags::new();
    let mut read = |tags: &Tags| {
        found.clone_from(tags);
        Ok(tags.clone())
    };
    visit(call, &view, &mut RecordTxn::new(), &arn, &mut read)?;
    Ok(ListTagsForResourceResponse { tags: Some(encode::tags(&found)) })
}

fn parse(call: &Call, text: &str) -> Result<Arn, ServiceError> {
    let arn: Arn = text
        .parse()
        .map_err(|why| invalid_parameter(format!("Invalid resource ARN {text}: it {why}.")))?;
    if arn.scope != call.scope {
        return Err(invalid_parameter(format!(
            "Invalid resource ARN {text}: it belongs to another account or region."
        )));
    }
    Ok(arn)
}

fn rewrite(
    call: &Call,
    view: &View,
    txn: &mut RecordTxn,
    arn: &Arn,
    change: &dyn Fn(&Tags) -> Result<Tags, ServiceError>,
) -> Result<(), ServiceError> {
    visit(call, view, txn, arn, &mut |tags| change(tags))
}

/// Finds the resource, computes its new tags, and adds the update to `txn`.
fn visit(
    call: &Call,
    view: &View,
    txn: &mut RecordTxn,
    arn: &Arn,
    change: &mut dyn FnMut(&Tags) -> Result<Tags, ServiceError>,
) -> Result<(), ServiceError> {
    /// Every record has its tags in the same place; only the lookup differs.
    macro_rules! update {
        ($row:expr) => {{
            let row = $row.ok_or_else(|| missing(arn))?;
            let mut record = row.record.clone();
            record.tags = change(&record.tags)?;
            txn.update(row, &record);
        }};
    }
    let scope = &call.scope;
    match &arn.resource {
        Resource::Cluster(name) => update!(
            lookup::any_cluster(view, scope, name).filter(|c| c.status == ClusterStatus::Active)
        ),
        Resource::Task(cluster, id) => update!(lookup::task(view, scope, cluster, *id)),
        Resource::ContainerInstance(cluster, id) => {
            update!(lookup::instance(view, scope, cluster, *id));
        }
        Resource::Service(cluster, name) => update!(
            lookup::service(view, scope, cluster, name)
                .filter(|service| service.status != ServiceStatus::Inactive)
        ),
        Resource::TaskSet(cluster, name, number) => {
            let row = lookup::service(view, scope, cluster, name).ok_or_else(|| missing(arn))?;
            let mut record = row.record.clone();
            let set = record.task_sets.iter_mut().find(|set| set.deployment.id == *number);
            let set = set.ok_or_else(|| missing(arn))?;
            set.tags = change(&set.tags)?;
            txn.update(row, &record);
        }
        Resource::Daemon(cluster, name) => {
            let key =
                DaemonKey { scope: scope.clone(), cluster: cluster.clone(), name: name.clone() };
            update!(view.daemons.get(&key));
        }
        Resource::TaskDefinition(family, revision) => {
            let key = TaskDefinitionKey {
                scope: scope.clone(),
                family: family.clone(),
                revision: *revision,
            };
            update!(view.task_definitions.get(&key));
        }
        Resource::ServiceDeployment(..)
        | Resource::ServiceRevision(..)
        | Resource::DaemonDeployment(..)
        | Resource::DaemonRevision(..)
        | Resource::DaemonTaskDefinition(..)
        | Resource::Container(..)
        | Resource::Other(..) => {
            return Err(invalid_parameter(format!("{arn} is no resource that has tags.")));
        }
    }
    Ok(())
}

fn missing(arn: &Arn) -> ServiceError {
    match arn.resource {
        Resource::Cluster(_) => ErrorCode::ClusterNotFoundException.error("Cluster not found."),
        _ => invalid_parameter("The specified resource is not found."),
    }
}
