//! Events: the journal as AWS's EventBridge would tell it, and as a person reads it.
//!
//! An entry of the journal becomes at most one event. What AWS sends an event for has its form and
//! detail type; what only Longshore tells (lines of a service's event list, refused placements) has
//! the same envelope with the source `longshore`. The same entry always gives the same event id.
//!
//! What it leaves out: who is told ([`crate::operator`] streams, [`webhook`] posts). Members that
//! no record keeps over time, such as the remaining resources of an instance, are those at the time
//! of telling.

mod detail;
pub(crate) mod keeper;
pub(crate) mod webhook;

use longshore_domain::ids::{Arn, ClusterName, InstanceId, Resource, Scope, ServiceName, TaskId};
use longshore_domain::time::Timestamp;
use longshore_store::{Change, Entry, Kind, Sequence, StoreId, View};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clock;

/// Tables whose changes the journal tells of.
pub(crate) const TOLD: &[Kind] = &[
    Kind::Task,
    Kind::ContainerInstance,
    Kind::Service,
    Kind::ServiceDeployment,
    Kind::ServiceEvent,
];

/// What an event is about: AWS's `detail-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DetailType {
    /// A task.
    Task,
    /// A container instance.
    ContainerInstance,
    /// A service.
    ServiceAction,
    /// A deployment of a service.
    Deployment,
    /// A lifecycle hook of a deployment.
    Hook,
    /// A line of a service's event list that AWS sends no event for.
    ServiceEvent,
    /// Tasks without a place, instance by instance.
    Refusal,
}

impl DetailType {
    /// AWS's text, or one of ours.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Task => "ECS Task State Change",
            Self::ContainerInstance => "ECS Container Instance State Change",
            Self::ServiceAction => "ECS Service Action",
            Self::Deployment => "ECS Deployment State Change",
            Self::Hook => "ECS Hook State Change",
            Self::ServiceEvent => "Longshore Service Event",
            Self::Refusal => "Longshore Placement Refusal",
        }
    }

    /// The word that filters use; a service's lines are one to the reader.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::ContainerInstance => "instance",
            Self::ServiceAction | Self::ServiceEvent => "service",
            Self::Deployment => "deployment",
            Self::Hook => "hook",
            Self::Refusal => "placement",
        }
    }

    /// Whether AWS sends it.
    pub(crate) fn is_aws(self) -> bool {
        !matches!(self, Self::ServiceEvent | Self::Refusal)
    }
}

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its place in the journal.
    pub(crate) sequence: Sequence,
    /// When it happened.
    pub(crate) at: Timestamp,
    /// Account and region.
    pub(crate) scope: Scope,
    /// Cluster.
    pub(crate) cluster: ClusterName,
    /// What it is about.
    pub(crate) kind: DetailType,
    /// The service, or the one that the task belongs to.
    pub(crate) service: Option<String>,
    /// The task.
    pub(crate) task: Option<TaskId>,
    /// The instance, or the one that the task is on.
    pub(crate) instance: Option<InstanceId>,
    /// What a person reads.
    pub(crate) text: String,
    /// AWS's `resources`.
    resources: Vec<String>,
    /// AWS's `detail`.
    detail: Value,
}

impl Told {
    /// The event as EventBridge delivers it.
    pub(crate) fn envelope(&self, store: StoreId) -> Value {
        json!({
            "version": "0",
            "id": event_id(store, self.sequence),
            "detail-type": self.kind.as_str(),
            "source": if self.kind.is_aws() { "aws.ecs" } else { "longshore" },
            "account": self.scope.account.to_string(),
            "time": to_second(self.at),
            "region": self.scope.region.to_string(),
            "resources": self.resources,
            "detail": self.detail,
        })
    }

    /// The event as a line of the stream.
    pub(crate) fn line(&self, store: StoreId) -> Value {
        json!({
            "sequence": self.sequence.number(),
            "time": to_millisecond(self.at),
            "type": self.kind.as_str(),
            "cluster": self.cluster.to_string(),
            "service": self.service,
            "task": self.task.map(|id| id.to_string()),
            "containerInstance": self.instance.map(|id| id.to_string()),
            "text": self.text,
            "event": self.envelope(store),
        })
    }
}

