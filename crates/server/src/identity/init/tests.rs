use longshore_auth::{
    Account, Ask, Context, IdentityProvider, Permissions, Principal, PrincipalKind, evaluate,
};
use longshore_store::MemoryStore;

use super::*;
use crate::identity::{Iam, Uses};

fn parts_may(state: &State, vault: &Arc<Vault>, action: &str) -> bool {
    let uses = Arc::<Uses>::default();
    let iam = Iam::new(state.clone(), Arc::clone(vault), uses).expect("a provider");
    let view = state.view();
    let row =
        view.iam_users.get(&IamUserKey::new(AccountId::default(), PARTS)).expect("it is there");
    let kind = PrincipalKind::User { name: format!("longshore/{PARTS}") };
    let principal = Principal {
        unique_id: row.id.to_string(),
        ..Principal::new(Account::default(), kind, None)
    };
    let Permissions::By(standing) = iam.permissions(&principal) else { panic!("by policies") };
    let context = Context::default();
    evaluate(&standing, &Ask { action, resource: "*", context: &context }).is_allowed()
}

#[tokio::test]
async fn the_parts_of_dev_may_what_agents_and_balancers_need_and_no_more() {
    let account = AccountId::default();
    let vault = Arc::new(Vault::new(&MasterKey::fresh()));
    let state = State::open(Arc::new(MemoryStore::default())).await.expect("opens");
    let (_, first) = development(&state, &vault, account).await.expect("makes a key");
    // A store of an older version.
    let wide = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["longshore:*","ecs:*"],"Resource":"*"}]}"#;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = view.iam_users.get(&IamUserKey::new(account, PARTS)).expect("it is there");
        let inline = [("parts".to_owned(), wide.to_owned())].into();
        let grants = Grants { inline, ..Grants::default() };
        txn.update(row, &IamUser { grants, ..row.record.clone() });
        Ok::<_, std::convert::Infallible>(())
    };
    let Ok(()) = state.decide(decide).await.expect("commits");
    assert!(parts_may(&state, &vault, "ecs:RunTask"));
    let (_, again) = development(&state, &vault, account).await.expect("finds the key");
    assert_eq!(again.access_key_id, first.access_key_id);
    for action in [
        "ecs:RegisterContainerInstance",
        "ecs:DiscoverPollEndpoint",
        "ecs:Poll",
        "ecs:StartTelemetrySession",
        "ecs:SubmitTaskStateChange",
        "longshore:GetRouting",
        "longshore:ReportBalancer",
        "longshore:OwnAll",
    ] {
        assert!(parts_may(&state, &vault, action), "{action}");
    }
    for action in [
        "ecs:RunTask",
        "ecs:DeleteCluster",
        "longshore:Backup",
        "longshore:Reset",
        "iam:CreateUser",
    ] {
        assert!(!parts_may(&state, &vault, action), "{action}");
    }
}
