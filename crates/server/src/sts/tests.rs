//! Sessions on a server in memory, whose callers are known by the provider `iam`.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_auth::{
    Account, Ask, AuthError, Context, Credentials, Decision, Expected, PayloadHash, Permissions,
    Principal, RequestParts, Session, evaluate, sign,
};
use longshore_domain::ids::{AccountId, IamId, IamIdKind};
use longshore_domain::record::{AccessKey, Grants, IamRole, IamUser, Tags};
use longshore_store::{RecordTxn, TxnOutcome};
use longshore_wire::sts::OperationName;

use super::*;
use crate::access::Origin;
use crate::clock::RandomIds;
use crate::identity::{Iam, Subject, mint};
use crate::test_records::scope;
use crate::{Server, clock, iam, test_server};

const NOW_S: i64 = 1_790_000_000;
const ALLOW: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// A server with a user and two roles, which may become each other.
struct World {
    server: Arc<Server>,
    ann: IamUser,
    key: Credentials,
    origin: Origin,
}

async fn commit(server: &Server, txn: RecordTxn) {
    let outcome = server.commit(txn).await.expect("the store works");
    assert!(matches!(outcome, TxnOutcome::Committed { .. }));
}

fn user(name: &str) -> IamUser {
    IamUser {
        account: AccountId::default(),
        name: name.to_owned(),
        path: "/".to_owned(),
        id: IamId::fresh(IamIdKind::User, &mut RandomIds),
        created_at: clock::now(),
        boundary: None,
        groups: Vec::new(),
        grants: Grants { inline: [("all".into(), ALLOW.into())].into(), ..Grants::default() },
        tags: BTreeMap::from([("team".into(), "a".into())]),
    }
}

fn trust(principal: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":["sts:AssumeRole","sts:TagSession"]{condition}}}]}}"#
    )
}

fn role(name: &str, trust: String) -> IamRole {
    IamRole {
        account: AccountId::default(),
        name: name.to_owned(),
        path: "/".to_owned(),
        id: IamId::fresh(IamIdKind::Role, &mut RandomIds),
        created_at: clock::now(),
        trust,
        description: None,
        max_session_s: 7200,
        boundary: None,
        grants: Grants { inline: [("all".into(), ALLOW.into())].into(), ..Grants::default() },
        tags: Tags::new(),
        last_used: None,
    }
}

impl World {
    async fn new() -> Self {
        let mut server = test_server::server().await;
        let vault = Arc::clone(server.vault.as_ref().expect("a vault"));
        let ann = user("ann");
        let (key, secret) =
            iam::fresh_key(&vault, ann.account, Some(&ann.id), clock::now()).expect("seals");
        let mut txn = RecordTxn::new();
        txn.insert(&ann).insert(&key);
        txn.insert(&role("open", trust("000000000000", "")));
        txn.insert(&role("named", trust("arn:aws:iam::000000000000:user/ann", "")));
        let external = r#","Condition":{"StringEquals":{"sts:ExternalId":"deputy"}}"#;
        txn.insert(&role("guarded", trust("000000000000", external)));
        commit(&server, txn).await;
        let iam = Iam::new(server.state.clone(), vault, Arc::clone(&server.uses)).expect("made");
        Arc::get_mut(&mut server).expect("nobody else has it").identity = Box::new(iam);
        let key = Credentials {
            access_key_id: key.id.to_string(),
            secret_access_key: secret,
            session_token: None,
        };
        Self { server, ann, key, origin: Origin::default() }
    }

    fn identify(&self, key: &Credentials, now_s: i64) -> Result<Principal, AuthError> {
        let (headers, body) = ([("host", &b"h"[..])], PayloadHash::of(b""));
        let parts = RequestParts::new("POST", "/", "", headers);
        let signed = sign(&parts, &body, key, "us-east-1", "ecs", now_s);
        let signed = signed.iter().map(|(name, value)| (*name, value.as_bytes()));
        let parts = RequestParts::new("POST", "/", "", headers.into_iter().chain(signed));
        self.server.identity.identify(&parts, &body, &Expected::default(), now_s)
    }

    fn may(&self, principal: &Principal, action: &str) -> bool {
        match self.server.identity.permissions(principal) {
            Permissions::Account => true,
            Permissions::By(policies) => {
                let context = Context::default();
                let ask = Ask { action, resource: "*", context: &context };
                evaluate(&policies, &ask).decision == Decision::Allowed
            }
        }
    }