/// The event of an entry, if it makes one.
pub(crate) fn tell(view: &View, entry: &Entry) -> Option<Told> {
    let (scope, cluster) = place_of(&entry.change)?;
    let arn = |resource| Arn::new(scope, resource).to_string();
    let service_arn = |name: &ServiceName| arn(Resource::Service(cluster.clone(), name.clone()));
    let told = |kind, resource, text, detail| Told {
        sequence: entry.sequence,
        at: entry.at,
        scope: scope.clone(),
        cluster: cluster.clone(),
        kind,
        service: None,
        task: None,
        instance: None,
        text,
        resources: vec![resource],
        detail,
    };
    match &entry.change {
        Change::Task(task) => Some(Told {
            service: task.service().map(str::to_owned),
            task: Some(task.id),
            instance: Some(task.instance),
            ..told(
                DetailType::Task,
                arn(Resource::Task(cluster.clone(), task.id)),
                detail::task_text(task),
                detail::task(view, task, entry.at)?,
            )
        }),
        Change::ContainerInstance(instance) => Some(Told {
            instance: Some(instance.id),
            ..told(
                DetailType::ContainerInstance,
                arn(Resource::ContainerInstance(cluster.clone(), instance.id)),
                detail::instance_text(instance),
                detail::instance(view, instance, entry.at),
            )
        }),
        Change::ServiceEvent(event) => {
            let (kind, detail) = detail::service_event(event);
            let text = event.message.clone();
            let service = Some(event.service.to_string());
            Some(Told { service, ..told(kind, service_arn(&event.service), text, detail) })
        }
        Change::DeploymentStep(step) => {
            let (text, detail) = detail::deployment(step);
            let service = Some(step.service.to_string());
            let resource = service_arn(&step.service);
            Some(Told { service, ..told(DetailType::Deployment, resource, text, detail) })
        }
        Change::HookStep(step) => {
            let (resource, text, detail) = detail::hook(step);
            let service = Some(step.service.to_string());
            Some(Told { service, ..told(DetailType::Hook, resource, text, detail) })
        }
        Change::Refused(refused) => {
            let (text, detail) = detail::refused(refused);
            let service = refused.group.strip_prefix("service:").map(str::to_owned);
            let resource = arn(Resource::Cluster(cluster.clone()));
            Some(Told { service, ..told(DetailType::Refusal, resource, text, detail) })
        }
        Change::Service(_) | Change::ServiceDeployment(_) | Change::Gone { .. } => None,
    }
}

fn place_of(change: &Change) -> Option<(&Scope, &ClusterName)> {
    Some(match change {
        Change::Task(task) => (&task.scope, &task.cluster),
        Change::ContainerInstance(instance) => (&instance.scope, &instance.cluster),
        Change::ServiceEvent(event) => (&event.scope, &event.cluster),
        Change::DeploymentStep(step) => (&step.scope, &step.cluster),
        Change::HookStep(step) => (&step.scope, &step.cluster),
        Change::Refused(refused) => (&refused.scope, &refused.cluster),
        Change::Service(service) => (&service.scope, &service.cluster),
        Change::ServiceDeployment(deployment) => (&deployment.scope, &deployment.cluster),
        Change::Gone { .. } => return None,
    })
}

/// A UUID that is the same whenever the event is told.
fn event_id(store: StoreId, sequence: Sequence) -> String {
    let hash = Sha256::digest(format!("{store}/{sequence}").as_bytes());
    let bits = hash.iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    clock::format_uuid(bits)
}

/// A time as EventBridge writes it.
fn to_second(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis())
        .map_or_else(|_| time.to_string(), |time| format!("{time:.0}"))
}

/// A time as ECS writes it in the detail of its events.
pub(crate) fn to_millisecond(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis())
        .map_or_else(|_| time.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
pub(crate) mod tests;
