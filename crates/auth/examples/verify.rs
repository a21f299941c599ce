//! Verifies requests for `tests/test_signatures.py`: one JSON object for each on standard input, and
//! for each a line on standard output, `ok` or the code of AWS's error.
//!
//! Keys of an object: `method`, `path`, `query`, `headers` (pairs), `body` (hexadecimal), `region`,
//! `service`, `now_s`, and what the signer had: `access_key`, `secret_key`, `token`.

use std::io::{BufRead, Write};

use longshore_auth::{
    AuthError, Expected, PayloadHash, Protocol, RequestParts, verify, verify_chunked,
};
use serde_json::Value;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let code = match outcome(&request) {
            Ok(()) => "ok",
            Err(error) => error.response(Protocol::Query).code,
        };
        writeln!(out, "{code}")?;
    }
    Ok(out.flush()?)
}

fn outcome(request: &Value) -> Result<(), AuthError> {
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    let headers = request["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let headers = headers.iter().map(|pair| {
        let at = |index: usize| pair[index].as_str().unwrap_or_default();
        (at(0), at(1).as_bytes())
    });
    let parts = RequestParts::new(text("method"), text("path"), text("query"), headers);
    let body = hex::decode(text("body")).unwrap_or_default();
    let expected = Expected { region: Some(text("region")), service: Some(text("service")) };
    let now_s = request["now_s"].as_i64().unwrap_or_default();
    let lookup = |id: &str| (id == text("access_key")).then(|| (text("secret_key").to_owned(), ()));
    let chunked = parts.header("x-amz-content-sha256").is_some_and(|h| h.starts_with("STREAMING"));
    let verified = if chunked {
        verify_chunked(&parts, &body, &expected, now_s, lookup)?.0
    } else {
        verify(&parts, &PayloadHash::of(&body), &expected, now_s, lookup)?
    };
    let token = request["token"].as_str().map(str::to_owned);
    if verified.session_token == token { Ok(()) } else { Err(AuthError::UnknownKey) }
}
