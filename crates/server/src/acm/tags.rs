//! Tags of certificates.

use longshore_auth::Authorized;
use longshore_domain::limits;
use longshore_domain::record::{Certificate, Tags};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::acm::{
    AddTagsToCertificateRequest, ErrorCode, ListTagsForCertificateRequest,
    ListTagsForCertificateResponse, ListTagsForResourceRequest, ListTagsForResourceResponse,
    Nothing, RemoveTagsFromCertificateRequest, Tag, TagResourceRequest, UntagResourceRequest,
};

use super::lookup;
use crate::call::Call;

/// Checks tags of a request and gives them as a map.
///
/// # Errors
/// `InvalidTagException`, `TooManyTagsException`.
pub(super) fn checked(given: Vec<Tag>) -> Result<Tags, ServiceError> {
    let mut tags = Tags::new();
    for Tag { key, value } in given {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ErrorCode::InvalidTagException
                .error("Tag keys beginning with 'aws:' are reserved for AWS use."));
        }
        if tags.insert(key.clone(), value.unwrap_or_default()).is_some() {
            return Err(ErrorCode::InvalidTagException
                .error(format!("The tag key '{key}' was specified more than once.")));
        }
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), ServiceError> {
    if tags.len() > limits::TAGS {
        return Err(ErrorCode::TooManyTagsException.error(format!(
            "The certificate would have {} tags, and may have {}.",
            tags.len(),
            limits::TAGS
        )));
    }
    Ok(())
}

fn shown(tags: &Tags) -> Vec<Tag> {
    let tag =
        |(key, value): (&String, &String)| Tag { key: key.clone(), value: Some(value.clone()) };
    tags.iter().map(tag).collect()
}

async fn change(
    call: &Call,
    arn: &str,
    change: impl Fn(&mut Tags),
) -> Result<Nothing, ServiceError> {
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::certificate(view, &call.scope, arn)?;
        let mut tags = row.tags.clone();
        change(&mut tags);
        check_count(&tags)?;
        if tags != row.tags {
            txn.update(row, &Certificate { tags, ..row.record.clone() });
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// AddTagsToCertificate.
pub(super) async fn add(
    call: &Call,
    request: Authorized<AddTagsToCertificateRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let new = checked(request.tags)?;
    change(call, &request.certificate_arn, |tags| tags.extend(new.clone())).await
}

/// TagResource.
pub(super) async fn tag(
    call: &Call,
    request: Authorized<TagResourceRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let new = checked(request.tags)?;
    change(call, &request.resource_arn, |tags| tags.extend(new.clone())).await
}

/// RemoveTagsFromCertificate: a tag with a value goes only if it has that value.
pub(super) async fn remove(
    call: &Call,
    request: Authorized<RemoveTagsFromCertificateRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let gone = |key: &String, value: &String| {
        let mut named = request.tags.iter().filter(|tag| tag.key == *key);
        named.any(|tag| tag.value.as_ref().is_none_or(|given| given == value))
    };
    let remove = |tags: &mut Tags| tags.retain(|key, value| !gone(key, value));
    change(call, &request.certificate_arn, remove).await
}

/// UntagResource.
pub(super) async fn untag(
    call: &Call,
    request: Authorized<UntagResourceRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let remove = |tags: &mut Tags| tags.retain(|key, _| !request.tag_keys.contains(key));
    change(call, &request.resource_arn, remove).await
}

/// ListTagsForCertificate.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListTagsForCertificateRequest>,
) -> Result<ListTagsForCertificateResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::certificate(&view, &call.scope, &request.certificate_arn)?;
    Ok(ListTagsForCertificateResponse { tags: Some(shown(&row.tags)) })
}

/// ListTagsForResource.
pub(super) async fn list_for_resource(
    call: &Call,
    request: Authorized<ListTagsForResourceRequest>,
) -> Result<ListTagsForResourceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::certificate(&view, &call.scope, &request.resource_arn)?;
    Ok(ListTagsForResourceResponse { tags: Some(shown(&row.tags)) })
}
