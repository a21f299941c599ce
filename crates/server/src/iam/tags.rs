//! Tags of users, roles, policies, instance profiles and providers.

use std::sync::Arc;

use longshore_auth::Authorized;
use longshore_domain::ids::AccountId;
use longshore_domain::record::{IamPolicy, IamRole, IamUser, InstanceProfile, OidcProvider, Tags};
use longshore_store::{Record, RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    ErrorCode, ListInstanceProfileTagsRequest, ListInstanceProfileTagsResponse,
    ListOpenIDConnectProviderTagsRequest, ListOpenIDConnectProviderTagsResponse,
    ListPolicyTagsRequest, ListPolicyTagsResponse, ListRoleTagsRequest, ListRoleTagsResponse,
    ListUserTagsRequest, ListUserTagsResponse, Nothing, Tag, TagInstanceProfileRequest,
    TagOpenIDConnectProviderRequest, TagPolicyRequest, TagRoleRequest, TagUserRequest,
    UntagInstanceProfileRequest, UntagOpenIDConnectProviderRequest, UntagPolicyRequest,
    UntagRoleRequest, UntagUserRequest,
};

use super::page::{Cut, Page};
use super::{lookup, names, quotas, roles};
use crate::call::Call;

/// Checks tags of a request and gives them as a map.
///
/// # Errors
/// `InvalidInput`, `LimitExceeded`, `ValidationError`.
pub(super) fn checked(given: Option<Vec<Tag>>) -> Result<Tags, ServiceError> {
    let mut tags = Tags::new();
    for Tag { key, value } in given.unwrap_or_default() {
        check_text(&key, "tags.1.member.key")?;
        check_text(&value, "tags.1.member.value")?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(
                ErrorCode::InvalidInput.error("Tag keys beginning with 'aws:' are reserved.")
            );
        }
        // Keys of IAM differ by more than the case of their letters.
        if tags.keys().any(|known: &String| known.eq_ignore_ascii_case(&key)) {
            return Err(ErrorCode::InvalidInput.error(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        tags.insert(key, value);
    }
    check_count(&tags)?;
    Ok(tags)
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`, the pattern of the API.
fn check_text(text: &str, member: &str) -> Result<(), ServiceError> {
    let fits = |c: char| {
        c.is_alphanumeric() || "_.:/=+-@".contains(c) || (c.is_whitespace() && !c.is_control())
    };
    if text.chars().all(fits) {
        return Ok(());
    }
    Err(names::invalid(format!(
        "1 validation error detected: Value '{text}' at '{member}' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [\\p{{L}}\\p{{Z}}\\p{{N}}_.:/=+\\-@]+"
    )))
}

fn check_count(tags: &Tags) -> Result<(), ServiceError> {
    if tags.len() > quotas::TAGS {
        return Err(ErrorCode::LimitExceeded.error(format!(
            "The number of tags has reached the maximum limit: {}.",
            quotas::TAGS
        )));
    }
    Ok(())
}

/// What has tags, and how a request names it.
trait Tagged: Record {
    fn find<'v>(
        view: &'v View,
        account: AccountId,
        name: &str,
    ) -> Result<&'v Arc<Row<Self>>, ServiceError>;
    fn tags(&self) -> &Tags;
    fn with(&self, tags: Tags) -> Self;
    fn check_changeable(&self) -> Result<(), ServiceError>;
}

macro_rules! tagged {
    ($record:ident, $find:ident, $check:expr) => {
        impl Tagged for $record {
            fn find<'v>(
                view: &'v View,
                account: AccountId,
                name: &str,
            ) -> Result<&'v Arc<Row<Self>>, ServiceError> {
                lookup::$find(view, account, name)
            }

            fn tags(&self) -> &Tags {
                &self.tags
            }

            fn with(&self, tags: Tags) -> Self {
                Self { tags, ..self.clone() }
            }

            fn check_changeable(&self) -> Result<(), ServiceError> {
                $check(self)
            }
        }
    };
}

tagged!(IamUser, user, |_: &Self| Ok(()));
tagged!(IamRole, role, roles::check_changeable);
tagged!(IamPolicy, own_policy, |_: &Self| Ok(()));
tagged!(InstanceProfile, instance_profile, |_: &Self| Ok(()));
tagged!(OidcProvider, oidc_provider, |_: &Self| Ok(()));

async fn change<T: Tagged>(
    call: &Call,
    name: &str,
    change: impl Fn(&mut Tags),
) -> Result<Nothing, ServiceError> {
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = T::find(view, call.scope.account, name)?;
        row.check_changeable()?;
        let mut tags = row.tags().clone();
        change(&mut tags);
        check_count(&tags)?;
        if tags != *row.tags() {
            txn.update(row, &row.record.with(tags));
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

async fn add<T: Tagged>(call: &Call, name: &str, given: Vec<Tag>) -> Result<Nothing, ServiceError> {
    let new = checked(Some(given))?;
    change::<T>(call, name, |tags| {
        tags.retain(|key, _| !new.keys().any(|added| added.eq_ignore_ascii_case(key)));
        tags.extend(new.clone());
    })
    .await
}

async fn remove<T: Tagged>(
    call: &Call,
    name: &str,
    keys: &[String],
) -> Result<Nothing, ServiceError> {
    change::<T>(call, name, |tags| {
        tags.retain(|key, _| !keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
    })
    .await
}

fn list<T: Tagged>(call: &Call, name: &str, page: &Page) -> Result<Cut<Tag>, ServiceError> {
    let view = call.server.state.view();
    let row = T::find(&view, call.scope.account, name)?;
    let tag = |(key, value): (&String, &String)| {
        (key.clone(), Tag { key: key.clone(), value: value.clone() })
    };
    Ok(page.cut(row.tags().iter().map(tag)))
}

/// Declares the three operations of a kind of resource.
macro_rules! operations {
    ($record:ident, $name:ident: $tag:ident($tag_request:ident),
     $untag:ident($untag_request:ident), $list:ident($list_request:ident) -> $answer:ident) => {
        /// Adds tags.
        pub(super) async fn $tag(
            call: &Call,
            request: Authorized<$tag_request>,
        ) -> Result<Nothing, ServiceError> {
            let (_, request) = request.into_parts();
            add::<$record>(call, &request.$name, request.tags).await
        }

        /// Removes tags.
        pub(super) async fn $untag(
            call: &Call,
            request: Authorized<$untag_request>,
        ) -> Result<Nothing, ServiceError> {
            let (_, request) = request.into_parts();
            remove::<$record>(call, &request.$name, &request.tag_keys).await
        }

        /// Lists tags.
        pub(super) async fn $list(
            call: &Call,
            request: Authorized<$list_request>,
        ) -> Result<$answer, ServiceError> {
            let (_, request) = request.into_parts();
            let page = Page::of(request.marker.as_ref(), request.max_items)?;
            let cut = list::<$record>(call, &request.$name, &page)?;
            Ok($answer { tags: cut.items, is_truncated: cut.is_truncated, marker: cut.marker })
        }
    };
}

operations!(IamUser, user_name: tag_user(TagUserRequest), untag_user(UntagUserRequest),
    list_user(ListUserTagsRequest) -> ListUserTagsResponse);
operations!(IamRole, role_name: tag_role(TagRoleRequest), untag_role(UntagRoleRequest),
    list_role(ListRoleTagsRequest) -> ListRoleTagsResponse);
operations!(IamPolicy, policy_arn: tag_policy(TagPolicyRequest), untag_policy(UntagPolicyRequest),
    list_policy(ListPolicyTagsRequest) -> ListPolicyTagsResponse);
operations!(InstanceProfile, instance_profile_name:
    tag_profile(TagInstanceProfileRequest), untag_profile(UntagInstanceProfileRequest),
    list_profile(ListInstanceProfileTagsRequest) -> ListInstanceProfileTagsResponse);
operations!(OidcProvider, open_id_connect_provider_arn:
    tag_provider(TagOpenIDConnectProviderRequest),
    untag_provider(UntagOpenIDConnectProviderRequest),
    list_provider(ListOpenIDConnectProviderTagsRequest) -> ListOpenIDConnectProviderTagsResponse);
