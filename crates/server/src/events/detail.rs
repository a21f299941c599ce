//! The detail of each kind of event, and its line for people.

use longshore_domain::ids::{Arn, Resource};
use longshore_domain::journal::{DeploymentStep, HookState, HookStep, Refused};
use longshore_domain::record::{
    ActionType, ContainerInstance, ContainerState, DesiredStatus, RolloutState, ServiceEvent, Task,
};
use longshore_domain::time::Timestamp;
use longshore_store::View;
use longshore_wire::codec;
use serde_json::{Map, Value, json};

use super::{DetailType, to_millisecond};
use crate::ecs::encode;

/// A task as DescribeTasks gives it, with AWS's `updatedAt`, and without tags.
pub(super) fn task(view: &View, task: &Task, at: Timestamp) -> Option<Value> {
    match encode::task(view, task, &[]) {
        Ok(described) => Some(shape(&codec::json::encode(&described), at)),
        Err(error) => {
            tracing::error!(task = %task.id, %error, "cannot tell of the task");
            None
        }
    }
}

/// An instance as DescribeContainerInstances gives it, with cluster and AWS's `updatedAt`.
pub(super) fn instance(view: &View, instance: &ContainerInstance, at: Timestamp) -> Value {
    let described = encode::container_instance(view, instance, &[]);
    let mut detail = shape(&codec::json::encode(&described), at);
    if let Value::Object(members) = &mut detail {
        let cluster = Arn::new(&instance.scope, Resource::Cluster(instance.cluster.clone()));
        members.insert("clusterArn".to_owned(), cluster.to_string().into());
        for member in ["runningTasksCount", "pendingTasksCount", "attachments"] {
            members.remove(member);
        }
    }
    detail
}

/// An answer of the API in the form that events have: times are text, there are no tags.
fn shape(encoded: &[u8], at: Timestamp) -> Value {
    let mut detail: Value = serde_json::from_slice(encoded).unwrap_or_default();
    if let Value::Object(members) = &mut detail {
        members.remove("tags");
        members.insert("updatedAt".to_owned(), to_millisecond(at).into());
        times_to_text(members);
    }
    detail
}

fn times_to_text(members: &mut Map<String, Value>) {
    for (name, value) in members {
        match value {
            Value::Number(seconds) if name.ends_with("At") => {
                let millis = seconds.as_f64().unwrap_or_default() * 1000.0;
                #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a date")]
                let time = Timestamp::from_millis(millis.round() as i64);
                *value = to_millisecond(time).into();
            }
            Value::Object(inner) => times_to_text(inner),
            Value::Array(list) => {
                list.iter_mut().filter_map(Value::as_object_mut).for_each(times_to_text);
            }
            _ => {}
        }
    }
}

/// A line of a service's event list: AWS's service action, or ours.
pub(super) fn service_event(event: &ServiceEvent) -> (DetailType, Value) {
    let arn = |resource| Arn::new(&event.scope, resource).to_string();
    let cluster = arn(Resource::Cluster(event.cluster.clone()));
    let created_at = to_millisecond(event.created_at);
    let Some(action) = &event.action else {
        let detail = json!({
            "clusterArn": cluster,
            "createdAt": created_at,
            "message": event.message,
        });
        return (DetailType::ServiceEvent, detail);
    };
    let mut detail = json!({
        "eventType": action.name.kind().as_str(),
        "eventName": action.name.as_str(),
        "clusterArn": cluster,
        "createdAt": created_at,
    });
    if let Value::Object(members) = &mut detail {
        if let Some(reason) = &action.reason {
            members.insert("reason".to_owned(), reason.as_str().into());
        }
        if action.name.kind() == ActionType::Error {
            let instances = action.instances.iter();
            let arns =
                instances.map(|i| arn(Resource::ContainerInstance(event.cluster.clone(), *i)));
            members.insert("containerInstanceArns".to_owned(), arns.collect());
        }
    }
    (DetailType::ServiceAction, detail)
}

/// A step of a deployment.
pub(super) fn deployment(step: &DeploymentStep) -> (String, Value) {
    let (kind, name) = match step.rollout {
        RolloutState::InProgress => (ActionType::Info, "SERVICE_DEPLOYMENT_IN_PROGRESS"),
        RolloutState::Completed => (ActionType::Info, "SERVICE_DEPLOYMENT_COMPLETED"),
        RolloutState::Failed => (ActionType::Error, "SERVICE_DEPLOYMENT_FAILED"),
    };
    let id = format!("ecs-svc/{}", step.deployment);
    let DeploymentStep { service, reason, .. } = step;
    let text = format!("(service {service}) (deployment {id}) {}: {reason}", step.rollout.as_str());
    let detail = json!({
        "eventType": kind.as_str(),
        "eventName": name,
        "deploymentId": id,
        "updatedAt": to_millisecond(step.at),
        "reason": reason,
    });
    (text, detail)
}

