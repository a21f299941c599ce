//! `data/sigv4.json` holds requests in the manner of AWS's SigV4 test suite, signed by botocore.

use longshore_auth::{Credentials, Expected, PayloadHash, presign, sign, verify};
use serde_json::Value;

use crate::Request;

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn request(case: &Value) -> Request {
    let headers = case["headers"].as_array().expect("a list");
    Request {
        method: text(&case["method"]),
        path: text(&case["path"]),
        query: text(&case["query"]),
        headers: headers.iter().map(|h| (text(&h[0]), text(&h[1]).into_bytes())).collect(),
        body: text(&case["body"]).into_bytes(),
    }
}

/// What the signer knew of the body.
fn payload(request: &Request) -> PayloadHash {
    let unsigned = request.parts().header("x-amz-content-sha256") == Some("UNSIGNED-PAYLOAD");
    if unsigned { PayloadHash::Unsigned } else { request.payload() }
}

fn each(mut check: impl FnMut(&Value, Request, Credentials, i64)) {
    let file: Value = serde_json::from_str(include_str!("data/sigv4.json")).expect("valid JSON");
    let cases = file["cases"].as_array().expect("a list");
    assert!(cases.len() > 30, "the file holds the whole suite");
    for case in cases {
        let credentials = Credentials {
            access_key_id: text(&file["access_key_id"]),
            secret_access_key: text(&file["secret_access_key"]),
            session_token: case["session_token"].as_str().map(str::to_owned),
        };
        check(case, request(case), credentials, file["now_s"].as_i64().expect("a number"));
    }
}

#[test]
fn we_sign_as_botocore_does() {
    each(|case, request, credentials, now_s| {
        let (region, service) = (text(&case["region"]), text(&case["service"]));
        let parts = request.parts();
        let payload = payload(&request);
        if let Some(expected) = case["presigned_query"].as_str() {
            let expires_s = case["expires_s"].as_u64().and_then(|s| u32::try_from(s).ok());
            let expires_s = expires_s.expect("a number");
            let scope = (region.as_str(), service.as_str());
            let query = presign(&parts, &payload, &credentials, scope, expires_s, now_s);
            assert_eq!(query.as_deref(), Ok(expected), "{}", case["name"]);
        } else {
            let added = sign(&parts, &payload, &credentials, &region, &service, now_s);
            let (_, ours) = added.last().expect("authorization");
            assert_eq!(*ours, text(&case["authorization"]), "{}", case["name"]);
        }
    });
}

#[test]
fn we_accept_what_botocore_signed() {
    each(|case, mut request, credentials, now_s| {
        if let Some(query) = case["presigned_query"].as_str() {
            query.clone_into(&mut request.query);
        } else {
            request.set("Authorization", &text(&case["authorization"]));
            request.set("X-Amz-Date", "20150830T123600Z");
            if let Some(token) = &credentials.session_token {
                request.set("X-Amz-Security-Token", token);
            }
        }
        let (region, service) = (text(&case["region"]), text(&case["service"]));
        let expected = Expected { region: Some(&region), service: Some(&service) };
        let verified = verify(&request.parts(), &payload(&request), &expected, now_s, |id| {
            (id == credentials.access_key_id).then(|| (credentials.secret_access_key.clone(), ()))
        });
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
        assert_eq!(verified.session_token, credentials.session_token, "{}", case["name"]);
    });
}
