use longshore_auth::{Account, PrincipalKind, prove_former};
use longshore_store::{MemoryStore, State};
use std::sync::Arc;

use super::*;
use crate::clock;
use crate::identity::{MasterKey, initialize};

const ROLE: &str = "ecsInstanceRole";
const BY: &str = "arn:aws:iam::000000000000:user/admin";
const HOUR: Duration = Duration::from_secs(3600);

struct Bench {
    state: State,
    vault: Vault,
    now: Timestamp,
}

impl Bench {
    async fn new() -> Self {
        let (store, key) = (Arc::new(MemoryStore::default()), MasterKey::fresh());
        initialize(store.clone(), &key, AccountId::default()).await.expect("initializes");
        let state = State::open(store).await.expect("opens");
        Self { state, vault: Vault::new(&key), now: clock::now() }
    }

    async fn token(&self, role: &str) -> Result<NewToken, JoinError> {
        let (account, now) = (AccountId::default(), self.now);
        let wanted = Wanted { account, role, life: HOUR, by: BY, now };
        self.state.decide(|view, txn| create(view, txn, &wanted)).await.expect("the store works")
    }

    async fn join(
        &self,
        id: &str,
        secret: &str,
        former: Option<&Former<'_>>,
        after: Duration,
    ) -> Result<Joined, JoinError> {
        let now = self.now + after;
        let decide = |view: &View, txn: &mut RecordTxn| {
            redeem(view, txn, &self.vault, (id, secret), former, now)
        };
        self.state.decide(decide).await.expect("the store works")
    }

    /// Whom a server sees behind keys.
    fn principal(&self, joined: &Joined) -> Principal {
        let claims = read(&self.vault, &joined.keys.session_token).expect("ours");
        let Subject::Role { id, session } = claims.subject else { panic!("no role") };
        let kind =
            PrincipalKind::AssumedRole { role: joined.role.clone(), session: session.clone() };
        let principal = Principal::new(Account::default(), kind, None);
        let unique_id = format!("{id}:{session}");
        Principal { unique_id, session: Some(Box::new(claims.session)), ..principal }
    }
}

#[tokio::test]
async fn a_token_is_good_once() {
    let bench = Bench::new().await;
    let token = bench.token(ROLE).await.expect("a token");
    let row = bench.state.view().join_tokens.iter().next().expect("a record").record.clone();
    assert!(!format!("{row:?}").contains(&token.secret), "the secret is not stored");
    let joined = bench.join(&token.id, &token.secret, None, Duration::ZERO).await.expect("keys");
    assert!(joined.session.starts_with("i-") && joined.session.len() == 19, "{}", joined.session);
    assert_eq!(bench.state.view().join_tokens.len(), 0);
    let again = bench.join(&token.id, &token.secret, None, Duration::ZERO).await;
    assert_eq!(again.err(), Some(JoinError::Refused));
}

#[tokio::test]
async fn nobody_learns_why_a_token_is_refused() {
    let bench = Bench::new().await;
    let token = bench.token(ROLE).await.expect("a token");
    let other = bench.token(ROLE).await.expect("a token");
    for (id, secret, after) in [
        (token.id.as_str(), other.secret.as_str(), Duration::ZERO),
        (&token.id, "", Duration::ZERO),
        ("", &token.secret, Duration::ZERO),
        ("../../x", &token.secret, Duration::ZERO),
        (&token.id, &token.secret, HOUR),
    ] {
        let refused = bench.join(id, secret, None, after).await;
        assert_eq!(refused.err(), Some(JoinError::Refused), "{id} {secret}");
    }
    assert!(
        bench.join(&token.id, &token.secret, None, HOUR / 2).await.is_ok(),
        "it is still there"
    );
}

