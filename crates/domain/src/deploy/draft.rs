//! A plan in the making.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::buckets::{Condition, Live};
use super::events::{EventKind, Message, Subject};
use super::portion::{self, Starting, Stopping};
use super::{Plan, Portion, RefusedRole, Situation, Start, Stop, events, targets, zones};
use crate::ids::{EventId, IdSource, InstanceId, TaskId};
use crate::limits;
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

/// How many changes a plan may still have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Tasks that start or stop.
    pub(super) moves: usize,
    /// Changes in the transaction that also changes the service.
    pub(super) with_service: usize,
}

impl Budget {
    /// All of it.
    pub(super) fn whole() -> Self {
        Self { moves: limits::SERVICE_MOVES, with_service: limits::SERVICE_CHANGES }
    }

    /// What is left beside a plan.
    pub(super) fn less(self, plan: &Plan) -> Self {
        let moves: usize = plan.portions().map(Portion::len).sum();
        let with_service = plan.last.len() + plan.counted.len();
        Self {
            moves: self.moves.saturating_sub(moves),
            with_service: self.with_service.saturating_sub(with_service),
        }
    }
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
    /// Everything but starts, stops and events.
    pub(super) plan: Plan,
    /// Conditions that hold, with what distinguishes them and the event that tells of them.
    pub(super) conditions: Vec<(Cause, String, Message)>,
    /// Messages of what is done now.
    pub(super) messages: Vec<Message>,
    /// Whether the start of tasks waits for the next pass.
    pub(super) starts_later: bool,
    budget: Budget,
    starting: Option<Starting>,
    stopping: Vec<Stopping>,
    stopping_ids: BTreeSet<TaskId>,
}

impl<'a, 'i> Draft<'a, 'i> {
    /// A plan within `budget`.
    pub(super) fn new(
        situation: &Situation<'a>,
        subject: Subject,
        budget: Budget,
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
            starting: None,
            stopping: Vec::new(),
            stopping_ids: BTreeSet::new(),
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

    /// Whether no task may start.
    pub(super) fn starts_nothing(&self) -> bool {
        self.is_held_back() || self.refused_role().is_some()
    }

    /// The role that tasks cannot have which would start.
    pub(super) fn refused_role(&self) -> Option<&'a RefusedRole> {
        let current = self.current()?;
        self.situation.refused_roles.get(&(current.family.clone(), current.revision))
    }

    /// Whether the deployment failed, or it is the first and held back, or it is not its turn.
    pub(super) fn is_held_back(&self) -> bool {
        let held = self.hold == Hold::ScaleUp && self.acting() == 0;
        held || self.starts_later
            || self.current().is_none_or(|current| current.rollout == RolloutState::Failed)
    }

    /// What is left of the budget; nothing goes ahead of a change of course.
    pub(super) fn left(&self) -> Budget {
        Budget { moves: self.budget(), ..self.budget }
    }

    /// How many more tasks this plan can start or stop. Nothing goes ahead of a change of course.
    pub(super) fn budget(&self) -> usize {
        if self.turned_back {
            let starts = self.starting.as_ref().map_or(0, |s| s.start.assigned.len());
            let moves = self.stopping.len() + starts;
            return self.budget.with_service.saturating_sub(moves);
        }
        self.budget.moves
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
        if self.budget.with_service == 0 {
            return false;
        }
        self.budget.with_service -= 1;
        self.plan.counted.push(task);
        true
    }

    /// Starts tasks of the current deployment: `replaced` of them in place of unhealthy ones, or
    /// all of them in a zone for balance.
    pub(super) fn start(
        &mut self,
        assigned: Vec<(TaskId, InstanceId)>,
        replaced: usize,
        zone: Option<&str>,
    ) {
        if assigned.is_empty() {
            return;
        }
        let Some(current) = self.current() else { return };
        let (deployment, family, revision) = (current.id, current.family.clone(), current.revision);
        let images = current.images.clone();
        self.budget.moves = self.budget.moves.saturating_sub(assigned.len());
        self.starting = Some(Starting {
            start: Start { deployment, family, revision, images, assigned },
            replaced,
            zone: zone.map(Into::into),
            after: self.messages.len(),
        });
    }

