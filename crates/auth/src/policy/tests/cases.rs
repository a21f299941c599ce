//! One row for each rule of the language: a statement, a request, and whether it applies.

use super::{attached, context, document};
use crate::policy::{Ask, Decision, Policies, evaluate};

const TASK: &str = "arn:aws:ecs:us-east-1:111122223333:task/web/0123";

/// Whether a statement applies, asked once as it is and once as one that denies.
fn applies(statement: &str, action: &str, resource: &str, keys: &[(&str, &str)]) -> bool {
    let context = context(keys);
    let ask = Ask { action, resource, context: &context };
    let text = document(&format!(r#"{{"Effect":"Allow",{statement}}}"#));
    let policies = Policies { identity: vec![attached("p", &text)], ..Policies::default() };
    evaluate(&policies, &ask).decision == Decision::Allowed
}

fn check(statement: &str, action: &str, resource: &str, expected: bool) {
    let found = applies(statement, action, resource, &[]);
    assert_eq!(found, expected, "{statement} for {action} on {resource}");
}

#[test]
fn actions() {
    let action = |written: &str, asked: &str, expected| {
        check(&format!(r#""Action":{written},"Resource":"*""#), asked, TASK, expected);
    };
    action(r#""ecs:RunTask""#, "ecs:RunTask", true);
    action(r#""ECS:runtask""#, "ecs:RunTask", true);
    action(r#""ecs:RunTask""#, "ecs:RunTasks", false);
    action(r#""ecs:RunTask""#, "ecr:RunTask", false);
    action(r#""ecs:*""#, "ecs:RunTask", true);
    action(r#""ecs:*""#, "ecr:RunTask", false);
    action(r#""*""#, "ecs:RunTask", true);
    action(r#""*:*""#, "ecs:RunTask", true);
    action(r#""ecs:Describe*""#, "ecs:DescribeTasks", true);
    action(r#""ecs:Describe*""#, "ecs:ListTasks", false);
    action(r#""ecs:*Task""#, "ecs:StopTask", true);
    action(r#""ecs:*Task""#, "ecs:ListTasks", false);
    action(r#""ecs:?unTask""#, "ecs:RunTask", true);
    action(r#""ecs:??unTask""#, "ecs:RunTask", false);
    action(r#"["s3:Get*","ecs:StopTask"]"#, "ecs:StopTask", true);
    let not = |written: &str, asked: &str, expected| {
        check(&format!(r#""NotAction":{written},"Resource":"*""#), asked, TASK, expected);
    };
    not(r#""iam:*""#, "ecs:RunTask", true);
    not(r#""iam:*""#, "iam:PassRole", false);
    not(r#"["iam:*","ecs:R*"]"#, "ecs:RunTask", false);
}

#[test]
fn resources() {
    let resource = |written: &str, asked: &str, expected| {
        check(&format!(r#""Action":"ecs:*","Resource":{written}"#), "ecs:X", asked, expected);
    };
    resource(r#""*""#, TASK, true);
    resource(r#""*""#, "*", true);
    resource(r#""arn:aws:ecs:*:*:*""#, "*", false);
    resource(&format!(r#""{TASK}""#), TASK, true);
    resource(&format!(r#""{TASK}""#), &TASK.to_uppercase(), false);
    resource(r#""arn:aws:ecs:us-east-1:111122223333:task/web/*""#, TASK, true);
    resource(r#""arn:aws:ecs:us-east-1:111122223333:task/db/*""#, TASK, false);
    resource(r#""arn:aws:ecs:us-east-1:111122223333:task/*""#, TASK, true);
    resource(r#""arn:aws:ecs:us-east-1:111122223333:task/*/012?""#, TASK, true);
    resource(r#""arn:aws:ecs:*:111122223333:task/web/0123""#, TASK, true);
    resource(r#""arn:aws:ecs:us-*-1:*:task/*""#, TASK, true);
    // At the end of its segment, a wildcard goes beyond the colon; elsewhere it does not.
    resource(r#""arn:aws:ecs:*:task/*""#, TASK, true);
    resource(r#""arn:aws:ecs:*""#, TASK, true);
    resource(r#""arn:aws:ecs:us-*""#, TASK, true);
    resource(r#""arn:aws:ecs:us*task/web/0123:a:b""#, TASK, false);
    resource(r#""arn:aws:ecs:us-east-?:111122223333:task/*""#, TASK, true);
    resource(r#""arn:aws:ecs:us-east-1?111122223333:task/web/0123:*""#, TASK, false);
    resource(r#""arn:aws:ecs:*:1*3:task/*""#, TASK, true);
    resource(r#""arn:aws:ecs:*:1*4:task/*""#, TASK, false);
    // The first wildcard must take more than the least, for the second to stay in its segment.
    resource(r#""arn:aws:ecs:a*:b*c:x""#, "arn:aws:ecs:a:bz:q:bwc:x", true);
    resource(r#""arn:aws:ecs:a*:b*c:x""#, "arn:aws:ecs:a:bz:q:bwc", false);
    // A name may hold colons.
    let family = "arn:aws:ecs:us-east-1:111122223333:task-definition/web:3";
    resource(r#""arn:aws:ecs:us-east-1:111122223333:task-definition/web:*""#, family, true);
    resource(r#""arn:aws:ecs:us-east-1:111122223333:task-definition/w*3""#, family, true);
    resource(r#""arn:aws:ecs:us-east-1:111122223333:task-definition/w?b?3""#, family, true);
    // Names are compared as they stand: nothing is decoded, folded or walked up.
    let web = r#""arn:aws:ecs:us-east-1:111122223333:task/web/*""#;
    for trick in [
        "arn:aws:ecs:us-east-1:111122223333:task/db/../web/1",
        "arn:aws:ecs:us-east-1:111122223333:task//web/1",
        "arn:aws:ecs:us-east-1:111122223333:task%2Fweb/1",
        "arn:aws:ecs:us-east-1:111122223333:Task/web/1",
        "arn:aws:ecs:us-east-1:111122223333: task/web/1",
        "arn:aws:ecs:us-east-1:999999999999:task/web/1",
        "arn:aws:ecs:us-east-1::task/web/1",
        "arn:aws:ecs:us-east-1:111122223333:x:111122223333:task/web/1",
        "x:arn:aws:ecs:us-east-1:111122223333:task/web/1",
        "task/web/1",
        "",
    ] {
        resource(web, trick, false);
    }
    let not = |written: &str, asked: &str, expected| {
        check(&format!(r#""Action":"ecs:*","NotResource":{written}"#), "ecs:X", asked, expected);
    };
    not(r#""arn:aws:ecs:us-east-1:111122223333:task/db/*""#, TASK, true);
    not(r#""arn:aws:ecs:us-east-1:111122223333:task/web/*""#, TASK, false);
    not(r#""arn:aws:ecs:us-east-1:111122223333:task/web/*""#, "*", true);
}

#[test]
fn variables() {
    let variable = |written: &str, keys: &[(&str, &str)], expected| {
        let statement = format!(r#""Action":"ecs:*","Resource":"arn:aws:ecs:r:1:{written}""#);
        let found = applies(&statement, "ecs:X", "arn:aws:ecs:r:1:task/ann/7", keys);
        assert_eq!(found, expected, "{written} with {keys:?}");
    };
    variable("task/${aws:username}/*", &[("aws:username", "ann")], true);
    variable("task/${AWS:UserName}/7", &[("aws:username", "ann")], true);
    variable("task/${aws:username}/*", &[("aws:username", "bob")], false);
    variable("task/${aws:username}/*", &[], false);
    variable("task/${aws:username}/*", &[("aws:username", "ann"), ("aws:username", "b")], false);
    variable("task/${aws:PrincipalTag/team, 'ann'}/*", &[], true);
    variable("task/${aws:PrincipalTag/team, 'ann'}/*", &[("aws:principaltag/team", "x")], false);
    variable("task/${aws:PrincipalTag/a b, ''}ann/7", &[], true);
    // A value is text: no wildcard, no variable.
    variable("task/${aws:username}/7", &[("aws:username", "*")], false);
    variable("task/${aws:username}/7", &[("aws:username", "???")], false);
    variable("${aws:x}", &[("aws:x", "${aws:y}"), ("aws:y", "task/ann/7")], false);
    variable("${aws:x}", &[("aws:x", "${aws:x}")], false);
    variable("task/ann/${*}", &[], false);
    variable("task/${?}nn/7", &[], false);
    let literal = |written: &str, asked: &str, expected| {
        let statement = format!(r#""Action":"ecs:*","Resource":"arn:aws:ecs:r:1:{written}""#);
        assert_eq!(applies(&statement, "ecs:X", asked, &[]), expected, "{written} for {asked}");
    };
    literal("a${*}b${?}c${$}*", "arn:aws:ecs:r:1:a*b?c$d", true);
    literal("a${*}b", "arn:aws:ecs:r:1:axb", false);
}

/// Whether a condition holds, with the keys of a request.
fn condition(written: &str, keys: &[(&str, &str)], expected: bool) {
    let statement = format!(r#""Action":"*","Resource":"*","Condition":{{{written}}}"#);
    let found = applies(&statement, "ecs:X", TASK, keys);
    assert_eq!(found, expected, "{written} with {keys:?}");
}

#[test]
fn strings() {
    let a = &[("ecs:k", "Abc")];
    condition(r#""StringEquals":{"ecs:k":"Abc"}"#, a, true);
    condition(r#""StringEquals":{"ECS:K":["x","Abc"]}"#, a, true);
    condition(r#""StringEquals":{"ecs:k":"abc"}"#, a, false);
    condition(r#""StringEquals":{"ecs:k":"A*"}"#, a, false);
    condition(r#""StringEquals":{"ecs:k":"Abc"}"#, &[], false);
    condition(r#""StringEquals":{"ecs:k":[]}"#, a, false);
    condition(r#""StringNotEquals":{"ecs:k":"abc"}"#, a, true);
    condition(r#""StringNotEquals":{"ecs:k":["x","Abc"]}"#, a, false);
    condition(r#""StringNotEquals":{"ecs:k":"Abc"}"#, &[], true);
    condition(r#""StringEqualsIgnoreCase":{"ecs:k":"aBC"}"#, a, true);
    condition(r#""StringNotEqualsIgnoreCase":{"ecs:k":"aBC"}"#, a, false);
    condition(r#""StringEqualsIgnoreCase":{"ecs:k":"ÄB"}"#, &[("ecs:k", "äb")], true);
    condition(r#""StringLike":{"ecs:k":"A?c"}"#, a, true);
    condition(r#""StringLike":{"ecs:k":["x*","*c"]}"#, a, true);
    condition(r#""StringLike":{"ecs:k":"a*"}"#, a, false);
    condition(r#""StringLike":{"ecs:k":"?"}"#, &[("ecs:k", "é")], true);
    condition(r#""StringLike":{"ecs:k":"*??"}"#, &[("ecs:k", "€")], false);
    condition(r#""StringLike":{"ecs:k":""}"#, &[("ecs:k", "")], true);
    condition(r#""StringNotLike":{"ecs:k":"A*"}"#, a, false);
    condition(r#""StringNotLike":{"ecs:k":"B*"}"#, a, true);
    condition(r#""StringNotLike":{"ecs:k":"B*"}"#, &[], true);
    condition(r#""StringEqualsIfExists":{"ecs:k":"x"}"#, &[], true);
    condition(r#""StringEqualsIfExists":{"ecs:k":"x"}"#, a, false);
    condition(r#""StringNotEqualsIfExists":{"ecs:k":"Abc"}"#, a, false);
    // All keys and all operators must hold.
    condition(r#""StringEquals":{"ecs:k":"Abc","ecs:l":"x"}"#, a, false);
    condition(r#""StringEquals":{"ecs:k":"Abc"},"StringLike":{"ecs:k":"B*"}"#, a, false);
    condition(r#""StringEquals":{"ecs:k":"Abc"},"StringLike":{"ecs:k":"A*"}"#, a, true);
    condition("", a, true);
    condition(r#""StringEquals":{}"#, a, true);
}

#[test]
fn variables_of_conditions() {
    let same = r#""StringEquals":{"aws:ResourceTag/t":"${aws:PrincipalTag/t}"}"#;
    let (r, p) = ("aws:ResourceTag/t", "aws:PrincipalTag/t");
    condition(same, &[(r, "a"), (p, "a")], true);
    condition(same, &[(r, "a"), (p, "b")], false);
    condition(same, &[(r, "a")], false);
    condition(same, &[(r, "${aws:PrincipalTag/t}")], false);
    condition(&same.replace("Equals", "EqualsIfExists"), &[], true);
    condition(&same.replace("Equals", "NotEquals"), &[(r, "a"), (p, "b")], true);
    // Without a value nothing is allowed …
    condition(&same.replace("Equals", "NotEquals"), &[(r, "a")], false);
    condition(&same.replace("Equals", "Like"), &[(r, "a"), (p, "*")], false);
    condition(
        r#""StringLike":{"aws:ResourceTag/t":"${aws:PrincipalTag/t}-*"}"#,
        &[(r, "a-1"), (p, "a")],
        true,
    );
    condition(
        r#""StringEquals":{"aws:ResourceTag/t":"${aws:PrincipalTag/t, 'd'}"}"#,
        &[(r, "d")],
        true,
    );
    condition(
        r#""ArnLike":{"aws:SourceArn":"arn:aws:ecs:*:${aws:PrincipalAccount}:*"}"#,
        &[("aws:SourceArn", TASK), ("aws:PrincipalAccount", "111122223333")],
        true,
    );
}

#[test]
fn numbers_dates_and_booleans() {
    let n = &[("s3:n", "10")];
    condition(r#""NumericEquals":{"s3:n":"10.0"}"#, n, true);
    condition(r#""NumericEquals":{"s3:n":10}"#, n, true);
    condition(r#""NumericNotEquals":{"s3:n":10}"#, n, false);
    condition(r#""NumericLessThan":{"s3:n":"10"}"#, n, false);
    condition(r#""NumericLessThanEquals":{"s3:n":"10"}"#, n, true);
    condition(r#""NumericGreaterThan":{"s3:n":"9.5"}"#, n, true);
    condition(r#""NumericGreaterThanEquals":{"s3:n":["99","10"]}"#, n, true);
    condition(r#""NumericLessThan":{"s3:n":"10"}"#, &[("s3:n", "many")], false);
    condition(r#""NumericLessThan":{"s3:n":"10"}"#, &[], false);
    condition(r#""NumericLessThanIfExists":{"s3:n":"10"}"#, &[], true);
    let d = &[("aws:CurrentTime", "2026-05-01T12:00:00Z")];
    condition(r#""DateEquals":{"aws:CurrentTime":"2026-05-01T14:00:00+02:00"}"#, d, true);
    condition(r#""DateGreaterThan":{"aws:CurrentTime":"2026-05-01"}"#, d, true);
    condition(r#""DateLessThan":{"aws:CurrentTime":"2026-05-01"}"#, d, false);
    condition(r#""DateLessThan":{"aws:CurrentTime":"2026-06"}"#, d, true);
    condition(r#""DateLessThan":{"aws:CurrentTime":"2027"}"#, d, true);
    condition(r#""DateLessThan":{"aws:CurrentTime":"2026-05-01T12:00Z"}"#, d, false);
    condition(r#""DateLessThanEquals":{"aws:CurrentTime":"2026-05-01T12:00:00"}"#, d, true);
    condition(r#""DateEquals":{"aws:CurrentTime":"1777636800"}"#, d, true);
    condition(
        r#""DateEquals":{"aws:EpochTime":1777636800}"#,
        &[("aws:EpochTime", "1777636800")],
        true,
    );
    condition(r#""DateNotEquals":{"aws:CurrentTime":"2026-05-01T12:00:00Z"}"#, d, false);
    condition(
        r#""DateGreaterThanEquals":{"aws:CurrentTime":"2026-05-01T12:00:00.001Z"}"#,
        d,
        false,
    );
    let b = &[("aws:SecureTransport", "true")];
    condition(r#""Bool":{"aws:SecureTransport":"true"}"#, b, true);
    condition(r#""Bool":{"aws:SecureTransport":true}"#, b, true);
    condition(r#""Bool":{"aws:SecureTransport":"TRUE"}"#, b, true);
    condition(r#""Bool":{"aws:SecureTransport":"false"}"#, b, false);
    condition(r#""Bool":{"aws:SecureTransport":"false"}"#, &[], false);
    condition(r#""BoolIfExists":{"aws:SecureTransport":"false"}"#, &[], true);
    condition(r#""BinaryEquals":{"a:b":"QmluYXJ5"}"#, &[("a:b", "QmluYXJ5")], true);
    condition(r#""BinaryEquals":{"a:b":"QmluYXJ5"}"#, &[("a:b", "qmluYXJ5")], false);
}

#[test]
fn addresses_arns_and_absence() {
    let ip = &[("aws:SourceIp", "203.0.113.7")];
    condition(r#""IpAddress":{"aws:SourceIp":"203.0.113.0/24"}"#, ip, true);
    condition(r#""IpAddress":{"aws:SourceIp":"203.0.113.7"}"#, ip, true);
    condition(r#""IpAddress":{"aws:SourceIp":["2001:DB8::/32","203.0.113.8"]}"#, ip, false);
    condition(
        r#""IpAddress":{"aws:SourceIp":"2001:DB8::/32"}"#,
        &[("aws:SourceIp", "2001:db8::1")],
        true,
    );
    condition(
        r#""IpAddress":{"aws:SourceIp":"203.0.113.7"}"#,
        &[("aws:SourceIp", "::ffff:203.0.113.7")],
        true,
    );
    condition(r#""NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}"#, ip, false);
    condition(r#""NotIpAddress":{"aws:SourceIp":"198.51.100.0/24"}"#, ip, true);
    condition(r#""IpAddress":{"aws:SourceIp":"0.0.0.0/0"}"#, &[("aws:SourceIp", "a host")], false);
    let arn = &[("ecs:cluster", "arn:aws:ecs:us-east-1:111122223333:cluster/web")];
    condition(
        r#""ArnEquals":{"ecs:cluster":"arn:aws:ecs:us-east-1:111122223333:cluster/web"}"#,
        arn,
        true,
    );
    condition(r#""ArnEquals":{"ecs:cluster":"arn:aws:ecs:*:*:cluster/*"}"#, arn, true);
    condition(r#""ArnLike":{"ecs:cluster":"arn:aws:ecs:*:cluster/web"}"#, arn, false);
    condition(r#""ArnLike":{"ecs:cluster":"arn:aws:ecs:us-east-1:1111*:cluster/w?b"}"#, arn, true);
    condition(r#""ArnLike":{"ecs:cluster":"*"}"#, arn, true);
    condition(r#""ArnNotLike":{"ecs:cluster":"arn:aws:ecs:*:*:cluster/db*"}"#, arn, true);
    condition(r#""ArnNotEquals":{"ecs:cluster":"arn:aws:ecs:*:*:cluster/web"}"#, arn, false);
    condition(r#""ArnEquals":{"ecs:cluster":"arn:aws:ecs:*:*:cluster/web"}"#, &[], false);
    condition(r#""Null":{"ecs:cluster":"true"}"#, arn, false);
    condition(r#""Null":{"ecs:cluster":"false"}"#, arn, true);
    condition(r#""Null":{"ecs:cluster":true}"#, &[], true);
    condition(r#""Null":{"ecs:cluster":"false"}"#, &[], false);
}

#[test]
fn sets() {
    let all = r#""ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}"#;
    let any = r#""ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}"#;
    let (a, c, ac): (&[_], &[_], &[_]) = (
        &[("aws:TagKeys", "a")],
        &[("aws:TagKeys", "c")],
        &[("aws:TagKeys", "a"), ("aws:TagKeys", "c")],
    );
    for (keys, for_all, for_any) in [
        (a, true, true),
        (c, false, false),
        (ac, false, true),
        (&[], true, false),
        (&[("aws:TagKeys", "")], true, false),
    ] {
        condition(all, keys, for_all);
        condition(any, keys, for_any);
    }
    // "None of the values … can match any" and "at least one … must NOT match any".
    for (keys, for_all, for_any) in
        [(a, false, false), (c, true, true), (ac, false, true), (&[], true, false)]
    {
        condition(&all.replace("Equals", "NotEquals"), keys, for_all);
        condition(&any.replace("Equals", "NotEquals"), keys, for_any);
    }
    // As seen at AWS: IfExists does not help ForAnyValue over a missing key.
    condition(&any.replace("Equals", "EqualsIfExists"), &[], false);
    condition(&all.replace("Equals", "EqualsIfExists"), &[], true);
    condition(r#""ForAnyValue:StringLike":{"aws:TagKeys":"c*"}"#, ac, true);
    condition(r#""ForAllValues:ArnLike":{"a:b":"arn:aws:ecs:*:*:task/*"}"#, &[("a:b", TASK)], true);
    // Without a qualifier, of several values, none is the value.
    condition(r#""StringEquals":{"aws:TagKeys":"a"}"#, a, true);
    condition(r#""StringEquals":{"aws:TagKeys":"a"}"#, ac, false);
    condition(r#""StringNotEquals":{"aws:TagKeys":"x"}"#, ac, false);
    condition(r#""StringEqualsIfExists":{"aws:TagKeys":"a"}"#, ac, false);
}

#[test]
fn what_denies_is_not_escaped() {
    let denied = |condition: &str, keys: &[(&str, &str)]| {
        let text = document(&format!(
            r#"{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{{condition}}}}}"#
        ));
        let policies = Policies { identity: vec![attached("p", &text)], ..Policies::default() };
        let context = context(keys);
        let ask = Ask { action: "ecs:X", resource: TASK, context: &context };
        evaluate(&policies, &ask).decision == Decision::ExplicitDeny
    };
    // By a tag in two spellings.
    let (key, other) = ("aws:RequestTag/env", "aws:RequestTag/ENV");
    let prod = r#""StringEquals":{"aws:RequestTag/env":"prod"}"#;
    assert!(denied(prod, &[(key, "prod"), (other, "x")]));
    assert!(denied(&prod.replace("Equals", "NotEquals"), &[(key, "prod"), (other, "x")]));
    assert!(!denied(prod, &[(key, "x"), (other, "y")]));
    // By a variable without a value.
    let same = r#""StringNotEquals":{"aws:ResourceTag/t":"${aws:PrincipalTag/t}"}"#;
    assert!(denied(same, &[("aws:ResourceTag/t", "a")]));
    assert!(denied(same, &[]));
    assert!(!denied(&same.replace("NotEquals", "Equals"), &[("aws:ResourceTag/t", "a")]));
}

#[test]
fn patterns_are_told_as_they_were_written() {
    use crate::policy::pattern::{Style, Template, Variables};
    for text in [
        "",
        "*",
        "a*b?c",
        "arn:aws:ecs:us-*-1:*:task/*/?",
        "é${*}${?}*",
        "${aws:username}",
        "a-${aws:principaltag/t, 'd e'}-*",
        "short:*:a?b*c",
    ] {
        for style in [Style::Like, Style::Resource, Style::Arn] {
            let template = Template::parse(text, style, Variables::Substituted).expect("a pattern");
            assert_eq!(template.text(style), text, "{style:?}");
        }
    }
    let plain = Template::parse("a*${", Style::Exact, Variables::Literal).expect("a text");
    assert_eq!(plain.text(Style::Exact), "a*${");
}
