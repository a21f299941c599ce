//! Managed daemons: which tasks of a daemon start and stop, and how its deployment stands.
//!
//! A daemon has one task on each ACTIVE instance of its capacity providers. An instance belongs to
//! the capacity provider that launched it; an instance that none launched (a machine that somebody
//! registered) belongs to every daemon of its cluster. [`plan`] looks at the daemon, its tasks and
//! the instances as they are, never at what happened in between, so it may run at any time, twice,
//! or after any pause.
//!
//! The rules it keeps: never two tasks of a daemon that should run on one instance, and none starts
//! before the one before it has stopped; no task starts on an instance that is not ACTIVE, and on a
//! DRAINING one the daemon is the last to stop; a deployment takes the daemon from no more
//! instances at a time than its drain percentage says (one at least).
//!
//! Where ECS replaces machines, this replaces tasks: a deployment renews the daemon in place, and
//! other tasks go on. While a critical daemon is missing on an instance, the instance takes no
//! other new tasks ([`waiting`]); ECS would drain and terminate the machine.
//!
//! What it leaves out: alarms, and image digests (a tag is resolved by each instance).

mod places;
mod progress;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::deploy::{RefusedRole, Stop};
use crate::ids::{DaemonDeploymentId, IdSource, InstanceId, TaskId};
use crate::limits;
use crate::record::{
    ContainerInstance, DAEMON_GROUP, DAEMON_STARTER, Daemon, DaemonDeployment,
    DaemonDeploymentStatus, DaemonRevision, DaemonStatus, DesiredStatus, InstanceStatus, StopCode,
    Task, TaskSpec, TaskStatus,
};
use crate::schedule::{Fleet, Report};
use crate::time::Timestamp;

/// Everything that a decision about a daemon reads.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The daemon.
    pub daemon: &'a Daemon,
    /// Its most recent deployment.
    pub deployment: &'a DaemonDeployment,
    /// Its revisions with what their tasks are made from.
    pub revisions: &'a BTreeMap<u64, (&'a DaemonRevision, &'a TaskSpec)>,
    /// Of those revisions, which have roles that tasks cannot have.
    pub refused_roles: &'a BTreeMap<u64, RefusedRole>,
    /// All of its tasks that there are records of, stopped ones too.
    pub tasks: &'a [&'a Task],
    /// Instances with tasks, not stopped yet, that belong to no daemon.
    pub busy: &'a BTreeSet<InstanceId>,
    /// The instances of the cluster with their load.
    pub fleet: &'a Fleet<'a>,
    /// Now.
    pub now: Timestamp,
}

/// What to do. Everything in it belongs into one transaction, which holds only if daemon and
/// deployment are unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Tasks to start, each with its place, all of the revision of the number.
    pub start: Option<(u64, Vec<(TaskId, InstanceId)>)>,
    /// Tasks to stop.
    pub stop: Vec<Stop>,
    /// Stopped tasks whose failure is counted now.
    pub counted: Vec<TaskId>,
    /// The daemon, if it changes.
    pub daemon: Option<Daemon>,
    /// Whether the daemon is gone: its record is to be removed.
    pub gone: bool,
    /// The deployment, if it changes.
    pub deployment: Option<DaemonDeployment>,
    /// Why the daemon has no place on instances.
    pub unplaced: Option<Report>,
    /// The role for whose sake tasks are missing.
    pub refused_role: Option<RefusedRole>,
    /// When to look again although nothing has changed.
    pub next: Option<Timestamp>,
}

impl Plan {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.start.is_none()
            && self.stop.is_empty()
            && self.counted.is_empty()
            && self.daemon.is_none()
            && !self.gone
            && self.deployment.is_none()
    }
}

/// Decides what a daemon needs next.
pub fn plan(situation: &Situation<'_>, ids: &mut dyn IdSource) -> Plan {
    let mut draft = Draft {
        situation: *situation,
        ids,
        daemon: situation.daemon.clone(),
        deployment: situation.deployment.clone(),
        plan: Plan::default(),
        budget: limits::SERVICE_CHANGES,
    };
    match draft.daemon.status {
        DaemonStatus::DeleteInProgress => progress::wind_down(&mut draft),
        DaemonStatus::Active => {
            progress::begin(&mut draft);
            progress::count_failures(&mut draft);
            let places = places::decide(&mut draft);
            progress::settle(&mut draft, &places);
        }
    }
    draft.finish()
}

/// A deployment to `target`, or to the end of the daemon. The daemon's own records change with it:
/// whoever calls this sets `daemon.deployment`, and ends the deployment before with [`superseded`].
pub fn begin(
    daemon: &Daemon,
    target: Option<u64>,
    sources: Vec<u64>,
    now: Timestamp,
    ids: &mut dyn IdSource,
) -> DaemonDeployment {
    DaemonDeployment {
        scope: daemon.scope.clone(),
        cluster: daemon.cluster.clone(),
        daemon: daemon.name.clone(),
        id: DaemonDeploymentId::fresh_at(now, ids),
        target,
        sources,
        status: DaemonDeploymentStatus::Pending,
        status_reason: None,
        configuration: daemon.configuration.clone(),
        failures: 0,
        threshold: 0,
        rollback: None,
        created_at: now,
        started_at: None,
        stopped_at: None,
        finished_at: None,
    }
}

