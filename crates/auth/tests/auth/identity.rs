//! The two identity providers, and what `peek` sees before them.

use longshore_auth::{
    Account, AuthError, Credentials, Expected, IdentityProvider, Keys, Open, Peeked, Permissions,
    Principal, PrincipalKind, StaticKey, peek, session_token,
};

use crate::{NOW_S, Request, example, run_task};

fn identify(provider: &dyn IdentityProvider, request: &Request) -> Result<Principal, AuthError> {
    provider.identify(&request.parts(), &request.payload(), &Expected::default(), NOW_S)
}

#[test]
fn peek_reads_either_place() {
    let mut request = run_task();
    assert_eq!(peek(&request.parts()), None);
    request.sign(&example(), NOW_S);
    let found = Peeked {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        region: "us-east-1".to_owned(),
        service: "ecs".to_owned(),
    };
    assert_eq!(peek(&request.parts()), Some(found.clone()));
    let query = "X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fecs%2Faws4_request";
    let presigned = Request { query: query.to_owned(), ..run_task() };
    assert_eq!(peek(&presigned.parts()), Some(found));
    request.set("authorization", "Bearer x");
    assert_eq!(peek(&request.parts()), None);
}

#[test]
fn a_session_token_is_found_in_either_place() {
    let mut request = run_task();
    assert_eq!(session_token(&request.parts()), None);
    let credentials = Credentials { session_token: Some("to/ken".to_owned()), ..example() };
    request.sign(&credentials, NOW_S);
    assert_eq!(session_token(&request.parts()).as_deref(), Some("to/ken"));
    let query = "X-Amz-Security-Token=to%2Fken".to_owned();
    let presigned = Request { query, ..run_task() };
    assert_eq!(session_token(&presigned.parts()).as_deref(), Some("to/ken"));
}

#[test]
fn providers_without_policies_allow_the_account() {
    let root = Principal::new(Account::default(), PrincipalKind::Root, None);
    assert_eq!(root.unique_id, "000000000000");
    assert_eq!(Open::default().permissions(&root), Permissions::Account);
    assert_eq!(Keys::default().permissions(&root), Permissions::Account);
}

#[test]
fn open_takes_anyone_for_root() {
    let open = Open::default();
    let mut request = run_task();
    let unsigned = identify(&open, &request).expect("open");
    assert_eq!(unsigned.arn, "arn:aws:iam::000000000000:root");
    assert_eq!((unsigned.access_key_id, unsigned.kind), (None, PrincipalKind::Root));
    for (key, account) in [("test", "000000000000"), ("123456789012", "123456789012")] {
        let credentials = Credentials { access_key_id: key.to_owned(), ..example() };
        request.sign(&credentials, NOW_S - 9999);
        request.body.push(b'x');
        let principal = identify(&open, &request).expect("open");
        assert_eq!(principal.account.as_str(), account);
        assert_eq!(principal.access_key_id.as_deref(), Some(key));
    }
    request.set("authorization", "AWS4-HMAC-SHA256 nonsense");
    let configured = Open::new("000000000009".parse().expect("twelve digits"));
    assert_eq!(identify(&configured, &request).expect("open").account.as_str(), "000000000009");
}

fn key(credentials: &Credentials, expires_at_s: Option<i64>) -> Keys {
    let account: Account = "123456789012".parse().expect("twelve digits");
    let kind = PrincipalKind::User { name: "ann".to_owned() };
    Keys::new([StaticKey { credentials: credentials.clone(), account, kind, expires_at_s }])
}

#[test]
fn keys_take_only_what_they_know() {
    let mut request = run_task();
    assert_eq!(identify(&key(&example(), None), &request), Err(AuthError::Missing));
    request.sign(&example(), NOW_S);
    let principal = identify(&key(&example(), None), &request).expect("known");
    assert_eq!(principal.arn, "arn:aws:iam::123456789012:user/ann");
    assert_eq!(identify(&Keys::default(), &request), Err(AuthError::UnknownKey));
    let other = Credentials { secret_access_key: "other".to_owned(), ..example() };
    assert_eq!(identify(&key(&other, None), &request), Err(AuthError::Mismatch));
    assert_eq!(identify(&key(&example(), Some(NOW_S)), &request), Err(AuthError::ExpiredToken));
    let with_token = Credentials { session_token: Some("t".to_owned()), ..example() };
    assert_eq!(identify(&key(&with_token, None), &request), Err(AuthError::UnknownKey));
    request.sign(&with_token, NOW_S);
    assert!(identify(&key(&with_token, None), &request).is_ok());
}

#[test]
fn secrets_do_not_print() {
    let shown = format!("{:?}", key(&example(), None));
    assert!(shown.contains("AKIDEXAMPLE") && !shown.contains("wJalr"), "{shown}");
}

#[test]
fn accounts_have_twelve_digits() {
    for bad in ["", "12345678901", "1234567890123", "12345678901x", "１２３４"] {
        assert!(bad.parse::<Account>().is_err(), "{bad}");
    }
}
