//! Webhooks of deployments: posts what AWS would hand a Lambda function, and records what it answers.
//!
//! The rules it keeps: whom to call and what follows is decided in `domain::deploy` and true only by a
//! transaction, so that a hook may be called again after a crash and its answer counts once. Only the leader
//! calls, and only for the current deployment of a service. A hook that takes its time is in nobody's way:
//! it should answer `IN_PROGRESS` and is called again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use longshore_domain::deploy::{self, Due, HookAnswer};
use longshore_domain::ids::{Arn, Resource};
use longshore_domain::record::{Document, ServiceDeployment, Share, TrafficKind};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{ServiceDeploymentIndex, ServiceDeploymentKey, ServiceKey};
use longshore_store::{Kind, Record, RecordTxn, TxnOutcome, View};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::events::webhook::{Http, client};
use crate::members::Term;
use crate::{Server, clock};

/// How long a webhook may take to answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;
/// Calls at the same time; more wait.
const CALLS: usize = 64;
/// Attempts to record an answer while others change the deployment.
const ATTEMPTS: usize = 20;
/// How long a hook whose answer could not be recorded is not called again.
const UNRECORDED: Duration = Duration::from_secs(5);
/// Longest time without looking: a safety net, nothing depends on it.
const RESYNC: Duration = Duration::from_secs(60);

/// Calls webhooks, as one of the `parts` of a term.
pub(crate) fn spawn(server: &Arc<Server>, term: &Arc<Term>, parts: &mut JoinSet<()>) {
    let (server, term) = (Arc::clone(server), Arc::clone(term));
    parts.spawn(async move { run(&server, &term).await });
}

