//! What an attacker may try with a request that was signed by somebody else.

use std::hint::black_box;
use std::time::{Duration, Instant};

use longshore_auth::{AuthError, Credentials, Expected, presign, verify};

use crate::{NOW_S, Request, example, run_task};

fn outcome(request: &Request) -> Result<Option<String>, AuthError> {
    let known = example();
    verify(&request.parts(), &request.payload(), &Expected::default(), NOW_S, |id| {
        (id == known.access_key_id).then(|| (known.secret_access_key.clone(), ()))
    })
    .map(|verified| verified.session_token)
}

/// A signed request with a query.
fn signed() -> Request {
    let query = "Action=Run&Version=1&v=a%2520b".to_owned();
    let mut request = Request { query, path: "/a/b%20c".to_owned(), ..run_task() };
    request.sign(&example(), NOW_S);
    assert_eq!(outcome(&request), Ok(None));
    request
}

fn refused(change: impl FnOnce(&mut Request)) -> AuthError {
    let mut request = signed();
    change(&mut request);
    outcome(&request).expect_err("not what was signed")
}

fn mismatch(change: impl FnOnce(&mut Request)) {
    assert_eq!(refused(change), AuthError::Mismatch);
}

fn incomplete(change: impl FnOnce(&mut Request), text: &str) {
    let AuthError::Incomplete(found) = refused(change) else { panic!("Incomplete: {text}") };
    assert!(found.starts_with(text), "{found} should start with {text}");
}

fn authorization(change: impl FnOnce(String) -> String) -> impl FnOnce(&mut Request) {
    |request| {
        let header = request.parts().header("authorization").expect("signed").to_owned();
        request.set("authorization", &change(header));
    }
}

fn replaced(from: &'static str, to: &'static str) -> impl FnOnce(&mut Request) {
    authorization(move |header| {
        assert!(header.contains(from), "{header} has {from}");
        header.replace(from, to)
    })
}

#[test]
fn replayed_within_its_window_only() {
    let request = signed();
    assert_eq!(outcome(&request), Ok(None));
    assert_eq!(outcome(&request), Ok(None));
    let known = |_: &str| Some((example().secret_access_key, ()));
    let later =
        verify(&request.parts(), &request.payload(), &Expected::default(), NOW_S + 301, known);
    assert!(matches!(later, Err(AuthError::Expired { .. })));
    // A fresh date does not help.
    mismatch(|r| r.set("x-amz-date", "20150830T123601Z"));
    let other_day = |r: &mut Request| {
        r.set("x-amz-date", "20150831T000000Z");
        replaced("/20150830/", "/20150831/")(r);
    };
    assert!(matches!(refused(other_day), AuthError::NotYetCurrent { .. }));
}

#[test]
fn truncated() {
    mismatch(authorization(|header| header[..header.len() - 1].to_owned()));
    mismatch(|r| r.body.truncate(r.body.len() - 1));
    mismatch(|r| r.query.truncate(r.query.len() - 1));
    mismatch(|r| r.path.truncate(r.path.len() - 1));
    incomplete(
        authorization(|header| header.split(", Signature").next().unwrap_or_default().to_owned()),
        "Authorization header requires 'Signature' parameter.",
    );
    incomplete(
        authorization(|_| "AWS4-HMAC-SHA256".to_owned()),
        "Authorization header requires 'Credential' parameter.",
    );
    incomplete(authorization(|_| "AWS4-".to_owned()), "Unsupported AWS 'algorithm': 'AWS4-'.");
}

