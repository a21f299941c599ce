//! Tasks: run, start, stop, describe, list.

mod demand;
mod launch;
mod list;
mod run;

pub(crate) use launch::{Launch, make_tasks};
pub(crate) use list::list;
pub(in crate::ecs) use run::launch_type;
pub(crate) use run::{run, start};

use longshore_auth::Authorized;
use longshore_domain::ids::{ClusterName, Resource};
use longshore_domain::limits;
use longshore_domain::record::{DesiredStatus, StopCode, StopOrder, Tags, Task};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::{
    DescribeTasksRequest, DescribeTasksResponse, Failure, StopTaskRequest, StopTaskResponse,
};

use super::references::task_ref;
use super::{encode, invalid_parameter, lookup};
use crate::call::Call;
use crate::controllers::drains_until;

/// AWS's reason when StopTask gives none.
const STOPPED_BY_USER: &str = "Task stopped by user";

/// DescribeTasks.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeTasksRequest>,
) -> Result<DescribeTasksResponse, ServiceError> {
    let (_, request) = request.into_parts();
    if request.tasks.is_empty() {
        return Err(invalid_parameter("Tasks cannot be empty."));
    }
    if request.tasks.len() > limits::DESCRIBE {
        return Err(invalid_parameter("Tasks cannot have more than 100 elements."));
    }
    let include = request.include.unwrap_or_default();
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, request.cluster.as_deref())?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for name in request.tasks {
        let found = task_ref(&call.scope, &cluster.name, &name)
            .and_then(|id| lookup::task(&view, &call.scope, &cluster.name, id));
        match found {
            Some(row) => tasks.push(encode::task(&view, row, &include)?),
            None => failures.push(missing(call, &cluster.name, name)),
        }
    }
    Ok(DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}

fn missing(call: &Call, cluster: &ClusterName, name: String) -> Failure {
    let arn = match name.parse() {
        Ok(id) => call.arn(Resource::Task(cluster.clone(), id)),
        Err(()) => name,
    };
    Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// StopTask: at once, without draining, as ECS does unless the fidelity switch says otherwise; a second
/// call changes nothing.
pub(crate) async fn stop(
    call: &Call,
    request: Authorized<StopTaskRequest>,
) -> Result<StopTaskResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let reason = request.reason.filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > limits::REASON_LEN) {
        return Err(invalid_parameter("reason cannot have more than 1024 characters."));
    }
    let order = StopOrder {
        code: StopCode::UserInitiated,
        reason: reason.unwrap_or_else(|| STOPPED_BY_USER.to_owned()),
        at: call.now,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        let cluster = lookup::cluster(view, &call.scope, request.cluster.as_deref())?;
        let row = task_ref(&call.scope, &cluster.name, &request.task)
            .and_then(|id| lookup::task(view, &call.scope, &cluster.name, id))
            .ok_or_else(|| invalid_parameter("The referenced task was not found."))?;
        if row.desired == DesiredStatus::Stopped {
            return Ok(row.record.clone());
        }
        let record = Task {
            desired: DesiredStatus::Stopped,
            stop: Some(order.clone()),
            draining_until: if call.server.fidelity.drain_on_stop_task {
                drains_until(view, row, call.now)
            } else {
                None
            },
            version: row.version + 1,
            tags: Tags::new(),
            ..row.record.clone()
        };
        txn.update(row, &record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let task = encode::task(&call.server.state.view(), &record, &[])?;
    Ok(StopTaskResponse { task: Some(task) })
}
