//! What limits a session: its policies and tags, as a request gives them.

use std::collections::BTreeMap;

use longshore_auth::{Policy, Principal};
use longshore_domain::ids::{AccountId, IamArn, IamResource};
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::sts::{ErrorCode, PolicyDescriptorType, Tag};

use super::invalid;
use crate::iam::policy_source;

/// Managed policies of a session.
const POLICY_ARNS: usize = 10;
/// Characters of the policies of a session, documents and ARNs together.
const POLICY_SIZE: usize = 2048;
/// Characters of the tags of a session (ours: AWS packs them, and does not say how). A token has to fit
/// into a header.
const TAGS_SIZE: usize = 4096;

/// The policies of a session, checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SessionPolicies {
    pub(super) documents: Vec<String>,
    pub(super) arns: Vec<String>,
    pub(super) is_limited: bool,
    /// How much of the room for policies and tags is taken, in percent.
    pub(super) packed: Option<i32>,
}

/// Checks the policies that are to limit a session of a role of `account`.
///
/// # Errors
/// `MalformedPolicyDocument`, `PackedPolicyTooLarge`, `ValidationError`.
pub(super) fn policies(
    view: &View,
    account: AccountId,
    document: Option<String>,
    descriptors: Option<Vec<PolicyDescriptorType>>,
) -> Result<SessionPolicies, ServiceError> {
    let is_limited =
        document.is_some() || descriptors.as_ref().is_some_and(|list| !list.is_empty());
    let mut size = 0;
    if let Some(text) = &document {
        Policy::parse(text)
            .map_err(|error| ErrorCode::MalformedPolicyDocument.error(error.message))?;
        size += text.chars().count();
    }
    let mut arns = Vec::new();
    for PolicyDescriptorType { arn } in descriptors.unwrap_or_default() {
        let arn = arn.unwrap_or_default();
        let Ok(IamArn { account: owner, resource: IamResource::Policy(..) }) = arn.parse() else {
            return Err(invalid(format!("ARN {arn} is not valid.")));
        };
        let own = owner.is_none_or(|owner| owner == account);
        if !own || policy_source(view, &arn).is_none() {
            return Err(invalid(format!("Policy {arn} does not exist or is not attachable.")));
        }
        size += arn.len();
        arns.push(arn);
    }
    if arns.len() > POLICY_ARNS {
        return Err(invalid(format!(
            "The number of policy ARNs exceeds the limit of {POLICY_ARNS}"
        )));
    }
    let percent = (size * 100).div_ceil(POLICY_SIZE);
    if percent > 100 {
        return Err(ErrorCode::PackedPolicyTooLarge.error(format!(
            "Packed policy consumes {percent}% of allotted space, please use smaller policy."
        )));
    }
    Ok(SessionPolicies {
        documents: document.into_iter().collect(),
        arns,
        is_limited,
        packed: is_limited.then(|| i32::try_from(percent).unwrap_or(100)),
    })
}

/// Tags of a session, and the keys of those that follow-up sessions inherit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SessionTags {
    pub(super) tags: BTreeMap<String, String>,
    pub(super) transitive: Vec<String>,
    /// Keys of those that the request itself gives.
    pub(super) given: Vec<String>,
}

/// Checks the tags of a request, and adds those that the caller's own session passes on.
///
/// # Errors
/// `InvalidParameterValue`, `ValidationError`.
pub(super) fn tags(
    caller: &Principal,
    given: Option<Vec<Tag>>,
    transitive: Option<Vec<String>>,
) -> Result<SessionTags, ServiceError> {
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for Tag { key, value } in given.unwrap_or_default() {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("Tag keys beginning with 'aws:' are reserved."));
        }
        if tags.keys().any(|known| known.eq_ignore_ascii_case(&key)) {
            return Err(ErrorCode::InvalidParameterValue.error(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        tags.insert(key, value);
    }
    let given: Vec<String> = tags.keys().cloned().collect();
    let mut keys = Vec::new();
    for key in transitive.unwrap_or_default() {
        let known = given.iter().find(|known| known.eq_ignore_ascii_case(&key));
        let known = known.ok_or_else(|| {
            ErrorCode::InvalidParameterValue
                .error("The specified transitive tag key must be included in the requested tags.")
        })?;
        keys.push(known.clone());
    }
    let inherited = caller.session.iter().flat_map(|session| &session.transitive_tag_keys);
    for key in inherited {
        if given.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            return Err(ErrorCode::InvalidParameterValue.error(
                "One of the specified transitive tag keys can't be set because it conflicts with a \
                 transitive tag key from the calling session.",
            ));
        }
        if let Some(value) = caller.tags.get(key) {
            tags.insert(key.clone(), value.clone());
            keys.push(key.clone());
        }
    }
    let size: usize = tags.iter().map(|(key, value)| key.len() + value.len()).sum();
    let percent = (size * 100).div_ceil(TAGS_SIZE);
    if percent > 100 {
        return Err(ErrorCode::PackedPolicyTooLarge
            .error(format!("Packed size of session tags consumes {percent}% of allotted space.")));
    }
    Ok(SessionTags { tags, transitive: keys, given })
}

#[cfg(test)]
mod tests {
    use longshore_auth::{Account, PrincipalKind, Session};

    use super::*;

    fn tag(key: &str) -> Tag {
        Tag { key: key.to_owned(), value: "1".to_owned() }
    }

    fn caller() -> Principal {
        let mut caller = Principal::new(Account::default(), PrincipalKind::Root, None);
        caller.tags = BTreeMap::from([("team".into(), "a".into()), ("own".into(), "b".into())]);
        let transitive_tag_keys = vec!["team".to_owned()];
        caller.session = Some(Box::new(Session { transitive_tag_keys, ..Session::default() }));
        caller
    }

    #[test]
    fn transitive_tags_go_on_and_cannot_be_set_again() {
        let found = tags(&caller(), Some(vec![tag("x")]), Some(vec!["x".into()])).expect("fits");
        assert_eq!(found.transitive, ["x", "team"]);
        assert_eq!(found.given, ["x"]);
        assert_eq!(found.tags.get("team").map(String::as_str), Some("a"));
        assert_eq!(found.tags.get("own"), None);
        for (given, transitive) in [
            (vec![tag("TEAM")], None),
            (vec![tag("a"), tag("A")], None),
            (vec![tag("aws:x")], None),
            (vec![tag("a")], Some(vec!["b".to_owned()])),
        ] {
            assert!(tags(&caller(), Some(given), transitive).is_err());
        }
    }
}
