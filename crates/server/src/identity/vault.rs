//! The master key, and what is sealed with keys that follow from it: secrets of access keys, each for
//! its id, session tokens, the key of the control plane's authority, and what is said of denials. Servers
//! know each other by another such key.
//!
//! AES-256-GCM with random nonces: 2^32 seals of one key are safe, and a key of the control plane makes
//! far fewer. Neither key nor secret is ever shown in debug output.

use std::fmt;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use longshore_auth::SealKey;
use longshore_domain::ids::IamId;
use longshore_domain::record::Sealed;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// What the check of a key seals.
const KNOWN: &[u8] = b"longshore identity key 1";

/// The key that all others follow from. It is not in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; 32]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// A fresh key.
    ///
    /// # Panics
    /// The operating system has no random source.
    pub fn fresh() -> Self {
        Self(random())
    }

    /// The key in base 64, as it is kept.
    pub fn to_text(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// The key that [`MasterKey::to_text`] wrote; white space around it does not matter.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.trim().as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The key for one purpose.
    fn derive(&self, purpose: &str) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, self.digest(purpose).as_ref());
        LessSafeKey::new(key.expect("a digest is as long as a key"))
    }

    fn digest(&self, purpose: &str) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), purpose.as_bytes())
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has a random source");
    bytes
}

/// A new secret: 40 characters, as AWS has them.
pub(crate) fn new_secret() -> String {
    BASE64.encode(&random::<30>())
}

/// Why something cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The server has no key.
    #[error(
        "This server has no identity key, so it cannot keep secrets: make one with `longshore \
         server init`, or name it with --identity-key-file or --identity-key-command."
    )]
    NoKey,
    /// Sealed with another key, for another id, or damaged.
    #[error("A secret cannot be opened with the identity key of this server.")]
    Wrong,
}

/// Seals and opens.
pub(crate) struct Vault {
    secrets: LessSafeKey,
    sessions: LessSafeKey,
    authority: LessSafeKey,
    denials: LessSafeKey,
    checks: LessSafeKey,
    marks: hmac::Key,
    hops: hmac::Tag,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    pub(crate) fn new(key: &MasterKey) -> Self {
        Self {
            secrets: key.derive("longshore access keys 1"),
            sessions: key.derive("longshore sessions 1"),
            authority: key.derive("longshore control authority 1"),
            denials: key.derive("longshore authorization messages 1"),
            checks: key.derive("longshore identity key check 1"),
            marks: hmac::Key::new(hmac::HMAC_SHA256, key.digest("longshore ids 1").as_ref()),
            hops: key.digest("longshore hops 1"),
        }
    }

    /// The key by which servers believe each other.
    pub(crate) fn hop_key(&self) -> SealKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.hops.as_ref());
        SealKey::new(bytes)
    }

    /// Seals the secret of an access key; it opens for that key alone.
    pub(crate) fn seal_secret(&self, id: &IamId, secret: &str) -> Result<Sealed, VaultError> {
        let bytes = close(&self.secrets, id.as_str().as_bytes(), secret.as_bytes())?;
        Ok(Sealed(BASE64.encode(&bytes)))
    }

    /// The secret of an access key.
    pub(crate) fn open_secret(&self, id: &IamId, sealed: &Sealed) -> Result<String, VaultError> {
        let bytes = BASE64.decode(sealed.0.as_bytes()).map_err(|_| VaultError::Wrong)?;
        let plain = open(&self.secrets, id.as_str().as_bytes(), &bytes)?;
        String::from_utf8(plain).map_err(|_| VaultError::Wrong)
    }

    /// Seals the claims of a session.
    pub(super) fn seal_session(&self, claims: &[u8]) -> Result<String, VaultError> {
        Ok(BASE64URL_NOPAD.encode(&close(&self.sessions, b"", claims)?))
    }

    /// The claims of a session.
    pub(super) fn open_session(&self, token: &str) -> Option<Vec<u8>> {
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        open(&self.sessions, b"", &bytes).ok()
    }

    /// Seals the key of the control plane's authority.
    pub(crate) fn seal_authority(&self, pem: &str) -> Result<Sealed, VaultError> {
        Ok(Sealed(BASE64.encode(&close(&self.authority, b"", pem.as_bytes())?)))
    }

    /// The key of the control plane's authority.
    pub(crate) fn open_authority(&self, sealed: &Sealed) -> Result<String, VaultError> {
        let bytes = BASE64.decode(sealed.0.as_bytes()).map_err(|_| VaultError::Wrong)?;
        String::from_utf8(open(&self.authority, b"", &bytes)?).map_err(|_| VaultError::Wrong)
    }

    /// Seals what is said of a denial; it opens for principals of `account` alone.
    pub(crate) fn seal_denial(&self, account: &str, said: &[u8]) -> Result<String, VaultError> {
        Ok(BASE64URL_NOPAD.encode(&close(&self.denials, account.as_bytes(), said)?))
    }

    /// What is said of a denial in `account`.
    pub(crate) fn open_denial(&self, account: &str, message: &str) -> Option<Vec<u8>> {
        let bytes = BASE64URL_NOPAD.decode(message.as_bytes()).ok()?;
        open(&self.denials, account.as_bytes(), &bytes).ok()
    }

    /// A number for a name, which nobody finds without the key.
    pub(super) fn mark(&self, name: &str) -> u128 {
        let tag = hmac::sign(&self.marks, name.as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&tag.as_ref()[..16]);
        u128::from_be_bytes(half)
    }

    /// What tells this key from any other.
    pub(super) fn check(&self) -> Result<Sealed, VaultError> {
        Ok(Sealed(BASE64.encode(&close(&self.checks, b"", KNOWN)?)))
    }

    /// Whether a check was made with this key.
    pub(super) fn has_made(&self, check: &Sealed) -> bool {
        let bytes = BASE64.decode(check.0.as_bytes()).ok();
        bytes
            .and_then(|bytes| open(&self.checks, b"", &bytes).ok())
            .is_some_and(|plain| plain == KNOWN)
    }
}

