//! Finds what a request names, or the error of AWS.

use std::sync::Arc;

use longshore_domain::ids::{AccountId, IamArn, IamResource};
use longshore_domain::record::{
    IamGroup, IamPolicy, IamRole, IamUser, InstanceProfile, OidcProvider,
};
use longshore_store::tables::{
    IamGroupKey, IamIndex, IamPolicyKey, IamRoleKey, IamUserKey, InstanceProfileKey,
    OidcProviderKey,
};
use longshore_store::{Record, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::ErrorCode;

use super::managed::{self, Managed};
use super::names;

/// `NoSuchEntity`.
pub(super) fn missing(message: impl Into<String>) -> ServiceError {
    ErrorCode::NoSuchEntity.error(message)
}

/// # Errors
/// `NoSuchEntity`.
pub(crate) fn user<'v>(
    view: &'v View,
    account: AccountId,
    name: &str,
) -> Result<&'v Arc<Row<IamUser>>, ServiceError> {
    let found = view.iam_users.get(&IamUserKey::new(account, name));
    found.ok_or_else(|| missing(format!("The user with name {name} cannot be found.")))
}

/// # Errors
/// `NoSuchEntity`.
pub(super) fn group<'v>(
    view: &'v View,
    account: AccountId,
    name: &str,
) -> Result<&'v Arc<Row<IamGroup>>, ServiceError> {
    let found = view.iam_groups.get(&IamGroupKey::new(account, name));
    found.ok_or_else(|| missing(format!("The group with name {name} cannot be found.")))
}

/// # Errors
/// `NoSuchEntity`.
pub(crate) fn role<'v>(
    view: &'v View,
    account: AccountId,
    name: &str,
) -> Result<&'v Arc<Row<IamRole>>, ServiceError> {
    let found = view.iam_roles.get(&IamRoleKey::new(account, name));
    found.ok_or_else(|| missing(format!("The role with name {name} cannot be found.")))
}

/// # Errors
/// `NoSuchEntity`.
pub(super) fn instance_profile<'v>(
    view: &'v View,
    account: AccountId,
    name: &str,
) -> Result<&'v Arc<Row<InstanceProfile>>, ServiceError> {
    let found = view.instance_profiles.get(&InstanceProfileKey::new(account, name));
    found.ok_or_else(|| missing(format!("Instance Profile {name} cannot be found.")))
}

/// # Errors
/// `ValidationError`, `NoSuchEntity`.
pub(super) fn oidc_provider<'v>(
    view: &'v View,
    account: AccountId,
    arn: &str,
) -> Result<&'v Arc<Row<OidcProvider>>, ServiceError> {
    let none = || missing(format!("OpenIDConnect Provider not found for arn {arn}"));
    match names::arn(arn)? {
        IamArn { account: Some(owner), resource: IamResource::OidcProvider(url) }
            if owner == account =>
        {
            view.oidc_providers.get(&OidcProviderKey { account, url }).ok_or_else(none)
        }
        _ => Err(none()),
    }
}

/// A managed policy: one of AWS, or one of an account.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnyPolicy<'v> {
    Aws(&'static Managed),
    Own(&'v Arc<Row<IamPolicy>>),
}

impl AnyPolicy<'_> {
    pub(super) fn arn(&self) -> String {
        match self {
            Self::Aws(managed) => managed.arn(),
            Self::Own(row) => row.arn(),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Aws(managed) => managed.name,
            Self::Own(row) => &row.name,
        }
    }

    pub(super) fn path(&self) -> &str {
        match self {
            Self::Aws(managed) => managed.path,
            Self::Own(row) => &row.path,
        }
    }
}

/// The managed policy with this ARN, if it is one and there is one.
pub(super) fn policy_by_arn<'v>(view: &'v View, arn: &str) -> Option<AnyPolicy<'v>> {
    let IamArn { account, resource } = arn.parse().ok()?;
    let IamResource::Policy(path, name) = resource else { return None };
    let Some(account) = account else {
        return managed::find(&path, &name).map(AnyPolicy::Aws);
    };
    let row = view.iam_policies.get(&IamPolicyKey::new(account, &name))?;
    (row.path == path && row.name == name).then_some(AnyPolicy::Own(row))
}

/// A managed policy that an account can name.
///
/// # Errors
/// `ValidationError`, `NoSuchEntity`.
pub(super) fn policy<'v>(
    view: &'v View,
    account: AccountId,
    arn: &str,
) -> Result<AnyPolicy<'v>, ServiceError> {
    let owner = names::arn(arn)?.account;
    let visible = owner.is_none_or(|owner| owner == account);
    let found = policy_by_arn(view, arn).filter(|_| visible);
    found.ok_or_else(|| missing(format!("Policy {arn} was not found.")))
}

/// A managed policy that belongs to an account.
///
/// # Errors
/// `ValidationError`, `NoSuchEntity`, `AccessDenied` for those of AWS, which nobody changes.
pub(super) fn own_policy<'v>(
    view: &'v View,
    account: AccountId,
    arn: &str,
) -> Result<&'v Arc<Row<IamPolicy>>, ServiceError> {
    match policy(view, account, arn)? {
        AnyPolicy::Own(row) => Ok(row),
        AnyPolicy::Aws(_) => Err(ErrorCode::AccessDenied
            .error(format!("{arn} is a policy of AWS, which cannot be changed."))),
    }
}

/// Number of users, groups and roles that a policy is attached to.
pub(super) fn attachments(view: &View, arn: &str) -> usize {
    let index = IamIndex::Policy(arn.to_owned());
    view.iam_users.count_by(&index)
        + view.iam_groups.count_by(&index)
        + view.iam_roles.count_by(&index)
}

/// Number of users and roles whose boundary a policy is.
pub(super) fn bounded(view: &View, arn: &str) -> usize {
    let index = IamIndex::Boundary(arn.to_owned());
    view.iam_users.count_by(&index) + view.iam_roles.count_by(&index)
}

/// The last part of a row's key, by which lists are sorted.
pub(super) fn sorted<R: Record>(row: &Arc<Row<R>>) -> (String, &Arc<Row<R>>) {
    (row.key.rsplit('/').next().unwrap_or_default().to_owned(), row)
}
