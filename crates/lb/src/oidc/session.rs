//! Sessions: what is known of a client that has logged in, in cookies of its own.

use longshore_domain::route::AuthenticateOidc;
use longshore_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::seal::{Purpose, Seal};
use super::signer;

/// Characters of one cookie: browsers take 4 KiB with name and attributes.
const PART: usize = 3800;
/// Cookies of one session (ours): with a fourth one there would be no room for others in a `Cookie` header of
/// [`HEADER_BYTES`](crate::limits::HEADER_BYTES), the most that a client may send.
const PARTS: usize = 3;

/// A session.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) access_token: String,
    pub(super) claims: Map<String, Value>,
    /// Milliseconds since the epoch.
    pub(super) until: i64,
}

/// Headers for targets: name and value.
pub(crate) type Identity = Vec<(&'static str, String)>;

/// Name of the cookie with a part of the session.
pub(super) fn name(oidc: &AuthenticateOidc, part: usize) -> String {
    format!("{}-{part}", oidc.session_cookie)
}

/// Values of the cookies; none if there is too much to say. The first tells how many there are.
pub(super) fn written(seal: &Seal, session: &Session) -> Option<Vec<String>> {
    let sealed = seal.close(Purpose::Session, &serde_json::to_vec(session).ok()?);
    let parts: Vec<&[u8]> = sealed.as_bytes().chunks(PART).collect();
    if parts.len() > PARTS {
        return None;
    }
    let count = parts.len();
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let first = |at: usize| if at == 0 { format!("{count}.") } else { String::new() };
    Some(parts.into_iter().enumerate().map(|(at, part)| first(at) + &text(part)).collect())
}

/// The session of cookies, if it is one that lasts.
pub(super) fn read(
    seal: &Seal,
    now: Timestamp,
    cookie: impl Fn(usize) -> Option<String>,
) -> Option<Session> {
    let first = cookie(0)?;
    let (count, first) = first.split_once('.')?;
    let count: usize = count.parse().ok().filter(|count| (1..=PARTS).contains(count))?;
    let mut sealed = first.to_owned();
    for part in 1..count {
        sealed.push_str(&cookie(part)?);
    }
    let session: Session = serde_json::from_slice(&seal.open(Purpose::Session, &sealed)?).ok()?;
    (session.until > now.as_millis()).then_some(session)
}

/// What targets are told of a client.
pub(super) fn identity(
    session: &Session,
    oidc: &AuthenticateOidc,
    balancer: &str,
    now: Timestamp,
) -> Identity {
    let subject = session.claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    let data = signer::token(&session.claims, oidc, balancer, now.as_millis() / 1000);
    let told = [
        ("x-amzn-oidc-accesstoken", session.access_token.clone()),
        ("x-amzn-oidc-identity", subject.to_owned()),
        ("x-amzn-oidc-data", data),
    ];
    // What is no value of a header is left out: it could be taken for something else.
    let is_value = |value: &str| value.bytes().all(|b| (b' '..=b'~').contains(&b));
    told.into_iter().filter(|(_, value)| is_value(value)).collect()
}

#[cfg(test)]
mod tests {
    use longshore_domain::route::Unauthenticated;

    use super::*;

    fn oidc(secret: &str) -> AuthenticateOidc {
        let url = || "https://idp.test".to_owned();
        AuthenticateOidc {
            issuer: url(),
            authorization_endpoint: url(),
            token_endpoint: url(),
            user_info_endpoint: url(),
            client_id: "me".into(),
            client_secret: secret.into(),
            session_cookie: "C".into(),
            scope: "openid".into(),
            session_timeout_s: 60,
            extra_parameters: Vec::new(),
            unauthenticated: Unauthenticated::Authenticate,
        }
    }

    fn session(length: usize) -> Session {
        let claims = [("sub".to_owned(), Value::from("x".repeat(length)))];
        Session { access_token: "t".into(), claims: claims.into_iter().collect(), until: 1000 }
    }

    #[test]
    fn a_session_is_read_from_its_cookies_until_it_ends() {
        let seal = Seal::of(&oidc("secret")).expect("a seal");
        for (length, cookies) in [(10, 1), (4000, 2), (8000, 3)] {
            let session = session(length);
            let parts = written(&seal, &session).expect("it fits");
            assert_eq!(parts.len(), cookies);
            let at = |ms| read(&seal, Timestamp::from_millis(ms), |part| parts.get(part).cloned());
            assert_eq!(at(999), Some(session));
            assert_eq!(at(1000), None, "it is over");
            let others = Seal::of(&oidc("another")).expect("a seal");
            let read = read(&others, Timestamp::default(), |part| parts.get(part).cloned());
            assert_eq!(read, None, "it is not theirs");
        }
        assert_eq!(written(&seal, &session(9000)), None);
    }

    #[test]
    fn what_is_no_session_is_none() {
        let seal = Seal::of(&oidc("secret")).expect("a seal");
        let state = format!("1.{}", seal.close(Purpose::State, b"{}"));
        let garbage = format!("1.{}", seal.close(Purpose::Session, b"{}"));
        for first in ["", "1", "1.", "0.a", "9.a", "4.a", "3.AAAA", "1.%%", &state, &garbage] {
            let first = Some(first.to_owned());
            let found =
                read(&seal, Timestamp::default(), |part| first.clone().filter(|_| part == 0));
            assert_eq!(found, None);
        }
        assert!(Seal::of(&oidc("")).is_none(), "anybody could make it");
    }

    #[test]
    fn a_target_is_told_what_a_header_can_hold() {
        let now = Timestamp::default();
        let mut session = session(3);
        let names = |session: &Session| -> Vec<&str> {
            identity(session, &oidc("s"), "arn", now).into_iter().map(|(name, _)| name).collect()
        };
        let all = ["x-amzn-oidc-accesstoken", "x-amzn-oidc-identity", "x-amzn-oidc-data"];
        assert_eq!(names(&session), all);
        session.access_token = "a\r\nb: c".into();
        assert_eq!(names(&session), all[1..]);
    }
}
