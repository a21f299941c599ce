//! Signs requests: in headers, as the agent does for its calls and websocket upgrades, or as a
//! presigned URL.

use core::fmt;

use crate::canonical::{self, ALGORITHM, Covered, SigningKey, encode};
use crate::request::{PayloadHash, RequestParts};
use crate::scheme::Scope;
use crate::{PRESIGN_MAX_S, date};

/// What a client signs with. `Debug` shows the access key only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Public half, sent with the request.
    pub access_key_id: String,
    /// Secret half, never sent.
    pub secret_access_key: String,
    /// Token of temporary credentials, sent and signed.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Why a URL cannot be presigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresignError {
    /// The life is zero or longer than a week.
    Expires,
}

impl fmt::Display for PresignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a presigned URL lives 1 to {PRESIGN_MAX_S} seconds")
    }
}

impl core::error::Error for PresignError {}

/// Signs a request and gives the headers to add to it.
///
/// `parts` must hold the `host` header and, when it matters, `content-type` and `x-amz-target`.
/// Every header in `parts` is signed except those that the connection or an intermediary may
/// change.
pub fn sign(
    parts: &RequestParts<'_>,
    payload: &PayloadHash,
    credentials: &Credentials,
    region: &str,
    service: &str,
    now_s: i64,
) -> Vec<(&'static str, String)> {
    let amz_date = date::format(now_s);
    let mut added = vec![("x-amz-date", amz_date.clone())];
    if let Some(token) = &credentials.session_token {
        added.push(("x-amz-security-token", token.clone()));
    }
    if *payload == PayloadHash::Unsigned {
        added.push(("x-amz-content-sha256", payload.text()));
    }
    let mut parts = parts.clone();
    parts.headers.retain(|(name, _)| added.iter().all(|(new, _)| !name.eq_ignore_ascii_case(new)));
    parts.headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let names = header_names(&parts);
    let scope = Scope { date: &amz_date[..8], region, service };
    let covered = Covered {
        scope: &scope,
        amz_date: &amz_date,
        signed_headers: &names,
        payload: &payload.text(),
    };
    let key = SigningKey::new(&credentials.secret_access_key, &scope);
    let signature = canonical::sign(&parts, &covered, &key);
    let authorization = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
        credentials.access_key_id,
        scope.path(),
        names.join(";"),
    );
    added.push(("authorization", authorization));
    added
}

/// Presigns a URL and gives its whole query string, without `?`.
///
/// # Errors
/// [`PresignError`] when `expires_s` is out of range.
pub fn presign(
    parts: &RequestParts<'_>,
    payload: &PayloadHash,
    credentials: &Credentials,
    (region, service): (&str, &str),
    expires_s: u32,
    now_s: i64,
) -> Result<String, PresignError> {
    if !(1..=PRESIGN_MAX_S).contains(&expires_s) {
        return Err(PresignError::Expires);
    }
    let amz_date = date::format(now_s);
    let scope = Scope { date: &amz_date[..8], region, service };
    let names = header_names(parts);
    let credential = format!("{}/{}", credentials.access_key_id, scope.path());
    let mut query = parts.query.to_owned();
    let mut add = |name: &str, value: &str| {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        query.push_str(&encode(value.as_bytes()));
    };
    add("X-Amz-Algorithm", ALGORITHM);
    add("X-Amz-Credential", &credential);
    add("X-Amz-Date", &amz_date);
    add("X-Amz-Expires", &expires_s.to_string());
    add("X-Amz-SignedHeaders", &names.join(";"));
    if let Some(token) = &credentials.session_token {
        add("X-Amz-Security-Token", token);
    }
    let unsigned = RequestParts { query: &query, ..parts.clone() };
    let covered = Covered {
        scope: &scope,
        amz_date: &amz_date,
        signed_headers: &names,
        payload: &payload.text(),
    };
    let key = SigningKey::new(&credentials.secret_access_key, &scope);
    let signature = canonical::sign(&unsigned, &covered, &key);
    Ok(format!("{query}&X-Amz-Signature={signature}"))
}

fn header_names(parts: &RequestParts<'_>) -> Vec<String> {
    let mut names: Vec<String> = parts
        .headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .filter(|name| !may_change(name))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Headers that belong to one connection, or that intermediaries and clients rewrite.
fn may_change(name: &str) -> bool {
    const LOOSE: [&str; 9] = [
        "authorization",
        "connection",
        "content-length",
        "expect",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    ];
    LOOSE.contains(&name) || name.starts_with("sec-websocket-")
}
