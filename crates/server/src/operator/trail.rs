//! What the audit log answers: `GET /_longshore/audit/verify`, whether nobody has changed it;
//! `GET /_longshore/iam/explain?request=ID`, why a request was denied; and
//! `GET /_longshore/iam/suggest?principal=ARN&since=7d`, the least policy for what a principal used.
//!
//! Each server knows the calls that came to it. What it leaves out: records of other accounts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::StatusCode;
use longshore_domain::ids::Scope;
use serde_json::{Value, json};

use super::{json as answer, when};
use crate::audit::{self, suggest};
use crate::front::Reply;
use crate::{Server, clock};

/// How far back is looked for what a principal uses, where nobody says.
const SINCE: &str = "7d";

/// Looks through the whole log, and at where it should end.
pub(super) async fn verify(server: &Server) -> Reply {
    let Some(head) = server.audit.flush().await else { return none() };
    let directory = server.audit.directory().to_owned();
    let report = match blocking(move || audit::verify(&directory)).await {
        Ok(report) => report,
        Err(error) => return failed(&error),
    };
    // Records may have been written since.
    let is_short = report.head.sequence < head.sequence;
    let other = report.head.sequence == head.sequence && report.head.digest != head.digest;
    let mut value = json!(report);
    value["directory"] = server.audit.directory().display().to_string().into();
    if is_short || other {
        let what = if is_short {
            format!("the newest {} records are missing", head.sequence - report.head.sequence)
        } else {
            "the newest line was altered".to_owned()
        };
        if let Some(faults) = value["faults"].as_array_mut() {
            faults.push(json!({ "day": "", "line": 0, "what": what }));
        }
    }
    answer(StatusCode::OK, &value)
}

/// The record of a request.
pub(super) async fn explain(
    server: &Server,
    scope: &Scope,
    query: &BTreeMap<String, String>,
) -> Reply {
    let Some(request) = query.get("request").filter(|id| !id.is_empty()).cloned() else {
        return bad("name a request: ?request=ID");
    };
    if server.audit.flush().await.is_none() {
        return none();
    }
    let directory: PathBuf = server.audit.directory().to_owned();
    match blocking(move || audit::find(&directory, &request)).await {
        Err(error) => failed(&error),
        Ok(Some(record)) if record["recipientAccountId"] == scope.account.to_string() => {
            answer(StatusCode::OK, &json!({ "record": record }))
        }
        Ok(_) => {
            let error = "no such request in the audit log of this server: it has calls that change \
                something and those that were denied, as long as it is kept";
            answer(StatusCode::NOT_FOUND, &json!({ "error": error }))
        }
    }
}

/// The least policy for what a principal used.
pub(super) async fn suggest(
    server: &Server,
    scope: &Scope,
    query: &BTreeMap<String, String>,
) -> Reply {
    let Some(principal) = query.get("principal").filter(|arn| !arn.is_empty()) else {
        return bad("name a principal: ?principal=ARN");
    };
    let principal = arn_of(principal, scope);
    if principal.split(':').nth(4) != Some(scope.account.to_string().as_str()) {
        return bad("the principal is not of this account");
    }
    let since = query.get("since").map_or(SINCE, String::as_str);
    let since = match when::parse(since, clock::now()) {
        Ok(since) => since,
        Err(error) => return bad(&error),
    };
    if server.audit.flush().await.is_none() {
        return none();
    }
    let (directory, arn) = (server.audit.directory().to_owned(), principal.clone());
    match blocking(move || audit::used(&directory, &arn, since)).await {
        Err(error) => failed(&error),
        Ok(used) => {
            let body = json!({
                "principal": principal,
                "policy": suggest::policy(&used),
                "calls": used.calls,
                "denied": used.denied,
                "leftOut": used.left_out,
                "reads": server.audit.has_reads(),
            });
            answer(StatusCode::OK, &body)
        }
    }
}

/// `user/ann` and `role/app` are of this account.
fn arn_of(text: &str, Scope { account, .. }: &Scope) -> String {
    if text.starts_with("arn:") {
        text.to_owned()
    } else if text.contains('/') || text == "root" {
        format!("arn:aws:iam::{account}:{text}")
    } else {
        format!("arn:aws:iam::{account}:user/{text}")
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

fn bad(error: &str) -> Reply {
    answer(StatusCode::BAD_REQUEST, &json!({ "error": error }))
}

fn none() -> Reply {
    let error = "this server keeps no audit log: start it with --audit changes";
    answer(StatusCode::NOT_FOUND, &json!({ "error": error }))
}

fn failed(error: &std::io::Error) -> Reply {
    tracing::error!(%error, "the audit log cannot be read");
    let value: Value =
        json!({ "error": "the audit log cannot be read; the server's log says why" });
    answer(StatusCode::INTERNAL_SERVER_ERROR, &value)
}
