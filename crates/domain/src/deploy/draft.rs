//! A plan in the making.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::buckets::{Condition, Live};
use super::events::{EventKind, Message, Subject};
use super::{Plan, Situation, Start, Stop, events, zones};
use crate::ids::{EventId, IdSource, InstanceId, TaskId};
use crate::record::{
    Cause, Deployment, RolloutState, Service, ServiceDeployment, ServiceEvent, StopCode,
};
use crate::schedule::{StopRequest, stop_order};
use crate::time::Timestamp;

/// Why the scheduler stops a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There are too many, or it makes room for a newer one.
    Scaling,
    /// Its health check fails.
    Unhealthy,
    /// Its availability zone has more than others.
    Rebalancing,
}

/// What a pause holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    Nothing,
    /// The start of the first new task: the service goes on with the deployment before.
    ScaleUp,
    /// The stop of the last old tasks, and the end.
    CleanUp,
}

/// A plan in the making: the record as it will be, and what is decided so far.
pub(super) struct Draft<'a, 'i> {
    pub(super) situation: Situation<'a>,
    pub(super) ids: &'i mut dyn IdSource,
    /// Whom its events are about.
    pub(super) subject: Subject,
    /// The service as it will be.
    pub(super) service: Service,
    /// The service deployment as it will be.
    pub(super) deployment: Option<ServiceDeployment>,
    /// What a pause holds back.
    pub(super) hold: Hold,
    /// Whether the service goes back to another deployment from now on.
    pub(super) turned_back: bool,
    pub(super) plan: Plan,
    /// Conditions that hold, with what distinguishes them and the event that tells of them.
    pub(super) conditions: Vec<(Cause, String, Message)>,
    /// Messages of what is done now.
    pub(super) messages: Vec<Message>,
    /// Whether the start of tasks waits for the next pass.
    pub(super) starts_later: bool,
    /// Changes of tasks that still fit into the transaction.
    budget: usize,
    stopped: Vec<(TaskId, Condition)>,
    /// Tasks that stop to level the zones, by zone.
    moved: BTreeMap<String, Vec<TaskId>>,
}

impl<'a, 'i> Draft<'a, 'i> {
    /// A plan that changes at most `budget` tasks.
    pub(super) fn new(
        situation: &Situation<'a>,
        subject: Subject,
        budget: usize,
        ids: &'i mut dyn IdSource,
    ) -> Self {
        Self {
            situation: *situation,
            ids,
            subject,
            service: situation.service.clone(),
            deployment: situation.deployment.cloned(),
            turned_back: false,
            hold: super::process::hold(situation.deployment),
            plan: Plan::default(),
            conditions: Vec::new(),
            messages: Vec::new(),
            starts_later: false,
            budget,
            stopped: Vec::new(),
            moved: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.situation.now
    }

    pub(super) fn change_deployment(&mut self, change: impl FnOnce(&mut ServiceDeployment)) {
        if let Some(deployment) = &mut self.deployment {
            change(deployment);
        }
    }

    /// Place of the deployment that tasks are kept for: the PRIMARY one, or while it is held
    /// back the one before, if there is one.
    pub(super) fn acting(&self) -> usize {
        usize::from(self.hold == Hold::ScaleUp && self.service.deployments.len() > 1)
    }

    /// The deployment that tasks are kept for, as it will be.
    pub(super) fn current(&self) -> Option<&Deployment> {
        self.service.deployments.get(self.acting())
    }

    /// Whether no task may start: the deployment failed, or it is the first and held back, or it
    /// is not its turn.
    pub(super) fn starts_nothing(&self) -> bool {
        let held = self.hold == Hold::ScaleUp && self.acting() == 0;
        held || self.starts_later
            || self.current().is_none_or(|current| current.rollout == RolloutState::Failed)
    }

    /// How many more tasks this plan can change.
    pub(super) fn budget(&self) -> usize {
        self.budget
    }

    pub(super) fn look_again(&mut self, at: Timestamp) {
        self.plan.next = Some(self.plan.next.map_or(at, |next| next.min(at)));
    }

    /// Whether the restart throttle holds; then looks again when it ends.
    pub(super) fn is_throttled(&mut self) -> bool {
        match self.service.retry_at {
            Some(at) if at > self.now() => {
                self.look_again(at);
                true
            }
            _ => false,
        }
    }

    /// Counts the failure of a stopped task; `false` when the plan is full.
    pub(super) fn count(&mut self, task: TaskId) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        self.plan.counted.push(task);
        true
    }

