//! The identity provider `iam`: who signs by the access keys of the store, or by a session token, and
//! what they may by the policies of the store.
//!
//! The rules it keeps: secrets are in the store only sealed, with a key that is not in it. Sessions are
//! not in the store at all: whatever is to be known of one stands in its token, which any server of the
//! control plane reads. What a principal may follows from the newest view, so that a key that is
//! disabled and a policy that is detached count from the next request on.

mod init;
pub(crate) mod join;
mod lend;
mod policies;
mod provider;
mod token;
mod uses;
mod vault;

pub use init::{InitError, Initialized, Keypair, initialize, is_initialized, reset_root};
pub(crate) use init::{check_key, development, shows_initialized};
pub(crate) use policies::{LastChange, documents_of};
pub(crate) use provider::Iam;
pub(crate) use token::{Minted, Subject, mint};
pub(crate) use uses::{Uses, spawn as spawn_uses};
pub use vault::MasterKey;
pub(crate) use vault::{Vault, VaultError, new_secret};

use longshore_auth::IdentityProvider;

/// Who callers are.
pub enum Identity {
    /// Whoever this provider says.
    Given(Box<dyn IdentityProvider>),
    /// Users and roles of the store.
    Iam,
}
