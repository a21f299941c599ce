//! Documents that are none, and what is bounded.

use super::{attached, document};
use crate::policy::{Ask, Context, DOCUMENT_MAX, Policies, Policy, PolicyKind, Position, evaluate};

fn check(kind: PolicyKind, text: &str, message: &str) {
    let error = Policy::parse_as(text, kind).expect_err(text);
    assert_eq!(error.message, message, "{} for {text}", error.detail);
    assert!(!error.detail.is_empty());
}

/// A document of one statement.
fn identity(statement: &str, message: &str) {
    check(PolicyKind::Identity, &document(&format!("{{{statement}}}")), message);
}

fn trust(statement: &str, message: &str) {
    check(PolicyKind::Trust, &document(&format!("{{{statement}}}")), message);
}

const SYNTAX: &str = "Syntax errors in policy.";
const ALLOW: &str = r#""Effect":"Allow","Action":"ecs:*","Resource":"*""#;

#[test]
fn documents() {
    for text in [
        "",
        "no JSON",
        "[]",
        "null",
        "{}",
        r#"{"Version":"2012-10-17"}"#,
        r#"{"Version":"2012-10-17","Statement":[]}"#,
        r#"{"Version":"2012-10-17","Statement":"x"}"#,
        r#"{"Version":"2012-10-17","Statement":[1]}"#,
        r#"{"Version":"2011-01-01","Statement":[]}"#,
        r#"{"Version":1,"Statement":[]}"#,
        r#"{"Version":"2012-10-17","Id":1,"Statement":[]}"#,
        r#"{"Version":"2012-10-17","Other":1,"Statement":[]}"#,
        r#"{"Version":"2012-10-17","Statement":[]} x"#,
        r#"{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}"#,
    ] {
        check(PolicyKind::Identity, text, SYNTAX);
    }
    let older = "Policy document must be version 2012-10-17 or greater.";
    check(PolicyKind::Identity, &format!(r#"{{"Statement":{{{ALLOW}}}}}"#), older);
    let old = format!(r#"{{"Version":"2008-10-17","Statement":{{{ALLOW}}}}}"#);
    check(PolicyKind::Identity, &old, older);
    let invalid = "This policy contains invalid Json";
    check(PolicyKind::Trust, "{", invalid);
    check(PolicyKind::Trust, r#"{"Statement":1,"Statement":1}"#, invalid);
    let empty = "Could not parse the policy: Statement is empty!";
    check(PolicyKind::Trust, r#"{"Version":"2012-10-17"}"#, empty);
}

#[test]
fn statements() {
    for statement in [
        r#""Action":"ecs:*","Resource":"*""#,
        r#""Effect":"Maybe","Action":"ecs:*","Resource":"*""#,
        r#""Effect":"Allow","Action":1,"Resource":"*""#,
        r#""Effect":"Allow","Action":[1],"Resource":"*""#,
        r#""Effect":"Allow","Action":"ecs:*","NotAction":"s3:*","Resource":"*""#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","NotResource":"*""#,
        r#""Effect":"Allow","Effect":"Deny","Action":"ecs:*","Resource":"*""#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Other":1"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":[]"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"Equals":{"a:b":"c"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"NullIfExists":{"a:b":"true"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"ForSome:StringEquals":{"a:b":"c"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"StringEquals":{"a:b":{}}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"StringEquals":{"a:b":"c","a:b":"d"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"NumericEquals":{"a:b":"x"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"NumericEquals":{"a:b":"inf"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"DateEquals":{"a:b":"soon"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"IpAddress":{"a:b":"1.2.3.4/33"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"Bool":{"a:b":"yes"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"Null":{"a:b":"yes"}}"#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"arn:aws:ecs:r:1:${aws:x""#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"arn:aws:ecs:r:1:${a${b}}""#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"arn:aws:ecs:r:1:${}""#,
        r#""Effect":"Allow","Action":"ecs:*","Resource":"arn:aws:ecs:r:1:${aws:x, y}""#,
    ] {
        identity(statement, SYNTAX);
    }
    let ecs = r#""Effect":"Allow","Action":"ecs:*","#;
    for (statement, message) in [
        (r#""Effect":"allow","Action":"ecs:*","Resource":"*""#, "The policy failed legacy parsing"),
        (r#""Effect":"Allow","Resource":"*""#, "Policy statement must contain actions."),
        (
            r#""Effect":"Allow","Action":[],"Resource":"*""#,
            "Policy statement must contain actions.",
        ),
        (r#""Effect":"Allow","Action":"ecs:*""#, "Policy statement must contain resources."),
        (
            r#""Effect":"Allow","Action":"ecs:*","Resource":[]"#,
            "Policy statement must contain resources.",
        ),
        (
            r#""Effect":"Allow","Action":"RunTask","Resource":"*""#,
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (
            r#""Effect":"Allow","Action":"ecs:Run:Task","Resource":"*""#,
            "Actions/Condition can contain only one colon.",
        ),
        (r#""Effect":"Allow","Action":"e cs:RunTask","Resource":"*""#, "Vendor e cs is not valid"),
        (
            r#""Effect":"Allow","Action":"ecs:*","Resource":"*","Principal":"*""#,
            "Policy document should not specify a principal.",
        ),
        (
            r#""Sid":"a b","Effect":"Allow","Action":"ecs:*","Resource":"*""#,
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular \
             expression [0-9A-Za-z]*",
        ),
    ] {
        identity(statement, message);
    }
    for (resource, message) in [
        ("web", "Resource web must be in ARN format or \"*\"."),
        ("a:b:c", "Partition \"b\" is not valid for resource \"arn:b:c:*:*:*\"."),
        ("arn:error:s3:::b", "Partition \"error\" is not valid for resource \"arn:error:s3:::b\"."),
        ("arn:aws:*", "Resource vendor must be fully qualified and cannot contain regexes."),
        ("arn:aws:e*:r:1:x", "Resource vendor must be fully qualified and cannot contain regexes."),
        ("arn:aws:ecs:r:x", "The policy failed legacy parsing"),
    ] {
        identity(&format!(r#"{ecs}"Resource":"{resource}""#), message);
    }
    let sid = format!(r#"{{"Sid":"a",{ALLOW}}},{{"Sid":"a",{ALLOW}}}"#);
    let unique = "Statement IDs (SID) in a single policy must be unique.";
    check(PolicyKind::Identity, &document(&sid), unique);
    let empty = format!(r#"{{"Sid":"",{ALLOW}}},{{"Sid":"",{ALLOW}}}"#);
    assert!(Policy::parse(&document(&empty)).is_ok());
}

#[test]
fn trust_policies() {
    let allow = r#""Effect":"Allow","Action":"sts:AssumeRole""#;
    for (statement, message) in [
        (allow.to_owned(), "Missing required field Principal"),
        (
            format!(r#"{allow},"Principal":{{}}"#),
            "Missing required field Principal cannot be empty!",
        ),
        (format!(r#"{allow},"Principal":"ann""#), "Principal must be a JSON object."),
        (
            format!(r#"{allow},"Principal":{{"Human":"ann"}}"#),
            "Invalid principal in policy: \"Human\"",
        ),
        (
            format!(r#"{allow},"Principal":{{"CanonicalUser":"ab"}}"#),
            "Invalid principal in policy: \"CanonicalUser\"",
        ),
        (
            format!(r#"{allow},"Principal":{{"AWS":"arn:aws:iam::1:user/ann"}}"#),
            "Invalid principal in policy: \"AWS\":\"arn:aws:iam::1:user/ann\"",
        ),
        (
            format!(r#"{allow},"Principal":{{"AWS":"arn:aws:iam::111122223333:role/*"}}"#),
            "Invalid principal in policy: \"AWS\":\"arn:aws:iam::111122223333:role/*\"",
        ),
        (
            format!(r#"{allow},"Principal":{{"Service":"ecs"}}"#),
            "Invalid principal in policy: \"SERVICE\":\"ecs\"",
        ),
        (format!(r#"{allow},"Principal":"*","Resource":"*""#), "Has prohibited field Resource"),
        (
            format!(r#"{allow},"NotPrincipal":{{"AWS":"111122223333"}}"#),
            "Allow with NotPrincipal is not allowed.",
        ),
        (
            r#""Effect":"Allow","Action":"*","Principal":"*""#.to_owned(),
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ),
        (r#""Effect":"Allow","Principal":"*""#.to_owned(), "Missing required field Action"),
        (
            r#""Effect":"Sure","Action":"sts:AssumeRole","Principal":"*""#.to_owned(),
            "Invalid effect: Sure",
        ),
    ] {
        trust(&statement, message);
    }
    let old =
        format!(r#"{{"Statement":{{{allow},"Principal":{{"Service":"ec2.amazonaws.com"}}}}}}"#);
    let policy = Policy::parse_as(&old, PolicyKind::Trust).expect("a trust policy of old");
    let named: Vec<_> = policy.principals().map(|(kind, name)| format!("{kind} {name}")).collect();
    assert_eq!(named, ["Service ec2.amazonaws.com"]);
}

#[test]
fn documents_are_bounded() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [10, 1_000, 60_000] {
        check(PolicyKind::Identity, &deep(depth), SYNTAX);
        let inside = format!(r#"{{"Version":"2012-10-17","Statement":{}}}"#, deep(depth));
        check(PolicyKind::Identity, &inside, SYNTAX);
    }
    let fits = document(&format!("{{{ALLOW}}}"));
    let policy = Policy::parse(&format!("{fits}{}", " \n\t".repeat(1_000))).expect("small");
    assert_eq!(policy.size(), fits.len());
    let huge = format!("{fits}{}", " ".repeat(DOCUMENT_MAX));
    check(PolicyKind::Identity, &huge, SYNTAX);
}

#[test]
fn no_pattern_takes_for_ever() {
    // Whatever tries all ways of dividing the text among the wildcards would not live to see the end.
    let (many, runs) = ("a*".repeat(1_000), "a*:b*c".repeat(700));
    let name = "a".repeat(3_000);
    for pattern in [
        format!("r:1:{many}b"),
        format!("{runs}:x:y"),
        "r:1:".to_owned() + &"?*".repeat(3_000) + "b",
    ] {
        let text = document(&format!(
            r#"{{"Effect":"Allow","Action":"*","Resource":"arn:aws:ecs:{pattern}"}},
               {{"Effect":"Allow","Action":"*","Resource":"*",
                 "Condition":{{"StringLike":{{"k:x":"{many}b"}},"ArnLike":{{"k:x":"{runs}"}}}}}}"#
        ));
        let policies = Policies { identity: vec![attached("p", &text)], ..Policies::default() };
        let mut context = Context::default();
        context.add("k:x", name.clone());
        for resource in [format!("arn:aws:ecs:r:1:{name}"), format!("arn:aws:ecs:{name}:b:c:b:c")] {
            let ask = Ask { action: "ecs:RunTask", resource: &resource, context: &context };
            assert!(!evaluate(&policies, &ask).is_allowed());
        }
    }
}

#[test]
fn statements_have_places() {
    let document = "{\n  \"Statement\": [\n    {\"Sid\": \"é\"}, {\n    }\n  ],\n \"Id\": \"x\"}";
    let at = |line, column| Position { line, column };
    assert_eq!(Policy::position(document, 0), Some((at(3, 5), at(3, 17))));
    assert_eq!(Policy::position(document, 1), Some((at(3, 19), at(4, 6))));
    assert_eq!(Policy::position(document, 2), None);
    assert_eq!(Policy::position(r#"{"Statement":{}}"#, 0), Some((at(1, 14), at(1, 16))));
    for text in ["", "[]", "{}", r#"{"Statement":"#] {
        assert_eq!(Policy::position(text, 0), None, "{text}");
    }
}
