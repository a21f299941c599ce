//! Checks the signature of a request against a secret that the caller looks up.

mod chunked;

use subtle::ConstantTimeEq;

use crate::canonical::{self, Covered, SigningKey};
use crate::error::AuthError;
use crate::request::{PayloadHash, RequestParts, UNSIGNED_PAYLOAD};
use crate::scheme::{Claim, Credential};
use crate::{CLOCK_SKEW_S, date};

pub use chunked::{Chunked, verify_chunked};

/// What the credential scope must name; `None` takes any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// Region that this endpoint serves.
    pub region: Option<&'a str>,
    /// Service that the request was routed to.
    pub service: Option<&'a str>,
}

/// A request whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<K> {
    /// What the lookup gave for the access key.
    pub key: K,
    /// The access key that signed.
    pub access_key_id: String,
    /// The session token, as sent; whether it is good is for the owner of the keys to say.
    pub session_token: Option<String>,
}

/// Verifies a request signed in its headers or its query.
///
/// `body` is the hash of the body as received. `lookup` gives the secret and whatever the
/// caller keeps beside it for an access key. An unknown key costs what a known one does, so that
/// the time of an answer does not tell which keys there are.
///
/// A request may come again while its signature is fresh, as at AWS.
///
/// # Errors
/// Every way in which AWS refuses a signature; see [`AuthError`].
pub fn verify<K>(
    parts: &RequestParts<'_>,
    body: &PayloadHash,
    expected: &Expected<'_>,
    now_s: i64,
    lookup: impl FnOnce(&str) -> Option<(String, K)>,
) -> Result<Verified<K>, AuthError> {
    let payload = |claim: &Claim| payload(parts, claim, body);
    check(parts, payload, expected, now_s, lookup).map(|(verified, _)| verified)
}

/// What signs in place of a secret that nobody has; as long as those of AWS.
const NO_SECRET: &str = "0000000000000000000000000000000000000000";

/// What a checked signature leaves for those that continue it.
struct Seed {
    key: SigningKey,
    /// `date/region/service/aws4_request`
    scope: String,
    amz_date: String,
    signature: String,
}

/// Verifies a request whose last line of the canonical request is `payload`.
fn check<K>(
    parts: &RequestParts<'_>,
    payload: impl FnOnce(&Claim) -> Result<String, AuthError>,
    expected: &Expected<'_>,
    now_s: i64,
    lookup: impl FnOnce(&str) -> Option<(String, K)>,
) -> Result<(Verified<K>, Seed), AuthError> {
    let claim = Claim::read(parts)?;
    check_scope(&claim, expected)?;
    check_time(&claim, now_s)?;
    check_headers(parts, &claim)?;
    let payload = payload(&claim)?;
    let (secret, found) = match lookup(&claim.credential.access_key_id) {
        Some((secret, key)) => (secret, Some(key)),
        None => (NO_SECRET.to_owned(), None),
    };
    let scope = claim.credential.scope();
    let amz_date = date::format(claim.signed_at_s);
    let covered = Covered {
        scope: &scope,
        amz_date: &amz_date,
        signed_headers: &claim.signed_headers,
        payload: &payload,
    };
    let key = SigningKey::new(&secret, &scope);
    let signature = canonical::sign(parts, &covered, &key);
    let same = same_signature(&signature, &claim.signature);
    let found = found.ok_or(AuthError::UnknownKey)?;
    if !same {
        return Err(AuthError::Mismatch);
    }
    let seed = Seed { key, scope: scope.path(), amz_date, signature };
    let Credential { access_key_id, .. } = claim.credential;
    Ok((Verified { key: found, access_key_id, session_token: claim.session_token }, seed))
}

/// Compares in constant time.
fn same_signature(ours: &str, theirs: &str) -> bool {
    ours.as_bytes().ct_eq(theirs.as_bytes()).into()
}

fn check_scope(claim: &Claim, expected: &Expected<'_>) -> Result<(), AuthError> {
    let scope = claim.credential.scope();
    let mut wrong = Vec::new();
    if expected.region.is_some_and(|region| region != scope.region) || scope.region.is_empty() {
        wrong.push("Credential should be scoped to a valid region.".to_owned());
    }
    if let Some(service) = expected.service.filter(|service| *service != scope.service) {
        wrong.push(format!("Credential should be scoped to correct service: '{service}'."));
    }
    let full = date::format(claim.signed_at_s);
    let day = full.get(..8).unwrap_or_default();
    if scope.date != day {
        wrong.push(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{}' != '{day}', from '{full}'.",
            scope.date
        ));
    }
    if wrong.is_empty() { Ok(()) } else { Err(AuthError::Invalid(wrong.join(" "))) }
}

fn check_time(claim: &Claim, now_s: i64) -> Result<(), AuthError> {
    let signed_at_s = claim.signed_at_s;
    if signed_at_s > now_s.saturating_add(CLOCK_SKEW_S) {
        return Err(AuthError::NotYetCurrent { signed_at_s, now_s });
    }
    let life_s = claim.expires_s.map_or(CLOCK_SKEW_S, i64::from);
    if signed_at_s < now_s.saturating_sub(life_s) {
        return Err(AuthError::Expired { signed_at_s, now_s, life_s });
    }
    Ok(())
}

/// `host` must be signed, and so must every `x-amz-*` header that is there: one of them chooses
/// the operation. Only the session token may be added after signing, as some signers do: it has to
/// belong to the key, or it is refused.
fn check_headers(parts: &RequestParts<'_>, claim: &Claim) -> Result<(), AuthError> {
    let signed =
        |name: &str| claim.signed_headers.binary_search_by(|n| n.as_str().cmp(name)).is_ok();
    if !signed("host") {
        return Err(AuthError::Invalid(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    let mut names: Vec<String> =
        parts.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    let needs_signing = |name: &str| name.starts_with("x-amz-") && name != "x-amz-security-token";
    if let Some(name) = names.iter().find(|name| needs_signing(name) && !signed(name)) {
        return Err(AuthError::Invalid(format!(
            "'{name}' must be a 'SignedHeader' in the AWS Authorization."
        )));
    }
    let absent = claim.signed_headers.iter().find(|name| names.binary_search(name).is_err());
    if let Some(name) = absent {
        return Err(AuthError::Invalid(format!(
            "'{name}' is a 'SignedHeader' in the AWS Authorization, but the request lacks it."
        )));
    }
    Ok(())
}

/// The last line of the canonical request. A stated hash must be the hash of what came; only S3
/// takes a body that its signature does not cover.
fn payload(
    parts: &RequestParts<'_>,
    claim: &Claim,
    body: &PayloadHash,
) -> Result<String, AuthError> {
    let of_body = body.text();
    let s3 = claim.credential.service == "s3";
    let may_be_unsigned = s3 || matches!(body, PayloadHash::Unsigned) || body.is_of_nothing();
    match parts.header("x-amz-content-sha256") {
        Some(UNSIGNED_PAYLOAD) if may_be_unsigned => Ok(UNSIGNED_PAYLOAD.to_owned()),
        Some(stated) if stated == of_body => Ok(of_body),
        Some(_) => Err(AuthError::PayloadMismatch),
        // Presigned S3 URLs never cover the body: their signer did not have it.
        None if claim.expires_s.is_some() && s3 => Ok(UNSIGNED_PAYLOAD.to_owned()),
        None => Ok(of_body),
    }
}
