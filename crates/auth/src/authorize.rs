//! Whether a principal may do what it asks, and the witness that it was asked.

use core::fmt;

use crate::identity::Principal;

/// A request that its principal may make. Only [`authorize`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized<T> {
    principal: Principal,
    request: T,
}

impl<T> Authorized<T> {
    /// Who asked.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What was asked.
    pub fn request(&self) -> &T {
        &self.request
    }

    /// Both, for a handler that takes the request apart.
    pub fn into_parts(self) -> (Principal, T) {
        (self.principal, self.request)
    }
}

/// A known principal that may not do what it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// ARN of the principal.
    pub principal_arn: String,
    /// E.g. `ecs:RunTask`.
    pub action: String,
    /// The first resource that was refused.
    pub resource: String,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal_arn, action, resource } = self;
        write!(
            f,
            "User: {principal_arn} is not authorized to perform: {action} on resource: {resource} \
             because no resource-based policy allows the {action} action"
        )
    }
}

impl core::error::Error for Denied {}

/// Lets `principal` make `request`, which does `action` (e.g. `ecs:RunTask`) to `resources`.
///
/// A principal may do everything within its own account. A resource is `*` or an ARN; an ARN
/// without account (as in S3) counts as the principal's own; any other text is refused.
///
/// # Errors
/// [`Denied`] names the first resource that belongs to someone else.
pub fn authorize<T>(
    principal: Principal,
    action: &str,
    resources: &[&str],
    request: T,
) -> Result<Authorized<T>, Denied> {
    let account = principal.account.as_str();
    match resources.iter().find(|resource| !within(resource, account)) {
        None => Ok(Authorized { principal, request }),
        Some(resource) => Err(Denied {
            principal_arn: principal.arn,
            action: action.to_owned(),
            resource: (*resource).to_owned(),
        }),
    }
}

fn within(resource: &str, account: &str) -> bool {
    if resource == "*" {
        return true;
    }
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    matches!(parts[..], ["arn", _, _, _, owner, _] if owner.is_empty() || owner == account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Account, PrincipalKind};

    #[test]
    fn a_principal_acts_within_its_own_account() {
        let account: Account = "000000000042".parse().expect("twelve digits");
        let user = PrincipalKind::User { name: "ann".to_owned() };
        let ann = Principal::new(account, user, None);
        let own = "arn:aws:ecs:us-east-1:000000000042:cluster/c";
        let authorized =
            authorize(ann.clone(), "ecs:RunTask", &["*", own, "arn:aws:s3:::b"], 7).expect("own");
        assert_eq!(authorized.request(), &7);
        assert_eq!(authorized.into_parts(), (ann.clone(), 7));
        for other in
            ["arn:aws:ecs:us-east-1:000000000001:cluster/c", "cluster/c", "", "arn:aws:ecs"]
        {
            let denied =
                authorize(ann.clone(), "ecs:RunTask", &[own, other], ()).expect_err("not its own");
            assert_eq!(denied.resource, other);
        }
        let denied = authorize(ann, "ecs:RunTask", &["x"], ()).expect_err("not an ARN");
        assert_eq!(
            denied.to_string(),
            "User: arn:aws:iam::000000000042:user/ann is not authorized to perform: ecs:RunTask on \
             resource: x because no resource-based policy allows the ecs:RunTask action"
        );
    }
}
