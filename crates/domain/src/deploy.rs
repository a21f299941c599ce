//! What a service needs next: which tasks start, which stop, and what its record and its events
//! say of it.
//!
//! [`plan`] looks at the service, all of its tasks and the fleet as they are, never at what
//! happened in between, so it may run at any time, twice, or after any pause. Tasks fall into
//! named buckets ([`Buckets`]); [`replica`] and [`daemon`] decide on the buckets; [`rollout`] keeps
//! the deployments; [`failures`] counts what could not run and delays the next attempt;
//! [`process`] ends what fails and goes back; [`hooks`] waits for somebody; [`shift`] plans deployments
//! that shift traffic between two revisions, and [`traffic`] what rules are to forward;
//! [`images`] keeps image digests; [`roles`] starts nothing that would lack credentials; [`zones`] spreads tasks evenly; [`sets`] plans task sets, each
//! like a service; [`events`] tells.
//!
//! The rules it keeps, which `domain::check::deployment` judges with code of its own: the number
//! of healthy tasks is not brought below the minimum healthy percent, the number of tasks that are
//! not stopped not above the maximum percent, and protected tasks are left alone.
//!
//! Targets of balancers are looked at here ([`Targets`]) and looked after elsewhere
//! (`domain::registration`). What it leaves out: capacity providers.

mod bounds;
mod buckets;
pub mod consolidate;
mod daemon;
mod draft;
mod events;
mod failures;
mod hooks;
mod images;
mod portion;
mod process;
mod replica;
mod roles;
mod rollout;
mod sets;
mod shift;
mod targets;
#[cfg(test)]
mod tests;
mod traffic;
mod zones;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

pub use bounds::Bounds;
pub use events::EventKind;
pub(crate) use events::UNHEALTHY;
pub(crate) use failures::delay;
pub use hooks::{Due, HookAnswer, answered, due};
pub use process::{leaves_traffic, splits_traffic, superseded, take_over};
pub use roles::{RefusedRole, RefusedRoles};
pub use rollout::{Begun, begin, is_running};
pub use sets::{NewTaskSet, make_primary, new_task_set};
pub(crate) use targets::{Standing, balancers_of, standing};
pub use targets::{TargetOf, Targets};
pub use traffic::{Reweigh, Rules};

use crate::fidelity::Fidelity;
use crate::ids::{Family, IdSource, InstanceId, Revision, TaskId};
use crate::record::{
    DeploymentController, SchedulingStrategy, Service, ServiceDeployment, ServiceEvent,
    ServiceStatus, StopCode, Task, TaskSpec,
};
use crate::schedule::{Fleet, Report};
use crate::time::Timestamp;
use buckets::Buckets;
use draft::{Budget, Draft};
use events::Subject;

/// Everything that a decision about a service reads.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The service.
    pub service: &'a Service,
    /// Its service deployment, if it is not forgotten yet.
    pub deployment: Option<&'a ServiceDeployment>,
    /// All of its tasks that there are records of, stopped ones too.
    pub tasks: &'a [&'a Task],
    /// Task definitions of its deployments, the last completed one too, and of its tasks.
    pub specs: &'a BTreeMap<(Family, Revision), &'a TaskSpec>,
    /// What its tasks are to balancers.
    pub targets: &'a Targets,
    /// The rules that its balancers name, and those that its deployments name.
    pub rules: &'a Rules,
    /// Of those task definitions, which have roles that tasks cannot have.
    pub refused_roles: &'a RefusedRoles,
    /// The instances of the cluster with their load.
    pub fleet: &'a Fleet<'a>,
    /// How far to be like ECS.
    pub fidelity: Fidelity,
    /// Now.
    pub now: Timestamp,
}

impl<'a> Situation<'a> {
    fn spec(&self, family: &Family, revision: Revision) -> Option<&'a TaskSpec> {
        self.specs.get(&(family.clone(), revision)).copied()
    }
}