/// A deployment that another one takes the place of; `None` when it has ended already.
pub fn superseded(deployment: &DaemonDeployment, now: Timestamp) -> Option<DaemonDeployment> {
    (!deployment.status.is_final()).then(|| DaemonDeployment {
        status: DaemonDeploymentStatus::Stopped,
        status_reason: Some("A newer daemon deployment took its place.".into()),
        stopped_at: Some(now),
        finished_at: Some(now),
        ..deployment.clone()
    })
}

/// The revision that instances should have now.
pub fn wanted(daemon: &Daemon, deployment: &DaemonDeployment) -> Option<u64> {
    use DaemonDeploymentStatus as S;
    match (daemon.status, deployment.status) {
        (DaemonStatus::DeleteInProgress, _) => None,
        (_, S::Pending | S::InProgress) => deployment.target,
        (_, S::RollbackInProgress) => deployment.rollback.as_ref().map(|back| back.target),
        (_, S::Successful | S::Stopped | S::RollbackSuccessful | S::RollbackFailed) => {
            daemon.current
        }
    }
}

/// Revisions that tasks may still be made from.
pub fn in_use(daemon: &Daemon, deployment: &DaemonDeployment) -> BTreeSet<u64> {
    let back = deployment.rollback.as_ref().map(|back| back.target);
    let under_way = if deployment.status.is_final() { None } else { deployment.target };
    [daemon.current, under_way, back].into_iter().flatten().collect()
}

/// Whether an instance has the daemon: as long as it takes tasks, and its capacity provider, if it
/// has one, is among those of the revision.
pub fn belongs(revision: &DaemonRevision, instance: &ContainerInstance) -> bool {
    instance.status == InstanceStatus::Active && is_of(revision, instance)
}

fn is_of(revision: &DaemonRevision, instance: &ContainerInstance) -> bool {
    let provider = instance.capacity_provider.as_ref();
    provider.is_none_or(|provider| revision.capacity_providers.contains(provider))
}

/// The capacity provider that an instance counts for among those of the daemon: its own, or the
/// first one where none launched it.
pub fn provider_of<'a>(revision: &'a DaemonRevision, instance: &ContainerInstance) -> &'a str {
    let own = instance.capacity_provider.as_ref();
    let own = own.and_then(|own| revision.capacity_providers.iter().find(|name| *name == own));
    own.or(revision.capacity_providers.first()).map_or("", String::as_str)
}

/// Instances that wait for the daemon before they take tasks of others: those that joined after it
/// was made, and once it was everywhere all that are without it. A daemon that is new does not
/// hold up instances that were there before.
pub fn waiting<'a>(
    daemon: &'a Daemon,
    revision: &'a DaemonRevision,
    instances: impl IntoIterator<Item = &'a ContainerInstance>,
    tasks: impl IntoIterator<Item = &'a Task>,
) -> Vec<InstanceId> {
    if !revision.critical {
        return Vec::new();
    }
    let runs = |task: &&Task| {
        task.desired == DesiredStatus::Running && task.observed.status == TaskStatus::Running
    };
    let running: BTreeSet<InstanceId> =
        tasks.into_iter().filter(runs).map(|task| task.instance).collect();
    let awaited = |instance: &&ContainerInstance| {
        belongs(revision, instance)
            && (daemon.current.is_some() || instance.registered_at >= daemon.created_at)
            && !running.contains(&instance.id)
    };
    instances.into_iter().filter(awaited).map(|instance| instance.id).collect()
}

/// `startedBy` of the tasks of a revision.
pub fn starter(revision: u64) -> String {
    format!("{DAEMON_STARTER}{revision}")
}

/// Task group of the tasks of a daemon.
pub fn group(daemon: &Daemon) -> String {
    format!("{DAEMON_GROUP}{}", daemon.name)
}

/// Whether a task is there, or on its way.
fn is_live(task: &Task) -> bool {
    task.desired == DesiredStatus::Running && task.observed.status <= TaskStatus::Running
}

/// A plan in the making.
struct Draft<'a, 'i> {
    situation: Situation<'a>,
    ids: &'i mut dyn IdSource,
    /// The daemon as it will be.
    daemon: Daemon,
    /// The deployment as it will be.
    deployment: DaemonDeployment,
    plan: Plan,
    /// Changes of tasks that still fit into the transaction.
    budget: usize,
}

impl<'a> Draft<'a, '_> {
    fn wanted(&self) -> Option<(u64, &'a DaemonRevision, &'a TaskSpec)> {
        let id = wanted(&self.daemon, &self.deployment)?;
        let (revision, spec) = self.situation.revisions.get(&id)?;
        Some((id, revision, spec))
    }

    /// Takes one change of a task; `false` when the rest has to wait for the next pass.
    fn take(&mut self) -> bool {
        let left = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        left
    }

    fn stop(&mut self, task: &Task, reason: String) -> bool {
        if !self.take() {
            return false;
        }
        let code = StopCode::ServiceSchedulerInitiated;
        self.plan.stop.push(Stop { task: task.id, code, reason, draining_until: None });
        true
    }

    fn look_again(&mut self, at: Timestamp) {
        self.plan.next = Some(self.plan.next.map_or(at, |next| next.min(at)));
    }

    fn finish(mut self) -> Plan {
        if self.budget == 0 {
            self.look_again(self.situation.now);
        }
        if self.daemon != *self.situation.daemon {
            self.plan.daemon = Some(self.daemon);
        }
        if self.deployment != *self.situation.deployment {
            self.plan.deployment = Some(self.deployment);
        }
        self.plan
    }
}
