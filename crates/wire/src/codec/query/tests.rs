use proptest::prelude::*;

use super::*;
use crate::elbv2;
use crate::error::{Problem, ServiceError};
use crate::shape::Timestamp;

fn read<T: crate::shape::Value>(body: &str) -> T {
    Form::parse(body.as_bytes()).expect("a form").read().expect("valid")
}

#[track_caller]
fn refused<T: crate::shape::Value + std::fmt::Debug>(body: &str) -> String {
    let form = Form::parse(body.as_bytes());
    form.and_then(|form| form.read::<T>()).expect_err("it is refused").to_string()
}

#[test]
fn lists_structures_and_scalars_are_read() {
    let body = "Action=CreateListener&Version=2015-12-01&LoadBalancerArn=arn%3Aa&Port=80\
                &DefaultActions.member.2.Type=forward&DefaultActions.member.1.Type=redirect\
                &DefaultActions.member.1.RedirectConfig.StatusCode=HTTP_301\
                &DefaultActions.member.1.Order=1&Unknown=x";
    let form = Form::parse(body.as_bytes()).expect("a form");
    assert_eq!((form.action(), form.version()), (Some("CreateListener"), Some("2015-12-01")));
    let input: elbv2::CreateListenerInput = form.read().expect("valid");
    assert_eq!((input.load_balancer_arn.as_str(), input.port), ("arn:a", Some(80)));
    let types: Vec<&str> = input.default_actions.iter().map(|a| a.r#type.as_str()).collect();
    assert_eq!(types, ["redirect", "forward"], "in the order of their numbers");
    assert_eq!(input.default_actions[0].order, Some(1));
}

#[test]
fn a_list_may_be_empty() {
    let input: elbv2::DescribeTargetGroupsInput = read("Action=DescribeTargetGroups&Names=");
    assert_eq!(input.names, Some(vec![]));
}

#[test]
fn what_is_wrong_is_named() {
    let text = refused::<elbv2::CreateListenerInput>("LoadBalancerArn=a");
    assert_eq!(text, "DefaultActions should not be null or empty.");
    let text = refused::<elbv2::CreateListenerInput>(
        "LoadBalancerArn=a&DefaultActions.member.1.Type=jump",
    );
    assert!(text.contains("'DefaultActions[0].Type'"), "{text}");
    let text =
        refused::<elbv2::CreateListenerInput>("LoadBalancerArn=a&Port=eighty&DefaultActions=");
    assert_eq!(text, "Port: expected a whole number, found eighty");
    for body in ["A=1&A=2", "A=1&A.B=2", "A.B=2&A=1", "%ff=1", &"A.".repeat(100)] {
        let error =
            Form::parse(body.as_bytes()).and_then(|f| f.read::<elbv2::CreateListenerInput>());
        let problem = error.expect_err("refused").problem;
        assert!(matches!(problem, Problem::Malformed(_)), "{body}: {problem:?}");
    }
}

#[test]
fn iam_names_members_in_small_letters() {
    let message = |body: &str| {
        let form = Form::parse(body.as_bytes()).expect("a form");
        let error = form.read::<crate::iam::CreateUserRequest>().expect_err("it is refused");
        crate::iam::decode_problem(&error).message
    };
    assert_eq!(
        message("Path=/"),
        "1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member \
         must not be null"
    );
    assert_eq!(
        message(&format!("UserName={}", "a".repeat(65))),
        "1 validation error detected: Value at 'userName' failed to satisfy constraint: Member must \
         have length less than or equal to 64"
    );
}

#[test]
fn answers_are_xml() {
    let output = elbv2::DescribeLoadBalancersOutput {
        load_balancers: Some(vec![elbv2::LoadBalancer {
            load_balancer_name: Some("a<b>&\"c\"".into()),
            created_time: Some(Timestamp(1_700_000_000.25)),
            security_groups: Some(vec!["sg-1".into(), "sg-2".into()]),
            ..elbv2::LoadBalancer::default()
        }]),
        next_marker: None,
    };
    let text = encode(&output, "DescribeLoadBalancers", "urn:x", "id");
    assert_eq!(
        String::from_utf8(text).expect("UTF-8"),
        "<DescribeLoadBalancersResponse xmlns=\"urn:x\"><DescribeLoadBalancersResult>\
         <LoadBalancers><member><CreatedTime>2023-11-14T22:13:20.250Z</CreatedTime>\
         <LoadBalancerName>a&lt;b&gt;&amp;&quot;c&quot;</LoadBalancerName><SecurityGroups><member>sg-1</member>\
         <member>sg-2</member></SecurityGroups></member></LoadBalancers>\
         </DescribeLoadBalancersResult><ResponseMetadata><RequestId>id</RequestId>\
         </ResponseMetadata></DescribeLoadBalancersResponse>"
    );
}

#[test]
fn errors_are_xml() {
    let error = ServiceError::client("LoadBalancerNotFound", "none & never");
    assert_eq!(
        String::from_utf8(encode_error(&error, "urn:x", "id")).expect("UTF-8"),
        "<ErrorResponse xmlns=\"urn:x\"><Error><Type>Sender</Type><Code>LoadBalancerNotFound</Code>\
         <Message>none &amp; never</Message></Error><RequestId>id</RequestId></ErrorResponse>"
    );
}

#[test]
fn what_one_side_writes_the_other_reads() {
    let action = elbv2::Action {
        fixed_response_config: Some(elbv2::FixedResponseActionConfig {
            status_code: "404".into(),
            message_body: Some("a & b=c".into()),
            content_type: None,
        }),
        order: Some(1),
        ..read("Type=fixed-response")
    };
    let input = elbv2::CreateRuleInput {
        listener_arn: "arn".into(),
        priority: 7,
        conditions: vec![elbv2::RuleCondition {
            field: Some("host-header".into()),
            values: Some(vec!["a".into(), "b".into()]),
            ..elbv2::RuleCondition::default()
        }],
        actions: vec![action.clone()],
        tags: None,
        transforms: None,
    };
    let body = encode_request(&input, "CreateRule", "2015-12-01");
    let form = Form::parse(&body).expect("a form");
    assert_eq!(form.action(), Some("CreateRule"));
    assert_eq!(form.read::<elbv2::CreateRuleInput>().expect("valid"), input);
    let oidc = elbv2::AuthenticateOidcActionConfig {
        authentication_request_extra_params: Some([("k".into(), "v".into())].into()),
        ..elbv2::AuthenticateOidcActionConfig::default()
    };
    let body = encode_request(&oidc, "X", "1");
    let again = Form::parse(&body).expect("a form").read::<elbv2::AuthenticateOidcActionConfig>();
    assert_eq!(again.expect("valid"), oidc);
    let output = elbv2::DescribeRulesOutput {
        rules: Some(vec![elbv2::Rule {
            actions: Some(vec![action]),
            is_default: Some(true),
            ..elbv2::Rule::default()
        }]),
        next_marker: None,
    };
    let text = encode(&output, "DescribeRules", "urn:x", "id");
    assert_eq!(
        decode::<elbv2::DescribeRulesOutput>(&text, "DescribeRules").expect("valid"),
        output
    );
    let none = elbv2::DeleteRuleOutput::default();
    let text = encode(&none, "DeleteRule", "urn:x", "id");
    assert_eq!(decode::<elbv2::DeleteRuleOutput>(&text, "DeleteRule").expect("valid"), none);
    let error = encode_error(&ServiceError::client("RuleNotFound", "a < b"), "urn:x", "id");
    assert_eq!(decode_error(&error), Some(("RuleNotFound".into(), "a < b".into())));
}

proptest! {
    #[test]
    fn any_form_is_read_or_refused(body in "([A-Za-z.]{0,12}(member|entry|1|2|key)?[=&%.]{0,3}){0,12}") {
        if let Ok(form) = Form::parse(body.as_bytes()) {
            let _ = form.read::<elbv2::CreateRuleInput>();
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(form) = Form::parse(&body) {
            let _ = form.read::<elbv2::CreateRuleInput>();
        }
    }
}