    async fn call(
        &self,
        principal: &Principal,
        operation: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, ServiceError> {
        let call = Call {
            server: Arc::clone(&self.server),
            scope: scope(),
            principal: principal.clone(),
            permissions: Permissions::Account,
            origin: self.origin.clone(),
            trace: Arc::default(),
            now: longshore_domain::time::Timestamp::from_millis(NOW_S * 1000),
            base_url: "http://127.0.0.1:4566".to_owned(),
            term: None,
        };
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", encode(value)));
        let form = pairs.collect::<Vec<_>>().join("&");
        let name = OperationName::parse(operation).expect("an operation");
        let output = dispatch(&call, name, form.as_bytes(), "id").await?;
        Ok(String::from_utf8(output).expect("UTF-8"))
    }

    /// Becomes a role, and gives the credentials.
    async fn assume(
        &self,
        principal: &Principal,
        role: &str,
        more: &[(&str, &str)],
    ) -> Result<Credentials, ServiceError> {
        let arn = format!("arn:aws:iam::000000000000:role/{role}");
        let asked = [&[("RoleArn", arn.as_str()), ("RoleSessionName", "one")][..], more].concat();
        let xml = self.call(principal, "AssumeRole", &asked).await?;
        Ok(Credentials {
            access_key_id: value(&xml, "AccessKeyId").to_owned(),
            secret_access_key: value(&xml, "SecretAccessKey").to_owned(),
            session_token: Some(value(&xml, "SessionToken").to_owned()),
        })
    }
}

fn value<'x>(xml: &'x str, name: &str) -> &'x str {
    let rest = xml.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    rest.split_once("</").map_or("", |(value, _)| value)
}

