//! Who may use etcd, and how.

use std::path::Path;

use longshore_store::{Leadership, Range, Retry, Store, StoreError, Txn};
use tokio::process::Command;

use super::cluster::{Cluster, Recipe, open};
use crate::backend::{commit, soon, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_a_wrong_role_are_told() {
    let Some(etcd) = Cluster::start(Recipe { members: 1, ..Recipe::default() }).await else {
        return;
    };
    for command in [
        "user add root:secret",
        "role add ours",
        "role grant-permission ours --prefix=true readwrite /longshore/",
        "user add longshore:pass",
        "user grant-role longshore ours",
        "user add other:pass",
        "auth enable",
    ] {
        etcd.etcdctl(&command.split(' ').collect::<Vec<_>>()).await;
    }
    let hosts = etcd.address().trim_start_matches("etcd://").to_owned();
    for (user, says) in [
        ("longshore:wrong@", "authentication failed"),
        ("nobody:pass@", "authentication failed"),
        ("", "user name is empty"),
        ("other:pass@", "permission denied"),
    ] {
        let error = open(&format!("etcd://{user}{hosts}")).await.expect_err("it may not");
        assert!(matches!(error, StoreError::Denied { .. }), "{user}: {error:?}");
        let said = error.to_string();
        assert!(said.contains(says) && said.contains("/longshore/"), "{user}: {said}");
        assert_eq!(error.retry(), Retry::Never);
    }
    let store = open(&format!("etcd://longshore:pass@{hosts}")).await.expect("it may");
    let at = commit(&store, Txn::default().put("/a", "1").append("/log", "1")).await;
    assert_eq!(text(&store, "/a").await.as_deref(), Some("1"));
    let page = soon(store.range(Range::prefix("/log/"))).await.expect("works");
    assert_eq!(page.kvs[0].mod_revision, at);
    let store = std::sync::Arc::new(store);
    let office = Leadership::new(store, "office", "one", std::time::Duration::from_secs(60));
    let leader = soon(office.acquire()).await.expect("works");
    soon(leader.renew()).await.expect("it leads");
    soon(leader.release()).await.expect("it led");
}

async fn openssl(dir: &Path, arguments: &str) {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
    let output = soon(run).await.expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_a_client_certificate() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(dir.path(), &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca")).await;
    std::fs::write(dir.path().join("ext"), "subjectAltName=IP:127.0.0.1,DNS:etcd.example")
        .expect("writes");
    for name in ["member", "client"] {
        openssl(
            dir.path(),
            &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"),
        )
        .await;
        let sign = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem \
             -extfile ext"
        );
        openssl(dir.path(), &sign).await;
    }
    let arguments = [
        format!("--cert-file={}", path("member.pem")),
        format!("--key-file={}", path("member.key")),
        format!("--trusted-ca-file={}", path("ca.pem")),
        "--client-cert-auth".into(),
    ];
    let recipe = Recipe { members: 1, arguments: arguments.into(), tls: true };
    let Some(etcd) = Cluster::start(recipe).await else { return };
    let address = etcd.address();
    let (ca, certificate, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let good = format!("{address}?ca={ca}&cert={certificate}&key={key}");
    let store = open(&good).await.expect("opens");
    commit(&store, Txn::default().put("/a", "1")).await;
    assert_eq!(text(&store, "/a").await.as_deref(), Some("1"));
    let named = open(&format!("{good}&server-name=etcd.example")).await.expect("opens");
    assert_eq!(text(&named, "/a").await.as_deref(), Some("1"));
    for wrong in [
        format!("{address}?ca={ca}&request-timeout=1s"),
        format!("{address}?ca={certificate}&request-timeout=1s"),
        format!("{good}&server-name=other.example&request-timeout=1s"),
        format!("{}?request-timeout=1s", address.replace("etcds", "etcd")),
    ] {
        let error = open(&wrong).await.expect_err("no connection");
        assert!(matches!(error, StoreError::Unreachable { .. }), "{wrong}: {error:?}");
    }
}