async fn run(server: &Arc<Server>, term: &Arc<Term>) {
    let client = client();
    let mut changes = server.state.changes();
    let mut under_way: BTreeSet<String> = BTreeSet::new();
    let mut calls: JoinSet<String> = JoinSet::new();
    loop {
        let (found, next) = due(&server.state.view(), clock::now());
        for (key, due, body) in found {
            // Ids of hooks are unique.
            if calls.len() < CALLS && under_way.insert(due.hook.clone()) {
                let (server, term) = (Arc::clone(server), Arc::clone(term));
                let client = client.clone();
                calls.spawn(async move {
                    let answer = post(&client, &due, body).await;
                    let (host, verdict) = (host(&due.call.url), verdict(&answer));
                    tracing::info!(host, hook = due.hook, verdict, "hook called");
                    if !record(&server, &term, &key, &due.hook, &answer).await {
                        // It is called again, and answers again.
                        tokio::time::sleep(UNRECORDED).await;
                    }
                    due.hook
                });
            }
        }
        let wait = next.map_or(RESYNC, |at| at.saturating_since(clock::now()).min(RESYNC));
        tokio::select! {
            biased;
            Some(done) = calls.join_next() => if let Ok(hook) = done {
                under_way.remove(&hook);
            },
            woken = changes.changed(&[Kind::Service, Kind::ServiceDeployment]) => {
                if let Err(error) = woken {
                    return tracing::error!(%error, "hooks are called no more");
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// The calls that are due, each with what it posts, and when the next one is.
fn due(
    view: &View,
    now: Timestamp,
) -> (Vec<(ServiceDeploymentKey, Due, Value)>, Option<Timestamp>) {
    let mut found = Vec::new();
    let mut next: Option<Timestamp> = None;
    for row in view.service_deployments.by(&ServiceDeploymentIndex::Calls) {
        let (scope, cluster) = (row.scope.clone(), row.cluster.clone());
        let key = ServiceKey { scope, cluster, name: row.service.clone() };
        // One that was superseded decides nothing any more.
        let service = view.services.get(&key);
        if service.is_none_or(|service| service.service_deployment != Some(row.id)) {
            continue;
        }
        let (due, at) = deploy::due(row, now);
        next = next.into_iter().chain(at).min();
        for due in due {
            let body = payload(row, &due);
            found.push((row.key(), due, body));
        }
    }
    (found, next)
}

/// AWS's payload of a lifecycle hook.
fn payload(record: &ServiceDeployment, due: &Due) -> Value {
    let arn = |resource| Arn::new(&record.scope, resource).to_string();
    let (cluster, service) = (&record.cluster, &record.service);
    let revision = |id| arn(Resource::ServiceRevision(cluster.clone(), service.clone(), id));
    let weights = |kind: TrafficKind| {
        let mut weights = Map::new();
        if due.call.shifts == Some(kind) {
            let blue = record.shift.as_ref().and_then(|shift| shift.blue);
            weights.insert(revision(record.target), percent(due.call.share));
            weights.extend(blue.map(|blue| (revision(blue), percent(due.call.share.rest()))));
        }
        weights
    };
    let bits = due.hook.rsplit('-').next().and_then(|hex| u128::from_str_radix(hex, 16).ok());
    let mut body = json!({
        "executionId": clock::format_uuid(bits.unwrap_or_default()),
        "lifecycleStage": due.stage.as_str(),
        "resourceArn":
            arn(Resource::ServiceDeployment(cluster.clone(), service.clone(), record.id)),
        "executionDetails": {
            "serviceArn": arn(Resource::Service(cluster.clone(), service.clone())),
            "targetServiceRevisionArn": revision(record.target),
            "testTrafficWeights": weights(TrafficKind::Test),
            "productionTrafficWeights": weights(TrafficKind::Production),
        },
    });
    let details = due.call.details.as_ref();
    let details = details.and_then(|details| serde_json::from_str::<Value>(details.as_str()).ok());
    if let (Some(details), Value::Object(members)) = (details, &mut body) {
        members.insert("hookDetails".to_owned(), details);
    }
    body
}

fn percent(share: Share) -> Value {
    match share.tenths() {
        tenths if tenths % 10 == 0 => json!(tenths / 10),
        tenths => json!(f64::from(tenths) / 10.0),
    }
}

async fn post(client: &Http, due: &Due, body: Value) -> HookAnswer {
    let request = Request::post(due.call.url.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(body.to_string())));
    let exchange = async {
        let request = request.map_err(|error| error.to_string())?;
        let answer = client.request(request).await.map_err(|error| reason(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(format!("it answered {status}")) }
    };
    match tokio::time::timeout(ANSWER, exchange).await {
        Ok(Ok(body)) => read(&body),
        Ok(Err(why)) => HookAnswer::Unreached(why),
        Err(_) => HookAnswer::Unreached(format!("no answer within {}s", ANSWER.as_secs())),
    }
}

/// The innermost cause: what the network says.
fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn read(body: &[u8]) -> HookAnswer {
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(body) else {
        return HookAnswer::Senseless("the response is no JSON object".to_owned());
    };
    match answer.get("hookStatus") {
        Some(Value::String(status)) if status == "SUCCEEDED" => HookAnswer::Succeeded,
        Some(Value::String(status)) if status == "FAILED" => HookAnswer::Failed,
        Some(Value::String(status)) if status == "IN_PROGRESS" => {
            let after = answer.get("callBackDelay").and_then(Value::as_u64);
            let details = answer.get("hookDetails").filter(|details| details.is_object());
            HookAnswer::InProgress {
                after: after.map(|seconds| Duration::from_secs(seconds.max(1))),
                details: details.and_then(|details| Document::new(details.to_string()).ok()),
            }
        }
        None | Some(Value::Null) => HookAnswer::Senseless("HookStatus must not be null".to_owned()),
        Some(other) => HookAnswer::Senseless(format!("HookStatus {other} is not valid")),
    }
}

/// What of a URL may be logged: path and query may hold a secret.
fn host(url: &str) -> String {
    let uri = url.parse::<http::Uri>().ok();
    uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
}

fn verdict(answer: &HookAnswer) -> &'static str {
    match answer {
        HookAnswer::Succeeded => "SUCCEEDED",
        HookAnswer::Failed => "FAILED",
        HookAnswer::InProgress { .. } => "IN_PROGRESS",
        HookAnswer::Senseless(_) => "senseless",
        HookAnswer::Unreached(_) => "unreached",
    }
}

/// Records an answer, unless nobody waits for it any more; whether that is done.
async fn record(
    server: &Server,
    term: &Term,
    key: &ServiceDeploymentKey,
    hook: &str,
    answer: &HookAnswer,
) -> bool {
    for _ in 0..ATTEMPTS {
        let view = server.state.view();
        let Some(row) = view.service_deployments.get(key) else { return true };
        let Some(next) = deploy::answered(row, hook, answer, clock::now()) else { return true };
        let mut txn = RecordTxn::new();
        txn.update(row, &next);
        match server.commit_in(term, txn).await {
            Ok(TxnOutcome::Committed { .. }) => return true,
            Ok(TxnOutcome::Conflict { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => {
                tracing::warn!(%error, hook, "the answer of a hook could not be recorded");
                return false;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_a_function_of_aws() {
        let later = |after: Option<u64>, details: Option<&str>| HookAnswer::InProgress {
            after: after.map(Duration::from_secs),
            details: details.map(|text| Document::new(text.to_owned()).expect("valid")),
        };
        let senseless = |why: &str| HookAnswer::Senseless(why.to_owned());
        let cases = [
            (r#"{"hookStatus":"SUCCEEDED","reason":"x"}"#, HookAnswer::Succeeded),
            (r#"{"hookStatus":"FAILED"}"#, HookAnswer::Failed),
            (r#"{"hookStatus":"IN_PROGRESS"}"#, later(None, None)),
            (
                r#"{"hookStatus":"IN_PROGRESS","callBackDelay":7,"hookDetails":{"a":1}}"#,
                later(Some(7), Some(r#"{"a":1}"#)),
            ),
            (
                r#"{"hookStatus":"IN_PROGRESS","callBackDelay":0,"hookDetails":3}"#,
                later(Some(1), None),
            ),
            (r#"{"hookStatus":null}"#, senseless("HookStatus must not be null")),
            ("{}", senseless("HookStatus must not be null")),
            (r#"{"hookStatus":"ok"}"#, senseless("HookStatus \"ok\" is not valid")),
            ("ok", senseless("the response is no JSON object")),
            ("", senseless("the response is no JSON object")),
        ];
        for (body, expected) in cases {
            assert_eq!(read(body.as_bytes()), expected, "{body}");
        }
    }
}
