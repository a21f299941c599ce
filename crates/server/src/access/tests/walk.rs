//! Every operation that is served, by a caller that nobody knows, by one whose signature is wrong, by
//! one that may nothing, and by one that may everything.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use longshore_auth::{PayloadHash, RequestParts, sign};
use longshore_wire::{ServiceInfo, acm, ecs, elbv2, iam, sts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::inputs::{ACM, ECS, ELBV2, IAM, STS, filled};
use super::*;
use crate::access::operator::ENDPOINTS;
use crate::access::sts::FREE;
use crate::ecs::coverage::Coverage;
use crate::front;

/// An operation, and a request for it.
struct Step {
    service: &'static ServiceInfo,
    name: &'static str,
    body: String,
}

/// All operations that are served, from their tables.
fn steps() -> Vec<Step> {
    let served = |coverage: Coverage| !matches!(coverage, Coverage::Missing(_));
    let of_ecs = ecs::OperationName::ALL.iter().filter(|op| served(crate::ecs::coverage::of(**op)));
    let of_elb = elbv2::OperationName::ALL.iter();
    let of_elb = of_elb.filter(|op| served(crate::elbv2::coverage::of(**op)));
    let of_acm = acm::OperationName::ALL.iter().filter(|op| served(crate::acm::coverage::of(**op)));
    let of_iam = iam::OperationName::ALL.iter().filter(|op| served(crate::iam::coverage::of(**op)));
    let of_sts = sts::OperationName::ALL.iter().filter(|op| served(crate::sts::coverage::of(**op)));
    let mut steps = Vec::new();
    let mut add = |service: &'static ServiceInfo, name, inputs: &[(&str, &str)]| {
        let input = inputs.iter().find(|(operation, _)| *operation == name);
        let (_, input) = input.unwrap_or_else(|| panic!("{name} has no request in inputs.rs"));
        let body = match service.target_prefix {
            "" => format!("Action={name}&Version={}&{input}", service.api_version),
            _ => (*input).to_owned(),
        };
        steps.push(Step { service, name, body: filled(&body) });
    };
    of_ecs.for_each(|op| add(&ecs::SERVICE, op.info().name, ECS));
    of_elb.for_each(|op| add(&elbv2::SERVICE, op.info().name, ELBV2));
    of_acm.for_each(|op| add(&acm::SERVICE, op.info().name, ACM));
    of_iam.for_each(|op| add(&iam::SERVICE, op.info().name, IAM));
    of_sts.for_each(|op| add(&sts::SERVICE, op.info().name, STS));
    steps
}

impl Step {
    fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("host", "longshore".to_owned())];
        if self.service.target_prefix.is_empty() {
            headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
        } else {
            headers.push(("content-type", "application/x-amz-json-1.1".to_owned()));
            headers.push(("x-amz-target", format!("{}.{}", self.service.target_prefix, self.name)));
        }
        headers
    }

    async fn ask(&self, server: &Arc<Server>, who: Option<&str>, spoilt: bool) -> String {
        let (method, target) = ("POST", "/");
        ask(
            server,
            Asking {
                method,
                target,
                headers: self.headers(),
                body: &self.body,
                service: self.service.signing_name,
            },
            who,
            spoilt,
        )
        .await
    }
}

struct Asking<'a> {
    method: &'a str,
    target: &'a str,
    headers: Vec<(&'static str, String)>,
    body: &'a str,
    service: &'a str,
}

/// The whole answer to a request.
async fn ask(
    server: &Arc<Server>,
    mut asking: Asking<'_>,
    who: Option<&str>,
    spoilt: bool,
) -> String {
    if let Some(name) = who {
        let (path, query) = asking.target.split_once('?').unwrap_or((asking.target, ""));
        let headers = asking.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        let parts = RequestParts::new(asking.method, path, query, headers);
        let payload = PayloadHash::of(asking.body.as_bytes());
        let mut who = credentials(name);
        if spoilt {
            who.secret_access_key.push('!');
        }
        let now_s = clock::now().as_millis() / 1000;
        let added = sign(&parts, &payload, &who, "us-east-1", asking.service, now_s);
        asking.headers.extend(added);
    }
    let mut text = format!("{} {} HTTP/1.1\r\n", asking.method, asking.target);
    for (name, value) in &asking.headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let length = asking.body.len();
    let _ = write!(text, "connection: close\r\ncontent-length: {length}\r\n\r\n{}", asking.body);
    let (mut client, ours) = tokio::io::duplex(1024 * 1024);
    let stop = watch::Sender::new(false);
    let serving = front::connection(front::Place::new(server, None), false, ours, stop.subscribe());
    let serving = tokio::spawn(serving);
    client.write_all(text.as_bytes()).await.expect("it is read");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    serving.await.expect("no panic");
    answer
}