    /// Starts tasks of the current deployment.
    pub(super) fn start(&mut self, assigned: Vec<(TaskId, InstanceId)>) {
        if assigned.is_empty() {
            return;
        }
        let Some(current) = self.current() else { return };
        let (deployment, family, revision) = (current.id, current.family.clone(), current.revision);
        let images = current.images.clone();
        self.budget = self.budget.saturating_sub(assigned.len());
        self.plan.start = Some(Start { deployment, family, revision, images, assigned });
    }

    /// Stops a task; `false` when the plan is full.
    pub(super) fn stop(&mut self, live: &Live<'_>, why: Why) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        let deployment = live.task.started_by.as_deref().unwrap_or_default();
        let reason = match why {
            Why::Unhealthy => events::UNHEALTHY.into(),
            Why::Scaling => format!("Scaling activity initiated by (deployment {deployment})"),
            Why::Rebalancing => {
                format!("Availability-zone rebalancing initiated by (deployment {deployment})")
            }
        };
        match zones::zone_of(self, live).filter(|_| why == Why::Rebalancing) {
            Some(zone) if live.condition != Condition::Pending => {
                self.moved.entry(zone.clone()).or_default().push(live.task.id);
            }
            _ => self.stopped.push((live.task.id, live.condition)),
        }
        self.plan.stop.push(Stop {
            task: live.task.id,
            code: StopCode::ServiceSchedulerInitiated,
            reason,
        });
        true
    }

    /// Whether this plan stops the task.
    pub(super) fn stops(&self, task: TaskId) -> bool {
        self.plan.stop.iter().any(|stop| stop.task == task)
    }

    /// The `count` candidates that should stop first, in order; never a protected one.
    pub(super) fn first_to_stop<'l>(&self, candidates: &[Live<'l>], count: usize) -> Vec<Live<'l>> {
        let tasks: Vec<_> = candidates.iter().map(|live| live.task).collect();
        let request = StopRequest {
            tasks: &tasks,
            count: count.min(self.budget),
            strategies: &self.situation.service.placement_strategy,
            now: self.now(),
        };
        let order = stop_order(&request, self.situation.fleet);
        let find = |id: &TaskId| candidates.iter().find(|live| live.task.id == *id).copied();
        order.iter().filter_map(find).collect()
    }

    /// Protected tasks are in the way of `count` stops.
    pub(super) fn held_by_protection(&mut self, live: &[Live<'_>]) {
        let now = self.now();
        let held: Vec<_> = live.iter().filter(|live| live.task.is_protected(now)).collect();
        let Some(first) = held.first() else { return };
        if let Some(ends) = held.iter().filter_map(|l| Some(l.task.protection?.expires_at)).min() {
            self.look_again(ends);
        }
        let deployment = first.task.started_by.clone().unwrap_or_default();
        let message = self.subject.protected(&deployment, held.len());
        self.conditions.push((Cause::ScaleInProtected, String::new(), message));
    }

    /// The plan, with its events and with the service if it changes.
    pub(super) fn finish(mut self) -> Plan {
        let told = events::told(
            &mut self.service.notices,
            core::mem::take(&mut self.conditions),
            self.situation.now,
        );
        // Why tasks move is told before they do.
        let (mut messages, told): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|(message, _)| message.kind == EventKind::ZonesUnbalanced);
        let mut done: Vec<Message> = self.subject.stopped(&self.stopped).into_iter().collect();
        done.extend(self.moved.iter().map(|(zone, ids)| self.subject.stopped_in(ids, zone)));
        done.append(&mut self.messages);
        messages.extend(done.into_iter().map(|message| (message, String::new())));
        messages.extend(told);
        if let Some(at) = events::next_repetition(&self.service.notices) {
            self.look_again(at);
        }
        // Events of one moment are in the order of their ids.
        let mut event_ids: Vec<EventId> =
            messages.iter().map(|_| EventId::fresh(self.ids)).collect();
        event_ids.sort_unstable();
        let strategy = self.service.scheduling_strategy;
        for (id, (Message { kind, text }, detail)) in event_ids.into_iter().zip(messages) {
            let of_set = self.subject.is_task_set();
            let unplaced = self.plan.unplaced.as_ref();
            let action = events::action(kind, &detail, of_set, strategy, unplaced);
            self.plan.told.push(kind);
            self.plan.events.push(ServiceEvent {
                scope: self.service.scope.clone(),
                cluster: self.service.cluster.clone(),
                service: self.service.name.clone(),
                id,
                created_at: self.situation.now,
                message: text,
                action,
            });
        }
        if self.deployment.as_ref() != self.situation.deployment {
            self.plan.deployment = self.deployment;
        }
        if self.service != *self.situation.service {
            self.plan.service = Some(self.service);
        }
        self.plan
    }
}
