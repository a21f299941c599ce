//! Recognizes callers by the access keys and roles of the store.

use std::cell::Cell;
use std::sync::Arc;

use longshore_auth::{
    Account, Ask, AuthError, Context, Expected, IdentityProvider, Lent, Loan, PayloadHash,
    Permissions, Principal, PrincipalKind, RequestParts, RoleProblem, evaluate, peek,
    session_token, verify,
};
use longshore_domain::ids::{AccountId, IamId, IamIdKind};
use longshore_domain::record::{AccessKey, IamUser, Sealed};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{AccessKeyKey, IamIndex};
use longshore_store::{Row, State, View};

use super::lend;
use super::policies::Known;
use super::token::{self, Claims, Subject};
use super::uses::Uses;
use super::vault::{Vault, VaultError, new_secret};

/// Action that stands for everything that the control plane has, secrets of balancers and backups
/// among it.
const OWN_ALL: &str = "longshore:OwnAll";

/// The provider `iam`.
pub(crate) struct Iam {
    state: State,
    vault: Arc<Vault>,
    uses: Arc<Uses>,
    known: Known,
    /// Opened in place of the secret of a key that is not there, so that both take the same time.
    decoy: (IamId, Sealed),
}

/// Who has a key.
enum Signer {
    Key(Arc<Row<AccessKey>>),
    Session(Box<Claims>),
}

impl Signer {
    /// Whom it stands for, as the view has it.
    fn principal(&self, view: &View, now_s: i64) -> Result<Principal, AuthError> {
        let principal = match self {
            Self::Key(row) => of_key(view, row),
            Self::Session(claims) if lend::has_ended(view, &claims.session, now_s) => {
                return Err(AuthError::ExpiredToken);
            }
            Self::Session(claims) => of_session(view, claims),
        };
        principal.ok_or(AuthError::UnknownKey)
    }
}

impl Iam {
    /// # Errors
    /// Nothing can be sealed.
    pub(crate) fn new(
        state: State,
        vault: Arc<Vault>,
        uses: Arc<Uses>,
    ) -> Result<Self, VaultError> {
        let id = IamId::fresh(IamIdKind::AccessKey, &mut crate::clock::RandomIds);
        let sealed = vault.seal_secret(&id, &new_secret())?;
        Ok(Self { state, vault, uses, known: Known::default(), decoy: (id, sealed) })
    }

    /// The secret of a key, and who has it; of a key that is not known, some secret and why not.
    fn signer(
        &self,
        view: &View,
        id: &str,
        token: Option<&str>,
        now_s: i64,
    ) -> (String, Result<Signer, AuthError>) {
        let found = match token {
            Some(token) => self.session(id, token, now_s),
            None => self.key(view, id),
        };
        match found {
            Ok((secret, signer)) => (secret, Ok(signer)),
            Err(error) => {
                let (id, sealed) = &self.decoy;
                (self.vault.open_secret(id, sealed).unwrap_or_default(), Err(error))
            }
        }
    }

    fn key(&self, view: &View, id: &str) -> Result<(String, Signer), AuthError> {
        let id: IamId = id.parse().map_err(|()| AuthError::UnknownKey)?;
        let row = view.access_keys.get(&AccessKeyKey { id }).filter(|row| row.active);
        let row = row.ok_or(AuthError::UnknownKey)?;
        let secret = self.vault.open_secret(&row.id, &row.secret).map_err(|error| {
            tracing::error!(%error, key = %row.id, "a caller was refused");
            AuthError::UnknownKey
        })?;
        Ok((secret, Signer::Key(Arc::clone(row))))
    }

    fn session(&self, id: &str, token: &str, now_s: i64) -> Result<(String, Signer), AuthError> {
        let claims = token::read(&self.vault, token).ok_or(AuthError::UnknownKey)?;
        if claims.key != id {
            return Err(AuthError::UnknownKey);
        }
        if claims.session.expires_at_s <= now_s {
            return Err(AuthError::ExpiredToken);
        }
        Ok((claims.secret.clone(), Signer::Session(Box::new(claims))))
    }
}

