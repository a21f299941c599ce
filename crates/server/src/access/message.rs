//! What is said of a denial to whoever may know more than the caller: the message that
//! DecodeAuthorizationMessage decodes, in AWS's shape.
//!
//! It is stored nowhere: it goes with the answer, sealed for the account of the caller, and any server with
//! the same identity key opens it. It is bounded, since it is a header: what is least needed is left out first.

use http::{HeaderName, HeaderValue};
use longshore_auth::{Decision, Denied, Layer, Permissions, Principal, Said, StatementRef};
use serde_json::{Value, json};

use crate::Server;
use crate::audit::Trace;
use crate::identity::Vault;

/// Of an answer: the sealed message. AWS's services put theirs into the error's text, which others than
/// EC2 leave out; a header changes no text.
pub(crate) const HEADER: HeaderName =
    HeaderName::from_static("x-longshore-encoded-authorization-message");

/// Bytes of a message before it is sealed: a third less than what it takes as a header, 4 KiB.
const PLAIN_MAX: usize = 3000;
/// Characters of a resource that are kept where the message would be too long.
const RESOURCE_MAX: usize = 512;

/// The message for a call that was denied; nothing where none was, or nothing can be sealed.
pub(crate) fn of(server: &Server, trace: &Trace) -> Option<HeaderValue> {
    let denied = trace.denial()?;
    let (principal, _) = trace.caller()?;
    let vault = server.vault().ok().filter(|_| server.is_iam)?;
    let said = |statement: &StatementRef| match server.identity.permissions(principal) {
        Permissions::By(standing) => standing.said(statement),
        Permissions::Account => None,
    };
    let text = text(principal, denied, said)?;
    let sealed = vault.seal_denial(principal.account.as_str(), text.as_bytes()).ok()?;
    HeaderValue::from_str(&sealed).ok()
}

/// What a message says, if it is one of a denial in the account of `principal`.
pub(crate) fn decode(vault: &Vault, principal: &Principal, message: &str) -> Option<String> {
    let plain = vault.open_denial(principal.account.as_str(), message)?;
    String::from_utf8(plain).ok()
}

/// How much is told of statements.
#[derive(Clone, Copy)]
enum Detail {
    Whole,
    Named,
    Nothing,
}

/// The message, short enough. Conditions go first, then what the statement says.
fn text(
    principal: &Principal,
    denied: &Denied,
    said: impl Fn(&StatementRef) -> Option<Said>,
) -> Option<String> {
    let explicit = denied.evaluation.as_ref();
    let explicit = explicit.filter(|found| found.decision == Decision::ExplicitDeny);
    let statements = explicit.map(|found| found.statements.as_slice()).unwrap_or_default();
    // What another account says of its resources is not for this one.
    let own = is_own(principal, &denied.question.resource);
    let of_resource = |one: &StatementRef| matches!(one.layer, Layer::Resource | Layer::Trust);
    let statements = || statements.iter().filter(|one| own || !of_resource(one));
    let whole = || statements().map(|one| statement(principal, one, said(one))).collect();
    let named = || statements().map(|one| statement(principal, one, None)).collect();
    let matched = |detail: Detail| -> Vec<Value> {
        match detail {
            Detail::Whole => whole(),
            Detail::Named => named(),
            Detail::Nothing => Vec::new(),
        }
    };
    let conditions: Vec<Value> = denied
        .question
        .context
        .iter()
        .filter(|_| own)
        .map(|(key, values)| json!({ "key": key, "values": items(values) }))
        .collect();
    let resource = &denied.question.resource;
    let short: String = resource.chars().take(RESOURCE_MAX).collect();
    let forms = [
        (Detail::Whole, conditions, resource),
        (Detail::Whole, Vec::new(), resource),
        (Detail::Named, Vec::new(), resource),
        (Detail::Named, Vec::new(), &short),
        (Detail::Nothing, Vec::new(), &short),
    ];
    forms.into_iter().find_map(|(detail, conditions, resource)| {
        let text = json!({
            "allowed": false,
            "explicitDeny": explicit.is_some(),
            "matchedStatements": { "items": matched(detail) },
            "failures": { "items": [] },
            "context": {
                "principal": { "id": principal.unique_id, "arn": principal.arn },
                "action": denied.question.action,
                "resource": resource,
                "conditions": { "items": conditions },
            },
        })
        .to_string();
        (text.len() <= PLAIN_MAX).then_some(text)
    })
}

