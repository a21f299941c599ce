//! One row for each way in which a signature is refused.

use longshore_auth::{AuthError, Expected, PRESIGN_MAX_S, PresignError, Protocol, presign, verify};

use crate::{NOW_S, Request, example, run_task};

fn outcome(request: &Request, now_s: i64) -> Result<(), AuthError> {
    let expected = Expected { region: Some("us-east-1"), service: Some("ecs") };
    let known = example();
    verify(&request.parts(), &request.payload(), &expected, now_s, |id| {
        (id == known.access_key_id).then(|| (known.secret_access_key.clone(), ()))
    })
    .map(|_| ())
}

/// Signs a call, changes it, and compares code and start of the text.
fn check(change: impl FnOnce(&mut Request), now_s: i64, code: &str, text: &str) {
    let mut request = run_task();
    request.sign(&example(), NOW_S);
    change(&mut request);
    let error = outcome(&request, now_s).expect_err(code);
    let response = error.response(Protocol::Json);
    assert_eq!((response.code, response.status), (code, 400));
    assert!(response.message.starts_with(text), "{} should start with {text}", response.message);
}

fn authorization(request: &Request) -> String {
    request.parts().header("authorization").expect("signed").to_owned()
}

fn edit(from: &'static str, to: &'static str) -> impl FnOnce(&mut Request) {
    move |request| {
        let header = authorization(request);
        assert!(header.contains(from), "{header} has {from}");
        request.set("authorization", &header.replace(from, to));
    }
}

const INVALID: &str = "InvalidSignatureException";
const INCOMPLETE: &str = "IncompleteSignatureException";
const MISMATCH: &str = "The request signature we calculated does not match";

#[test]
fn header_signatures_are_refused_as_aws_does() {
    let none = |r: &mut Request| r.headers.retain(|(name, _)| name != "authorization");
    check(none, NOW_S, "MissingAuthenticationTokenException", "Missing Authentication Token");
    let missing = "MissingAuthenticationTokenException";
    check(edit("AWS4-HMAC-SHA256", "Basic"), NOW_S, missing, "Missing Authentication Token");
    check(
        edit("Credential=", "Credentials="),
        NOW_S,
        INCOMPLETE,
        "Authorization header requires 'Credential'",
    );
    check(edit("Signature=", "Signature"), NOW_S, INCOMPLETE, "'Signature");
    check(edit("/ecs/", "/"), NOW_S, INCOMPLETE, "Credential must have exactly 5");
    check(edit("aws4_request", "aws3"), NOW_S, INVALID, "Credential should be scoped with a valid");
    check(
        edit("us-east-1", "eu-west-1"),
        NOW_S,
        INVALID,
        "Credential should be scoped to a valid region",
    );
    check(
        edit("/ecs/", "/ecr/"),
        NOW_S,
        INVALID,
        "Credential should be scoped to correct service: 'ecs'",
    );
    check(edit("20150830", "20150829"), NOW_S, INVALID, "Date in Credential scope does not match");
    check(edit("host;", ""), NOW_S, INVALID, "'Host' or ':authority' must be");
    check(edit(";x-amz-target", ""), NOW_S, INVALID, "'x-amz-target' must be a 'SignedHeader'");
    check(
        edit("AKIDEXAMPLE", "AKIDOTHER"),
        NOW_S,
        "UnrecognizedClientException",
        "The security token",
    );
    check(edit("Signature=", "Signature=0"), NOW_S, INVALID, MISMATCH);
    check(|r| r.set("x-amz-date", "yesterday"), NOW_S, INCOMPLETE, "Date must be");
    check(|r| r.body.push(b' '), NOW_S, INVALID, MISMATCH);
    check(|r| r.set("host", "other"), NOW_S, INVALID, MISMATCH);
    check(|r| r.set("x-amz-target", "X.StopTask"), NOW_S, INVALID, MISMATCH);
    check(|r| r.set("x-amz-new", "1"), NOW_S, INVALID, "'x-amz-new' must be a 'SignedHeader'");
    check(|r| r.query = "X-Amz-Algorithm=x".to_owned(), NOW_S, INVALID, "Found both");
    let twice = |r: &mut Request| r.headers.push(("Authorization".to_owned(), b"x".to_vec()));
    check(twice, NOW_S, INCOMPLETE, "Request carries more");
}

