//! The walk over all operations, and what single rows ask.

mod agents;
mod inputs;
mod questions;
mod walk;

use std::sync::Arc;

use longshore_auth::{
    Account, Attached, AuthError, Credentials, Expected, IdentityProvider, Keys, Lent, Loan,
    PayloadHash, Permissions, Policies, Policy, Principal, PrincipalKind, RequestParts,
    RoleProblem, StaticKey,
};

use super::{Entry, acm, ecs, elbv2, iam, sts};
use crate::Server;
use crate::call::Call;
use crate::test_records::scope;
use crate::{clock, test_server};

/// Users with keys, whose names say what they may: `nobody` nothing, `all` everything, `root` is
/// root.
struct Known(Keys);

/// Key ids are long enough to look like some.
fn credentials(name: &str) -> Credentials {
    Credentials {
        access_key_id: format!("AKIAEXAMPLE{}", name.to_uppercase()),
        secret_access_key: format!("secret of {name}"),
        session_token: None,
    }
}

impl Known {
    fn new() -> Self {
        let key = |name: &str| StaticKey {
            credentials: credentials(name),
            account: Account::default(),
            kind: match name {
                "root" => PrincipalKind::Root,
                name => PrincipalKind::User { name: name.to_owned() },
            },
            expires_at_s: None,
        };
        Self(Keys::new(["nobody", "all", "root"].map(key)))
    }
}

impl IdentityProvider for Known {
    fn identify(
        &self,
        parts: &RequestParts<'_>,
        body: &PayloadHash,
        expected: &Expected<'_>,
        now_s: i64,
    ) -> Result<Principal, AuthError> {
        self.0.identify(parts, body, expected, now_s)
    }

    fn holder(
        &self,
        access_key_id: Option<&str>,
        session_token: Option<&str>,
        now_s: i64,
    ) -> Result<Principal, AuthError> {
        self.0.holder(access_key_id, session_token, now_s)
    }

    fn permissions(&self, principal: &Principal) -> Permissions {
        match &principal.kind {
            PrincipalKind::Root => Permissions::Account,
            PrincipalKind::User { name } if name == "all" => by([ALL]),
            _ => Permissions::by(Policies::default()),
        }
    }

    fn owns_all(&self, principal: &Principal) -> bool {
        self.0.owns_all(principal)
    }

    fn check_role(&self, role_arn: &str, source_arn: &str) -> Result<(), RoleProblem> {
        self.0.check_role(role_arn, source_arn)
    }

    fn lend(&self, loan: &Loan<'_>, now_s: i64) -> Result<Option<Lent>, RoleProblem> {
        self.0.lend(loan, now_s)
    }

    fn secret_id(&self, name: &str) -> u128 {
        self.0.secret_id(name)
    }
}

const ALL: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;

/// Permissions by policies of a user.
fn by<const N: usize>(documents: [&str; N]) -> Permissions {
    let attached = documents.map(|document| Attached {
        source: "inline policy p of user/ann".to_owned(),
        policy: Arc::new(Policy::parse(document).expect("a policy")),
    });
    Permissions::by(Policies { identity: attached.into(), ..Policies::default() })
}

/// A call of a user with these permissions.
fn call(server: &Arc<Server>, permissions: Permissions) -> Call {
    let user = PrincipalKind::User { name: "ann".to_owned() };
    let principal = Principal::new(Account::default(), user, None);
    Call { permissions, ..call_of(server, principal) }
}

/// A call of a principal that may do everything.
fn call_of(server: &Arc<Server>, principal: Principal) -> Call {
    Call {
        server: Arc::clone(server),
        scope: scope(),
        principal,
        permissions: Permissions::Account,
        origin: super::Origin::default(),
        trace: Arc::default(),
        now: clock::now(),
        base_url: String::new(),
        term: server.members.term(),
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    let services = ecs::entries().chain(elbv2::entries()).chain(acm::entries());
    services.chain(iam::entries()).chain(sts::entries())
}

async fn server() -> Arc<Server> {
    test_server::server_of(Box::new(Known::new())).await
}
