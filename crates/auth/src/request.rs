//! The parts of an HTTP request that a signature covers, borrowed from whoever holds them.

use sha2::{Digest, Sha256};

/// Method, target and headers of a request as they stand on the wire.
///
/// `path` and `query` are still percent-encoded; `query` has no leading `?`. Header names may
/// have any case; a header sent twice appears twice, in order.
#[derive(Clone, Debug)]
pub struct RequestParts<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> RequestParts<'a> {
    /// Parts from the pieces of a request.
    pub fn new(
        method: &'a str,
        path: &'a str,
        query: &'a str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        Self { method, path, query, headers: headers.into_iter().collect() }
    }

    /// The first value of a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.values(name).next().and_then(|value| str::from_utf8(value).ok()).map(str::trim)
    }

    /// Every value of a header, in order.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }
}

/// The hash of a request body that enters the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadHash {
    /// SHA-256 of the body.
    Sha256([u8; 32]),
    /// `UNSIGNED-PAYLOAD`: the signature does not cover the body.
    Unsigned,
}

impl PayloadHash {
    /// The hash of `body`.
    pub fn of(body: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(body).into())
    }

    /// Whether it is the hash of an empty body.
    pub(crate) fn is_of_nothing(&self) -> bool {
        *self == Self::of(b"")
    }

    /// The form in the canonical request and in `x-amz-content-sha256`.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Sha256(digest) => hex::encode(digest),
            Self::Unsigned => UNSIGNED_PAYLOAD.to_owned(),
        }
    }
}

pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