fn code(answer: &str) -> &str {
    let line = answer.lines().find_map(|line| line.strip_prefix("x-amzn-errortype: "));
    line.unwrap_or("none")
}

#[tokio::test]
async fn nobody_gets_past_the_front_without_permission() {
    let server = server().await;
    for step in steps() {
        let name = step.name;
        let query = step.service.target_prefix.is_empty();
        if name == "AssumeRoleWithWebIdentity" {
            // Its callers have a token in place of a signature.
            let answer = step.ask(&server, None, false).await;
            assert_eq!(code(&answer), "InvalidIdentityToken", "{answer}");
            continue;
        }
        let (missing, mismatch) = if query {
            ("MissingAuthenticationToken", "SignatureDoesNotMatch")
        } else {
            ("MissingAuthenticationTokenException", "InvalidSignatureException")
        };
        assert_eq!(code(&step.ask(&server, None, false).await), missing, "{name}");
        assert_eq!(code(&step.ask(&server, Some("all"), true).await), mismatch, "{name}");
        let denied = step.ask(&server, Some("nobody"), false).await;
        let service = step.service.signing_name;
        if FREE.contains(&format!("{service}:{name}").as_str()) {
            // No policy is needed for what is said about the caller, and roles say who may become them.
            assert_eq!(code(&denied) == "AccessDenied", name == "AssumeRole", "{name}: {denied}");
            continue;
        }
        let expected = if query { "AccessDenied" } else { "AccessDeniedException" };
        assert_eq!(code(&denied), expected, "{name}: {denied}");
        let user = "User: arn:aws:iam::000000000000:user/nobody is not authorized to perform:";
        assert!(denied.contains(&format!("{user} {service}:{name} on resource: ")), "{denied}");
        let policy = format!("because no identity-based policy allows the {service}:{name} action");
        assert!(denied.contains(&policy), "{denied}");
        let status = if query { "HTTP/1.1 403" } else { "HTTP/1.1 400" };
        assert!(denied.starts_with(status), "{denied}");
    }
}

#[tokio::test]
async fn a_denial_can_be_decoded_by_who_may() {
    let server = server().await;
    let steps = steps();
    let step = |name: &str| steps.iter().find(|step| step.name == name).expect("a step");
    let header = |answer: &str| {
        let line = "x-longshore-encoded-authorization-message: ";
        answer.lines().find_map(|text| text.strip_prefix(line)).map(str::to_owned)
    };
    let decode = |message: String, who: &'static str| {
        let (server, body) = (
            Arc::clone(&server),
            format!(
                "Action=DecodeAuthorizationMessage&Version=2011-06-15&EncodedMessage={message}"
            ),
        );
        async move {
            let kind = "application/x-www-form-urlencoded".to_owned();
            let headers = vec![("host", "longshore".to_owned()), ("content-type", kind)];
            let (method, target, service) = ("POST", "/", "sts");
            let asking = Asking { method, target, headers, body: &body, service };
            ask(&server, asking, Some(who), false).await
        }
    };
    for name in ["RunTask", "CreateUser", "DescribeLoadBalancers"] {
        let step = step(name);
        let message = header(&step.ask(&server, Some("nobody"), false).await).expect("a message");
        assert!(message.len() < 4096);
        let decoded = decode(message.clone(), "all").await;
        let service = step.service.signing_name;
        for part in
            [&format!("{service}:{name}"), "user/nobody", "explicitDeny", "matchedStatements"]
        {
            assert!(decoded.contains(part), "{part}: {decoded}");
        }
        let refused = decode(message, "nobody").await;
        assert_eq!(code(&refused), "AccessDenied");
    }
    assert_eq!(header(&step("RunTask").ask(&server, Some("all"), false).await), None);
    let wrong = decode("none".to_owned(), "all").await;
    assert_eq!(code(&wrong), "InvalidAuthorizationMessageException", "{wrong}");
    let endpoint = Asking {
        method: "GET",
        target: "/_longshore/waits",
        headers: vec![("host", "longshore".to_owned())],
        body: "",
        service: "ecs",
    };
    let denied = ask(&server, endpoint, Some("nobody"), false).await;
    assert!(header(&denied).is_some(), "{denied}");
}