fn close(key: &LessSafeKey, about: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let nonce = random::<NONCE_LEN>();
    let mut sealed = plain.to_vec();
    // Fails for more than 64 GiB alone.
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(about),
        &mut sealed,
    )
    .map_err(|_| VaultError::Wrong)?;
    Ok([&nonce[..], &sealed].concat())
}

fn open(key: &LessSafeKey, about: &[u8], bytes: &[u8]) -> Result<Vec<u8>, VaultError> {
    let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or(VaultError::Wrong)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Wrong)?;
    let mut sealed = sealed.to_vec();
    let plain = key.open_in_place(nonce, Aad::from(about), &mut sealed);
    Ok(plain.map_err(|_| VaultError::Wrong)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_key_alone() {
        let (key, other) = (MasterKey::fresh(), MasterKey::fresh());
        let vault = Vault::new(&key);
        let ids: [IamId; 2] = ["AKIAAAAAAAAAAAAAAAAA", "AKIAAAAAAAAAAAAAAAAB"]
            .map(|text| text.parse().expect("an id"));
        let secret = new_secret();
        assert_eq!(secret.len(), 40);
        let sealed = vault.seal_secret(&ids[0], &secret).expect("seals");
        assert!(!sealed.0.contains(&secret));
        assert_eq!(vault.open_secret(&ids[0], &sealed).as_deref(), Ok(&*secret));
        assert_eq!(vault.open_secret(&ids[1], &sealed), Err(VaultError::Wrong));
        assert_eq!(Vault::new(&other).open_secret(&ids[0], &sealed), Err(VaultError::Wrong));
        let again = vault.seal_secret(&ids[0], &secret).expect("seals");
        assert_ne!(again, sealed, "a nonce is used once");
        assert_eq!(vault.open_secret(&ids[0], &Sealed("AAAA".into())), Err(VaultError::Wrong));
    }

    #[test]
    fn a_key_is_known_by_its_check_and_never_shown() {
        let key = MasterKey::fresh();
        let check = Vault::new(&key).check().expect("seals");
        let again = MasterKey::from_text(&format!("{}\n", key.to_text())).expect("a key");
        assert!(Vault::new(&again).has_made(&check));
        assert!(!Vault::new(&MasterKey::fresh()).has_made(&check));
        assert_eq!(format!("{key:?} {:?} {check:?}", Vault::new(&key)), "MasterKey Vault ***");
        for wrong in ["", "AAAA", "not base 64"] {
            assert_eq!(MasterKey::from_text(wrong), None);
        }
    }

    #[test]
    fn what_seals_sessions_opens_nothing_else() {
        let vault = Vault::new(&MasterKey::fresh());
        let token = vault.seal_session(b"claims").expect("seals");
        assert_eq!(vault.open_session(&token).as_deref(), Some(&b"claims"[..]));
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).expect("base 64");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(vault.open_session(&BASE64URL_NOPAD.encode(&changed)), None);
        }
        assert!(!vault.has_made(&Sealed(BASE64.encode(&bytes))));
        let authority = vault.seal_authority("PEM").expect("seals");
        assert_eq!(vault.open_authority(&authority).as_deref(), Ok("PEM"));
        let session = Sealed(BASE64.encode(&bytes));
        assert_eq!(vault.open_authority(&session), Err(VaultError::Wrong));
    }
}