#[test]
fn re_ordered() {
    // The order of a query and of headers says nothing; that of values and signed names does.
    let mut request = signed();
    request.query = "v=a%2520b&Version=1&Action=Run".to_owned();
    request.headers.reverse();
    assert_eq!(outcome(&request), Ok(None));
    mismatch(replaced("content-type;host", "host;content-type"));
    mismatch(replaced("content-type;host", "content-type;host;host"));
    mismatch(replaced("content-type;host", "Content-Type;host"));
    let mut request = signed();
    for value in [b"one".to_vec(), b"two".to_vec()] {
        request.headers.push(("my-header".to_owned(), value));
    }
    request.sign(&example(), NOW_S);
    assert_eq!(outcome(&request), Ok(None));
    let last = request.headers.iter().rposition(|(name, _)| name == "my-header").expect("two");
    request.headers[last - 1].1 = b"two".to_vec();
    request.headers[last].1 = b"one".to_vec();
    assert_eq!(outcome(&request), Err(AuthError::Mismatch));
}

#[test]
fn encoded_once_more_or_less() {
    mismatch(|r| r.query = r.query.replace("%2520", "%20"));
    mismatch(|r| r.query = r.query.replace("%2520", "%252520"));
    mismatch(|r| r.path = r.path.replace("%20", "%2520"));
    mismatch(|r| r.path = r.path.replace("%20", " "));
    mismatch(|r| r.path = "/a%2Fb%20c".to_owned());
    // The same query, written otherwise.
    let mut request = signed();
    request.query = request.query.replace("Run", "%52un");
    assert_eq!(outcome(&request), Ok(None));
}

#[test]
fn with_more_headers_or_parameters() {
    let add = |name: &'static str, value: &'static str| {
        move |r: &mut Request| r.headers.push((name.to_owned(), value.as_bytes().to_vec()))
    };
    // Not signed, and no word of AWS's: whatever intermediaries add.
    let mut request = signed();
    add("x-forwarded-for", "203.0.113.7")(&mut request);
    assert_eq!(outcome(&request), Ok(None));
    for name in ["host", "x-amz-date"] {
        incomplete(add(name, "x"), &format!("Request carries more than one '{name}' header"));
    }
    incomplete(add("Authorization", "x"), "Request carries more than one authorization");
    mismatch(add("content-type", "text/plain"));
    mismatch(add("x-amz-target", "AmazonEC2ContainerServiceV20141113.DeleteCluster"));
    assert!(matches!(refused(add("x-amz-user-agent", "x")), AuthError::Invalid(_)));
    // A name that would end one line and begin another is the name of no header.
    assert!(matches!(
        refused(replaced("host;", "host:x\ny;")),
        AuthError::Mismatch | AuthError::Invalid(_)
    ));
    mismatch(|r| r.set("content-type", "application/x-amz-json-1.1\nhost:evil"));
    mismatch(|r| r.query.push_str("&Action=Stop"));
    mismatch(|r| r.query.push_str("&X-Amz-Target=x"));
    assert!(matches!(
        refused(|r| r.query.push_str("&X-Amz-Algorithm=AWS4-HMAC-SHA256")),
        AuthError::Invalid(_)
    ));
    incomplete(replaced(", Signature", ", Extra=1, Signature"), "'Extra' is not a parameter");
    incomplete(
        replaced(", Signature=", ", Signature=0, Signature="),
        "Authorization header repeats a parameter.",
    );
}

