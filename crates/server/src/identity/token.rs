//! Session tokens: all that is to be known of a session, sealed. Nothing of it is stored.

use std::collections::BTreeMap;
use std::fmt;

use longshore_auth::Session;
use longshore_domain::ids::{AccountId, IamId, IamIdKind};
use serde::{Deserialize, Serialize};

use super::vault::{Vault, VaultError, new_secret};
use crate::clock::RandomIds;

/// Shape of the claims. A token of another shape is not read, and its session begins anew.
const VERSION: u32 = 1;

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// The account's root.
    Root,
    /// A user.
    User {
        /// Its unique id.
        id: IamId,
    },
    /// A role.
    Role {
        /// Its unique id.
        id: IamId,
        /// Name of the session.
        session: String,
    },
}

/// What a token says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    v: u32,
    /// Access key of the session.
    pub(super) key: String,
    /// Its secret.
    pub(super) secret: String,
    /// Account.
    pub(crate) account: AccountId,
    /// Whose it is.
    pub(crate) subject: Subject,
    /// Tags of the session.
    pub(crate) tags: BTreeMap<String, String>,
    /// The rest.
    pub(crate) session: Session,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("key", &self.key)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// New temporary credentials.
#[derive(Clone)]
pub(crate) struct Minted {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: String,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Makes credentials for a session. They are good until the session ends, on every server that has the
/// master key.
pub(crate) fn mint(
    vault: &Vault,
    account: AccountId,
    subject: Subject,
    tags: BTreeMap<String, String>,
    session: Session,
) -> Result<Minted, VaultError> {
    let claims = Claims {
        v: VERSION,
        key: IamId::fresh(IamIdKind::SessionKey, &mut RandomIds).to_string(),
        secret: new_secret(),
        account,
        subject,
        tags,
        session,
    };
    let text = serde_json::to_vec(&claims).expect("claims are a structure with text keys");
    Ok(Minted {
        session_token: vault.seal_session(&text)?,
        access_key_id: claims.key,
        secret_access_key: claims.secret,
    })
}

/// What a token says, if it is one of ours.
pub(super) fn read(vault: &Vault, token: &str) -> Option<Claims> {
    let claims: Claims = serde_json::from_slice(&vault.open_session(token)?).ok()?;
    (claims.v == VERSION).then_some(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::MasterKey;

    #[test]
    fn a_token_says_what_was_sealed() {
        let vault = Vault::new(&MasterKey::fresh());
        let id: IamId = "AROAAAAAAAAAAAAAAAAAA".parse().expect("an id");
        let subject = Subject::Role { id, session: "s".into() };
        let session = Session { issued_at_s: 1, expires_at_s: 2, ..Session::default() };
        let tags = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        let minted =
            mint(&vault, AccountId::default(), subject.clone(), tags.clone(), session.clone())
                .expect("seals");
        let claims = read(&vault, &minted.session_token).expect("ours");
        assert_eq!((claims.subject, claims.tags, claims.session), (subject, tags, session));
        assert_eq!(claims.key, minted.access_key_id);
        assert!(claims.key.starts_with("ASIA"));
        assert_eq!(read(&Vault::new(&MasterKey::fresh()), &minted.session_token), None);
        assert_eq!(read(&vault, "x"), None);
        let shown = format!("{minted:?}");
        assert!(!shown.contains(&minted.secret_access_key), "{shown}");
    }
}
