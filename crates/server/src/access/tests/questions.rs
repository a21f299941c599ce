//! What single requests ask.

use longshore_auth::Question;
use longshore_domain::ids::AccountId;
use longshore_wire::codec::{json, query};
use longshore_wire::ecs::op;
use longshore_wire::{Peer, elbv2};
use serde_json::Value;

use super::*;
use crate::access::{Access, Asking, Origin};

fn ask<O: Access>(server: &Server, input: &O::Input) -> Vec<Question> {
    let (view, scope) = (server.state.view(), scope());
    let mut asking =
        Asking::new(&view, &scope, O::ENTRY.action, longshore_auth::Context::default());
    O::asks(input, &mut asking);
    asking.into_questions().expect("no more than is asked")
}

fn asked<O: Access>(server: &Server, input: &str) -> Vec<Question> {
    let input = json::decode(input.as_bytes(), Peer::Client).expect("it is of its shape");
    ask::<O>(server, &input)
}

/// Actions and the last parts of resources, as text.
fn brief(questions: &[Question]) -> Vec<String> {
    let account = AccountId::default();
    let brief = |question: &Question| {
        let resource = question.resource.replace(&format!("us-east-1:{account}:"), "");
        let resource = resource.replace("arn:aws:ecs:", "");
        format!("{} {resource}", question.action)
    };
    questions.iter().map(brief).collect()
}

fn key<'q>(question: &'q Question, name: &str) -> &'q [String] {
    question.context.get(name).unwrap_or_default()
}

