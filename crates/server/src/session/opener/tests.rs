//! Sessions on a server in memory, whose callers are known by the provider `iam`.

use std::time::Duration;

use longshore_auth::{Account, Session};
use longshore_domain::ids::{AccountId, Arn, IamId, IamIdKind, InstanceId, Resource, TaskId};
use longshore_domain::record::{AccessKey, Grants, IamRole, IamUser, Tags};
use longshore_store::{RecordTxn, TxnOutcome, View};

use super::*;
use crate::access::operator::POLL;
use crate::clock::RandomIds;
use crate::identity::{Iam, Minted, Subject, mint};
use crate::test_records::scope;
use crate::{clock, iam, test_server};

const HOUR_S: i64 = 3600;

fn policy(effect: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"*","Resource":"*"{condition}}}}}"#
    )
}

fn grants() -> Grants {
    Grants { inline: [("all".into(), policy("Allow", ""))].into(), ..Grants::default() }
}

/// A server with a role, a user, and the time when all begins.
struct World {
    server: Arc<Server>,
    role: IamRole,
    user: IamUser,
    key: String,
    now: Timestamp,
    instance: ContainerInstanceKey,
}

impl World {
    async fn new() -> Self {
        let mut server = test_server::server().await;
        let vault = Arc::clone(server.vault.as_ref().expect("a vault"));
        let (account, created_at) = (AccountId::default(), clock::now());
        let role = IamRole {
            account,
            name: "machines".to_owned(),
            path: "/".to_owned(),
            id: IamId::fresh(IamIdKind::Role, &mut RandomIds),
            created_at,
            trust: policy("Allow", r#","Principal":"*""#),
            description: None,
            max_session_s: 3600,
            boundary: None,
            grants: grants(),
            tags: Tags::new(),
            last_used: None,
        };
        let user = IamUser {
            account,
            name: "ann".to_owned(),
            path: "/".to_owned(),
            id: IamId::fresh(IamIdKind::User, &mut RandomIds),
            created_at,
            boundary: None,
            groups: Vec::new(),
            grants: grants(),
            tags: Tags::new(),
        };
        let (key, _) = iam::fresh_key(&vault, account, Some(&user.id), created_at).expect("seals");
        let iam = Iam::new(server.state.clone(), vault, Arc::clone(&server.uses)).expect("made");
        Arc::get_mut(&mut server).expect("nobody else has it").identity = Box::new(iam);
        let cluster = "default".parse().expect("a name");
        let instance = ContainerInstanceKey { scope: scope(), cluster, id: InstanceId::new(1) };
        let world = Self { server, role, user, key: key.id.to_string(), now: created_at, instance };
        world
            .change(|_, txn| {
                txn.insert(&world.role).insert(&world.user).insert(&key);
            })
            .await;
        world
    }

    async fn change(&self, change: impl FnOnce(&View, &mut RecordTxn)) {
        let mut txn = RecordTxn::new();
        change(&self.server.state.view(), &mut txn);
        let outcome = self.server.commit(txn).await.expect("the store works");
        assert!(matches!(outcome, TxnOutcome::Committed { .. }));
    }

    /// Gives the role one more policy.
    async fn put(&self, name: &str, text: String) {
        self.change(|view, txn| {
            let row = view.iam_roles.iter().next().expect("a role");
            let mut grants = row.grants.clone();
            grants.inline.insert(name.into(), text);
            txn.update(row, &IamRole { grants, ..row.record.clone() });
        })
        .await;
    }

    fn open(&self, access_key_id: &str, session_token: Option<String>) -> Opener {
        let seen = LastChange::of(&self.server.state.view());
        let now_s = self.now.as_millis() / 1000;
        let token = session_token.as_deref();
        let principal = self.server.identity.holder(Some(access_key_id), token, now_s);
        let principal = principal.expect("known");
        let call = Call::of_ours(&self.server, Origin::default(), principal, scope());
        call.may_connect(&POLL, &self.instance).expect("allowed");
        Opener::new(&call, &POLL, session_token, seen)
    }

    /// Opened by a session of the role that lasts an hour.
    fn open_by_role(&self, name: &str, task_arn: Option<String>) -> Opener {
        let issued_at_s = self.now.as_millis() / 1000;
        let session = Session {
            issued_at_s,
            expires_at_s: issued_at_s + HOUR_S,
            role_arn: Some(self.role.arn()),
            task_arn,
            joined: true,
            ..Session::default()
        };
        let subject = Subject::Role { id: self.role.id.clone(), session: name.to_owned() };
        let vault = self.server.vault().expect("a vault");
        let minted = mint(vault, AccountId::default(), subject, Tags::new(), session);
        let Minted { access_key_id, session_token, .. } = minted.expect("seals");
        self.open(&access_key_id, Some(session_token))
    }

    fn check(&self, opener: &mut Opener) -> Result<(), String> {
        self.check_at(opener, 0)
    }

    fn check_at(&self, opener: &mut Opener, after_s: u64) -> Result<(), String> {
        let now = self.now + Duration::from_secs(after_s);
        opener.check(&self.server, &self.instance, now).map_err(|lost| lost.to_string())
    }
}

#[tokio::test]
async fn a_session_ends_when_a_policy_denies_its_machine_and_that_of_another_stays() {
    let world = World::new().await;
    let (mut one, mut other) = (world.open_by_role("i-1", None), world.open_by_role("i-2", None));
    assert_eq!(world.check(&mut one), Ok(()));
    let shut_out = r#","Condition":{"StringLike":{"aws:userid":"*:i-1"}}"#;
    world.put("shut-out", policy("Deny", shut_out)).await;
    let lost = world.check(&mut one).expect_err("it is denied");
    assert!(lost.contains("is not authorized to perform: ecs:Poll"), "{lost}");
    assert_eq!(world.check(&mut other), Ok(()));
    let revoked = r#","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2100-01-01T00:00:00Z"}}"#;
    world.put("revoked", policy("Deny", revoked)).await;
    assert!(world.check(&mut other).is_err(), "of all that joined before");
}

#[tokio::test]
async fn a_session_ends_with_its_keys_and_with_its_role() {
    let world = World::new().await;
    let mut opener = world.open_by_role("i-1", None);
    assert_eq!(world.check_at(&mut opener, 3599), Ok(()));
    let lost = world.check_at(&mut opener, 3600).expect_err("its keys have ended");
    assert!(lost.contains("its keys are not good any more"), "{lost}");
    world.change(|view, txn| _ = txn.remove(view.iam_roles.iter().next().expect("a role"))).await;
    assert!(world.check(&mut opener).is_err());
}

#[tokio::test]
async fn a_session_ends_with_the_key_of_a_user_and_with_the_user() {
    let world = World::new().await;
    let mut opener = world.open(&world.key, None);
    assert_eq!(world.check(&mut opener), Ok(()));
    let turn = async |active: bool| {
        world
            .change(|view, txn| {
                let row = view.access_keys.iter().next().expect("a key");
                txn.update(row, &AccessKey { active, ..row.record.clone() });
            })
            .await;
    };
    turn(false).await;
    assert!(world.check(&mut opener).is_err(), "it is disabled");
    turn(true).await;
    assert_eq!(world.check(&mut opener), Ok(()));
    world.change(|view, txn| _ = txn.remove(view.iam_users.iter().next().expect("a user"))).await;
    assert!(world.check(&mut opener).is_err(), "nobody's key");
}

#[tokio::test]
async fn nothing_is_asked_where_nothing_has_changed_but_for_what_changes_by_itself() {
    let world = World::new().await;
    let mut opener = world.open_by_role("i-1", None);
    assert!(!opener.varies);
    // Whoever asked would find that this is nobody's key.
    opener.access_key_id = Some("ASIA".to_owned());
    assert_eq!(world.check(&mut opener), Ok(()));
    let ends = jiff::Timestamp::from_second(world.now.as_millis() / 1000 + 60).expect("a time");
    let bounded = format!(r#","Condition":{{"DateGreaterThan":{{"aws:CurrentTime":"{ends}"}}}}"#);
    world.put("bounded", policy("Deny", &bounded)).await;
    assert!(world.check(&mut opener).is_err(), "something has");
    let mut opener = world.open_by_role("i-1", None);
    assert_eq!(world.check_at(&mut opener, 59), Ok(()));
    assert!(world.check_at(&mut opener, 62).is_err(), "time has passed");
}

#[tokio::test]
async fn a_session_by_credentials_of_a_task_ends_with_the_task() {
    let world = World::new().await;
    let task = Resource::Task(world.instance.cluster.clone(), TaskId::new(9));
    let task = Arn::new(&scope(), task).to_string();
    let mut opener = world.open_by_role("i-1", Some(task));
    assert_eq!(world.check(&mut opener), Ok(()), "this server has not heard of it yet");
    assert!(world.check_at(&mut opener, 100).is_err(), "it is not there");
}

#[tokio::test]
async fn root_stays_whatever_changes() {
    let mut world = World::new().await;
    let open = longshore_auth::Open::new(Account::default());
    Arc::get_mut(&mut world.server).expect("nobody else has it").identity = Box::new(open);
    let mut opener = world.open("AKIA", None);
    world.put("deny", policy("Deny", "")).await;
    assert_eq!(world.check(&mut opener), Ok(()));
}