    /// Stops a task; `false` when the plan is full.
    pub(super) fn stop(&mut self, live: &Live<'_>, why: Why) -> bool {
        if self.budget() == 0 {
            return false;
        }
        self.budget.moves -= 1;
        let deployment = live.task.started_by.as_deref().unwrap_or_default();
        let reason = match why {
            Why::Unhealthy => {
                live.failing_in.map_or_else(|| events::UNHEALTHY.into(), events::failing_in)
            }
            Why::Scaling => format!("Scaling activity initiated by (deployment {deployment})"),
            Why::Rebalancing => {
                format!("Availability-zone rebalancing initiated by (deployment {deployment})")
            }
        };
        let moved = zones::zone_of(self, live)
            .filter(|_| why == Why::Rebalancing && live.condition != Condition::Pending);
        self.stopping.push(Stopping {
            stop: Stop {
                task: live.task.id,
                code: StopCode::ServiceSchedulerInitiated,
                reason,
                draining_until: targets::drains_until(&self.situation, live.task),
            },
            condition: live.condition,
            moved_from: moved.cloned(),
        });
        self.stopping_ids.insert(live.task.id);
        true
    }

    /// Whether this plan stops the task.
    pub(super) fn stops(&self, task: TaskId) -> bool {
        self.stopping_ids.contains(&task)
    }

    /// Whether this plan starts any task.
    pub(super) fn starts_any(&self) -> bool {
        self.starting.is_some()
    }

    /// Whether this plan stops any task.
    pub(super) fn stops_any(&self) -> bool {
        !self.stopping.is_empty()
    }

    /// The `count` candidates that should stop first, in order; never a protected one.
    pub(super) fn first_to_stop<'l>(&self, candidates: &[Live<'l>], count: usize) -> Vec<Live<'l>> {
        let tasks: Vec<_> = candidates.iter().map(|live| live.task).collect();
        let request = StopRequest {
            tasks: &tasks,
            count: count.min(self.budget()),
            strategies: &self.situation.service.placement_strategy,
            now: self.now(),
        };
        let order = stop_order(&request, self.situation.fleet);
        let by_id: BTreeMap<TaskId, &Live<'l>> =
            candidates.iter().map(|live| (live.task.id, live)).collect();
        order.iter().filter_map(|id| by_id.get(id).copied().copied()).collect()
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
        let (mut script, told): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|(message, _)| message.kind == EventKind::ZonesUnbalanced);
        if let Some(at) = events::next_repetition(&self.service.notices) {
            self.look_again(at);
        }
        let before = self.starting.as_ref().map_or(0, |starting| starting.after);
        let rest = self.messages.split_off(before);
        let (ahead, last) = portion::cut(
            core::mem::take(&mut self.stopping),
            self.starting.take(),
            self.budget.with_service,
        );
        let plain = |message: Message| (message, String::new());
        let subject = &self.subject;
        script.extend(last.stopped(subject).into_iter().map(plain));
        script.extend(self.messages.drain(..).chain(last.started(subject)).map(plain));
        script.extend(rest.into_iter().map(plain));
        script.extend(told);
        for moves in ahead {
            let told = moves.stopped(&self.subject).into_iter().chain(moves.started(&self.subject));
            let events = self.events(told.map(plain).collect());
            self.plan.ahead.push(moves.with(events));
        }
        let events = self.events(script);
        self.plan.last = last.with(events);
        if self.deployment.as_ref() != self.situation.deployment {
            self.plan.deployment = self.deployment;
        }
        if self.service != *self.situation.service {
            self.plan.service = Some(self.service);
        }
        self.plan
    }

    /// Events of these messages.
    fn events(&mut self, script: Vec<(Message, String)>) -> Vec<ServiceEvent> {
        // Events of one moment are in the order of their ids.
        let mut ids: Vec<EventId> = script.iter().map(|_| EventId::fresh(self.ids)).collect();
        ids.sort_unstable();
        let strategy = self.service.scheduling_strategy;
        let of_set = self.subject.is_task_set();
        let mut events = Vec::with_capacity(script.len());
        for (id, (Message { kind, text }, detail)) in ids.into_iter().zip(script) {
            let unplaced = self.plan.unplaced.as_ref();
            let action = events::action(kind, &detail, of_set, strategy, unplaced);
            self.plan.told.push(kind);
            events.push(ServiceEvent {
                scope: self.service.scope.clone(),
                cluster: self.service.cluster.clone(),
                service: self.service.name.clone(),
                id,
                created_at: self.situation.now,
                message: text,
                action,
            });
        }
        events
    }
}
