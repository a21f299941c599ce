//! What clients carry and cannot read or change. The key follows from the secret that provider and
//! balancer share, so every node has it, and none has to keep one.

use data_encoding::BASE64URL_NOPAD;
use longshore_domain::route::AuthenticateOidc;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// What something sealed is for: one cannot stand for another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    State,
    Session,
}

impl Purpose {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::State => b"state",
            Self::Session => b"session",
        }
    }
}

/// Seals and opens.
#[derive(Debug)]
pub(crate) struct Seal(LessSafeKey);

/// Random bytes.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has a random source");
    bytes
}

impl Seal {
    /// That of a configuration; none without a secret, since anybody could make it.
    pub(super) fn of(oidc: &AuthenticateOidc) -> Option<Self> {
        if oidc.client_secret.is_empty() {
            return None;
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, oidc.client_secret.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        // No part can be taken for the beginning of the next: none holds a zero byte.
        for part in ["longshore oidc 1", &oidc.issuer, &oidc.client_id, &oidc.token_endpoint] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        let key = UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// Seals; the text goes into cookies and URLs as it is.
    pub(super) fn close(&self, purpose: Purpose, plain: &[u8]) -> String {
        let nonce = random::<NONCE_LEN>();
        let mut bytes = plain.to_vec();
        let aad = Aad::from(purpose.bytes());
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        // Fails for more than 64 GiB alone.
        let _ = self.0.seal_in_place_append_tag(nonce_used, aad, &mut bytes);
        BASE64URL_NOPAD.encode(&[&nonce[..], &bytes].concat())
    }

    /// What was sealed for this purpose.
    pub(super) fn open(&self, purpose: Purpose, text: &str) -> Option<Vec<u8>> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(purpose.bytes()), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}
