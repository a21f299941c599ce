//! What of the Security Token Service API is built.

use longshore_wire::sts::OperationName;

use crate::ecs::coverage::Coverage;

/// How far `operation` is built. A new operation in the model does not compile until it is here.
pub(crate) const fn of(operation: OperationName) -> Coverage {
    use Coverage::{Built, Missing, Partial};
    use OperationName as O;
    match operation {
        O::AssumeRole => Partial("no MFA, no provided contexts"),
        O::GetSessionToken => Partial("no MFA"),
        O::GetAccessKeyInfo => Partial("keys of users and of root, and the caller's own"),
        O::GetCallerIdentity => Built,
        O::AssumeRoleWithWebIdentity => {
            Partial("tokens of registered providers of OpenID Connect, signed by RS256 or ES256")
        }
        O::DecodeAuthorizationMessage => Partial(
            "messages of this control plane: the header x-longshore-encoded-authorization-message",
        ),
        O::AssumeRoleWithSAML => Missing("sessions for assertions of SAML"),
        O::AssumeRoot => Missing("sessions of member accounts"),
        O::GetDelegatedAccessToken => Missing("delegations"),
        O::GetFederationToken => Missing("federated users"),
        O::GetWebIdentityToken => Missing("tokens for others"),
    }
}

/// The message of an operation that is not built.
pub(super) fn refusal(operation: OperationName) -> String {
    let name = operation.info().name;
    let what = match of(operation) {
        Coverage::Missing(what) => what,
        Coverage::Built | Coverage::Partial(_) => name,
    };
    format!("{name} is not available in this version of Longshore: {what} are not built yet.")
}