#[tokio::test]
async fn tokens_are_for_roles_that_machines_can_have() {
    let bench = Bench::new().await;
    let missing = bench.token("nobody").await;
    assert_eq!(missing.err(), Some(JoinError::NoRole("nobody".into())));
    let other = "arn:aws:iam::000000000000:role/elsewhere/ecsInstanceRole";
    assert_eq!(bench.token(other).await.err(), Some(JoinError::NoRole(other.into())));
    assert!(bench.token("arn:aws:iam::000000000000:role/ecsInstanceRole").await.is_ok());
    let token = bench.token(ROLE).await.expect("a token");
    let distrust = |view: &View, txn: &mut RecordTxn| -> Result<(), ()> {
        let row = view.iam_roles.get(&IamRoleKey::new(AccountId::default(), ROLE)).ok_or(())?;
        let trust = row.trust.replace("ec2.amazonaws.com", "ecs-tasks.amazonaws.com");
        txn.update(row, &IamRole { trust, ..row.record.clone() });
        Ok(())
    };
    bench.state.decide(distrust).await.expect("the store works").expect("the role");
    assert_eq!(bench.token(ROLE).await.err(), Some(JoinError::Untrusted(ROLE.into())));
    let refused = bench.join(&token.id, &token.secret, None, Duration::ZERO).await;
    assert_eq!(refused.err(), Some(JoinError::Refused));
}

#[tokio::test]
async fn renewed_keys_are_the_same_session() {
    let bench = Bench::new().await;
    let token = bench.token(ROLE).await.expect("a token");
    let joined = bench.join(&token.id, &token.secret, None, Duration::ZERO).await.expect("keys");
    let principal = bench.principal(&joined);
    let view = bench.state.view();
    let later = bench.now + HOUR;
    let renewed = renew(&view, &bench.vault, &principal, later).expect("others");
    assert_ne!(renewed.keys.access_key_id, joined.keys.access_key_id);
    assert_eq!(renewed.expires_at_s, joined.expires_at_s + 3600);
    let again = bench.principal(&renewed);
    assert_eq!((&again.arn, &again.unique_id), (&principal.arn, &principal.unique_id));
    let issued = |of: &Principal| of.session.as_ref().map(|session| session.issued_at_s);
    assert_eq!(issued(&again), issued(&principal), "who revokes a session revokes what follows");
    let mut other = principal.clone();
    other.session = Some(Box::new(Session { joined: false, ..Session::default() }));
    for wrong in [other, Principal { session: None, ..principal }] {
        let refused = renew(&view, &bench.vault, &wrong, later);
        assert_eq!(refused.err(), Some(JoinError::NotJoined));
    }
}

/// What a machine shows for the token with this id.
type Proof<'a> = dyn Fn(&str) -> String + 'a;

#[tokio::test]
async fn a_machine_that_joins_anew_is_the_same_only_if_it_has_both_halves_of_its_keys() {
    let bench = Bench::new().await;
    let token = bench.token(ROLE).await.expect("a token");
    let first = bench.join(&token.id, &token.secret, None, Duration::ZERO).await.expect("keys");
    let (right, session_token) = (&*first.keys.secret_access_key, &*first.keys.session_token);
    let other = token.id;
    let proofs: [(&Proof<'_>, bool); 5] = [
        (&|id| prove_former(right, id), true),
        (&|id| prove_former("guess", id), false),
        // Whoever hears one proof has it for a token that is used.
        (&|_| prove_former(right, &other), false),
        (&|_| right.to_owned(), false),
        (&|_| String::new(), false),
    ];
    for (number, (proof, same)) in proofs.into_iter().enumerate() {
        let token = bench.token(ROLE).await.expect("a token");
        let former = Former { session_token, proof: &proof(&token.id) };
        let joined = bench.join(&token.id, &token.secret, Some(&former), HOUR / 2).await;
        assert_eq!(joined.expect("keys").session == first.session, same, "{number}");
    }
}

#[tokio::test]
async fn of_two_machines_with_one_token_one_joins() {
    let bench = Bench::new().await;
    let token = bench.token(ROLE).await.expect("a token");
    let join = || bench.join(&token.id, &token.secret, None, Duration::ZERO);
    let (one, other) = tokio::join!(join(), join());
    assert!(one.is_ok() != other.is_ok());
    assert_eq!(one.err().or(other.err()), Some(JoinError::Refused));
}
