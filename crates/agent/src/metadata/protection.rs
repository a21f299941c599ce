//! Task protection from within a task: the agent passes the wish on with the task role's keys.

use http::StatusCode;
use longshore_auth::Credentials;
use longshore_wire::ecs::{self, op};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::AgentHandle;
use super::serve::Answer;
use crate::api::ApiError;
use crate::engine::Query;
use crate::record::TaskRecord;
use crate::{limits, random};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wish {
    protection_enabled: Option<bool>,
    expires_in_minutes: Option<i32>,
}

/// Whether the task is protected.
pub(super) async fn get(agent: &AgentHandle, record: &TaskRecord) -> Answer {
    let arn = record.task.arn.clone();
    let credentials = match role(agent, record).await {
        Ok(credentials) => credentials,
        Err(answer) => return answer,
    };
    let input = ecs::GetTaskProtectionRequest {
        cluster: cluster(agent, record),
        tasks: Some(vec![arn.clone()]),
    };
    let call = agent.hands.api.call_as::<op::GetTaskProtection>(&input, &credentials);
    match timeout(limits::PROTECTION_CALL, call).await {
        Ok(Ok(answer)) => tell(
            &arn,
            answer.protected_tasks.unwrap_or_default(),
            answer.failures.unwrap_or_default(),
        ),
        Ok(Err(error)) => failed(&arn, &error),
        Err(_) => late(&arn),
    }
}

/// Protects the task, or does so no more.
pub(super) async fn put(agent: &AgentHandle, record: &TaskRecord, body: &[u8]) -> Answer {
    let arn = record.task.arn.clone();
    let wish: Wish = match serde_json::from_slice(body) {
        Ok(wish) => wish,
        Err(error) => {
            let text = format!("UpdateTaskProtection: failed to decode request: {error}");
            return refuse(StatusCode::BAD_REQUEST, &arn, "InvalidParameterException", &text);
        }
    };
    let Some(protection_enabled) = wish.protection_enabled else {
        let text = "Invalid request: does not contain 'ProtectionEnabled' field";
        return refuse(StatusCode::BAD_REQUEST, &arn, "InvalidParameterException", text);
    };
    let credentials = match role(agent, record).await {
        Ok(credentials) => credentials,
        Err(answer) => return answer,
    };
    let input = ecs::UpdateTaskProtectionRequest {
        cluster: cluster(agent, record),
        tasks: vec![arn.clone()],
        protection_enabled,
        expires_in_minutes: wish.expires_in_minutes,
    };
    let call = agent.hands.api.call_as::<op::UpdateTaskProtection>(&input, &credentials);
    match timeout(limits::PROTECTION_CALL, call).await {
        Ok(Ok(answer)) => tell(
            &arn,
            answer.protected_tasks.unwrap_or_default(),
            answer.failures.unwrap_or_default(),
        ),
        Ok(Err(error)) => failed(&arn, &error),
        Err(_) => late(&arn),
    }
}

fn cluster(agent: &AgentHandle, record: &TaskRecord) -> String {
    let own = record.task.task_cluster_arn.clone().filter(|arn| !arn.is_empty());
    own.unwrap_or_else(|| agent.hands.config.cluster.clone())
}

async fn role(agent: &AgentHandle, record: &TaskRecord) -> Result<Credentials, Answer> {
    let arn = record.task.arn.clone();
    let role = agent.ask(|reply| Query::TaskRole(arn.clone(), reply)).await.flatten();
    let Some(role) = role else {
        let text = "Invalid Request: no task IAM role credentials available for task";
        return Err(refuse(StatusCode::FORBIDDEN, &arn, "AccessDeniedException", text));
    };
    Ok(Credentials {
        access_key_id: role.access_key_id,
        secret_access_key: role.secret_access_key,
        session_token: Some(role.session_token).filter(|token| !token.is_empty()),
    })
}

fn tell(arn: &str, protected: Vec<ecs::ProtectedTask>, failures: Vec<ecs::Failure>) -> Answer {
    if let Some(failure) = failures.into_iter().next() {
        let mut body = json!({ "failure": { "Arn": failure.arn, "Reason": failure.reason } });
        if let Some(detail) = failure.detail {
            body["failure"]["Detail"] = detail.into();
        }
        return with_id(StatusCode::OK, body);
    }
    let task = protected.into_iter().next().unwrap_or_default();
    let mut protection = json!({
        "TaskArn": task.task_arn.as_deref().unwrap_or(arn),
        "ProtectionEnabled": task.protection_enabled.unwrap_or(false),
    });
    if let Some(at) = task.expiration_date {
        #[expect(clippy::cast_possible_truncation, reason = "a date within the next days")]
        let at = longshore_domain::time::Timestamp::from_millis((at.0 * 1000.0) as i64);
        protection["ExpirationDate"] = crate::clock::rfc3339(at).into();
    }
    with_id(StatusCode::OK, json!({ "protection": protection }))
}

fn failed(arn: &str, error: &ApiError) -> Answer {
    match error {
        ApiError::Service { code, message, status } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
            refuse(status, arn, code, message)
        }
        ApiError::Transport(text)
        | ApiError::Answer(text)
        | ApiError::Untrusted { why: text, .. } => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, arn, "ServerException", text)
        }
    }
}

fn late(arn: &str) -> Answer {
    let text = "Timed out calling the ECS Task Protection API";
    refuse(StatusCode::GATEWAY_TIMEOUT, arn, "RequestCanceled", text)
}

fn refuse(status: StatusCode, arn: &str, code: &str, message: &str) -> Answer {
    let error = json!({ "Arn": arn, "Code": code, "Message": message });
    with_id(status, json!({ "error": error }))
}

fn with_id(status: StatusCode, mut body: Value) -> Answer {
    body["requestID"] = random::uuid().into();
    (status, body)
}
