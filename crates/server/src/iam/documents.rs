//! Policy documents, before they are kept.

use longshore_auth::{Policy, PolicyKind, PrincipalType};
use longshore_domain::ids::{AccountId, IamArn, IamResource};
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::iam::ErrorCode;

use super::{lookup, quotas};

pub(super) fn malformed(message: impl Into<String>) -> ServiceError {
    ErrorCode::MalformedPolicyDocument.error(message)
}

/// Characters of a document, without white space, as IAM counts them.
pub(super) fn size(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

/// Checks a document for an identity: what it may do.
///
/// # Errors
/// `MalformedPolicyDocument`.
pub(crate) fn check_identity(text: &str) -> Result<(), ServiceError> {
    Policy::parse(text).map(drop).map_err(|error| malformed(error.message))
}

/// Checks a document that says who may become a role.
///
/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`.
pub(super) fn check_trust(view: &View, account: AccountId, text: &str) -> Result<(), ServiceError> {
    let policy = Policy::parse_as(text, PolicyKind::Trust);
    let policy = policy.map_err(|error| malformed(error.message))?;
    check_principals(view, account, &policy)?;
    if policy.size() > quotas::TRUST_SIZE {
        return Err(ErrorCode::LimitExceeded
            .error(format!("Cannot exceed quota for ACLSizePerRole: {}", quotas::TRUST_SIZE)));
    }
    Ok(())
}

/// Users and roles of this account that a trust policy names must be there, or a name that is
/// mistyped would wait for somebody to take it.
fn check_principals(view: &View, account: AccountId, policy: &Policy) -> Result<(), ServiceError> {
    let named = policy.principals().filter(|(kind, _)| *kind == PrincipalType::Aws);
    for (_, text) in named {
        let wrong = || malformed(format!("Invalid principal in policy: \"AWS\":\"{text}\""));
        if text == "*" || text.parse::<AccountId>().is_ok() {
            continue;
        }
        let arn: IamArn = text.parse().map_err(|_| wrong())?;
        let own = arn.account == Some(account);
        let known = match &arn.resource {
            IamResource::User(_, name) if own => {
                lookup::user(view, account, name).is_ok_and(|row| row.arn() == text)
            }
            IamResource::Role(_, name) if own => {
                lookup::role(view, account, name).is_ok_and(|row| row.arn() == text)
            }
            IamResource::AssumedRole(role, _) if own => lookup::role(view, account, role).is_ok(),
            IamResource::Root
            | IamResource::User(..)
            | IamResource::Role(..)
            | IamResource::AssumedRole(..) => arn.account.is_some(),
            _ => false,
        };
        if !known {
            return Err(wrong());
        }
    }
    Ok(())
}
