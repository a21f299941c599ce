//! Bodies in signed pieces: `aws-chunked`.
//!
//! The request's own signature is the seed; each chunk, and the trailer behind them, is signed over
//! the signature before it, so that no piece can be changed, dropped, doubled or moved. None of the
//! services of this control plane needs it today: their clients hash the whole body. So
//! [`crate::verify`] refuses such a request, and whoever takes bodies of this sort calls
//! [`verify_chunked`], which gives the plain body only after the last signature was checked.
//!
//! What it leaves out: `STREAMING-UNSIGNED-PAYLOAD-TRAILER`, whose body nobody signs, and what a
//! trailer says: a checksum in it is for whoever knows the algorithm.

use sha2::{Digest, Sha256};

use super::{Expected, Seed, Verified, check, same_signature};
use crate::canonical::ALGORITHM;
use crate::error::AuthError;
use crate::request::RequestParts;

const PAYLOAD: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const WITH_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// A body whose pieces are all signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunked {
    /// Without the signatures.
    pub body: Vec<u8>,
    /// Name, in lower case, and value of each trailer, without their signature.
    pub trailers: Vec<(String, String)>,
}

/// Verifies a request with a body in signed chunks; see [`crate::verify`] for the arguments.
///
/// # Errors
/// As [`crate::verify`]; `Mismatch` too for a signature of a piece, and `Incomplete` for pieces that
/// cannot be read.
pub fn verify_chunked<K>(
    parts: &RequestParts<'_>,
    body: &[u8],
    expected: &Expected<'_>,
    now_s: i64,
    lookup: impl FnOnce(&str) -> Option<(String, K)>,
) -> Result<(Verified<K>, Chunked), AuthError> {
    let stated = parts.header("x-amz-content-sha256").unwrap_or_default();
    if stated != PAYLOAD && stated != WITH_TRAILER {
        return Err(AuthError::PayloadMismatch);
    }
    let payload = |_: &_| Ok(stated.to_owned());
    let (verified, seed) = check(parts, payload, expected, now_s, lookup)?;
    let trailers = (stated == WITH_TRAILER).then(|| declared(parts));
    let chunked = Reader { previous: seed.signature.clone(), seed: &seed, rest: body }
        .read(trailers.as_deref())?;
    // The length is signed with the headers.
    let length = parts.header("x-amz-decoded-content-length");
    if length.and_then(|length| length.parse().ok()) != Some(chunked.body.len()) {
        return Err(malformed("x-amz-decoded-content-length is not the length of the chunks"));
    }
    Ok((verified, chunked))
}

/// Names of trailers, as a signed header announces them.
fn declared(parts: &RequestParts<'_>) -> Vec<String> {
    let names = parts.header("x-amz-trailer").unwrap_or_default().split(',');
    names.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
}

fn malformed(what: &str) -> AuthError {
    AuthError::Incomplete(format!("The aws-chunked body cannot be read: {what}."))
}

struct Reader<'a> {
    seed: &'a Seed,
    /// The signature that the next one continues.
    previous: String,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn read(mut self, declared: Option<&[String]>) -> Result<Chunked, AuthError> {
        let mut body = Vec::new();
        while let Some(data) = self.chunk()? {
            body.extend_from_slice(data);
        }
        let trailers = match declared {
            Some(declared) => self.trailers(declared)?,
            None => Vec::new(),
        };
        // One empty line may stand behind the last piece.
        if !matches!(self.rest, b"" | b"\r\n") {
            return Err(malformed("it goes on behind its end"));
        }
        Ok(Chunked { body, trailers })
    }

    /// The data of the next chunk; `None` for the empty one that ends them.
    fn chunk(&mut self) -> Result<Option<&'a [u8]>, AuthError> {
        let line = self.line()?;
        let (size, signature) = line
            .split_once(";chunk-signature=")
            .ok_or_else(|| malformed("a chunk has no signature"))?;
        let hex = (1..=8).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_hexdigit());
        let size = usize::from_str_radix(size, 16).ok().filter(|_| hex);
        let size = size.ok_or_else(|| malformed("a chunk has no size"))?;
        let data = self.rest.get(..size).ok_or_else(|| malformed("a chunk is cut short"))?;
        let text = format!("{}\n{}", hex_digest(b""), hex_digest(data));
        self.check("PAYLOAD", &text, signature)?;
        if size == 0 {
            return Ok(None);
        }
        let rest = self.rest.get(size..).and_then(|rest| rest.strip_prefix(b"\r\n"));
        self.rest = rest.ok_or_else(|| malformed("a chunk is longer than its size"))?;
        Ok(Some(data))
    }

    /// Those that were announced, in that order, and their signature.
    fn trailers(&mut self, declared: &[String]) -> Result<Vec<(String, String)>, AuthError> {
        self.rest = self.rest.strip_prefix(b"\r\n").unwrap_or(self.rest);
        let (mut trailers, mut signed) = (Vec::new(), String::new());
        loop {
            let line = self.line()?;
            let (name, value) =
                line.split_once(':').ok_or_else(|| malformed("a trailer has no value"))?;
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            if name == TRAILER_SIGNATURE {
                self.check("TRAILER", &hex_digest(signed.as_bytes()), value)?;
                break;
            }
            signed.extend([&name, ":", value, "\n"]);
            trailers.push((name, value.to_owned()));
        }
        let names = trailers.iter().map(|(name, _)| name);
        if !names.eq(declared) {
            return Err(malformed("its trailers are not those of x-amz-trailer"));
        }
        Ok(trailers)
    }

    /// Checks the signature of a piece, which the next one continues.
    fn check(&mut self, what: &str, text: &str, signature: &str) -> Result<(), AuthError> {
        let Seed { key, scope, amz_date, .. } = self.seed;
        let previous = &self.previous;
        let ours =
            key.sign(&format!("{ALGORITHM}-{what}\n{amz_date}\n{scope}\n{previous}\n{text}"));
        if !same_signature(&ours, signature) {
            return Err(AuthError::Mismatch);
        }
        self.previous = ours;
        Ok(())
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<&'a str, AuthError> {
        const LINE_MAX: usize = 4096;
        let some = self.rest.get(..LINE_MAX).unwrap_or(self.rest);
        let end = some.windows(2).position(|two| two == b"\r\n");
        let (line, rest) = end
            .and_then(|end| Some((self.rest.get(..end)?, self.rest.get(end + 2..)?)))
            .ok_or_else(|| malformed("it ends before its last chunk"))?;
        self.rest = rest;
        str::from_utf8(line).map_err(|_| malformed("a line is not text"))
    }
}

fn hex_digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