/// What to do. Everything in it but the portions [`ahead`](Plan::ahead) belongs into one transaction,
/// which holds only if the service is unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Starts and stops that have no room beside the rest. Each portion is a transaction of its own
    /// before that, which holds only if the service is unchanged too: what of it happens leaves the
    /// others as right as they were.
    pub ahead: Vec<Portion>,
    /// The last starts and stops, and the events of the rest.
    pub last: Portion,
    /// Stopped tasks whose failure is counted now.
    pub counted: Vec<TaskId>,
    /// The service, if it changes.
    pub service: Option<Service>,
    /// The service deployment, if it changes.
    pub deployment: Option<ServiceDeployment>,
    /// Rules that get other weights; each only if it is unchanged.
    pub reweigh: Vec<Reweigh>,
    /// What each event tells.
    pub told: Vec<EventKind>,
    /// Why tasks have no place.
    pub unplaced: Option<Report>,
    /// The role for whose sake tasks are missing.
    pub refused_role: Option<RefusedRole>,
    /// When to look again although nothing has changed.
    pub next: Option<Timestamp>,
}

impl Plan {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.ahead.is_empty()
            && self.last.is_empty()
            && self.counted.is_empty()
            && self.service.is_none()
            && self.deployment.is_none()
            && self.reweigh.is_empty()
    }

    /// All portions, the last one last.
    pub fn portions(&self) -> impl Iterator<Item = &Portion> {
        self.ahead.iter().chain([&self.last])
    }

    /// All starts.
    pub fn starts(&self) -> impl Iterator<Item = &Start> {
        self.portions().filter_map(|portion| portion.start.as_ref())
    }

    /// All stops.
    pub fn stops(&self) -> impl Iterator<Item = &Stop> {
        self.portions().flat_map(|portion| &portion.stop)
    }
}

/// Starts and stops that fit one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// Tasks to start.
    pub start: Option<Start>,
    /// Tasks to stop.
    pub stop: Vec<Stop>,
    /// New events, oldest first.
    pub events: Vec<ServiceEvent>,
}

impl Portion {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.start.is_none() && self.stop.is_empty() && self.events.is_empty()
    }

    /// Number of tasks that it starts and stops.
    pub fn len(&self) -> usize {
        self.stop.len() + self.start.as_ref().map_or(0, |start| start.assigned.len())
    }
}

/// Tasks of one deployment to start, each with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Number of the deployment.
    pub deployment: u64,
    /// Family of its task definition.
    pub family: Family,
    /// Revision of its task definition.
    pub revision: Revision,
    /// Digests of its images, by container, as far as they are known.
    pub images: BTreeMap<String, String>,
    /// The tasks.
    pub assigned: Vec<(TaskId, InstanceId)>,
}

/// A task to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The task.
    pub task: TaskId,
    /// AWS's `stopCode`.
    pub code: StopCode,
    /// AWS's `stoppedReason`.
    pub reason: String,
    /// Until when it may finish what balancers have sent it, if they send it anything.
    pub draining_until: Option<Timestamp>,
}

/// Decides what a service needs next.
pub fn plan(situation: &Situation<'_>, ids: &mut dyn IdSource) -> Plan {
    let service = situation.service;
    if service.status == ServiceStatus::Inactive {
        return Plan::default();
    }
    if service.controller == DeploymentController::External
        && service.status == ServiceStatus::Active
    {
        return sets::plan(situation, ids);
    }
    if shift::applies(situation) {
        return shift::plan(situation, ids);
    }
    let subject = Subject::service(&service.name);
    decide(Draft::new(situation, subject, Budget::whole(), ids))
}

/// Decides for a service without task sets.
fn decide(mut draft: Draft<'_, '_>) -> Plan {
    let situation = draft.situation;
    let service = situation.service;
    let buckets = Buckets::of(&situation, draft.current());
    failures::count(&mut draft, &buckets);
    if service.status == ServiceStatus::Active {
        process::advance(&mut draft, &buckets);
    }
    images::resolve(&mut draft);
    // Now that it is known which deployment tasks are kept for.
    let buckets = Buckets::of(&situation, draft.current());
    match (service.status, service.scheduling_strategy) {
        (ServiceStatus::Draining | ServiceStatus::Inactive, _) => {
            rollout::wind_down(&mut draft, &buckets);
        }
        (ServiceStatus::Active, SchedulingStrategy::Replica) => {
            replica::decide(&mut draft, &buckets);
        }
        (ServiceStatus::Active, SchedulingStrategy::Daemon) => daemon::decide(&mut draft, &buckets),
    }
    if service.status == ServiceStatus::Active {
        rollout::settle(&mut draft, &buckets);
    }
    draft.finish()
}
