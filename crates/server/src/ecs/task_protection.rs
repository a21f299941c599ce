//! Scale-in protection of tasks.

use std::time::Duration;

use longshore_auth::Authorized;
use longshore_domain::ids::Resource;
use longshore_domain::record::{DesiredStatus, Protection, Task};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::{
    Failure, GetTaskProtectionRequest, GetTaskProtectionResponse, ProtectedTask,
    UpdateTaskProtectionRequest, UpdateTaskProtectionResponse,
};

use super::references::task_ref;
use super::{encode, invalid_parameter, lookup};
use crate::call::Call;

/// Tasks that one call takes (ECS API).
const TASKS_MAX: usize = 10;
/// How long protection lasts when the call does not say (ECS API: two hours).
const DEFAULT_MINUTES: u64 = 120;
/// How long it may last (ECS API: 48 hours).
const MINUTES: std::ops::RangeInclusive<u64> = 1..=2880;

fn failure(arn: String, reason: &str, detail: &str) -> Failure {
    Failure { arn: Some(arn), reason: Some(reason.to_owned()), detail: Some(detail.to_owned()) }
}

fn protected(call: &Call, task: &Task) -> ProtectedTask {
    let protection = task.protection.filter(|p| p.expires_at > call.now);
    ProtectedTask {
        task_arn: Some(call.arn(Resource::Task(task.cluster.clone(), task.id))),
        protection_enabled: Some(protection.is_some()),
        expiration_date: protection.map(|p| encode::time(p.expires_at)),
    }
}

/// GetTaskProtection; without tasks it answers for none.
pub(crate) async fn get(
    call: &Call,
    request: Authorized<GetTaskProtectionRequest>,
) -> Result<GetTaskProtectionResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let names = request.tasks.unwrap_or_default();
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, Some(&request.cluster))?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        let task = task_ref(&call.scope, &cluster.name, &name)
            .and_then(|id| lookup::task(&view, &call.scope, &cluster.name, id));
        match task {
            None => failures.push(failure(name, "MISSING", "The task was not found.")),
            Some(task) if task.service().is_none() || task.desired == DesiredStatus::Stopped => {
                failures.push(failure(
                    call.arn(Resource::Task(task.cluster.clone(), task.id)),
                    "TASK_NOT_VALID",
                    "Only running tasks of a service can be protected.",
                ));
            }
            Some(task) => found.push(protected(call, task)),
        }
    }
    Ok(GetTaskProtectionResponse { protected_tasks: Some(found), failures: Some(failures) })
}

/// UpdateTaskProtection.
pub(crate) async fn update(
    call: &Call,
    request: Authorized<UpdateTaskProtectionRequest>,
) -> Result<UpdateTaskProtectionResponse, ServiceError> {
    let (_, request) = request.into_parts();
    if request.tasks.is_empty() || request.tasks.len() > TASKS_MAX {
        return Err(invalid_parameter("tasks must name 1 to 10 tasks."));
    }
    let minutes = match request.expires_in_minutes {
        None => DEFAULT_MINUTES,
        Some(n) => u64::try_from(n)
            .ok()
            .filter(|n| MINUTES.contains(n))
            .ok_or_else(|| invalid_parameter("expiresInMinutes must be between 1 and 2880."))?,
    };
    let protection = request
        .protection_enabled
        .then(|| Protection { expires_at: call.now + Duration::from_secs(60 * minutes) });
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<_, ServiceError> {
        let cluster = lookup::cluster(view, &call.scope, Some(&request.cluster))?;
        let (mut changed, mut failures) = (Vec::<Task>::new(), Vec::new());
        for name in &request.tasks {
            let task = task_ref(&call.scope, &cluster.name, name)
                .and_then(|id| lookup::task(view, &call.scope, &cluster.name, id));
            let Some(task) = task else {
                failures.push(failure(name.clone(), "MISSING", "The task was not found."));
                continue;
            };
            if task.service().is_none() || task.desired == DesiredStatus::Stopped {
                let arn = call.arn(Resource::Task(task.cluster.clone(), task.id));
                let detail = "Only running tasks of a service can be protected.";
                failures.push(failure(arn, "TASK_NOT_VALID", detail));
                continue;
            }
            if changed.iter().all(|t| t.id != task.id) {
                let record = Task { protection, ..task.record.clone() };
                txn.update(task, &record);
                changed.push(record);
            }
        }
        Ok((changed, failures))
    };
    let (changed, failures) = call.server.decide(decide).await?;
    Ok(UpdateTaskProtectionResponse {
        protected_tasks: Some(changed.iter().map(|task| protected(call, task)).collect()),
        failures: Some(failures),
    })
}