#[test]
fn the_clock_may_differ_by_five_minutes() {
    let mut request = run_task();
    request.sign(&example(), NOW_S);
    for now_s in [NOW_S - 300, NOW_S, NOW_S + 300] {
        assert_eq!(outcome(&request, now_s), Ok(()), "{now_s}");
    }
    check(
        |_| (),
        NOW_S + 301,
        INVALID,
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)",
    );
    check(
        |_| (),
        NOW_S - 301,
        INVALID,
        "Signature not yet current: 20150830T123600Z is still later than",
    );
}

#[test]
fn a_stated_payload_hash_must_be_true() {
    let mut request = run_task();
    request.set("x-amz-content-sha256", &"0".repeat(64));
    request.sign(&example(), NOW_S);
    let error = outcome(&request, NOW_S).expect_err("a false hash");
    assert_eq!(error, AuthError::PayloadMismatch);
}

#[test]
fn presigned_urls_live_as_long_as_they_say() {
    let mut request = Request { body: Vec::new(), query: "a=b".to_owned(), ..run_task() };
    request.headers.truncate(1);
    let sign = |expires_s| {
        let (parts, payload) = (request.parts(), request.payload());
        presign(&parts, &payload, &example(), ("us-east-1", "ecs"), expires_s, NOW_S)
    };
    assert_eq!(sign(0), Err(PresignError::Expires));
    assert_eq!(sign(PRESIGN_MAX_S + 1), Err(PresignError::Expires));
    let query = sign(60).expect("in range");
    let signed = |query: &str| Request { query: query.to_owned(), ..request.clone() };
    assert_eq!(outcome(&signed(&query), NOW_S + 60), Ok(()));
    let late = outcome(&signed(&query), NOW_S + 61);
    assert!(matches!(late, Err(AuthError::Expired { life_s: 60, .. })), "{late:?}");
    let longer = query.replace("Expires=60", "Expires=600");
    assert_eq!(outcome(&signed(&longer), NOW_S), Err(AuthError::Mismatch));
    for bad in ["Expires=604801", "Expires=0", "Expires=x", "Expires=-1"] {
        let bad = outcome(&signed(&query.replace("Expires=60", bad)), NOW_S);
        assert!(matches!(bad, Err(AuthError::Incomplete(_))), "{bad:?}");
    }
    let twice = format!("{query}&X-Amz-Date=20150830T123600Z");
    assert!(matches!(outcome(&signed(&twice), NOW_S), Err(AuthError::Incomplete(_))));
}

#[test]
fn a_space_may_travel_as_plus() {
    let mut request = Request { query: "v=Docker%20Version".to_owned(), ..run_task() };
    request.sign(&example(), NOW_S);
    "v=Docker+Version".clone_into(&mut request.query);
    assert_eq!(outcome(&request, NOW_S), Ok(()));
}

#[test]
fn a_date_header_will_do() {
    let mut request = run_task();
    request.sign(&example(), NOW_S);
    let old = authorization(&request);
    request.headers.retain(|(name, _)| name != "x-amz-date");
    request.set("date", "Sun, 30 Aug 2015 12:36:00 GMT");
    request.set("authorization", &old.replace("host;x-amz-date", "date;host"));
    // The signature covers other headers now; what counts is that the time is found.
    assert_eq!(outcome(&request, NOW_S), Err(AuthError::Mismatch));
    assert!(matches!(outcome(&request, NOW_S + 999), Err(AuthError::Expired { .. })));
}