const ID: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn names_and_arns_are_the_same_resource() {
    let server = server().await;
    let arn = "arn:aws:ecs:us-east-1:000000000000:";
    let expected = [format!("ecs:DescribeTasks task/default/{ID}")];
    for cluster in
        ["null".to_owned(), "\"default\"".to_owned(), format!("\"{arn}cluster/default\"")]
    {
        for task in [ID.to_owned(), format!("{arn}task/default/{ID}")] {
            let input = format!(r#"{{"cluster": {cluster}, "tasks": ["{task}"]}}"#);
            let questions = asked::<op::DescribeTasks>(&server, &input);
            assert_eq!(brief(&questions), expected, "{input}");
            assert_eq!(key(&questions[0], "ecs:cluster"), [format!("{arn}cluster/default")]);
        }
    }
    let many = format!(r#"{{"tasks": ["{ID}", "{arn}task/other/{ID}"]}}"#);
    let many = asked::<op::DescribeTasks>(&server, &many);
    assert_eq!(
        brief(&many),
        [
            format!("ecs:DescribeTasks task/default/{ID}"),
            format!("ecs:DescribeTasks task/other/{ID}")
        ]
    );
}

#[tokio::test]
async fn tricks_in_names_match_no_pattern_but_the_one_for_everything() {
    let server = server().await;
    let arn = "arn:aws:ecs:us-east-1:000000000000:";
    for trick in ["*", "?", "task/default/*", "a/../b", "${aws:username}", "", " ", "a\\u0000"] {
        let input = format!(r#"{{"tasks": ["{trick}"]}}"#);
        assert_eq!(
            brief(&asked::<op::DescribeTasks>(&server, &input)),
            ["ecs:DescribeTasks *"],
            "{trick}"
        );
        let input = format!(r#"{{"tasks": ["{arn}task/default/{trick}"]}}"#);
        assert_eq!(
            brief(&asked::<op::DescribeTasks>(&server, &input)),
            ["ecs:DescribeTasks *"],
            "{trick}"
        );
        let input = format!(r#"{{"cluster": "{arn}cluster/{trick}"}}"#);
        assert_eq!(
            brief(&asked::<op::DeleteCluster>(&server, &input)),
            ["ecs:DeleteCluster *"],
            "{trick}"
        );
    }
    for service in ["a//b", "..", "a/b", "prod-*"] {
        let input = format!(r#"{{"service": "{service}"}}"#);
        let questions = asked::<op::UpdateService>(&server, &input);
        // A name that only looks odd keeps its place within the cluster, where nothing is found.
        let resource = questions[0].resource.as_str();
        assert!(resource == "*" || resource.ends_with("service/default/a/b"), "{resource}");
    }
}

#[tokio::test]
async fn roles_are_passed_by_those_who_start_tasks() {
    let server = server().await;
    let role = |name: &str| format!("iam:PassRole arn:aws:iam::000000000000:role/{name}");
    let input = r#"{"family": "f", "containerDefinitions": [{"name": "m", "image": "i", "memory": 8}],
        "taskRoleArn": "app", "executionRoleArn": "arn:aws:iam::000000000000:role/path/pull"}"#;
    let questions = asked::<op::RegisterTaskDefinition>(&server, input);
    assert_eq!(
        brief(&questions),
        [
            "ecs:RegisterTaskDefinition task-definition/f:*".to_owned(),
            role("app"),
            role("path/pull")
        ]
    );
    for question in &questions[1..] {
        assert_eq!(key(question, "iam:PassedToService"), ["ecs-tasks.amazonaws.com"]);
    }
    assert!(key(&questions[0], "iam:PassedToService").is_empty());
    let input: Value = serde_json::from_str(input).expect("JSON");
    test_server::ask(&server, "RegisterTaskDefinition", input.clone())
        .await
        .expect("it is registered");
    let started = asked::<op::RunTask>(&server, r#"{"taskDefinition": "f"}"#);
    assert_eq!(
        brief(&started),
        ["ecs:RunTask task-definition/f:1".to_owned(), role("app"), role("path/pull")]
    );
    let instead = r#"{"taskDefinition": "f", "overrides": {"taskRoleArn": "other"}}"#;
    let instead = asked::<op::RunTask>(&server, instead);
    assert_eq!(
        brief(&instead),
        ["ecs:RunTask task-definition/f:1".to_owned(), role("other"), role("path/pull")]
    );
    let daemon = input["containerDefinitions"].clone();
    let daemon = serde_json::json!({
        "family": "d", "containerDefinitions": daemon,
        "taskRoleArn": "arn:aws:iam::000000000000:role/app",
    });
    test_server::ask(&server, "RegisterDaemonTaskDefinition", daemon).await.expect("registered");
    for definition in ["d", "d:1", "arn:aws:ecs:us-east-1:000000000000:daemon-task-definition/d:1"]
    {
        let create = serde_json::json!({
            "daemonName": "n", "daemonTaskDefinitionArn": definition, "capacityProviderArns": [],
        });
        let questions = asked::<op::CreateDaemon>(&server, &create.to_string());
        let expected = ["ecs:CreateDaemon daemon/default/n".to_owned(), role("app")];
        assert_eq!(brief(&questions), expected, "{definition}");
    }
    let service = r#"{"serviceName": "s", "taskDefinition": "f", "role": "balance"}"#;
    let service = asked::<op::CreateService>(&server, service);
    assert_eq!(
        brief(&service),
        ["ecs:CreateService service/default/s".to_owned(), role("balance")]
    );
    assert_eq!(key(&service[1], "iam:PassedToService"), ["ecs.amazonaws.com"]);
    let definition = "arn:aws:ecs:us-east-1:000000000000:task-definition/f:1";
    assert_eq!(key(&service[0], "ecs:task-definition"), [definition]);
}

#[tokio::test]
async fn what_is_created_with_tags_is_tagged() {
    let server = server().await;
    let input = r#"{"clusterName": "c", "tags": [{"key": "team", "value": "a"}, {"key": "env", "value": "b"}]}"#;
    let questions = asked::<op::CreateCluster>(&server, input);
    assert_eq!(brief(&questions), ["ecs:CreateCluster cluster/c", "ecs:TagResource cluster/c"]);
    for question in &questions {
        assert_eq!(key(question, "aws:RequestTag/team"), ["a"]);
        assert_eq!(key(question, "aws:TagKeys"), ["team", "env"]);
    }
    assert_eq!(key(&questions[1], "ecs:CreateAction"), ["CreateCluster"]);
    assert!(key(&questions[0], "ecs:CreateAction").is_empty());
    let form = b"Name=b&Type=network&Scheme=internal&Tags.member.1.Key=k";
    let input = query::Form::parse(form).and_then(|form| form.read()).expect("a request");
    let questions = ask::<elbv2::op::CreateLoadBalancer>(&server, &input);
    let balancer = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/b/*";
    let (actions, resources): (Vec<_>, Vec<_>) =
        questions.iter().map(|q| (q.action, q.resource.as_str())).unzip();
    assert_eq!(
        actions,
        ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:AddTags"]
    );
    assert_eq!(resources, [balancer, balancer]);
    assert_eq!(key(&questions[0], "elasticloadbalancing:Scheme"), ["internal"]);
    assert_eq!(key(&questions[1], "elasticloadbalancing:CreateAction"), ["CreateLoadBalancer"]);
}

#[tokio::test]
async fn tags_of_resources_are_keys_where_they_exist() {
    let server = server().await;
    let tags = serde_json::json!({"clusterName": "c", "tags": [{"key": "env", "value": "prod"}]});
    test_server::ask(&server, "CreateCluster", tags).await.expect("a cluster");
    let one = asked::<op::DeleteCluster>(&server, r#"{"cluster": "c"}"#);
    assert_eq!(key(&one[0], "aws:ResourceTag/env"), ["prod"]);
    assert_eq!(key(&one[0], "ecs:ResourceTag/env"), ["prod"]);
    let none = asked::<op::DeleteCluster>(&server, r#"{"cluster": "absent"}"#);
    assert_eq!(brief(&none), ["ecs:DeleteCluster cluster/absent"]);
    assert!(key(&none[0], "aws:ResourceTag/env").is_empty());
}

#[tokio::test]
async fn a_report_is_about_the_cluster_of_its_task() {
    let server = server().await;
    let task = format!("arn:aws:ecs:us-east-1:000000000000:task/theirs/{ID}");
    let input = format!(r#"{{"cluster": "mine", "task": "{task}"}}"#);
    let questions = asked::<op::SubmitTaskStateChange>(&server, &input);
    assert_eq!(brief(&questions), ["ecs:SubmitTaskStateChange cluster/theirs"]);
}

#[tokio::test]
async fn what_belongs_to_a_service_takes_both() {
    let server = server().await;
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:service-deployment/c/s/{ID}");
    let input = format!(r#"{{"serviceDeploymentArns": ["{arn}"]}}"#);
    let questions = asked::<op::DescribeServiceDeployments>(&server, &input);
    assert_eq!(
        brief(&questions),
        [
            format!("ecs:DescribeServiceDeployments service-deployment/c/s/{ID}"),
            "ecs:DescribeServiceDeployments service/c/s".to_owned(),
        ]
    );
    assert_eq!(
        key(&questions[0], "ecs:service"),
        ["arn:aws:ecs:us-east-1:000000000000:service/c/s"]
    );
}

/// Whatever a row asks about is of a type that it names, and its actions are those that it names.
#[tokio::test]
async fn rows_say_what_they_ask() {
    let server = server().await;
    for (name, input) in inputs::ECS {
        let entry = ecs::entries().find(|entry| entry.action == format!("ecs:{name}"));
        let entry = entry.unwrap_or_else(|| panic!("{name} has no row"));
        let call = call(&server, Permissions::by(Policies::default()));
        let operation = longshore_wire::ecs::OperationName::parse(name).expect("an operation");
        let input = inputs::filled(input);
        let refusal = crate::ecs::dispatch(&call, operation, input.as_bytes()).await;
        refusal.expect_err("nobody may anything");
        let denied = call.trace.denial().expect("policies were asked");
        assert_eq!(denied.question.action, entry.action);
        let resource = &denied.question.resource;
        let types = entry.resources;
        let is_of = |kind: &&str| {
            resource.starts_with(&format!("arn:aws:ecs:us-east-1:000000000000:{kind}/"))
        };
        let fits = if types.is_empty() { resource == "*" } else { types.iter().any(is_of) };
        assert!(fits, "{name} asks about {resource}, and its row says {types:?}");
    }
}

#[tokio::test]
async fn policies_decide_by_keys_of_the_request() {
    let server = server().await;
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecs:ListServices",
        "Resource": "*", "Condition": {"ArnEquals":
        {"ecs:cluster": "arn:aws:ecs:us-east-1:000000000000:cluster/default"}}}]}"#;
    let list = async |cluster: &str| {
        let call = call(&server, by([policy]));
        let input = format!(r#"{{"cluster": "{cluster}"}}"#);
        let operation = longshore_wire::ecs::OperationName::ListServices;
        crate::ecs::dispatch(&call, operation, input.as_bytes()).await.map_err(|error| error.code)
    };
    assert!(list("default").await.is_ok());
    assert_eq!(list("other").await, Err("AccessDeniedException"), "whether it exists or not");
}

#[tokio::test]
async fn what_names_too_much_is_never_asked_whole() {
    let server = server().await;
    let (view, scope) = (server.state.view(), scope());
    let try_it = |ask: &dyn Fn(&mut Asking<'_>)| {
        let keys = longshore_auth::Context::default();
        let mut asking = Asking::new(&view, &scope, "ecs:UpdateTaskProtection", keys);
        ask(&mut asking);
        asking.into_questions()
    };
    let names = |number: usize, length: usize| {
        move |asking: &mut Asking<'_>| {
            for n in 0..number {
                asking.ask(format!("{n:0length$}"));
            }
        }
    };
    assert_eq!(try_it(&names(500, 200)).expect("it is not too much").len(), 500);
    for (number, length, kept) in [(1_000_000, 32, 500), (100, 2000, 65), (1, 2049, 1)] {
        let asked = try_it(&names(number, length)).expect_err("it is too much").asked;
        assert_eq!(asked.len(), kept, "{number} of {length}");
    }
    let tags = try_it(&|asking| {
        asking.tag_keys(["key"].into_iter().cycle().take(1_000_000));
        asking.ask("r");
    });
    let asked = tags.expect_err("it is too much").asked;
    assert_eq!((asked.len(), asked[0].resource.as_str()), (1, "*"));
    assert!(key(&asked[0], "aws:TagKeys").len() <= 500);
}

#[tokio::test]
async fn what_names_too_much_is_refused_though_all_is_allowed() {
    let server = server().await;
    let call = |permissions| Call {
        permissions,
        ..Call::of_ours(
            &server,
            Origin::default(),
            Principal::new(
                Account::default(),
                PrincipalKind::User { name: "ann".to_owned() },
                None,
            ),
            scope(),
        )
    };
    let tasks = vec!["t"; 1_000_000];
    let input = serde_json::json!({"cluster": "c", "tasks": tasks, "protectionEnabled": true});
    let input = input.to_string();
    let ask = |permissions| {
        let input = json::decode(input.as_bytes(), Peer::Client).expect("it is of its shape");
        call(permissions).authorize::<op::UpdateTaskProtection>(input).expect_err("it is refused")
    };
    let refused = ask(by([ALL]));
    assert_eq!(refused.code, "InvalidParameterException");
    assert!(refused.message.starts_with("The request names too much"), "{refused}");
    let denied = ask(Permissions::by(Policies::default()));
    assert_eq!(denied.code, "AccessDeniedException");
}
