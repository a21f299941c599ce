//! Seals: how the servers of one control plane know a message of each other from anybody else's.
//!
//! Whoever has the key may say anything in the name of anybody, so the key is where only servers
//! can read it. A seal covers all parts of a message with their boundaries. That a message is
//! taken once is up to its number and a [`Window`]; whom it is for is a part of it. Neither needs
//! clocks that agree.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What a seal is for, so that a key means nothing elsewhere.
const PURPOSE: &[u8] = b"longshore seal v1";

/// The key of the servers of one control plane.
#[derive(Clone)]
pub struct SealKey([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealKeyError;

impl core::fmt::Display for SealKeyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a seal key has exactly 64 hexadecimal digits")
    }
}

impl core::error::Error for SealKeyError {}

impl core::fmt::Debug for SealKey {
    /// Without the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// A key of these random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key that [`SealKey::to_hex`] wrote.
    ///
    /// # Errors
    /// [`SealKeyError`].
    pub fn from_hex(text: &str) -> Result<Self, SealKeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| SealKeyError)?;
        Ok(Self(bytes))
    }

    /// The key as text, for the store.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The seal of a message.
    pub fn seal(&self, parts: &[&[u8]]) -> String {
        hex::encode(self.mac(parts).finalize().into_bytes())
    }

    /// Whether `seal` is the seal of the message.
    pub fn verify(&self, parts: &[&[u8]], seal: &str) -> bool {
        // Compares in constant time.
        hex::decode(seal).is_ok_and(|seal| self.mac(parts).verify_slice(&seal).is_ok())
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(PURPOSE);
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// What a machine proves by the secret of keys that it had, when it joins by a token.
const FORMER: &[u8] = b"joins by token";

/// The proof that whoever joins by a token has the secret of former keys. It is good for that token alone,
/// and the secret does not follow from it.
pub fn prove_former(secret: &str, token_id: &str) -> String {
    of_secret(secret).seal(&[FORMER, token_id.as_bytes()])
}

/// Whether a proof is by this secret, and for this token.
pub fn is_former_proven(secret: &str, token_id: &str, proof: &str) -> bool {
    of_secret(secret).verify(&[FORMER, token_id.as_bytes()], proof)
}

fn of_secret(secret: &str) -> SealKey {
    SealKey::new(Sha256::digest(secret.as_bytes()).into())
}

/// Numbers that a window looks back: messages that were overtaken by so many others are refused.
const WINDOW: u64 = 1024;
const WORDS: usize = 16;

/// Which numbers of a sender were taken: each once, and none that is too old to be known.
#[derive(Clone, Debug, Default)]
pub struct Window {
    newest: u64,
    /// Bit `n % WINDOW` says that `n` was taken, for the newest `WINDOW` numbers.
    taken: [u64; WORDS],
}

impl Window {
    /// Takes a number; `false` when it was taken before, or may have been. Numbers begin with 1.
    pub fn take(&mut self, number: u64) -> bool {
        if number == 0 || number.saturating_add(WINDOW) <= self.newest {
            return false;
        }
        if number > self.newest {
            // What lies between was not taken yet.
            let first = (self.newest + 1).max(number.saturating_sub(WINDOW - 1));
            (first..=number).for_each(|skipped| self.set(skipped, false));
            self.newest = number;
        } else if self.is_set(number) {
            return false;
        }
        self.set(number, true);
        true
    }

    fn place(number: u64) -> (usize, u64) {
        let bit = number % WINDOW;
        (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
    }

    fn is_set(&self, number: u64) -> bool {
        let (word, mask) = Self::place(number);
        self.taken.get(word).is_some_and(|bits| bits & mask != 0)
    }

    fn set(&mut self, number: u64, on: bool) {
        let (word, mask) = Self::place(number);
        if let Some(bits) = self.taken.get_mut(word) {
            if on { *bits |= mask } else { *bits &= !mask }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_seal_covers_every_part_and_its_end() {
        let key = SealKey::new([7; 32]);
        let seal = key.seal(&[b"ab", b"c"]);
        assert!(key.verify(&[b"ab", b"c"], &seal));
        for other in [&[b"a" as &[u8], b"bc"][..], &[b"ab", b"d"], &[b"abc"], &[b"ab", b"c", b""]] {
            assert!(!key.verify(other, &seal), "{other:?}");
        }
        assert!(!SealKey::new([8; 32]).verify(&[b"ab", b"c"], &seal));
        for bad in ["", "zz", &seal[2..], &format!("{seal}00")] {
            assert!(!key.verify(&[b"ab", b"c"], bad), "{bad}");
        }
        let again = SealKey::from_hex(&key.to_hex()).expect("a key");
        assert!(again.verify(&[b"ab", b"c"], &seal));
        assert_eq!(SealKey::from_hex("07").err(), Some(SealKeyError));
        assert_eq!(format!("{key:?}"), "SealKey");
    }

    #[test]
    fn former_keys_are_proven_by_their_secret_for_one_token() {
        let proof = prove_former("hush", "1");
        assert!(is_former_proven("hush", "1", &proof));
        assert!(!proof.contains("hush") && !proof.contains(&hex::encode("hush")));
        for (secret, token) in [("hush", "2"), ("other", "1"), ("", "1")] {
            assert!(!is_former_proven(secret, token, &proof), "{secret} {token}");
        }
        assert!(!is_former_proven("hush", "1", "") && !is_former_proven("hush", "1", "hush"));
    }

    proptest! {
        #[test]
        fn a_number_is_taken_once(numbers in prop::collection::vec(0..5000_u64, 0..400)) {
            let (mut window, mut taken, mut newest) = (Window::default(), BTreeSet::new(), 0);
            for number in numbers {
                let fresh = number > 0 && number + WINDOW > newest && !taken.contains(&number);
                prop_assert_eq!(window.take(number), fresh);
                if fresh {
                    taken.insert(number);
                    newest = newest.max(number);
                }
            }
        }
    }
}
