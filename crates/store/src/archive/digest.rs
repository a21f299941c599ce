//! The digest of an archive: of keys and values in their order.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Takes in what an archive holds.
#[derive(Clone, Default)]
pub(super) struct Digest(Sha256);

impl Digest {
    pub(super) fn key(&mut self, key: &str, value: &[u8]) {
        self.part(b"key", &[key.as_bytes(), value]);
    }

    pub(super) fn entry(&mut self, log: &str, value: &[u8]) {
        self.part(b"entry", &[log.as_bytes(), value]);
    }

    pub(super) fn place(&mut self, key: &str, value: &str, entries: u64, index: u64) {
        let (entries, index) = (entries.to_be_bytes(), index.to_be_bytes());
        self.part(b"place", &[key.as_bytes(), value.as_bytes(), &entries, &index]);
    }

    /// Each piece after its length, so that no two lists of pieces are the same bytes.
    fn part(&mut self, kind: &[u8], pieces: &[&[u8]]) {
        for piece in [kind].iter().chain(pieces) {
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.0.update(length.to_be_bytes());
            self.0.update(piece);
        }
    }

    pub(super) fn text(self) -> String {
        format!("sha256:{}", hex::encode(self.0.finalize()))
    }
}

/// A value as an archive shows it.
pub(super) fn shown(value: &Bytes) -> super::Value {
    match std::str::from_utf8(value) {
        Ok(text) => super::Value::Value(text.to_owned()),
        Err(_) => super::Value::Hex(hex::encode(value)),
    }
}

/// A value as an archive has shown it.
pub(super) fn bytes(shown: super::Value) -> Result<Bytes, String> {
    match shown {
        super::Value::Value(text) => Ok(text.into()),
        super::Value::Hex(text) => hex::decode(text).map(Bytes::from).map_err(|e| e.to_string()),
    }
}
