//! Golden files: the bytes of every persisted shape, of every version, stay readable.
//!
//! `tests/golden/{kind}/v{version}.json` is a value and `v{version}.key` its key. With
//! `LONGSHORE_WRITE_GOLDENS=1` the test writes today's version instead of comparing it; that
//! is right only for a version that no release has written. Otherwise a changed shape is a new
//! version with a golden of its own, and `Record::upgrade` reads the old one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_store::{
    Kind, MemoryStore, Record, RecordError, RecordFault, RecordTxn, Row, State, StateError, Store,
    Table, Txn, View, Write,
};

use crate::backend::{commit, soon};
use crate::sample::{self, balancing, certificates, iam};

fn directory(kind: Kind) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(kind.as_str())
}

/// Key and value that today's code writes.
fn written<R: Record>(record: &R) -> (String, String) {
    let mut txn = RecordTxn::new();
    txn.put(record);
    let Some(Write::Put { key, value, .. }) = txn.into_txn().writes.pop() else {
        panic!("a put is a put");
    };
    (key.to_string(), String::from_utf8(value.to_vec()).expect("JSON is text"))
}

/// The record that today's code reads.
async fn read<R: Record>(
    key: &str,
    value: &str,
    table: fn(&View) -> &Table<R>,
) -> Result<Arc<Row<R>>, StateError> {
    let store = Arc::new(MemoryStore::default());
    commit(&*store, Txn::default().put(key, value.to_owned())).await;
    let view = soon(State::open(store)).await?.view();
    Ok(table(&view).iter().next().expect("the table holds it").clone())
}

/// A value as a newer longshore of the same minor version may write it is read, and what it has more
/// than this one knows is given back.
async fn check_newer<R: Record>(record: &R, table: fn(&View) -> &Table<R>) {
    let (key, value) = written(record);
    let known = value.strip_suffix("}}").expect("two objects end");
    let newer = known.to_owned() + r#","addedLater":{"list":[1,"}}"]}}}"#;
    let row = read(&key, &newer, table).await;
    let row = row.unwrap_or_else(|e| panic!("{:?} of a newer longshore: {e:?}", R::KIND));
    assert_eq!(&row.record, record);
    let mut txn = RecordTxn::new();
    txn.update(&row, record);
    let Some(Write::Put { value: again, .. }) = txn.into_txn().writes.pop() else {
        panic!("an update is a put");
    };
    assert_eq!(String::from_utf8(again.to_vec()).expect("JSON is text"), newer);
}