#[tokio::test]
async fn a_key_is_good_until_it_is_disabled() {
    let world = World::new().await;
    let ann = world.identify(&world.key, NOW_S).expect("known");
    assert_eq!(ann.arn, "arn:aws:iam::000000000000:user/ann");
    assert_eq!(ann.unique_id, world.ann.id.to_string());
    assert_eq!(ann.tags, world.ann.tags);
    assert!(world.may(&ann, "ecs:RunTask"));
    let wrong = Credentials { secret_access_key: "x".into(), ..world.key.clone() };
    assert_eq!(world.identify(&wrong, NOW_S), Err(AuthError::Mismatch));
    let unknown = Credentials { access_key_id: "AKIAAAAAAAAAAAAAAAAA".into(), ..world.key.clone() };
    assert_eq!(world.identify(&unknown, NOW_S), Err(AuthError::UnknownKey));
    let strange = Credentials { session_token: Some("x".into()), ..world.key.clone() };
    assert_eq!(world.identify(&strange, NOW_S), Err(AuthError::UnknownKey));
    let view = world.server.state.view();
    let row = view.access_keys.iter().next().expect("a key");
    let used = world.server.uses.key(row).expect("used");
    assert_eq!((used.service.as_str(), used.region.as_str()), ("ecs", "us-east-1"));
    let mut txn = RecordTxn::new();
    txn.update(row, &AccessKey { active: false, ..row.record.clone() });
    commit(&world.server, txn).await;
    assert_eq!(world.identify(&world.key, NOW_S), Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn policies_count_from_the_next_view_on() {
    let world = World::new().await;
    let ann = world.identify(&world.key, NOW_S).expect("known");
    assert!(world.may(&ann, "ecs:RunTask"));
    let view = world.server.state.view();
    let row = view.iam_users.iter().next().expect("a user");
    let mut txn = RecordTxn::new();
    txn.update(row, &IamUser { grants: Grants::default(), ..row.record.clone() });
    commit(&world.server, txn).await;
    assert!(!world.may(&ann, "ecs:RunTask"));
    let view = world.server.state.view();
    let mut txn = RecordTxn::new();
    txn.remove(view.iam_users.iter().next().expect("a user"));
    commit(&world.server, txn).await;
    assert_eq!(world.identify(&world.key, NOW_S), Err(AuthError::UnknownKey), "nobody's key");
}

#[tokio::test]
async fn a_session_acts_as_its_role_until_it_ends() {
    let world = World::new().await;
    let ann = world.identify(&world.key, NOW_S).expect("known");
    for role in ["open", "named"] {
        let key = world.assume(&ann, role, &[]).await.expect("trusted");
        assert!(key.access_key_id.starts_with("ASIA"));
        let session = world.identify(&key, NOW_S + 3599).expect("known");
        assert_eq!(session.arn, format!("arn:aws:sts::000000000000:assumed-role/{role}/one"));
        assert!(session.unique_id.starts_with("AROA") && session.unique_id.ends_with(":one"));
        assert!(world.may(&session, "ecs:RunTask"));
        assert_eq!(world.identify(&key, NOW_S + 3600), Err(AuthError::ExpiredToken));
        let mut token = key.session_token.clone().expect("a token");
        token.replace_range(40..41, if token.as_bytes()[40] == b'A' { "B" } else { "A" });
        let changed = Credentials { session_token: Some(token), ..key.clone() };
        assert_eq!(world.identify(&changed, NOW_S), Err(AuthError::UnknownKey));
        let bare = Credentials { session_token: None, ..key.clone() };
        assert_eq!(world.identify(&bare, NOW_S), Err(AuthError::UnknownKey));
        let other = Credentials { access_key_id: world.key.access_key_id.clone(), ..key };
        assert_eq!(world.identify(&other, NOW_S), Err(AuthError::UnknownKey));
    }
    let refused = world.assume(&ann, "nothing", &[]).await.expect_err("there is none");
    assert_eq!(
        refused.to_string(),
        "AccessDenied: User: arn:aws:iam::000000000000:user/ann is not authorized to perform: \
         sts:AssumeRole on resource: arn:aws:iam::000000000000:role/nothing"
    );
}

#[tokio::test]
async fn a_deputy_needs_its_external_id() {
    let world = World::new().await;
    let ann = world.identify(&world.key, NOW_S).expect("known");
    for (more, trusted) in
        [(&[][..], false), (&[("ExternalId", "other")], false), (&[("ExternalId", "deputy")], true)]
    {
        assert_eq!(world.assume(&ann, "guarded", more).await.is_ok(), trusted, "{more:?}");
    }
}

#[tokio::test]
async fn a_trust_policy_sees_where_and_when_it_is_asked() {
    let mut world = World::new().await;
    let conditions = [
        r#""IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#,
        r#""Bool":{"aws:SecureTransport":"true"}"#,
        r#""StringLike":{"aws:UserAgent":"aws-cli/*"}"#,
        r#""DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}"#,
        r#""NumericLessThan":{"aws:EpochTime":"1790000001"}"#,
        r#""StringEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/ann","aws:username":"ann","aws:PrincipalTag/team":"a"}"#,
    ];
    let mut txn = RecordTxn::new();
    for (number, condition) in conditions.iter().enumerate() {
        let condition = format!(r#","Condition":{{{condition}}}"#);
        txn.insert(&role(&format!("r{number}"), trust("000000000000", &condition)));
    }
    commit(&world.server, txn).await;
    let ann = world.identify(&world.key, NOW_S).expect("known");
    let near = Origin {
        address: Some([10, 1, 2, 3].into()),
        secure: true,
        user_agent: Some("aws-cli/2.1".to_owned()),
    };
    let far = Origin {
        address: Some([192, 0, 2, 1].into()),
        secure: false,
        user_agent: Some("curl".to_owned()),
    };
    for (origin, trusted) in [(near, [true; 6]), (far, [false, false, false, true, true, true])] {
        world.origin = origin;
        for (number, trusted) in trusted.into_iter().enumerate() {
            let assumed = world.assume(&ann, &format!("r{number}"), &[]).await;
            assert_eq!(assumed.is_ok(), trusted, "{}", conditions[number]);
        }
    }
}

#[tokio::test]
async fn session_policies_limit_and_tags_go_on() {
    let world = World::new().await;
    let ann = world.identify(&world.key, NOW_S).expect("known");
    let read = ALLOW.replace("\"Action\":\"*\"", "\"Action\":\"ecs:List*\"");
    let tags = [
        ("Policy", read.as_str()),
        ("Tags.member.1.Key", "project"),
        ("Tags.member.1.Value", "x"),
        ("TransitiveTagKeys.member.1", "project"),
    ];
    let key = world.assume(&ann, "open", &tags).await.expect("trusted");
    let session = world.identify(&key, NOW_S).expect("known");
    assert!(world.may(&session, "ecs:ListTasks") && !world.may(&session, "ecs:RunTask"));
    assert_eq!(session.tags.get("project").map(String::as_str), Some("x"));
    // A session that was limited to lists may become nothing.
    assert!(world.assume(&session, "open", &[]).await.is_err());
    let key = world.assume(&ann, "open", &tags[1..]).await.expect("trusted");
    let session = world.identify(&key, NOW_S).expect("known");
    let again = world.assume(&session, "open", &[]).await.expect("trusted");
    let again = world.identify(&again, NOW_S).expect("known");
    assert_eq!(again.tags.get("project").map(String::as_str), Some("x"), "a tag goes on");
    let long = world.assume(&session, "open", &[("DurationSeconds", "3601")]).await;
    assert!(long.expect_err("chained").message.contains("1 hour session limit"));
    let longer = world.assume(&ann, "open", &[("DurationSeconds", "7201")]).await;
    assert!(longer.expect_err("too long").message.contains("MaxSessionDuration"));
    assert!(world.assume(&ann, "open", &[("DurationSeconds", "7200")]).await.is_ok());
    for (more, code) in [
        (("Policy", "{"), "MalformedPolicyDocument"),
        (("Policy", &*format!("{}{ALLOW}", " ".repeat(2048))), "PackedPolicyTooLarge"),
        (("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/None"), "ValidationError"),
        (("DurationSeconds", "899"), "ValidationError"),
        (("SerialNumber", "arn:aws:iam::1:mfa/x"), "AccessDenied"),
    ] {
        let refused = world.assume(&ann, "open", &[more]).await.expect_err("refused");
        assert_eq!(refused.code, code, "{more:?}: {refused}");
    }
}

#[tokio::test]
async fn a_session_of_a_user_may_little_about_identities() {
    let world = World::new().await;
    let ann = world.identify(&world.key, NOW_S).expect("known");
    let xml = world.call(&ann, "GetSessionToken", &[]).await.expect("given");
    let key = Credentials {
        access_key_id: value(&xml, "AccessKeyId").to_owned(),
        secret_access_key: value(&xml, "SecretAccessKey").to_owned(),
        session_token: Some(value(&xml, "SessionToken").to_owned()),
    };
    let session = world.identify(&key, NOW_S + 43_199).expect("known");
    assert_eq!(session.arn, ann.arn);
    assert!(world.may(&session, "ecs:RunTask"));
    let who = world.call(&session, "GetCallerIdentity", &[]).await.expect("told");
    assert_eq!(value(&who, "UserId"), world.ann.id.as_str());
    let refused = world.call(&session, "GetSessionToken", &[]).await.expect_err("refused");
    assert_eq!(refused.message, "Cannot call GetSessionToken with session credentials");
    assert!(world.assume(&session, "open", &[]).await.is_ok());
    assert_eq!(world.identify(&key, NOW_S + 43_200), Err(AuthError::ExpiredToken));
}

#[tokio::test]
async fn a_session_ends_with_its_role() {
    let world = World::new().await;
    let vault = world.server.vault().expect("a vault");
    let id = IamId::fresh(IamIdKind::Role, &mut RandomIds);
    let subject = Subject::Role { id, session: "s".into() };
    let session = Session { expires_at_s: NOW_S + 60, ..Session::default() };
    let minted = mint(vault, AccountId::default(), subject, BTreeMap::new(), session);
    let minted = minted.expect("seals");
    let key = Credentials {
        access_key_id: minted.access_key_id,
        secret_access_key: minted.secret_access_key,
        session_token: Some(minted.session_token),
    };
    assert_eq!(world.identify(&key, NOW_S), Err(AuthError::UnknownKey));
    let account: Account = "000000000000".parse().expect("an account");
    let root = Principal::new(account, PrincipalKind::Root, None);
    assert!(world.may(&root, "ecs:RunTask"));
}

#[tokio::test]
async fn a_session_that_was_revoked_becomes_no_role() {
    let world = World::new().await;
    let chained = "arn:aws:iam::000000000000:role/open";
    let mut txn = RecordTxn::new();
    txn.insert(&role("trusting", trust(chained, "")));
    commit(&world.server, txn).await;
    let ann = world.identify(&world.key, NOW_S).expect("known");
    let key = world.assume(&ann, "open", &[]).await.expect("trusted");
    let session = world.identify(&key, NOW_S).expect("known");
    let becomes = async |role: &str| world.assume(&session, role, &[]).await.is_ok();
    assert!(becomes("open").await && becomes("trusting").await);
    let revoked = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2027-01-01T00:00:00Z"}}}}"#;
    let view = world.server.state.view();
    let row = view.iam_roles.iter().find(|role| role.name == "open").expect("a role");
    let mut grants = row.grants.clone();
    grants.inline.insert("revoked".into(), revoked.into());
    let mut txn = RecordTxn::new();
    txn.update(row, &IamRole { grants, ..row.record.clone() });
    commit(&world.server, txn).await;
    assert!(!becomes("open").await && !becomes("trusting").await);
}
