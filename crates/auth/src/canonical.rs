//! Canonical request, string to sign, signing key and signature of SigV4.
//!
//! Plain functions over request parts; signing and verifying both call [`sign`], so they cannot drift
//! apart.

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sha2::{Digest, Sha256};

use crate::request::RequestParts;
use crate::scheme::Scope;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const TERMINATOR: &str = "aws4_request";

/// RFC 3986's unreserved characters stay; everything else is encoded.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// Percent-encodes a query key or value as AWS does.
pub(crate) fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, STRICT).to_string()
}

/// Decodes a query key or value. `+` is a space: Go's encoder writes it so on the wire and signs `%20`.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).collect()
}

/// What one signature covers, beside the request itself.
pub(crate) struct Covered<'a> {
    pub(crate) scope: &'a Scope<'a>,
    /// `YYYYMMDDTHHMMSSZ`
    pub(crate) amz_date: &'a str,
    /// Lower case, sorted, without repeats.
    pub(crate) signed_headers: &'a [String],
    /// Last line of the canonical request.
    pub(crate) payload: &'a str,
}

/// What a secret signs with on one day, for one region and service.
pub(crate) struct SigningKey([u8; 32]);

impl SigningKey {
    pub(crate) fn new(secret: &str, scope: &Scope<'_>) -> Self {
        let date = hmac(format!("AWS4{secret}").as_bytes(), scope.date.as_bytes());
        let region = hmac(&date, scope.region.as_bytes());
        let service = hmac(&region, scope.service.as_bytes());
        Self(hmac(&service, TERMINATOR.as_bytes()))
    }

    /// The signature of a text, 64 lower-case hexadecimal digits.
    pub(crate) fn sign(&self, text: &str) -> String {
        hex::encode(hmac(&self.0, text.as_bytes()))
    }
}

/// The signature of a request.
pub(crate) fn sign(parts: &RequestParts<'_>, covered: &Covered<'_>, key: &SigningKey) -> String {
    key.sign(&string_to_sign(covered, &canonical_request(parts, covered)))
}

/// Bytes, not text: header values need not be UTF-8.
pub(crate) fn canonical_request(parts: &RequestParts<'_>, covered: &Covered<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut line = |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        out.push(b'\n');
    };
    line(parts.method.to_ascii_uppercase().as_bytes());
    line(canonical_path(parts.path, covered.scope.service).as_bytes());
    line(canonical_query(parts.query).as_bytes());
    for name in covered.signed_headers {
        let values: Vec<Vec<u8>> = parts.values(name).map(trim_all).collect();
        line(&[name.as_bytes(), b":", &values.join(&b',')].concat());
    }
    line(b"");
    line(covered.signed_headers.join(";").as_bytes());
    out.extend_from_slice(covered.payload.as_bytes());
    out
}

fn string_to_sign(covered: &Covered<'_>, request: &[u8]) -> String {
    let hash = hex::encode(Sha256::digest(request));
    format!("{ALGORITHM}\n{}\n{}\n{hash}", covered.amz_date, covered.scope.path())
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Dot segments and repeated slashes are removed and the wire form encoded again; S3 does neither.
fn canonical_path(path: &str, service: &str) -> String {
    if service == "s3" {
        return if path.is_empty() { "/".to_owned() } else { path.to_owned() };
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let tail = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    let clean = format!("/{}{tail}", segments.join("/"));
    percent_encode(clean.as_bytes(), PATH).to_string()
}

/// Sorted by encoded key, then value; the signature itself is never part of it.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query_pairs(query)
        .map(|(key, value)| (encode(&key), encode(&value)))
        .filter(|(key, _)| key != "X-Amz-Signature")
        .collect();
    pairs.sort();
    let pairs: Vec<String> =
        pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join("&")
}

/// The decoded pairs of a query, in order.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

/// Without white space at the ends, and with one space for each run inside.
fn trim_all(value: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> =
        value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized_and_encoded_again() {
        for (wire, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/../b/./c/", "/b/c/"),
            ("/..", "/"),
            ("/a%20b", "/a%2520b"),
            ("/a b=c", "/a%20b%3Dc"),
        ] {
            assert_eq!(canonical_path(wire, "ecs"), canonical, "{wire}");
        }
        assert_eq!(canonical_path("/a//../b%20c", "s3"), "/a//../b%20c");
    }

    #[test]
    fn queries_are_sorted_and_encoded_once() {
        for (wire, canonical) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1", "a=1&a=2"),
            ("a", "a="),
            ("a=x+y%3a&X-Amz-Signature=0", "a=x%20y%3A"),
            ("&&a=b=c", "a=b%3Dc"),
            ("a=%zz", "a=%25zz"),
        ] {
            assert_eq!(canonical_query(wire), canonical, "{wire}");
        }
    }
}
