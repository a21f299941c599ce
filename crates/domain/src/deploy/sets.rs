//! Task sets: each is planned like a service of its own, which wants the set's share of the tasks.
//!
//! Its deployment is the set's, its bounds are the service's percentages of that share, and its
//! events name the set. Sets are looked at from the oldest to the newest, and only one of them
//! starts tasks in one pass; the next pass follows at once. A set that is deleted drains, and is
//! gone when its tasks have stopped.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::draft::{Budget, Draft};
use super::events::Subject;
use super::{Plan, Situation, rollout};
use crate::ids::{EventId, Family, IdSource, Revision};
use crate::record::{
    Cause, Deployment, DeploymentController, Document, LaunchType, Scale, Service, ServiceBalancer,
    ServiceStatus, Tags, Task, TaskSet, TaskSetStatus,
};
use crate::time::Timestamp;

/// What CreateTaskSet asks for.
#[derive(Clone, Debug)]
pub struct NewTaskSet {
    /// Family of its task definition.
    pub family: Family,
    /// Revision of its task definition.
    pub revision: Revision,
    /// Its share of the desired count.
    pub scale: Scale,
    /// Launch type of its tasks.
    pub launch_type: LaunchType,
    /// Where its tasks are to be targets.
    pub balancers: Vec<ServiceBalancer>,
    /// What the controller calls it.
    pub external_id: Option<String>,
    /// Client token of CreateTaskSet.
    pub client_token: Option<String>,
    /// All other members as given to the API.
    pub document: Document,
    /// Tags.
    pub tags: Tags,
}

/// A new task set of a service: ACTIVE, and not steady yet.
pub fn new_task_set(
    service: &Service,
    new: NewTaskSet,
    ids: &mut dyn IdSource,
    now: Timestamp,
) -> TaskSet {
    let wanted = new.scale.of(service.desired_count);
    let deployment = rollout::fresh(ids, new.family, new.revision, wanted, now);
    TaskSet {
        deployment: Deployment { balancers: new.balancers, ..deployment },
        status: TaskSetStatus::Active,
        external_id: new.external_id,
        scale: new.scale,
        launch_type: new.launch_type,
        document: new.document,
        client_token: new.client_token,
        is_steady: false,
        steady_changed_at: now,
        retry_at: None,
        notices: Vec::new(),
        tags: new.tags,
    }
}

/// Decides what a service with task sets needs next.
pub(super) fn plan(situation: &Situation<'_>, ids: &mut dyn IdSource) -> Plan {
    let mut whole = Plan::default();
    let mut service = situation.service.clone();
    let mut budget = Budget::whole();
    let mut kept = Vec::new();
    for set in core::mem::take(&mut service.task_sets) {
        let alone = as_service(situation.service, &set);
        let label = set.label();
        let own = |task: &&&Task| task.started_by.as_ref() == Some(&label);
        let tasks: Vec<&Task> = situation.tasks.iter().filter(own).copied().collect();
        let part = Situation { service: &alone, deployment: None, tasks: &tasks, ..*situation };
        let subject = Subject::task_set(&alone.name, label);
        let mut draft = Draft::new(&part, subject, budget, ids);
        draft.starts_later = whole.starts().next().is_some();
        let part = super::decide(draft);
        budget = budget.less(&part);
        kept.extend(after(set, part.service.as_ref().unwrap_or(&alone), situation.now));
        merge(&mut whole, part);
    }
    service.task_sets = kept;
    settle(&mut whole, service, situation, ids);
    whole
}

/// The service that a set would be by itself.
fn as_service(service: &Service, set: &TaskSet) -> Service {
    let draining = set.status == TaskSetStatus::Draining;
    Service {
        status: if draining { ServiceStatus::Draining } else { ServiceStatus::Active },
        controller: DeploymentController::Ecs,
        desired_count: set.computed_desired_count(service.desired_count),
        launch_type: set.launch_type,
        deployments: vec![set.deployment.clone()],
        task_sets: Vec::new(),
        completed: None,
        retry_at: set.retry_at,
        notices: set.notices.clone(),
        ..service.clone()
    }
}

/// The set as it will be; `None` when nothing of it is left.
fn after(set: TaskSet, alone: &Service, now: Timestamp) -> Option<TaskSet> {
    let deployment = alone.deployments.first().filter(|_| alone.status != ServiceStatus::Inactive);
    let is_steady = alone.notices.iter().any(|notice| notice.cause == Cause::SteadyState);
    Some(TaskSet {
        deployment: deployment?.clone(),
        is_steady,
        steady_changed_at: if is_steady == set.is_steady { set.steady_changed_at } else { now },
        retry_at: alone.retry_at,
        notices: alone.notices.clone(),
        ..set
    })
}

pub(super) fn merge(whole: &mut Plan, part: Plan) {
    whole.ahead.extend(part.ahead);
    whole.last.start = whole.last.start.take().or(part.last.start);
    whole.last.stop.extend(part.last.stop);
    whole.last.events.extend(part.last.events);
    whole.counted.extend(part.counted);
    whole.told.extend(part.told);
    whole.unplaced = whole.unplaced.take().or(part.unplaced);
    whole.refused_role = whole.refused_role.take().or(part.refused_role);
    whole.next = whole.next.into_iter().chain(part.next).min();
}

/// The service itself: it is steady when all of its sets are.
fn settle(whole: &mut Plan, service: Service, situation: &Situation<'_>, ids: &mut dyn IdSource) {
    let subject = Subject::service(&service.name);
    let steady = !service.task_sets.is_empty() && service.task_sets.iter().all(|set| set.is_steady);
    let mut draft = Draft::new(situation, subject, Budget::whole(), ids);
    draft.service = service;
    if steady {
        let message = draft.subject.steady();
        draft.conditions.push((Cause::SteadyState, String::new(), message));
    }
    let mut own = draft.finish();
    whole.service = own.service.take();
    merge(whole, own);
    put_in_order(whole);
}

/// Gives the events of a plan that was put together the ids of their order.
pub(super) fn put_in_order(whole: &mut Plan) {
    // Events of one moment are in the order of their ids.
    let mut event_ids: Vec<EventId> = whole.last.events.iter().map(|event| event.id).collect();
    event_ids.sort_unstable();
    for (event, id) in whole.last.events.iter_mut().zip(event_ids) {
        event.id = id;
    }
}

/// Makes a task set the one that serves production traffic; what it runs shows as the service's.
pub fn make_primary(service: &mut Service, number: u64, now: Timestamp) {
    for set in &mut service.task_sets {
        let status = match set.status {
            _ if set.deployment.id == number => TaskSetStatus::Primary,
            TaskSetStatus::Primary => TaskSetStatus::Active,
            other => other,
        };
        if set.status != status {
            set.status = status;
            set.deployment.updated_at = now;
        }
        if status == TaskSetStatus::Primary {
            service.launch_type = set.launch_type;
            service.document = set.document.clone();
        }
    }
}
