//! Where a request carries its signature: the `Authorization` header or the `X-Amz-*` query.

use std::collections::BTreeMap;

use crate::canonical::{ALGORITHM, TERMINATOR, query_pairs};
use crate::error::AuthError;
use crate::request::RequestParts;
use crate::{PRESIGN_MAX_S, SIGNED_HEADERS_MAX, date};

/// Date, region and service that a signing key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// `YYYYMMDD`
    pub date: &'a str,
    /// E.g. `us-east-1`.
    pub region: &'a str,
    /// Signing name, e.g. `ecs`.
    pub service: &'a str,
}

impl Scope<'_> {
    /// `date/region/service/aws4_request`
    pub(crate) fn path(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

/// What a request says about itself before its body is read or its signature checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// The access key that claims to have signed.
    pub access_key_id: String,
    /// Region of the credential scope.
    pub region: String,
    /// Service of the credential scope, e.g. `ecs`.
    pub service: String,
}

/// Finds access key, region and service; `None` when the request carries no readable credential.
///
/// Nothing of it is verified: use it to choose a service, never to trust a caller.
pub fn peek(parts: &RequestParts<'_>) -> Option<Peeked> {
    let text = match parts.header("authorization") {
        Some(header) => {
            fields(header.strip_prefix(ALGORITHM)?).ok()?.remove("Credential").map(str::to_owned)?
        }
        None => query_value(parts.query, "X-Amz-Credential")?,
    };
    let credential = Credential::parse(&text).ok()?;
    Some(Peeked {
        access_key_id: credential.access_key_id,
        region: credential.region,
        service: credential.service,
    })
}

/// The session token of a request, from either place; like [`peek`], nothing of it is verified.
pub fn session_token(parts: &RequestParts<'_>) -> Option<String> {
    match parts.header("x-amz-security-token") {
        Some(token) => Some(token.to_owned()),
        None => query_value(parts.query, "X-Amz-Security-Token"),
    }
}

/// `access-key/date/region/service/aws4_request`
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) access_key_id: String,
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Credential {
    fn parse(text: &str) -> Result<Self, AuthError> {
        // The access key comes first and could itself hold slashes, so the scope is cut from the end.
        let mut parts: Vec<&str> = text.rsplitn(5, '/').collect();
        parts.reverse();
        let [key, date, region, service, terminator] = parts[..] else {
            return Err(AuthError::Incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{text}'"
            )));
        };
        if terminator != TERMINATOR {
            return Err(AuthError::Invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not \
                 '{terminator}'."
            )));
        }
        let owned = str::to_owned;
        Ok(Self {
            access_key_id: owned(key),
            date: owned(date),
            region: owned(region),
            service: owned(service),
        })
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { date: &self.date, region: &self.region, service: &self.service }
    }
}

/// A signature with everything it states, from either place.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) credential: Credential,
    /// Lower case, sorted, without repeats.
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: String,
    /// Seconds since the Unix epoch at which the caller signed.
    pub(crate) signed_at_s: i64,
    /// Life of a presigned URL in seconds; `None` for a signature in headers.
    pub(crate) expires_s: Option<u32>,
    pub(crate) session_token: Option<String>,
}

impl Claim {
    /// Reads the claim of a request.
    ///
    /// # Errors
    /// `MissingAuthenticationToken` when there is none, `IncompleteSignature` when it lacks a part.
    pub(crate) fn read(parts: &RequestParts<'_>) -> Result<Self, AuthError> {
        let presigned = query_value(parts.query, "X-Amz-Algorithm").is_some();
        match (parts.values("authorization").count(), presigned) {
            (0, false) => Err(AuthError::Missing),
            (0, true) => Self::from_query(parts),
            (1, false) => Self::from_header(parts),
            (_, true) => Err(AuthError::Invalid(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP \
                 header."
                    .to_owned(),
            )),
            _ => Err(AuthError::Incomplete(
                "Request carries more than one authorization; only one is allowed.".to_owned(),
            )),
        }
    }

    fn from_header(parts: &RequestParts<'_>) -> Result<Self, AuthError> {
        let header = parts.header("authorization").unwrap_or_default();
        // Another scheme is no signature at all, as AWS has it.
        if !header.starts_with("AWS4-") {
            return Err(AuthError::Missing);
        }
        let (algorithm, rest) =
            header.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((header, ""));
        check_algorithm(algorithm)?;
        check_once(parts)?;
        let fields = fields(rest)?;
        let date = parts.header("x-amz-date").or_else(|| parts.header("date"));
        let mut missing = Vec::new();
        let mut need = |name: &str| {
            let value = fields.get(name).copied().filter(|value| !value.is_empty());
            if value.is_none() {
                missing.push(format!("Authorization header requires '{name}' parameter."));
            }
            value.unwrap_or_default()
        };
        let (credential, signature, signed) =
            (need("Credential"), need("Signature"), need("SignedHeaders"));
        if date.is_none() {
            missing.push(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                 header."
                    .to_owned(),
            );
        }
        if !missing.is_empty() {
            return Err(AuthError::Incomplete(missing.join(" ")));
        }
        let known = ["Credential", "SignedHeaders", "Signature"];
        if let Some(name) = fields.keys().find(|name| !known.contains(name)) {
            return Err(AuthError::Incomplete(format!(
                "'{name}' is not a parameter of the Authorization header."
            )));
        }
        Ok(Self {
            credential: Credential::parse(credential)?,
            signed_headers: signed_headers(signed)?,
            signature: signature.to_owned(),
            signed_at_s: date.and_then(date::parse_header).ok_or_else(bad_date)?,
            expires_s: None,
            session_token: parts.header("x-amz-security-token").map(str::to_owned),
        })
    }

