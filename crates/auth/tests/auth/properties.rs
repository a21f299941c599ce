//! Safety: no changed request verifies, and no input panics. Liveness: every signed one verifies.

use longshore_auth::{
    Credentials, Expected, IdentityProvider, Open, RequestParts, peek, presign, verify,
};
use proptest::prelude::*;

use crate::{NOW_S, Request, example};

fn holds(request: &Request, credentials: &Credentials) -> bool {
    verify(&request.parts(), &request.payload(), &Expected::default(), NOW_S, |id| {
        (id == credentials.access_key_id).then(|| (credentials.secret_access_key.clone(), ()))
    })
    .is_ok()
}

prop_compose! {
    fn request()(
        method in "GET|POST|PUT",
        path in "(/[a-z0-9]{1,4}){1,3}",
        query in "([a-z]{1,3}=[a-z0-9]{1,4}){0,1}",
        value in "[a-z0-9]{1,8}( [a-z0-9]{1,4}){0,2}",
        body in proptest::collection::vec(any::<u8>(), 0..40),
    ) -> Request {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let headers = vec![header("Host", "h:1"), header("x-amz-target", &value)];
        Request { method, path, query, headers, body }
    }
}

/// Another letter or digit: never one that means the same after normalization.
fn flip(bytes: &mut [u8], at: usize) -> bool {
    let places: Vec<usize> =
        (0..bytes.len()).filter(|i| bytes[*i].is_ascii_alphanumeric()).collect();
    let Some(place) = places.get(at % places.len().max(1)) else { return false };
    bytes[*place] = if bytes[*place].eq_ignore_ascii_case(&b'q') { b'7' } else { b'q' };
    true
}

fn flip_text(text: &mut String, at: usize) -> bool {
    let mut bytes = std::mem::take(text).into_bytes();
    let flipped = flip(&mut bytes, at);
    *text = String::from_utf8(bytes).expect("only letters and digits change");
    flipped
}

proptest! {
    #[test]
    fn what_is_signed_verifies(mut request in request(), token in proptest::option::of("[!-~]{1,9}")) {
        let credentials = Credentials { session_token: token, ..example() };
        let query = presign(
            &request.parts(), &request.payload(), &credentials, ("r", "s"), 60, NOW_S,
        );
        let presigned = Request { query: query.expect("in range"), ..request.clone() };
        prop_assert!(holds(&presigned, &credentials));
        request.sign(&credentials, NOW_S);
        prop_assert!(holds(&request, &credentials));
    }

    #[test]
    fn no_changed_byte_verifies(mut request in request(), part in 0..6_usize, at in any::<usize>()) {
        request.sign(&example(), NOW_S);
        let before = request.clone();
        let changed = match part {
            0 => flip_text(&mut request.method, at),
            1 => flip_text(&mut request.path, at),
            2 => flip_text(&mut request.query, at),
            3 => request.body.get_mut(at % before.body.len().max(1)).map(|b| *b ^= 1).is_some(),
            _ => {
                let count = request.headers.len();
                flip(&mut request.headers[at % count].1, at / count)
            }
        };
        prop_assume!(changed);
        prop_assert!(!holds(&request, &example()), "{:?}\nbecame\n{:?}", before, request);
    }

    #[test]
    fn no_changed_byte_of_a_presigned_query_verifies(request in request(), at in any::<usize>()) {
        let query = presign(
            &request.parts(), &request.payload(), &example(), ("r", "s"), 60, NOW_S,
        ).expect("in range");
        let mut changed = query.clone();
        prop_assume!(flip_text(&mut changed, at));
        let changed = Request { query: changed, ..request };
        prop_assert!(!holds(&changed, &example()));
    }

    #[test]
    fn nothing_panics(
        method in ".{0,8}", path in ".{0,40}", query in ".{0,80}",
        authorization in proptest::collection::vec(any::<u8>(), 0..80), date in ".{0,20}",
        now_s in any::<i64>(),
    ) {
        let headers: [(&str, &[u8]); 3] =
            [("authorization", &authorization), ("x-amz-date", date.as_bytes()), ("host", b"h")];
        let parts = RequestParts::new(&method, &path, &query, headers);
        let body = longshore_auth::PayloadHash::of(b"");
        peek(&parts);
        let known = |_: &str| Some(("secret".to_owned(), ()));
        prop_assert!(verify(&parts, &body, &Expected::default(), now_s, known).is_err());
        prop_assert!(Open::default().identify(&parts, &body, &Expected::default(), now_s).is_ok());
    }

    #[test]
    fn nothing_almost_right_panics(
        credential in "[A-Z]{0,4}(/[a-z0-9éß]{0,8}){0,6}", names in "[a-zé;]{0,20}",
        signature in "[0-9a-fé]{0,70}", date in "[0-9TZé]{0,17}", expires in "-?[0-9]{0,12}",
        now_s in any::<i64>(), in_query in any::<bool>(),
    ) {
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={date}\
             &X-Amz-Expires={expires}&X-Amz-SignedHeaders={names}&X-Amz-Signature={signature}"
        );
        let header = format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        );
        let headers: Vec<(&str, &[u8])> = if in_query {
            vec![("host", b"h")]
        } else {
            vec![("authorization", header.as_bytes()), ("x-amz-date", date.as_bytes())]
        };
        let parts = RequestParts::new("GET", "/", if in_query { &query } else { "" }, headers);
        let body = longshore_auth::PayloadHash::of(b"");
        let known = |_: &str| Some(("secret".to_owned(), ()));
        let refused = verify(&parts, &body, &Expected::default(), now_s, known);
        prop_assert!(!refused.expect_err("nobody signed it").to_string().is_empty());
    }
}