/// A step of a lifecycle hook: the ARN of its service deployment, a line, and AWS's detail.
pub(super) fn hook(step: &HookStep) -> (String, String, Value) {
    let arn = |resource| Arn::new(&step.scope, resource).to_string();
    let (cluster, service) = (&step.cluster, &step.service);
    let deployment =
        arn(Resource::ServiceDeployment(cluster.clone(), service.clone(), step.deployment));
    let (stage, state) = (step.stage.as_str(), step.state.as_str());
    // AWS shows only those of type INFO.
    let kind = match step.state {
        HookState::Failed | HookState::TimedOut => ActionType::Error,
        HookState::InProgress | HookState::AwaitingAction | HookState::Succeeded => {
            ActionType::Info
        }
    };
    let detail = json!({
        "eventType": kind.as_str(),
        "eventName": format!("HOOK_{state}"),
        "hookId": step.hook,
        "hookType": if step.calls { "AWS_LAMBDA" } else { "PAUSE" },
        "expiresAt": to_millisecond(step.expires_at),
        "lifecycleStage": stage,
        "clusterArn": arn(Resource::Cluster(cluster.clone())),
        "serviceArn": arn(Resource::Service(cluster.clone(), service.clone())),
        "serviceDeploymentArn": deployment,
        "updatedAt": to_millisecond(step.at),
    });
    let text = format!("(service {service}) hook {} at {stage}: {state}", step.hook);
    (deployment, text, detail)
}

/// Tasks without a place.
pub(super) fn refused(refused: &Refused) -> (String, Value) {
    let fix = refused.nearest_fix.as_deref();
    let arn = |id| {
        let resource = Resource::ContainerInstance(refused.cluster.clone(), id);
        Arn::new(&refused.scope, resource).to_string()
    };
    let instances: Vec<Value> = refused
        .instances
        .iter()
        .map(|(id, why)| json!({ "containerInstanceArn": arn(*id), "why": why }))
        .collect();
    let closest = refused.instances.first();
    let closest = closest.map(|(id, why)| format!("; closest is {id}: {}", why.join(", ")));
    let text = format!(
        "({}) no place on any of {} instances{}{}",
        refused.group,
        refused.instances.len(),
        closest.unwrap_or_default(),
        fix.map(|fix| format!("; {fix}")).unwrap_or_default()
    );
    let detail = json!({ "group": refused.group, "instances": instances, "nearestFix": fix });
    (text, detail)
}

/// What a person reads of a task.
pub(super) fn task_text(task: &Task) -> String {
    let Task { id, family, revision, instance, observed, .. } = task;
    let status = observed.status.as_str();
    let mut text = format!("(task {id}) {family}:{revision} on {instance}: {status}");
    if task.is_stopped() {
        let ended = observed.ended.as_ref().map(|(_, reason)| reason);
        if let Some(reason) = task.stop.as_ref().map(|stop| &stop.reason).or(ended) {
            text = format!("{text}: {reason}");
        }
        let exit = |state: &ContainerState| {
            let reason = state.reason.as_ref().map(|reason| format!(" {reason}"));
            let code = state.exit_code.map(|code| format!(" exit code {code}"));
            let parts = [code, reason].into_iter().flatten().collect::<String>();
            (!parts.is_empty()).then(|| format!("{}{parts}", state.name))
        };
        let exits: Vec<String> = observed.containers.iter().filter_map(exit).collect();
        if !exits.is_empty() {
            text = format!("{text} ({})", exits.join(", "));
        }
    } else if task.desired == DesiredStatus::Stopped {
        let reason = task.stop.as_ref().map_or("", |stop| stop.reason.as_str());
        text = format!("{text}, is to stop: {reason}");
    }
    text
}

/// What a person reads of an instance.
pub(super) fn instance_text(instance: &ContainerInstance) -> String {
    let agent = if instance.connection.connected { "connected" } else { "disconnected" };
    let ContainerInstance { id, status, .. } = instance;
    format!("(instance {id}) {}, agent {agent}", status.as_str())
}