    fn from_query(parts: &RequestParts<'_>) -> Result<Self, AuthError> {
        let fields = query_fields(parts.query)?;
        let need = |name: &str| {
            fields.get(name).cloned().ok_or_else(|| {
                AuthError::Incomplete(format!("AWS query-string parameters must include '{name}'."))
            })
        };
        check_algorithm(&need("X-Amz-Algorithm")?)?;
        check_once(parts)?;
        let expires = need("X-Amz-Expires")?;
        let expires_s = expires.parse::<u32>().ok().filter(|s| (1..=PRESIGN_MAX_S).contains(s));
        Ok(Self {
            credential: Credential::parse(&need("X-Amz-Credential")?)?,
            signed_headers: signed_headers(&need("X-Amz-SignedHeaders")?)?,
            signature: need("X-Amz-Signature")?,
            signed_at_s: date::parse(&need("X-Amz-Date")?).ok_or_else(bad_date)?,
            expires_s: Some(expires_s.ok_or_else(|| {
                AuthError::Incomplete(format!(
                    "X-Amz-Expires must be a number of seconds from 1 to a week, that is \
                     {PRESIGN_MAX_S}"
                ))
            })?),
            session_token: fields.get("X-Amz-Security-Token").cloned(),
        })
    }
}

/// There is one; anything else would be a way around it.
fn check_algorithm(algorithm: &str) -> Result<(), AuthError> {
    if algorithm == ALGORITHM {
        return Ok(());
    }
    Err(AuthError::Incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")))
}

/// Headers that a signature is read from stand once: of two, one could be signed and the other meant.
fn check_once(parts: &RequestParts<'_>) -> Result<(), AuthError> {
    const ONCE: [&str; 5] =
        ["date", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];
    match ONCE.into_iter().find(|name| parts.values(name).count() > 1) {
        None => Ok(()),
        Some(name) => Err(AuthError::Incomplete(format!(
            "Request carries more than one '{name}' header; only one is allowed."
        ))),
    }
}

fn bad_date() -> AuthError {
    AuthError::Incomplete(
        "Date must be in ISO-8601 'basic format', e.g. '20150830T123600Z'.".to_owned(),
    )
}

/// `Credential=…, SignedHeaders=…, Signature=…`; the order and the white space are free.
fn fields(rest: &str) -> Result<BTreeMap<&str, &str>, AuthError> {
    let mut fields = BTreeMap::new();
    for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let repeated = match part.split_once('=') {
            Some((key, value)) => fields.insert(key, value).is_some(),
            None => {
                return Err(AuthError::Incomplete(format!(
                    "'{part}' not a valid key=value pair (missing equal-sign) in Authorization \
                     header."
                )));
            }
        };
        if repeated {
            return Err(AuthError::Incomplete(
                "Authorization header repeats a parameter.".to_owned(),
            ));
        }
    }
    Ok(fields)
}

/// The list is signed as it stands, and signers write it in lower case, sorted and without repeats;
/// so any other form cannot be what was signed.
fn signed_headers(text: &str) -> Result<Vec<String>, AuthError> {
    let names: Vec<String> =
        text.split(';').take(SIGNED_HEADERS_MAX + 1).map(str::to_owned).collect();
    if names.len() > SIGNED_HEADERS_MAX {
        return Err(AuthError::Incomplete("SignedHeaders names too many headers.".to_owned()));
    }
    let lower = names.iter().all(|name| !name.bytes().any(|b| b.is_ascii_uppercase()));
    let sorted = names.is_sorted_by(|a, b| a < b);
    if lower && sorted { Ok(names) } else { Err(AuthError::Mismatch) }
}

/// The `X-Amz-*` parameters of a query; one that repeats is refused rather than chosen from.
fn query_fields(query: &str) -> Result<BTreeMap<String, String>, AuthError> {
    let mut fields = BTreeMap::new();
    for (key, value) in query_pairs(query).filter(|(key, _)| key.starts_with(b"X-Amz-")) {
        let (Ok(key), Ok(value)) = (String::from_utf8(key), String::from_utf8(value)) else {
            return Err(AuthError::Incomplete("X-Amz- parameters must be UTF-8.".to_owned()));
        };
        if fields.insert(key, value).is_some() {
            return Err(AuthError::Incomplete("An X-Amz- parameter is repeated.".to_owned()));
        }
    }
    Ok(fields)
}

fn query_value(query: &str, name: &str) -> Option<String> {
    let (_, value) = query_pairs(query).find(|(key, _)| key == name.as_bytes())?;
    String::from_utf8(value).ok()
}
