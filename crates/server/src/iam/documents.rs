//! Policy documents, before they are kept.

use longshore_auth::Policy;
use longshore_domain::ids::{AccountId, IamArn, IamResource};
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::iam::ErrorCode;
use serde_json::Value;

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
    let document = parse(text)?;
    for statement in statements(&document) {
        if has(statement, ["Principal", "NotPrincipal"]) {
            return Err(malformed("Policy document should not specify a principal."));
        }
        if !has(statement, ["Resource", "NotResource"]) {
            return Err(malformed("Policy statement must contain resources."));
        }
    }
    Ok(())
}

/// Checks a document that says who may become a role.
///
/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`.
pub(super) fn check_trust(view: &View, account: AccountId, text: &str) -> Result<(), ServiceError> {
    let document = parse(text)?;
    for statement in statements(&document) {
        if has(statement, ["Resource", "NotResource"]) {
            return Err(malformed("Has prohibited field Resource"));
        }
        if !has(statement, ["Principal", "NotPrincipal"]) {
            return Err(malformed("Missing required field Principal"));
        }
        if !words(&statement["Action"]).all(|action| action.to_ascii_lowercase().starts_with("sts:"))
        {
            return Err(malformed("AssumeRole policy may only specify STS AssumeRole actions."));
        }
        check_principals(view, account, &statement["Principal"])?;
    }
    if size(text) > quotas::TRUST_SIZE {
        return Err(ErrorCode::LimitExceeded
            .error(format!("Cannot exceed quota for ACLSizePerRole: {}", quotas::TRUST_SIZE)));
    }
    Ok(())
}

/// Users and roles of this account that a trust policy names must be there, or a name that is
/// mistyped would wait for somebody to take it.
fn check_principals(view: &View, account: AccountId, given: &Value) -> Result<(), ServiceError> {
    for text in words(&given["AWS"]) {
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

/// The document as JSON, if it is a policy.
fn parse(text: &str) -> Result<Value, ServiceError> {
    Policy::parse(text).map_err(|error| malformed(error.message))?;
    serde_json::from_str(text).map_err(|_| malformed("Syntax errors in policy."))
}

fn statements(document: &Value) -> impl Iterator<Item = &Value> {
    let (list, one) = match &document["Statement"] {
        Value::Array(list) => (list.as_slice(), None),
        one => (&[][..], Some(one)),
    };
    list.iter().chain(one)
}

fn has(statement: &Value, names: [&str; 2]) -> bool {
    names.iter().any(|name| statement.get(name).is_some())
}

/// A string, or those of a list.
fn words(value: &Value) -> impl Iterator<Item = &str> {
    let (list, one) = match value {
        Value::Array(list) => (list.as_slice(), None),
        one => (&[][..], Some(one)),
    };
    list.iter().chain(one).filter_map(Value::as_str)
}
