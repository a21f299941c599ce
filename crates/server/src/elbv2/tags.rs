//! Tags of balancers, listeners, rules and target groups.

use longshore_auth::Authorized;
use longshore_domain::ids::{ElbArn, ElbResource};
use longshore_domain::limits;
use longshore_domain::record::{Listener, ListenerRule, LoadBalancer, Tags, TargetGroup};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::{
    AddTagsInput, AddTagsOutput, DescribeTagsInput, DescribeTagsOutput, ErrorCode, RemoveTagsInput,
    RemoveTagsOutput, Tag, TagDescription,
};

use super::lookup::AnyRule;
use super::{invalid, lookup};
use crate::call::Call;

/// Resources of one call (ELBv2 `DescribeTags`).
const RESOURCES: usize = 20;

/// Checks tags of a request and gives them as a map.
///
/// # Errors
/// `DuplicateTagKeys`, `TooManyTags`, `ValidationError`.
pub(super) fn checked(given: Option<Vec<Tag>>) -> Result<Tags, ServiceError> {
    let mut tags = Tags::new();
    for Tag { key, value } in given.unwrap_or_default() {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("Tag keys beginning with 'aws:' are reserved"));
        }
        if tags.insert(key.clone(), value.unwrap_or_default()).is_some() {
            return Err(ErrorCode::DuplicateTagKeys
                .error(format!("The tag key '{key}' was specified more than once")));
        }
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), ServiceError> {
    if tags.len() > limits::TAGS {
        return Err(ErrorCode::TooManyTags
            .error(format!("A resource can have at most {} tags", limits::TAGS)));
    }
    Ok(())
}

/// The tags of a resource; changed, if `change` gives new ones.
fn of(
    call: &Call,
    view: &View,
    txn: &mut RecordTxn,
    arn: &str,
    change: &dyn Fn(&Tags) -> Result<Tags, ServiceError>,
) -> Result<Tags, ServiceError> {
    let parsed: ElbArn = arn.parse().map_err(|_| invalid(format!("'{arn}' is not a valid ARN")))?;
    macro_rules! changed {
        ($row:expr, $record:ident) => {{
            let row = $row;
            let tags = change(&row.tags)?;
            if tags != row.tags {
                txn.update(row, &$record { tags: tags.clone(), ..row.record.clone() });
            }
            Ok(tags)
        }};
    }
    match parsed.resource {
        ElbResource::LoadBalancer(..) => {
            changed!(lookup::balancer(view, &call.scope, arn)?, LoadBalancer)
        }
        ElbResource::Listener(..) => changed!(lookup::listener(view, &call.scope, arn)?, Listener),
        ElbResource::TargetGroup(..) => {
            changed!(lookup::group(view, &call.scope, arn)?, TargetGroup)
        }
        ElbResource::Rule(..) => match lookup::rule(view, &call.scope, arn)? {
            AnyRule::Own(row) => changed!(row, ListenerRule),
            AnyRule::Default(_) => Ok(Tags::new()),
        },
    }
}

fn check_resources(arns: &[String]) -> Result<(), ServiceError> {
    if arns.is_empty() || arns.len() > RESOURCES {
        return Err(invalid(format!("Specify between 1 and {RESOURCES} resources")));
    }
    Ok(())
}

/// AddTags.
pub(super) async fn add(
    call: &Call,
    request: Authorized<AddTagsInput>,
) -> Result<AddTagsOutput, ServiceError> {
    let (_, request) = request.into_parts();
    check_resources(&request.resource_arns)?;
    let new = checked(Some(request.tags))?;
    let add = |tags: &Tags| {
        let mut tags = tags.clone();
        tags.extend(new.clone());
        check_count(&tags)?;
        Ok(tags)
    };
    change(call, &request.resource_arns, &add).await?;
    Ok(AddTagsOutput::default())
}

/// RemoveTags.
pub(super) async fn remove(
    call: &Call,
    request: Authorized<RemoveTagsInput>,
) -> Result<RemoveTagsOutput, ServiceError> {
    let (_, request) = request.into_parts();
    check_resources(&request.resource_arns)?;
    let remove = |tags: &Tags| {
        let mut tags = tags.clone();
        tags.retain(|key, _| !request.tag_keys.contains(key));
        Ok(tags)
    };
    change(call, &request.resource_arns, &remove).await?;
    Ok(RemoveTagsOutput::default())
}

async fn change(
    call: &Call,
    arns: &[String],
    change: &(dyn Fn(&Tags) -> Result<Tags, ServiceError> + Sync),
) -> Result<(), ServiceError> {
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
        arns.iter().try_for_each(|arn| of(call, view, txn, arn, change).map(drop))
    };
    call.server.decide(decide).await
}

/// DescribeTags.
pub(super) async fn describe(
    call: &Call,
    request: Authorized<DescribeTagsInput>,
) -> Result<DescribeTagsOutput, ServiceError> {
    let (_, request) = request.into_parts();
    check_resources(&request.resource_arns)?;
    let view = call.server.state.view();
    let mut descriptions = Vec::new();
    for arn in request.resource_arns {
        let tags = of(call, &view, &mut RecordTxn::new(), &arn, &|tags| Ok(tags.clone()))?;
        let tag = |(key, value): (String, String)| Tag { key, value: Some(value) };
        let tags = Some(tags.into_iter().map(tag).collect());
        descriptions.push(TagDescription { resource_arn: Some(arn), tags });
    }
    Ok(DescribeTagsOutput { tag_descriptions: Some(descriptions) })
}
