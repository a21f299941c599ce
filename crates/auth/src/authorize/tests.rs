use super::*;
use crate::identity::{Account, PrincipalKind};
use crate::policy::{Attached, Policies, Policy};

const OWN: &str = "arn:aws:ecs:us-east-1:000000000042:cluster/c";

fn ann() -> Principal {
    let account: Account = "000000000042".parse().expect("twelve digits");
    Principal::new(account, PrincipalKind::User { name: "ann".to_owned() }, None)
}

fn question(resource: &str) -> Question {
    let resource = resource.to_owned();
    Question { action: "ecs:RunTask", resource, context: Arc::default() }
}

fn attached(text: &str) -> Attached {
    let policy = Arc::new(Policy::parse(text).expect("a policy"));
    Attached { source: "inline policy p of user/ann".to_owned(), policy }
}

fn statement(effect: &str, resource: &str) -> Attached {
    attached(&format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}", "Action": "ecs:*", "Resource": "{resource}"}}}}"#
    ))
}

fn refusal(policies: Policies, resource: &str) -> String {
    let permissions = Permissions::by(policies);
    let denied = authorize(ann(), &permissions, (), |()| vec![question("*"), question(resource)])
        .expect_err("it is refused");
    assert_eq!(denied.question.resource, resource);
    let text = denied.to_string();
    let user = "User: arn:aws:iam::000000000042:user/ann is not authorized to perform: ecs:RunTask on resource: ";
    text.strip_prefix(user)
        .and_then(|text| text.strip_prefix(resource))
        .expect("AWS's text")
        .to_owned()
}

#[test]
fn who_may_everything_is_asked_nothing() {
    let never = |_: &u8| -> Vec<Question> { panic!("nothing is computed") };
    let authorized = authorize(ann(), &Permissions::Account, 7, never).expect("its account");
    assert_eq!(authorized.request(), &7);
    assert_eq!(authorized.into_parts(), (ann(), 7));
}

#[test]
fn resources_of_others_are_refused_whatever_the_policies_say() {
    let all = || Policies { identity: vec![statement("Allow", "*")], ..Policies::default() };
    for other in [
        "arn:aws:ecs:us-east-1:000000000001:cluster/c",
        "cluster/c",
        "",
        "arn:aws:ecs",
        "a:b:c:d:000000000042:e",
    ] {
        let why = refusal(all(), other);
        assert_eq!(why, " because no resource-based policy allows the ecs:RunTask action");
    }
    let permissions = Permissions::by(all());
    let own = |(): &()| vec![question("*"), question(OWN), question("arn:aws:s3:::bucket")];
    assert!(authorize(ann(), &permissions, (), own).is_ok());
}

#[test]
fn denials_read_as_those_of_aws() {
    let all = || statement("Allow", "*");
    let but = |resource: &str| vec![statement("Allow", "*"), statement("Deny", resource)];
    let star = || vec![all()];
    let other = "arn:aws:ecs:us-east-1:000000000042:cluster/other";
    let only_star = || {
        attached(
            r#"{"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "ecs:*", "NotResource": "arn:aws:ecs:*:*:cluster/*"}]}"#,
        )
    };
    let check = |policies: Policies, expected: &str| assert_eq!(refusal(policies, other), expected);
    let of = |identity| Policies { identity, ..Policies::default() };
    check(of(vec![only_star()]), " because no identity-based policy allows the ecs:RunTask action");
    check(
        of(but("arn:aws:ecs:*:*:cluster/other")),
        " with an explicit deny in an identity-based policy",
    );
    check(
        Policies { boundary: Some(only_star()), ..of(star()) },
        " because no permissions boundary allows the ecs:RunTask action",
    );
    check(
        Policies { session: Some(vec![only_star()]), ..of(star()) },
        " because no session policy allows the ecs:RunTask action",
    );
    check(
        Policies { session: Some(but("arn:aws:ecs:*:*:cluster/other")), ..of(star()) },
        " with an explicit deny in a session policy",
    );
    let denies = || {
        attached(
            r#"{"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:ecs:*:*:cluster/other"}]}"#,
        )
    };
    check(
        Policies { boundary: Some(denies()), ..of(star()) },
        " with an explicit deny in a permissions boundary",
    );
}