#[tokio::test]
async fn who_may_everything_reaches_every_operation() {
    let server = server().await;
    for step in steps() {
        for who in ["all", "root"] {
            let answer = step.ask(&server, Some(who), false).await;
            let code = code(&answer);
            let by_policy = ["because no", "with an explicit deny"];
            assert!(!by_policy.iter().any(|why| answer.contains(why)), "{}: {answer}", step.name);
            assert!(
                !code.contains("Server") && !code.contains("Internal"),
                "{}: {answer}",
                step.name
            );
            assert!(!code.contains("Signature") && !code.contains("Authentication"), "{answer}");
        }
    }
}

#[test]
fn the_table_has_what_is_served_and_nothing_else() {
    let served: BTreeSet<String> =
        steps().iter().map(|step| format!("{}:{}", step.service.signing_name, step.name)).collect();
    let known: BTreeSet<String> = entries().map(|entry| entry.action.to_owned()).collect();
    assert_eq!(served, known);
    assert_eq!(known.len(), entries().count(), "no operation has two rows");
}

#[tokio::test]
async fn endpoints_of_our_own_are_no_way_around() {
    let server = server().await;
    let endpoint = |method: &'static str, target: String, who: Option<&'static str>| {
        let server = Arc::clone(&server);
        async move {
            let headers = vec![("host", "longshore".to_owned())];
            let asking = Asking { method, target: &target, headers, body: "", service: "ecs" };
            ask(&server, asking, who, false).await
        }
    };
    for row in ENDPOINTS {
        let target = format!("/_longshore/{}", row.path());
        let unsigned = endpoint(row.method(), target.clone(), None).await;
        assert!(unsigned.contains("MissingAuthenticationTokenException"), "{target}: {unsigned}");
        let denied = endpoint(row.method(), target.clone(), Some("nobody")).await;
        assert!(denied.contains("AccessDenied"), "{target}: {denied}");
        assert!(denied.contains(row.entry.action), "{target}: {denied}");
    }
    for target in ["waits", "ca", "members", "explain?group=none", "consolidate"] {
        let target = format!("/_longshore/{target}");
        let answer = endpoint("GET", target.clone(), Some("all")).await;
        assert!(!answer.contains("AccessDenied"), "{target}: {answer}");
    }
    // A token, or keys of a machine that joined, stand in place of permissions.
    let join = endpoint("POST", "/_longshore/join".to_owned(), None).await;
    assert!(join.starts_with("HTTP/1.1 400"), "{join}");
    let unsigned = endpoint("POST", "/_longshore/renew".to_owned(), None).await;
    assert!(unsigned.contains("MissingAuthenticationTokenException"), "{unsigned}");
    let unjoined = endpoint("POST", "/_longshore/renew".to_owned(), Some("all")).await;
    assert!(unjoined.contains("AccessDenied"), "{unjoined}");
    let nothing = endpoint("GET", "/_longshore/nothing".to_owned(), Some("nobody")).await;
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
}

#[tokio::test]
async fn websockets_of_agents_are_authorized() {
    let server = server().await;
    let instance = test_server::add_instance(&server, 1024).await;
    let open = |parameter: &'static str, who: Option<&'static str>| {
        let (server, target) = (Arc::clone(&server), format!("/ws?{parameter}={instance}"));
        async move {
            let headers = vec![
                ("host", "longshore".to_owned()),
                ("upgrade", "websocket".to_owned()),
                ("sec-websocket-version", "13".to_owned()),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".to_owned()),
            ];
            let asking =
                Asking { method: "GET", target: &target, headers, body: "", service: "ecs" };
            ask(&server, asking, who, false).await
        }
    };
    for (parameter, action) in
        [("containerInstanceArn", "ecs:Poll"), ("containerInstance", "ecs:StartTelemetrySession")]
    {
        let unsigned = open(parameter, None).await;
        assert!(unsigned.contains("MissingAuthenticationTokenException"), "{unsigned}");
        let denied = open(parameter, Some("nobody")).await;
        assert!(denied.contains(&format!("{action} on resource: {instance}")), "{denied}");
        // Root registered the instance: nobody else may speak for it.
        let other = open(parameter, Some("all")).await;
        assert!(other.contains("another principal registered the container instance"), "{other}");
    }
}
