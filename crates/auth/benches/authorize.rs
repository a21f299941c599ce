//! What one request costs before its handler: `cargo bench -p longshore-auth`.
//!
//! A signed RunTask is verified and asked of 10 policies of 20 statements; only the last statement
//! allows it, so every one is looked at. Printed is the median of many rounds, for each half and
//! for both, and what many policies take in memory.

#![expect(clippy::print_stdout, reason = "a bench reports to whoever runs it")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_auth::{
    Ask, Attached, Context, Credentials, Expected, PayloadHash, Policies, Policy, RequestParts,
    evaluate, sign, verify,
};

const ROUNDS: usize = 20_000;
const NOW_S: i64 = 1_440_938_160;
const CLUSTER: &str = "arn:aws:ecs:us-east-1:111122223333:cluster/web";
const TASK: &str = "arn:aws:ecs:us-east-1:111122223333:task-definition/web:7";

fn main() {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: None,
    };
    let body = br#"{"cluster":"web","taskDefinition":"web:7","count":1}"#;
    let plain: Vec<(&str, &[u8])> = vec![
        ("host", b"127.0.0.1:4566"),
        ("content-type", b"application/x-amz-json-1.1"),
        ("x-amz-target", b"AmazonEC2ContainerServiceV20141113.RunTask"),
    ];
    let unsigned = RequestParts::new("POST", "/", "", plain.clone());
    let added = sign(&unsigned, &PayloadHash::of(body), &credentials, "us-east-1", "ecs", NOW_S);
    let added = added.iter().map(|(name, value)| (*name, value.as_bytes()));
    let signed = RequestParts::new("POST", "/", "", plain.into_iter().chain(added));
    let expected = Expected { region: Some("us-east-1"), service: Some("ecs") };
    let authenticate = || {
        let payload = PayloadHash::of(body);
        let verified = verify(&signed, &payload, &expected, NOW_S, |id| {
            (id == credentials.access_key_id).then(|| (credentials.secret_access_key.clone(), ()))
        });
        black_box(verified).expect("signed");
    };
    let policies = policies(10);
    let ask = |resource: &str, expected: bool| {
        let mut context = Context::default();
        for (key, value) in [
            ("aws:username", "ann"),
            ("aws:PrincipalArn", "arn:aws:iam::111122223333:user/ann"),
            ("aws:PrincipalAccount", "111122223333"),
            ("aws:SourceIp", "203.0.113.7"),
            ("aws:SecureTransport", "true"),
            ("aws:CurrentTime", "2026-05-01T12:00:00Z"),
            ("ecs:cluster", CLUSTER),
            ("aws:RequestTag/team", "web"),
            ("aws:TagKeys", "team"),
        ] {
            context.add(key, value);
        }
        let ask = Ask { action: "ecs:RunTask", resource, context: &context };
        assert_eq!(black_box(evaluate(&policies, &ask)).is_allowed(), expected);
    };
    let ask_all = || ask(TASK, true);
    println!("{:<34} {:>10}", "", "p50");
    println!("{:<34} {:>10.2?}", "verify", p50(authenticate));
    println!("{:<34} {:>10.2?}", "evaluate, 10 policies x 20", p50(ask_all));
    let refused = || ask("arn:aws:ecs:us-east-1:111122223333", false);
    println!("{:<34} {:>10.2?}", "evaluate, refused and explained", p50(refused));
    println!(
        "{:<34} {:>10.2?}",
        "verify + evaluate",
        p50(|| {
            authenticate();
            ask_all();
        })
    );
    let before = resident_mib();
    let many = self::policies(5_000);
    let taken = resident_mib().saturating_sub(before);
    println!("{:<34} {taken:>6} MiB", format!("{} policies x 20", many.identity.len()));
}

/// Memory of this process in MiB, as Linux counts it.
fn resident_mib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or_default();
    pages * 4096 / (1024 * 1024)
}

fn p50(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

/// Statements of all sorts, two thirds of them about the service that is asked.
fn policies(count: usize) -> Policies {
    let policy = |at: usize| {
        let mut statements = String::new();
        for n in 0..20 {
            let (service, condition) = match n % 3 {
                0 => ("s3", String::new()),
                1 => (
                    "ecs",
                    r#","Condition":{"StringLike":{"aws:RequestTag/team":"x${aws:username}*"}}"#
                        .to_owned(),
                ),
                _ => (
                    "ecs",
                    format!(
                        r#","Condition":{{"ArnEquals":{{"ecs:cluster":"arn:aws:ecs:*:*:cluster/c{n}"}},"IpAddress":{{"aws:SourceIp":["10.{n}.0.0/16","192.168.0.0/16"]}}}}"#
                    ),
                ),
            };
            let last = at + 1 == count && n == 19;
            let condition = if last { String::new() } else { condition };
            let effect = if n % 7 == 3 { "Deny" } else { "Allow" };
            let separator = if n == 0 { "" } else { "," };
            write!(
                statements,
                r#"{separator}{{"Sid":"S{n}","Effect":"{effect}","Action":["{service}:Run*","{service}:Describe*","{service}:ListTasks"],"Resource":["arn:aws:{service}:*:111122223333:*","arn:aws:{service}:us-*-1:*:cluster/{n}*"]{condition}}}"#
            )
            .expect("a string takes all");
        }
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        let policy = Policy::parse(&text).unwrap_or_else(|e| panic!("{}", e.detail));
        Attached { source: format!("policy/{at}"), policy: Arc::new(policy) }
    };
    Policies { identity: (0..count).map(policy).collect(), ..Policies::default() }
}
