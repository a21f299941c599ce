//! `GET /_longshore/iam/who-can?action=A&resource=R`: which users and roles of the account may do
//! that, by which statements, and which may under conditions that the question does not settle.
//!
//! What it leaves out: session policies, which only their sessions know.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use longshore_auth::{
    Account, Ask, Context, Evaluation, Mismatch, Principal, PrincipalKind, evaluate,
};
use longshore_domain::ids::Scope;
use longshore_store::View;
use serde_json::{Value, json};

use super::json as answer;
use crate::Server;
use crate::front::Reply;
use crate::identity::documents_of;

/// Answers with all who may.
pub(super) async fn run(server: &Server, scope: &Scope, query: &BTreeMap<String, String>) -> Reply {
    let bad = |error: &str| answer(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    let Some(action) = query.get("action").filter(|action| action.contains(':')).cloned() else {
        return bad("name an action: ?action=ecs:RunTask");
    };
    let resource = query.get("resource").cloned().unwrap_or_else(|| "*".to_owned());
    if resource != "*" && !resource.starts_with("arn:") {
        return bad("name a resource by its ARN, or * for what has none");
    }
    let (view, scope) = (server.state.view(), scope.clone());
    let found = tokio::task::spawn_blocking(move || all(&view, &scope, &action, &resource)).await;
    match found {
        Ok(found) => answer(StatusCode::OK, &json!({ "principals": found })),
        Err(error) => {
            answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() }))
        }
    }
}

fn all(view: &Arc<View>, scope: &Scope, action: &str, resource: &str) -> Vec<Value> {
    let account: Account = scope.account.to_string().parse().unwrap_or_default();
    let of = |kind: PrincipalKind, id: String| {
        let principal = Principal::new(account.clone(), kind, None);
        documents_of(view, &Principal { unique_id: id, ..principal })
    };
    let mut found = vec![json!({
        "arn": format!("arn:aws:iam::{account}:root"), "may": "always", "by": ["the account itself"],
    })];
    let context = Context::default();
    let ask = Ask { action, resource, context: &context };
    for row in view.iam_users.iter().filter(|row| row.account == scope.account) {
        let policies = of(PrincipalKind::User { name: row.name.clone() }, row.id.to_string());
        found.extend(told(&row.arn(), &evaluate(&policies, &ask)));
    }
    for row in view.iam_roles.iter().filter(|row| row.account == scope.account) {
        let kind = PrincipalKind::AssumedRole { role: row.name.clone(), session: String::new() };
        let policies = of(kind, row.id.to_string());
        found.extend(told(&row.arn(), &evaluate(&policies, &ask)));
    }
    found
}

/// What is said of a principal, if it may, or might.
fn told(arn: &str, evaluation: &Evaluation) -> Option<Value> {
    if evaluation.is_allowed() {
        let by: Vec<String> = evaluation.statements.iter().map(ToString::to_string).collect();
        return Some(json!({ "arn": arn, "may": "always", "by": by }));
    }
    // Every layer that lacks an allow must have a statement that only lacks keys of the request.
    let unsettled = |why: &Mismatch| {
        matches!(why, Mismatch::Condition { seen: None, .. } | Mismatch::Variable(_))
    };
    let might = |layer| {
        let mut near = evaluation.near.iter().filter(move |near| near.statement.layer == layer);
        near.find(|near| near.why.iter().all(unsettled))
    };
    let mut by = Vec::new();
    for layer in &evaluation.missing {
        by.push(might(*layer)?.to_string());
    }
    (!by.is_empty()).then(|| json!({ "arn": arn, "may": "under conditions", "by": by }))
}

#[cfg(test)]
mod tests {
    use longshore_auth::{Attached, Policies, Policy};

    use super::*;

    fn may(documents: &[&str]) -> Option<String> {
        let attached = |document: &&str| Attached {
            source: "inline policy p of user/ann".to_owned(),
            policy: Arc::new(Policy::parse(document).expect("a policy")),
        };
        let identity = documents.iter().map(attached).collect();
        let policies = Policies { identity, ..Policies::default() };
        let context = Context::default();
        let resource = "arn:aws:ecs:us-east-1:000000000000:service/c/s";
        let ask = Ask { action: "ecs:UpdateService", resource, context: &context };
        let told = told("ann", &evaluate(&policies, &ask))?;
        Some(told["may"].as_str().expect("text").to_owned())
    }

    #[test]
    fn conditions_that_are_open_are_said() {
        let allow = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Action": "ecs:*", "Resource": "arn:aws:ecs:*:*:service/c/*"}]}"#;
        let when = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecs:*",
            "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/env": "dev"}}}]}"#;
        let deny = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny",
            "Action": "ecs:UpdateService", "Resource": "*"}]}"#;
        assert_eq!(may(&[allow]).as_deref(), Some("always"));
        assert_eq!(may(&[when]).as_deref(), Some("under conditions"));
        assert_eq!(may(&[allow, deny]), None);
        assert_eq!(may(&[]), None);
    }
}