/// Whether a resource is of the principal's account, or of none.
fn is_own(principal: &Principal, resource: &str) -> bool {
    let account = resource.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(3));
    account.is_none_or(|account| account.is_empty() || account == principal.account.as_str())
}

fn items(values: &[String]) -> Value {
    let values: Vec<Value> = values.iter().map(|value| json!({ "value": value })).collect();
    json!({ "items": values })
}

/// A statement in AWS's shape, with where it stands and what AWS's shape has no place for.
fn statement(principal: &Principal, named: &StatementRef, said: Option<Said>) -> Value {
    let mut value = json!({
        "statementId": named.sid.as_deref().unwrap_or_default(),
        "effect": "DENY",
        "principals": items(std::slice::from_ref(&principal.unique_id)),
        "principalGroups": { "items": [] },
        "source": named.to_string(),
    });
    let Some(said) = said else { return value };
    value[if said.not_actions { "notActions" } else { "actions" }] = items(&said.actions);
    value[if said.not_resources { "notResources" } else { "resources" }] = items(&said.resources);
    let conditions = said.conditions.iter().map(|(operator, key, values)| {
        json!({ "operator": operator, "key": key, "values": items(values) })
    });
    value["conditions"] = json!({ "items": conditions.collect::<Vec<Value>>() });
    value
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use longshore_auth::{
        Account, Ask, Attached, Context, Policies, Policy, PrincipalKind, Question, evaluate,
    };

    use super::*;
    use crate::identity::MasterKey;

    fn ann() -> Principal {
        let kind = PrincipalKind::User { name: "ann".into() };
        Principal {
            unique_id: "AIDAAAAAAAAAAAAAAAAAA".into(),
            ..Principal::new(Account::default(), kind, None)
        }
    }

    /// What is said of a denial by this statement, of a resource with so many characters.
    fn told(statement: &str, length: usize, values: usize) -> Option<Value> {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        let policy = Arc::new(Policy::parse(&text).expect("a policy"));
        let attached = Attached { source: "inline policy p of user/ann".into(), policy };
        let policies = Policies { identity: vec![attached], ..Policies::default() };
        let (action, resource) = ("ecs:StopTask", "r".repeat(length));
        let mut context = Context::default();
        for number in 0..values {
            context.add("aws:TagKeys", format!("key{number}"));
        }
        let ask = Ask { action, resource: &resource, context: &context };
        let evaluation = evaluate(&policies, &ask);
        let denied = Denied {
            principal_arn: ann().arn,
            question: Question { action, resource, context: Arc::new(context) },
            reason: evaluation.reason,
            evaluation: Some(Box::new(evaluation)),
        };
        let text = super::text(&ann(), &denied, |statement| policies.said(statement))?;
        assert!(text.len() <= PLAIN_MAX);
        serde_json::from_str(&text).ok()
    }

    const DENY: &str = r#"{"Sid":"No","Effect":"Deny","Action":"ecs:Stop*","Resource":"*"}"#;

    #[test]
    fn a_message_has_the_shape_of_aws() {
        let message = told(DENY, 3, 1).expect("a message");
        assert_eq!(message["allowed"], false);
        assert_eq!(message["explicitDeny"], true);
        let matched = &message["matchedStatements"]["items"][0];
        assert_eq!(matched["statementId"], "No");
        assert_eq!(matched["effect"], "DENY");
        assert_eq!(matched["actions"]["items"][0]["value"], "ecs:Stop*");
        assert_eq!(matched["resources"]["items"][0]["value"], "*");
        assert_eq!(matched["principals"]["items"][0]["value"], "AIDAAAAAAAAAAAAAAAAAA");
        let context = &message["context"];
        assert_eq!(context["principal"]["arn"], "arn:aws:iam::000000000000:user/ann");
        assert_eq!(
            (&context["action"], &context["resource"]),
            (&"ecs:StopTask".into(), &"rrr".into())
        );
        assert_eq!(context["conditions"]["items"][0]["key"], "aws:tagkeys");
        let implicit = r#"{"Effect":"Allow","Action":"ecs:Run*","Resource":"*"}"#;
        let message = told(implicit, 3, 0).expect("a message");
        assert_eq!(message["explicitDeny"], false);
        assert_eq!(message["matchedStatements"]["items"], json!([]));
    }

    #[test]
    fn a_message_is_a_header_whatever_was_asked() {
        let message = told(DENY, 3, 1000).expect("a message");
        assert_eq!(message["context"]["conditions"]["items"], json!([]));
        assert!(message["matchedStatements"]["items"][0]["actions"].is_object());
        let message = told(DENY, 10_000, 1000).expect("a message");
        let resource = message["context"]["resource"].as_str().expect("a text");
        assert_eq!(resource.len(), RESOURCE_MAX);
        assert_eq!(message["matchedStatements"]["items"][0]["statementId"], "No");
        let long = DENY.replace("No", &"N".repeat(5000));
        let message = told(&long, 3, 0).expect("a message");
        assert_eq!(message["matchedStatements"]["items"], json!([]));
        assert_eq!(message["explicitDeny"], true);
    }

    #[test]
    fn what_another_account_says_is_not_told() {
        let role = |account: &str| format!("arn:aws:iam::{account}:role/r");
        assert!(is_own(&ann(), &role("000000000000")) && is_own(&ann(), "*"));
        assert!(!is_own(&ann(), &role("111111111111")));
        let statement = StatementRef {
            layer: Layer::Trust,
            source: "trust policy".into(),
            index: 0,
            sid: Some("secret".into()),
            effect: longshore_auth::Effect::Deny,
        };
        let mut context = Context::default();
        context.add("aws:ResourceTag/stage", "secret");
        let told = |resource: String| {
            let denied = Denied {
                principal_arn: ann().arn,
                question: Question {
                    action: "sts:AssumeRole",
                    resource,
                    context: Arc::new(context.clone()),
                },
                reason: longshore_auth::Reason::ExplicitDeny(Layer::Trust),
                evaluation: Some(Box::new(longshore_auth::Evaluation {
                    decision: Decision::ExplicitDeny,
                    reason: longshore_auth::Reason::ExplicitDeny(Layer::Trust),
                    statements: vec![statement.clone()],
                    missing: Vec::new(),
                    near: Vec::new(),
                    grant: None,
                })),
            };
            text(&ann(), &denied, |_| None).expect("a message")
        };
        assert!(told(role("000000000000")).contains("secret"));
        let others = told(role("111111111111"));
        assert!(!others.contains("secret") && others.contains("\"explicitDeny\":true"), "{others}");
    }

    #[test]
    fn it_opens_for_its_account_and_with_its_key_alone() {
        let vault = Vault::new(&MasterKey::fresh());
        let ann = ann();
        let sealed = vault.seal_denial(ann.account.as_str(), b"why").expect("seals");
        assert_eq!(decode(&vault, &ann, &sealed).as_deref(), Some("why"));
        let other: Account = "111111111111".parse().expect("an account");
        let stranger = Principal { account: other, ..ann.clone() };
        assert_eq!(decode(&vault, &stranger, &sealed), None);
        assert_eq!(decode(&Vault::new(&MasterKey::fresh()), &ann, &sealed), None);
        for wrong in ["", "x", "why", &sealed[1..]] {
            assert_eq!(decode(&vault, &ann, wrong), None, "{wrong}");
        }
    }
}