impl IdentityProvider for Iam {
    fn identify(
        &self,
        parts: &RequestParts<'_>,
        body: &PayloadHash,
        expected: &Expected<'_>,
        now_s: i64,
    ) -> Result<Principal, AuthError> {
        let token = session_token(parts);
        let view = self.state.view();
        let refusal = Cell::new(None);
        let verified = verify(parts, body, expected, now_s, |id| {
            let (secret, signer) = self.signer(&view, id, token.as_deref(), now_s);
            let signer = signer.map_err(|error| refusal.set(Some(error))).ok();
            Some((secret, signer))
        });
        if let Some(error) = refusal.into_inner() {
            return Err(error);
        }
        let verified = verified?;
        let signer = verified.key.ok_or(AuthError::UnknownKey)?;
        let principal = signer.principal(&view, now_s)?;
        let peeked = peek(parts);
        let region = peeked.as_ref().map_or("", |peeked| peeked.region.as_str());
        let service = peeked.as_ref().map_or("", |peeked| peeked.service.as_str());
        let at = Timestamp::from_millis(now_s.saturating_mul(1000));
        match &signer {
            Signer::Key(row) => self.uses.used_key(&row.id, at, service, region),
            Signer::Session(claims) => {
                if let Subject::Role { id, .. } = &claims.subject {
                    self.uses.used_role(id, at, region);
                }
            }
        }
        Ok(Principal { access_key_id: Some(verified.access_key_id), ..principal })
    }

    fn holder(
        &self,
        access_key_id: Option<&str>,
        session_token: Option<&str>,
        now_s: i64,
    ) -> Result<Principal, AuthError> {
        let id = access_key_id.ok_or(AuthError::Missing)?;
        let view = self.state.view();
        let (_, signer) = match session_token {
            Some(token) => self.session(id, token, now_s),
            None => self.key(&view, id),
        }?;
        let principal = signer.principal(&view, now_s)?;
        Ok(Principal { access_key_id: Some(id.to_owned()), ..principal })
    }

    fn check_role(&self, role_arn: &str, source_arn: &str) -> Result<(), RoleProblem> {
        lend::role(&self.state.view(), role_arn, source_arn).map(drop)
    }

    fn lend(&self, loan: &Loan<'_>, now_s: i64) -> Result<Option<Lent>, RoleProblem> {
        lend::lend(&self.state.view(), &self.vault, loan, now_s).map(Some)
    }

    fn secret_id(&self, name: &str) -> u128 {
        self.vault.mark(name)
    }

    fn permissions(&self, principal: &Principal) -> Permissions {
        self.known.permissions(&self.state.view(), principal)
    }

    fn owns_all(&self, principal: &Principal) -> bool {
        let view = self.state.view();
        let account: AccountId = principal.account.as_str().parse().unwrap_or_default();
        // A key of another account could have something of its own.
        if view.access_keys.iter().any(|key| key.account != account) {
            return false;
        }
        match self.permissions(principal) {
            Permissions::Account => true,
            Permissions::By(policies) => {
                let context = Context::default();
                let ask = Ask { action: OWN_ALL, resource: "*", context: &context };
                evaluate(&policies, &ask).is_allowed()
            }
        }
    }
}

fn account(id: AccountId) -> Account {
    id.to_string().parse().unwrap_or_default()
}

/// The name of a user with its path, as its ARN has it.
fn full_name(user: &IamUser) -> String {
    format!("{}{}", user.path.trim_start_matches('/'), user.name)
}

fn of_user(user: &IamUser) -> Principal {
    let kind = PrincipalKind::User { name: full_name(user) };
    Principal {
        unique_id: user.id.to_string(),
        tags: user.tags.clone(),
        ..Principal::new(account(user.account), kind, None)
    }
}

/// Whose key it is; nobody's, where the user is gone.
fn of_key(view: &View, key: &AccessKey) -> Option<Principal> {
    match &key.user {
        None => Some(Principal::new(account(key.account), PrincipalKind::Root, None)),
        Some(id) => view.iam_users.by(&IamIndex::Id(id.clone())).next().map(|row| of_user(row)),
    }
}

/// Whose session it is; nobody's, where user or role are gone.
fn of_session(view: &View, claims: &Claims) -> Option<Principal> {
    let principal = match &claims.subject {
        Subject::Root => Principal::new(account(claims.account), PrincipalKind::Root, None),
        Subject::User { id } => {
            view.iam_users.by(&IamIndex::Id(id.clone())).next().map(|row| of_user(row))?
        }
        Subject::Role { id, session } => {
            let row = view.iam_roles.by(&IamIndex::Id(id.clone())).next()?;
            let kind =
                PrincipalKind::AssumedRole { role: row.name.clone(), session: session.clone() };
            let mut tags = row.tags.clone();
            tags.extend(claims.tags.clone());
            Principal {
                unique_id: format!("{id}:{session}"),
                tags,
                ..Principal::new(account(claims.account), kind, None)
            }
        }
    };
    Some(Principal { session: Some(Box::new(claims.session.clone())), ..principal })
}