#[test]
fn by_another_algorithm() {
    for other in [
        "AWS4-HMAC-SHA1",
        "AWS4-HMAC-SHA256X",
        "AWS4-HMAC-SHA256-PAYLOAD",
        "AWS4-ECDSA-P256-SHA256",
        "AWS4-HMAC-SHA512",
        "AWS4-NONE",
    ] {
        incomplete(
            authorization(|header| header.replace("AWS4-HMAC-SHA256", other)),
            &format!("Unsupported AWS 'algorithm': '{other}'."),
        );
    }
    for other in ["Bearer", "AWS", "aws4-hmac-sha256", "AWS3-HTTPS"] {
        let error = refused(authorization(|header| header.replace("AWS4-HMAC-SHA256", other)));
        assert_eq!(error, AuthError::Missing, "{other}");
    }
    let mut request = Request { body: Vec::new(), ..run_task() };
    request.headers.truncate(1);
    let query =
        presign(&request.parts(), &request.payload(), &example(), ("us-east-1", "ecs"), 60, NOW_S)
            .expect("in range");
    let url = |query: String| outcome(&Request { query, ..request.clone() });
    assert_eq!(url(query.clone()), Ok(None));
    for (from, to) in [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", "X-Amz-Algorithm=&"),
    ] {
        let error = url(query.replace(from, to)).expect_err("another algorithm");
        assert!(matches!(error, AuthError::Incomplete(_)), "{error}");
    }
    // Neither form of a signature is the other.
    assert!(url(format!("{query}&X-Amz-Signature=0")).is_err());
    assert!(url(format!("{query}&X-Amz-%53ignature=0")).is_err());
    assert_eq!(url(query.replace("X-Amz-Algorithm", "x-amz-algorithm")), Err(AuthError::Missing));
}

#[test]
fn without_signing_its_body() {
    mismatch(|r| r.body = b"{}".to_vec());
    let mut request = run_task();
    request.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    request.sign(&example(), NOW_S);
    assert_eq!(outcome(&request), Err(AuthError::PayloadMismatch));
    let mut empty = Request { body: Vec::new(), ..run_task() };
    empty.headers.push(("x-amz-content-sha256".to_owned(), b"UNSIGNED-PAYLOAD".to_vec()));
    let added = longshore_auth::sign(
        &empty.parts(),
        &longshore_auth::PayloadHash::Unsigned,
        &example(),
        "us-east-1",
        "ecs",
        NOW_S,
    );
    for (name, value) in added {
        empty.set(name, &value);
    }
    assert_eq!(outcome(&empty), Ok(None));
    empty.body.push(b'x');
    assert_eq!(outcome(&empty), Err(AuthError::PayloadMismatch));
}

#[test]
fn with_the_token_of_another_session() {
    let credentials = Credentials { session_token: Some("mine".to_owned()), ..example() };
    let mut request = run_task();
    request.sign(&credentials, NOW_S);
    assert_eq!(outcome(&request), Ok(Some("mine".to_owned())));
    let mut other = request.clone();
    other.set("x-amz-security-token", "another");
    assert_eq!(outcome(&other), Err(AuthError::Mismatch));
    other.headers.retain(|(name, _)| name != "x-amz-security-token");
    assert!(matches!(outcome(&other), Err(AuthError::Invalid(_))));
    // Some signers add it after signing: whose it is, the owner of the keys finds out.
    let mut late = signed();
    late.set("x-amz-security-token", "late");
    assert_eq!(outcome(&late), Ok(Some("late".to_owned())));
    let twice = |r: &mut Request| {
        for value in ["one", "two"] {
            r.headers.push(("x-amz-security-token".to_owned(), value.as_bytes().to_vec()));
        }
    };
    incomplete(twice, "Request carries more than one 'x-amz-security-token' header");
}

#[test]
fn by_the_time_that_a_refusal_takes() {
    const ROUNDS: usize = 2_000;
    let mut wrong = signed();
    let header = wrong.parts().header("authorization").expect("signed").to_owned();
    wrong.set("authorization", &format!("{}0", &header[..header.len() - 1]));
    let known = example();
    let time = |found: bool| {
        let start = Instant::now();
        let refused = verify(&wrong.parts(), &wrong.payload(), &Expected::default(), NOW_S, |_| {
            found.then(|| (known.secret_access_key.clone(), ()))
        });
        assert!(black_box(refused).is_err());
        start.elapsed()
    };
    let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_known.push(time(true));
        of_unknown.push(time(false));
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[ROUNDS / 2].as_secs_f64()
    };
    let ratio = median(&mut of_unknown) / median(&mut of_known);
    // Without the same work it would be about a half.
    assert!((0.7..1.4).contains(&ratio), "an unknown key takes {ratio:.2} of a known one");
}