async fn check<R: Record>(record: R, table: fn(&View) -> &Table<R>) {
    check_newer(&record, table).await;
    let directory = directory(R::KIND);
    let today = (R::VERSION, written(&record));
    if std::env::var_os("LONGSHORE_WRITE_GOLDENS").is_some() {
        let (version, (key, value)) = &today;
        fs::create_dir_all(&directory).expect("creates");
        fs::write(directory.join(format!("v{version}.key")), key).expect("writes");
        fs::write(directory.join(format!("v{version}.json")), value).expect("writes");
    }
    for version in 1..=R::VERSION {
        let load = |extension: &str| {
            let path = directory.join(format!("v{version}.{extension}"));
            fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        let (key, value) = (load("key"), load("json"));
        let row = read(&key, &value, table).await;
        let row = row.unwrap_or_else(|e| panic!("{:?} v{version}: {e:?}", R::KIND));
        if version == R::VERSION {
            assert_eq!(today.1, (key, value), "{:?} is written as in its golden", R::KIND);
            assert_eq!(row.record, record);
        }
    }
    let files = fs::read_dir(&directory).expect("reads").count();
    let versions = usize::try_from(R::VERSION).expect("small");
    assert_eq!(files, 2 * versions, "{} holds a key and a value per version", directory.display());
}

#[tokio::test]
async fn every_version_of_every_record_is_readable() {
    for kind in Kind::ALL {
        // A new kind does not compile until it has a sample here.
        match kind {
            Kind::AccessKey => check(iam::access_key(), |view| &view.access_keys).await,
            Kind::IamAccount => check(iam::account(), |view| &view.iam_accounts).await,
            Kind::IamGroup => check(iam::group(), |view| &view.iam_groups).await,
            Kind::IamPolicy => check(iam::policy(), |view| &view.iam_policies).await,
            Kind::IamRole => check(iam::role(), |view| &view.iam_roles).await,
            Kind::IamUser => check(iam::user(), |view| &view.iam_users).await,
            Kind::InstanceProfile => {
                check(iam::instance_profile(), |view| &view.instance_profiles).await;
            }
            Kind::JoinToken => check(iam::join_token(), |view| &view.join_tokens).await,
            Kind::OidcProvider => check(iam::oidc_provider(), |view| &view.oidc_providers).await,
            Kind::AccountSetting => {
                let principal = Some("arn:aws:iam::000000000000:role/ops~1/deploy");
                check(sample::account_setting(principal), |view| &view.account_settings).await;
            }
            Kind::BalancerAddress => {
                check(balancing::balancer_address(), |view| &view.balancer_addresses).await;
            }
            Kind::BalancerNode => {
                check(balancing::balancer_node(), |view| &view.balancer_nodes).await;
            }
            Kind::Certificate => {
                check(certificates::certificate(), |view| &view.certificates).await;
            }
            Kind::CertificateAuthority => {
                check(certificates::authority(), |view| &view.certificate_authorities).await;
            }
            Kind::ClientToken => check(sample::client_token(), |view| &view.client_tokens).await,
            Kind::Cluster => check(sample::cluster(), |view| &view.clusters).await,
            Kind::ContainerInstance => {
                check(sample::container_instance(1), |view| &view.container_instances).await;
            }
            Kind::ControlAuthority => {
                check(iam::control_authority(), |view| &view.control_authorities).await;
            }
            Kind::Daemon => check(sample::daemon(), |view| &view.daemons).await,
            Kind::DaemonDeployment => {
                check(sample::daemon_deployment(), |view| &view.daemon_deployments).await;
            }
            Kind::DaemonRevision => {
                check(sample::daemon_revision(), |view| &view.daemon_revisions).await;
            }
            Kind::DaemonTaskDefinition => {
                check(sample::daemon_task_definition(), |view| &view.daemon_task_definitions).await;
            }
            Kind::Listener => check(balancing::listener(), |view| &view.listeners).await,
            Kind::ListenerRule => {
                check(balancing::listener_rule(), |view| &view.listener_rules).await;
            }
            Kind::LoadBalancer => {
                check(balancing::load_balancer(), |view| &view.load_balancers).await;
            }
            Kind::Target => check(balancing::target(), |view| &view.targets).await,
            Kind::TargetGroup => check(balancing::target_group(), |view| &view.target_groups).await,
            Kind::Service => check(sample::service(), |view| &view.services).await,
            Kind::ServiceDeployment => {
                check(sample::service_deployment(), |view| &view.service_deployments).await;
            }
            Kind::ServiceRevision => {
                check(sample::service_revision(), |view| &view.service_revisions).await;
            }
            Kind::ServiceEvent => {
                check(sample::service_event(3, 4), |view| &view.service_events).await;
            }
            Kind::Task => check(sample::task(5), |view| &view.tasks).await,
            Kind::TaskDefinition => {
                check(sample::task_definition(7), |view| &view.task_definitions).await;
            }
        }
    }
}

async fn fault(key: &str, value: &str) -> RecordFault {
    match read(key, value, |view| &view.clusters).await {
        Err(StateError::Record(RecordError { key: at, fault })) => {
            assert_eq!(&*at, key);
            fault
        }
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_record_is_named() {
    let (key, value) = written(&sample::cluster());
    let newer = value.replacen("\"v\":1", "\"v\":9", 1);
    let newer = fault(&key, &newer).await;
    assert!(matches!(newer, RecordFault::NewerVersion { found: 9, supported: 1 }));
    assert!(newer.to_string().contains("start the newer longshore"), "{newer}");
    let unknown = fault(&key, &value.replacen("\"v\":1", "\"v\":0", 1)).await;
    assert!(matches!(unknown, RecordFault::NoUpgrade { found: 0 }), "{unknown}");
    let damaged = fault(&key, &value.replacen("ACTIVE", "BUSY", 1)).await;
    assert!(matches!(damaged, RecordFault::Malformed(_)), "{damaged}");
    assert!(matches!(fault(&key, "").await, RecordFault::Malformed(_)));
    let elsewhere = key.replace("/web", "/other");
    assert!(matches!(fault(&elsewhere, &value).await, RecordFault::Misplaced(at) if *at == *key));
}

#[tokio::test]
async fn keys_of_strangers_are_left_alone() {
    let store = Arc::new(MemoryStore::default());
    let (key, value) = written(&sample::cluster());
    let strangers = [
        "/longshore/leadership/controllers",
        "/000000000000/us-east-1/elasticloadbalancing/cluster/web",
        "/000000000000/us-east-1/ecs/from-the-future/web",
        "/short",
    ];
    for stranger in strangers {
        commit(&*store, Txn::default().put(stranger, "?")).await;
    }
    commit(&*store, Txn::default().put(&key, value)).await;
    let view = soon(State::open(store.clone())).await.expect("opens").view();
    assert_eq!(view.clusters.len(), 1);
    assert!(soon(store.get("/short")).await.expect("works").is_some());
}

/// Instances that an older longshore registered do not say who did.
#[tokio::test]
async fn an_instance_of_before_is_nobodys() {
    let (key, value) = written(&sample::container_instance(1));
    let mut older: serde_json::Value = serde_json::from_str(&value).expect("JSON");
    let members = older["r"].as_object_mut().expect("a record");
    assert!(members.remove("registered_by").is_some(), "{value}");
    let row = read(&key, &older.to_string(), |view| &view.container_instances).await;
    assert_eq!(row.expect("it is readable").registered_by, None);
}
