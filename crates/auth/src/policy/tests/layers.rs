//! The order of evaluation, what each layer needs, and what people are told.

use super::{attached, attached_as, context, document};
use crate::policy::{
    Ask, Attached, Decision, Evaluation, Grant, Layer, Policies, PolicyKind, Reason, ResourceRule,
    ResourceSide, Who, evaluate, evaluate_with, trusts,
};

const CLUSTER: &str = "arn:aws:ecs:us-east-1:111122223333:cluster/web";
const ROLE: &str = "arn:aws:iam::111122223333:role/app";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/app/one";

fn says(effect: &str, source: &str) -> Attached {
    let statement = format!(r#"{{"Effect":"{effect}","Action":"ecs:RunTask","Resource":"*"}}"#);
    attached(source, &document(&statement))
}

/// Layers as letters: `a`llow, `d`eny, `n`othing said, `-` for a layer that is not there.
fn policies(letters: [char; 3]) -> Policies {
    let layer = |letter: char, source: &str| match letter {
        'a' => Some(says("Allow", source)),
        'd' => Some(says("Deny", source)),
        'n' => Some(attached(
            source,
            &document(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#),
        )),
        _ => None,
    };
    let [identity, boundary, session] = letters;
    Policies {
        identity: layer(identity, "identity").into_iter().collect(),
        boundary: layer(boundary, "boundary"),
        session: layer(session, "session").map(|policy| vec![policy]),
    }
}

fn ask_all(letters: &str, side: Option<&ResourceSide<'_>>) -> Evaluation {
    let letters: Vec<char> = letters.chars().collect();
    let policies = policies([letters[0], letters[1], letters[2]]);
    let context = context(&[]);
    let ask = Ask { action: "ecs:RunTask", resource: CLUSTER, context: &context };
    side.map_or_else(|| evaluate(&policies, &ask), |side| evaluate_with(&policies, side, &ask))
}

#[test]
fn every_layer_must_allow_and_none_deny() {
    use Layer::{Boundary, Identity, Session};
    for (letters, reason) in [
        ("a--", Reason::Allowed),
        ("---", Reason::NoAllow(Identity)),
        ("n--", Reason::NoAllow(Identity)),
        ("d--", Reason::ExplicitDeny(Identity)),
        ("aa-", Reason::Allowed),
        ("an-", Reason::NoAllow(Boundary)),
        ("-a-", Reason::NoAllow(Identity)),
        ("ad-", Reason::ExplicitDeny(Boundary)),
        ("a-a", Reason::Allowed),
        ("a-n", Reason::NoAllow(Session)),
        ("a-d", Reason::ExplicitDeny(Session)),
        ("-aa", Reason::NoAllow(Identity)),
        ("aaa", Reason::Allowed),
        ("ann", Reason::NoAllow(Boundary)),
        ("nnd", Reason::ExplicitDeny(Session)),
    ] {
        let evaluation = ask_all(letters, None);
        assert_eq!(evaluation.reason, reason, "{letters}");
        assert_eq!(evaluation.is_allowed(), reason == Reason::Allowed, "{letters}");
    }
    let none = Policies { session: Some(Vec::new()), ..policies(['a', '-', '-']) };
    let context = context(&[]);
    let ask = Ask { action: "ecs:RunTask", resource: CLUSTER, context: &context };
    assert_eq!(evaluate(&none, &ask).reason, Reason::NoAllow(Session));
}

/// A policy of the resource that names these principals.
fn resource(effect: &str, principal: &str) -> Attached {
    let statement = format!(
        r#"{{"Effect":"{effect}","Principal":{principal},"Action":"ecs:*","Resource":"*"}}"#
    );
    attached_as("resource", &document(&statement), PolicyKind::Resource)
}

#[test]
fn resources_speak_too() {
    let user = Who::User { account: "111122223333", arn: "arn:aws:iam::111122223333:user/ann" };
    let session = Who::Session { account: "111122223333", arn: SESSION, role: ROLE };
    let named = |arn: &str| resource("Allow", &format!(r#"{{"AWS":"{arn}"}}"#));
    let ann = named("arn:aws:iam::111122223333:user/ann");
    let (account, root) = (named("111122223333"), named("arn:aws:iam::111122223333:root"));
    let (role, direct, all) = (named(ROLE), named(SESSION), resource("Allow", r#""*""#));
    let deny = resource("Deny", r#""*""#);
    for (letters, who, policy, reason) in [
        ("---", user, &ann, Reason::Allowed),
        ("nnn", user, &ann, Reason::Allowed),
        ("dnn", user, &ann, Reason::ExplicitDeny(Layer::Identity)),
        ("---", user, &account, Reason::NoAllow(Layer::Identity)),
        ("a--", user, &root, Reason::Allowed),
        ("---", user, &role, Reason::NoAllow(Layer::Identity)),
        ("---", user, &all, Reason::Allowed),
        ("aaa", user, &deny, Reason::ExplicitDeny(Layer::Resource)),
        ("nnn", session, &direct, Reason::Allowed),
        ("n--", session, &role, Reason::Allowed),
        ("nn-", session, &role, Reason::NoAllow(Layer::Boundary)),
        ("naa", session, &role, Reason::Allowed),
        ("nan", session, &role, Reason::NoAllow(Layer::Session)),
        ("n--", session, &root, Reason::NoAllow(Layer::Identity)),
        ("n--", session, &ann, Reason::NoAllow(Layer::Identity)),
    ] {
        let policies = std::slice::from_ref(policy);
        let side = ResourceSide { who, policies, rule: ResourceRule::Either };
        assert_eq!(ask_all(letters, Some(&side)).reason, reason, "{letters} {who:?} {policy:?}");
    }
    for (letters, policy, reason) in [
        ("a--", None, Reason::NoAllow(Layer::Resource)),
        ("---", Some(&ann), Reason::NoAllow(Layer::Identity)),
        ("a--", Some(&ann), Reason::Allowed),
        ("an-", Some(&all), Reason::NoAllow(Layer::Boundary)),
    ] {
        let policies = policy.map(std::slice::from_ref).unwrap_or_default();
        let side = ResourceSide { who: user, policies, rule: ResourceRule::Both };
        assert_eq!(ask_all(letters, Some(&side)).reason, reason, "{letters} {policy:?}");
    }
    for (letters, policy, reason) in [
        ("a--", None, Reason::NoAllow(Layer::Resource)),
        ("---", Some(&ann), Reason::Allowed),
        ("---", Some(&root), Reason::NoAllow(Layer::Identity)),
        ("a--", Some(&root), Reason::Allowed),
    ] {
        let policies = policy.map(std::slice::from_ref).unwrap_or_default();
        let side = ResourceSide { who: user, policies, rule: ResourceRule::ResourceMust };
        assert_eq!(ask_all(letters, Some(&side)).reason, reason, "{letters} {policy:?}");
    }
}

#[test]
fn roles_trust_whom_they_name() {
    let trust = |principal: &str, condition: &str| {
        let statement = format!(
            r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"{condition}}}"#
        );
        attached_as("trust policy of role/app", &document(&statement), PolicyKind::Trust)
    };
    let user = Who::User { account: "111122223333", arn: "arn:aws:iam::111122223333:user/ann" };
    let other = Who::User { account: "444455556666", arn: "arn:aws:iam::444455556666:user/ann" };
    let ecs = Who::Service("ecs-tasks.amazonaws.com");
    let service = r#"{"Service":["ec2.amazonaws.com","ecs-tasks.amazonaws.com"]}"#;
    let id = r#","Condition":{"StringEquals":{"sts:ExternalId":"42"}}"#;
    for (principal, condition, who, keys, grant) in [
        (service, "", ecs, &[][..], Some(Grant::Direct)),
        (service, "", Who::Service("ecs.amazonaws.com"), &[], None),
        (service, "", user, &[], None),
        (r#"{"AWS":"111122223333"}"#, "", user, &[], Some(Grant::Account)),
        (r#"{"AWS":"111122223333"}"#, "", other, &[], None),
        (r#"{"AWS":"444455556666"}"#, id, other, &[], None),
        (r#"{"AWS":"444455556666"}"#, id, other, &[("sts:ExternalId", "41")], None),
        (r#"{"AWS":"444455556666"}"#, id, other, &[("sts:ExternalId", "42")], Some(Grant::Account)),
        (r#"{"AWS":"*"}"#, "", other, &[], Some(Grant::Direct)),
        (r#"{"AWS":"*"}"#, "", ecs, &[], Some(Grant::Direct)),
        (r#"{"Federated":"arn:aws:iam::111122223333:oidc-provider/x"}"#, "", user, &[], None),
        (
            r#"{"Federated":"arn:aws:iam::111122223333:oidc-provider/x"}"#,
            "",
            Who::Federated("arn:aws:iam::111122223333:oidc-provider/x"),
            &[],
            Some(Grant::Direct),
        ),
    ] {
        let context = context(keys);
        let ask = Ask { action: "sts:AssumeRole", resource: ROLE, context: &context };
        let evaluation = trusts(&trust(principal, condition), &who, &ask);
        assert_eq!(evaluation.grant, grant, "{principal}{condition} {who:?}");
        assert_eq!(evaluation.is_allowed(), grant.is_some());
        let clause = "because no role trust policy allows the sts:AssumeRole action";
        let expected = if grant.is_some() { "" } else { clause };
        assert_eq!(evaluation.clause(ask.action), expected);
    }
    // Whoever is named is trusted, whatever the other statements say of its account.
    let statement = |principal: &str| {
        format!(
            r#"{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"sts:AssumeRole"}}"#
        )
    };
    let (account, named) =
        (statement("111122223333"), statement("arn:aws:iam::111122223333:user/ann"));
    for both in [format!("{account},{named}"), format!("{named},{account}")] {
        let trust = attached_as("trust policy of role/app", &document(&both), PolicyKind::Trust);
        let context = context(&[]);
        let ask = Ask { action: "sts:AssumeRole", resource: ROLE, context: &context };
        assert_eq!(trusts(&trust, &user, &ask).grant, Some(Grant::Direct), "{both}");
    }
    let context_of_ecs = context(&[]);
    let ask = Ask { action: "sts:AssumeRole", resource: ROLE, context: &context_of_ecs };
    let told = trusts(&trust(r#"{"Service":"ec2.amazonaws.com"}"#, ""), &ecs, &ask);
    assert_eq!(
        told.near[0].to_string(),
        "statement 1 of trust policy of role/app does not apply: Principal is Service \
         ec2.amazonaws.com, and ecs-tasks.amazonaws.com asks"
    );
    let deny = r#"{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}"#;
    let deny = attached_as("trust policy of role/app", &document(deny), PolicyKind::Trust);
    let context = context(&[]);
    let ask = Ask { action: "sts:AssumeRole", resource: ROLE, context: &context };
    let side = ResourceSide {
        who: user,
        policies: std::slice::from_ref(&deny),
        rule: ResourceRule::ResourceMust,
    };
    for evaluation in [trusts(&deny, &user, &ask), evaluate_with(&Policies::default(), &side, &ask)]
    {
        let clause = "with an explicit deny in the role trust policy";
        assert_eq!(evaluation.clause(ask.action), clause);
    }
}

#[test]
fn people_are_told_why() {
    let statements = r#"
        {"Sid":"Mine","Effect":"Allow","Action":"ecs:RunTask","Resource":"*",
         "Condition":{"ArnEquals":{"ecs:cluster":"arn:aws:ecs:us-east-1:111122223333:cluster/db"}}},
        {"Effect":"Allow","Action":["ecs:Describe*","ecs:List*"],"Resource":"*"},
        {"Effect":"Allow","Action":"ecs:*","Resource":"arn:aws:ecs:*:*:task/${aws:username}/*"},
        {"Effect":"Allow","Action":"s3:*","Resource":"*"},
        {"Sid":"No","Effect":"Deny","Action":"ecs:StopTask","Resource":"*"}"#;
    let policies = Policies {
        identity: vec![attached("arn:aws:iam::111122223333:policy/p", &document(statements))],
        ..Policies::default()
    };
    let context = context(&[("ecs:cluster", CLUSTER)]);
    let ask = Ask { action: "ecs:RunTask", resource: "arn:x", context: &context };
    let evaluation = evaluate(&policies, &ask);
    assert_eq!(evaluation.decision, Decision::ImplicitDeny);
    assert_eq!(
        evaluation.reason.clause(ask.action),
        "because no identity-based policy allows the ecs:RunTask action"
    );
    let told: Vec<String> = evaluation.near.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "statement 'Mine' of arn:aws:iam::111122223333:policy/p does not apply: ArnEquals wants \
             ecs:cluster arn:aws:ecs:us-east-1:111122223333:cluster/db, and the request has \
             arn:aws:ecs:us-east-1:111122223333:cluster/web",
            "statement 3 of arn:aws:iam::111122223333:policy/p does not apply: Resource is \
             arn:aws:ecs:*:*:task/${aws:username}/*, and the request is for arn:x; \
             ${aws:username} has no value in this request",
            "statement 2 of arn:aws:iam::111122223333:policy/p does not apply: Action is \
             ecs:Describe* or ecs:List*, not ecs:RunTask",
        ]
    );
    let stop = evaluate(&policies, &Ask { action: "ecs:StopTask", ..ask });
    assert_eq!(
        stop.statements[0].to_string(),
        "statement 'No' of arn:aws:iam::111122223333:policy/p"
    );
    assert_eq!(
        stop.reason.clause("ecs:StopTask"),
        "with an explicit deny in an identity-based policy"
    );
    assert_eq!(
        stop.clause("ecs:StopTask"),
        "with an explicit deny in an identity-based policy: \
         arn:aws:iam::111122223333:policy/p"
    );
    let list = evaluate(&policies, &Ask { action: "ecs:ListTasks", ..ask });
    assert_eq!(list.statements[0].index, 1);
    assert_eq!(list.reason.clause("ecs:ListTasks"), "");
}

#[test]
fn people_are_told_of_qualifiers() {
    let text = document(
        r#"{"Effect":"Allow","Action":"*","Resource":"*",
            "Condition":{"StringEquals":{"aws:TagKeys":["a","b"]}}}"#,
    );
    let policies = Policies { identity: vec![attached("p", &text)], ..Policies::default() };
    let context = context(&[("aws:TagKeys", "a"), ("aws:TagKeys", "b")]);
    let ask = Ask { action: "ecs:RunTask", resource: "*", context: &context };
    assert_eq!(
        evaluate(&policies, &ask).near[0].to_string(),
        "statement 1 of p does not apply: StringEquals wants aws:TagKeys a or b, and the request \
         has a, b: several need ForAllValues: or ForAnyValue:"
    );
}

#[test]
fn the_smallest_statement_allows() {
    let context = context(&[]);
    for resource in ["*", CLUSTER, "arn:aws:ecs:r:1:task/a*b?${c}\"\\"] {
        let ask = Ask { action: "ecs:RunTask", resource, context: &context };
        let statement = ask.smallest_statement();
        let policies = Policies {
            identity: vec![attached("p", &document(&statement))],
            ..Policies::default()
        };
        assert!(evaluate(&policies, &ask).is_allowed(), "{statement}");
        let other = Ask { resource: "arn:aws:ecs:r:1:task/axbx$x", ..ask };
        assert_eq!(evaluate(&policies, &other).is_allowed(), resource == "*", "{statement}");
    }
    let ask = Ask { action: "ecs:RunTask", resource: CLUSTER, context: &context };
    assert_eq!(
        ask.smallest_statement(),
        format!(r#"{{"Effect":"Allow","Action":"ecs:RunTask","Resource":"{CLUSTER}"}}"#)
    );
}
