//! What must hold of any bytes that others send: the properties behind the fuzz targets `policy` and
//! `signature` (`make fuzz`), which share this file with the tests of the recorded inputs.

#![allow(dead_code, reason = "each fuzz target has one of the properties")]

use std::sync::Arc;

use longshore_auth::{
    Ask, Attached, Context, Expected, PayloadHash, Policies, Policy, PolicyKind, RequestParts, Who,
    evaluate, peek, trusts, verify, verify_chunked,
};

const NOW_S: i64 = 1_440_938_160;
const ROLE: &str = "arn:aws:iam::111122223333:role/app";

/// Reads a text as a policy of every kind, and asks whatever was read.
pub fn policy(text: &str) {
    let mut context = Context::default();
    for (key, value) in [
        ("aws:username", "ann"),
        ("aws:SourceIp", "203.0.113.7"),
        ("aws:TagKeys", "team"),
        ("aws:TagKeys", "stage"),
        ("sts:ExternalId", text),
        ("ecs:cluster", "arn:aws:ecs:us-east-1:111122223333:cluster/web"),
    ] {
        context.add(key, value);
    }
    let who = Who::User { account: "111122223333", arn: "arn:aws:iam::111122223333:user/ann" };
    for kind in [PolicyKind::Identity, PolicyKind::Resource, PolicyKind::Trust] {
        let policy = match Policy::parse_as(text, kind) {
            Ok(policy) => policy,
            Err(error) => {
                assert!(!error.message.is_empty() && !error.detail.is_empty());
                continue;
            }
        };
        policy.context_keys();
        assert!(Policy::position(text, 0).is_some());
        let attached = Attached { source: "p".to_owned(), policy: Arc::new(policy) };
        let policies = Policies { identity: vec![attached.clone()], ..Policies::default() };
        for resource in [ROLE, "*", text] {
            for action in ["ecs:RunTask", "sts:AssumeRole", text] {
                let ask = Ask { action, resource, context: &context };
                let found = [evaluate(&policies, &ask), trusts(&attached, &who, &ask)];
                for near in found.iter().flat_map(|found| &found.near) {
                    assert!(!near.to_string().is_empty());
                }
            }
        }
    }
}

/// Lines of a request: method, path and query, then headers, then the body after an empty line.
pub fn signature(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.split('\n');
    let mut line = lines.next().unwrap_or_default().splitn(3, ' ');
    let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let query = line.next().unwrap_or_default();
    let headers = lines.map(|line| line.split_once(':').unwrap_or((line, "")));
    let headers = headers.map(|(name, value)| (name, value.as_bytes()));
    let parts = RequestParts::new(method, path, query, headers);
    peek(&parts);
    // A secret that no input knows.
    let secret = |_: &str| Some(("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(), ()));
    let payload = PayloadHash::of(body.as_bytes());
    assert!(verify(&parts, &payload, &Expected::default(), NOW_S, secret).is_err());
    assert!(verify_chunked(&parts, body.as_bytes(), &Expected::default(), NOW_S, secret).is_err());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(name: &str, property: impl Fn(&[u8])) {
        let folder = format!("{}/../../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let entries: Vec<_> = std::fs::read_dir(folder).expect("a corpus").collect();
        assert!(!entries.is_empty(), "the corpus of {name} has inputs");
        for entry in entries {
            property(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        }
    }

    #[test]
    fn the_recorded_inputs_hold() {
        each("policy", |bytes| policy(&String::from_utf8_lossy(bytes)));
        each("signature", signature);
    }
}
