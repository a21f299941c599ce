//! Clients that trust an authority, before a server that has its certificates.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use longshore_domain::time::Timestamp;
use longshore_store::tables::ControlAuthorityKey;
use longshore_store::{MemoryStore, State};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::oneshot;

use super::leaf::names;
use super::{Local, Tls, self_signed};
use crate::front::bind;
use crate::identity::{InitError, MasterKey, Vault, VaultError};
use crate::{clock, test_server};

/// An authority: its certificate and its key.
fn authority() -> (String, String) {
    let usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let (pem, key) = self_signed("Test", usages, clock::now()).expect("made");
    (pem, key.serialize_pem())
}

fn local(authority: &(String, String), now: Timestamp) -> Local {
    let names = names([127, 0, 0, 1].into(), None, &["control.example".to_owned()]);
    Local::new(&authority.0, &authority.1, names, now).expect("made")
}

/// What a client learns that trusts these authorities alone.
async fn ask(url: &str, trusted: &[&str]) -> Result<(u16, String), String> {
    let mut roots = RootCertStore::empty();
    for pem in trusted {
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let uri: Uri = format!("{url}/health").parse().expect("a URL");
    let request = Request::get(uri).body(Empty::<bytes::Bytes>::new()).expect("a request");
    let answer = client.request(request).await;
    let answer = answer.map_err(|error| longshore_wire::with_causes(&error))?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_alone() {
    let (own, other) = (authority(), authority());
    let tls = Tls::Local { names: Vec::new() };
    let listening = bind(([127, 0, 0, 1], 0).into(), true, &tls).await.expect("a free port");
    let listening = listening.with_local(Some(Arc::new(local(&own, clock::now()))));
    let url = listening.url();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let server = test_server::server().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(listening.serve(server, async { drop(stopped.await) }));

    assert_eq!(ask(&url, &[&own.0]).await, Ok((200, "ok\n".to_owned())));
    assert_eq!(ask(&url, &[&other.0, &own.0]).await.map(|(status, _)| status), Ok(200));
    let refused = ask(&url, &[&other.0]).await.expect_err("another authority");
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let plain = url.replace("https:", "http:");
    let (status, told) = ask(&plain, &[]).await.expect("it is told");
    assert_eq!(status, 400);
    assert!(told.contains("begins with https://"), "{told}");

    drop(stop);
    serving.await.expect("it stops");
}

#[tokio::test]
async fn a_store_of_before_gets_an_authority_when_it_is_needed() {
    let state = State::open(Arc::new(MemoryStore::default())).await.expect("opens");
    let (vault, other) = (Vault::new(&MasterKey::fresh()), Vault::new(&MasterKey::fresh()));
    let place = (IpAddr::from([127, 0, 0, 1]), None);
    let local = Tls::Local { names: Vec::new() };
    let find = async |tls: &Tls, vault| super::find(tls, place, &state, vault).await;
    let found = find(&Tls::Off, Some(&vault)).await.expect("nothing is needed");
    assert_eq!((found.authority, found.local.is_some()), (None, false));
    let no_key = find(&local, None).await.err().expect("refused");
    assert!(matches!(no_key, InitError::Vault(VaultError::NoKey)), "{no_key}");
    let first = find(&local, Some(&vault)).await.expect("made");
    let first = first.local.expect("wanted").authority_pem().to_owned();
    let second = find(&local, Some(&vault)).await.expect("found").authority;
    assert_eq!(second.as_deref(), Some(&*first));
    let second = find(&Tls::Off, None).await.expect("found").authority;
    assert_eq!(second.as_deref(), Some(&*first), "other servers are known by it");
    let view = state.view();
    let kept = &view.control_authorities.get(&ControlAuthorityKey).expect("kept").record.key;
    assert!(!kept.0.contains("PRIVATE"), "it is sealed");
    let stranger = find(&local, Some(&other)).await.err().expect("refused");
    assert!(matches!(stranger, InitError::Vault(VaultError::Wrong)), "{stranger}");
}

/// The certificate that is shown, DER.
fn shown(local: &Local) -> Vec<u8> {
    local.current().cert[0].to_vec()
}

/// Whether the certificate that is shown is for a name or an address.
fn is_for(local: &Local, authority: &(String, String), name: &str, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.0.as_bytes()).expect("PEM")).expect("root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = verifier.build().expect("a verifier");
    let name = name.to_owned().try_into().expect("a name");
    let now_s = u64::try_from(now.as_millis() / 1000).expect("after 1970");
    let now = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now_s));
    let certificate = CertificateDer::from(shown(local));
    rustls::client::danger::ServerCertVerifier::verify_server_cert(
        &*verifier,
        &certificate,
        &[],
        &name,
        &[],
        now,
    )
    .is_ok()
}

#[test]
fn a_certificate_takes_up_addresses_and_is_renewed() {
    let authority = authority();
    let (start, day) = (clock::now(), Duration::from_secs(24 * 3600));
    let local = local(&authority, start);
    for name in ["127.0.0.1", "::1", "localhost", "control.example"] {
        assert!(is_for(&local, &authority, name, start), "{name}");
    }
    assert!(!is_for(&local, &authority, "10.0.0.9", start));
    let first = shown(&local);
    local.prepare([127, 0, 0, 1].into(), start);
    assert_eq!(shown(&local), first, "nothing was missing");
    local.prepare("::ffff:10.0.0.9".parse().expect("an address"), start);
    assert!(is_for(&local, &authority, "10.0.0.9", start));
    let second = shown(&local);
    local.prepare([10, 0, 0, 9].into(), start + day * 59);
    assert_eq!(shown(&local), second, "it is young");
    local.prepare([10, 0, 0, 9].into(), start + day * 61);
    assert_ne!(shown(&local), second);
    let later = start + day * 120;
    assert!(
        is_for(&local, &authority, "10.0.0.9", later)
            && !is_for(&local, &authority, "10.0.0.8", later)
    );
    assert!(!is_for(&local, &authority, "10.0.0.9", start + day * 152), "ninety days");
}
