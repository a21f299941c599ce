//! Addresses, good and bad.

use super::*;

fn parse(address: &str) -> EtcdOptions {
    EtcdOptions::parse(address, StoreId(1)).expect("an address")
}

fn refusal(address: &str) -> String {
    EtcdOptions::parse(address, StoreId(1)).expect_err("no address").to_string()
}

#[test]
fn an_address_says_it_all() {
    let short = parse("etcd://localhost");
    assert_eq!(short.members, ["localhost:2379"]);
    assert_eq!((short.namespace.as_str(), &short.user), ("/longshore", &None));
    assert!(short.tls.is_none());
    assert_eq!(short.compaction, Some(limits::ETCD_HISTORY));
    let long = parse(
        "etcd://op%40s:p%2Fw@10.0.0.1:23790,etcd-2,[::1]:2380/prod/one/?connect-timeout=500ms\
         &request-timeout=7s&compaction=off",
    );
    assert_eq!(long.members, ["10.0.0.1:23790", "etcd-2:2379", "[::1]:2380"]);
    assert_eq!(long.namespace, "/prod/one");
    assert_eq!(long.user, Some(("op@s".into(), "p/w".into())));
    assert_eq!(long.connect_timeout, Duration::from_millis(500));
    assert_eq!(long.request_timeout, Duration::from_secs(7));
    assert_eq!(long.compaction, None);
}

#[test]
fn files_hold_what_is_secret() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("writes");
        path.display().to_string()
    };
    let (password, pem) = (write("password", "secret\n"), write("ca.pem", "PEM"));
    let read = parse(&format!("etcd://op@h?password-file={password}"));
    assert_eq!(read.user, Some(("op".into(), "secret".into())));
    let read = parse(&format!("etcds://h?ca={pem}&cert={pem}&key={pem}&server-name=etcd"));
    let tls = read.tls.expect("TLS");
    assert_eq!((tls.ca.as_slice(), tls.server_name.as_deref()), (b"PEM".as_slice(), Some("etcd")));
    assert!(tls.identity.is_some());
    let missing = refusal("etcds://h?ca=/nowhere/ca.pem");
    assert!(missing.contains("cannot read /nowhere/ca.pem"), "{missing}");
}

#[test]
fn a_wrong_address_says_what_to_write() {
    for (address, why) in [
        ("http://h", "neither etcd:// nor etcds://"),
        ("etcd://", "no host:port"),
        ("etcd://h:0", "no valid port"),
        ("etcd://h:99999", "no valid port"),
        ("etcd://h:1,", "no host:port"),
        ("etcd://[::z]:1", "no host:port"),
        ("etcd://h/a b", "the namespace /a b"),
        ("etcd://h/an-exceedingly-long-namespace-of-keys", "at most"),
        ("etcd://h?speed=1", "it has no option speed; there are ca,"),
        ("etcd://h?ca", "write ca=VALUE"),
        ("etcd://h?request-timeout=5", "is no time"),
        ("etcd://h?request-timeout=9999h", "is no time"),
        ("etcd://op@h", "add password-file=FILE"),
        ("etcd://h?server-name=x", "certificates are for etcds://"),
        ("etcds://h", "ca=FILE"),
    ] {
        let text = refusal(address);
        assert!(text.contains(why), "{address}: {text}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let text = refusal("etcd://op:hunter2@h?speed=1");
    assert!(text.contains("etcd://op@h?speed=1"), "{text}");
    let options = parse("etcd://op:hunter2@h");
    for shown in [text, format!("{options:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
