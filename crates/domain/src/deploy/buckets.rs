//! The tasks of a service, sorted by what they are to it.

use alloc::string::String;
use alloc::vec::Vec;

use super::Situation;
use super::targets::{self, Standing};
use crate::ids::{Family, Revision};
use crate::lifecycle;
use crate::limits;
use crate::record::{
    Deployment, DesiredStatus, HealthStatus, InstanceStatus, Task, TaskSpec, TaskStatus,
};
use crate::time::Timestamp;

/// A task that should run, or that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live<'a> {
    pub(super) task: &'a Task,
    /// Whether it belongs to the deployment that tasks are kept for.
    pub(super) current: bool,
    /// Whether its instance takes no tasks any more.
    pub(super) leaving: bool,
    pub(super) condition: Condition,
    /// The target group that it is not healthy in.
    pub(super) failing_in: Option<&'a str>,
    /// From when on it counts as healthy when there are others to replace.
    settles: Settles,
}

/// What a serving task that is new still has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settles {
    /// Nothing: its health check vouches for it.
    AtOnce,
    /// That it goes on running.
    AfterAWhile,
    /// That it takes its full share of requests.
    At(Timestamp),
}

/// How a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Not running yet.
    Pending,
    /// Runs; its health check has not passed yet.
    Starting,
    /// Runs, and passes its health check if it has one.
    Serving,
    /// Runs and fails its health check.
    Unhealthy,
}

impl Live<'_> {
    /// Whether the service can go on with it.
    pub(super) fn is_good(&self) -> bool {
        self.current && !self.leaving && self.condition != Condition::Unhealthy
    }

    /// When a serving task begins to count as healthy, if it is new and only its running speaks
    /// for it, or balancers have not given it its full share yet. All others count at once, even
    /// where the clock was set back to before their start.
    fn settles_at(&self) -> Option<Timestamp> {
        let started = self.task.observed.started_at.unwrap_or(self.task.created_at);
        let settles = match self.settles {
            Settles::AtOnce => None,
            Settles::AfterAWhile => Some(started + limits::SETTLING_TIME),
            Settles::At(at) => Some(at),
        };
        settles.filter(|_| self.current && !self.leaving)
    }
}

/// All tasks of a service, sorted.
#[derive(Debug, Default)]
pub(super) struct Buckets<'a> {
    /// Tasks that should run.
    pub(super) live: Vec<Live<'a>>,
    /// Tasks that are being stopped.
    pub(super) stopping: Vec<&'a Task>,
    /// Tasks that ended.
    pub(super) stopped: Vec<&'a Task>,
    /// Whether tasks of an earlier deployment should run.
    has_old: bool,
}

impl<'a> Buckets<'a> {
    /// Sorts the tasks by what they are to the deployment `current`.
    pub(super) fn of(situation: &Situation<'a>, current: Option<&Deployment>) -> Self {
        let current = current.map(Deployment::label);
        let mut buckets = Self::default();
        let mut specs = Specs::default();
        for &task in situation.tasks {
            if task.is_stopped() {
                buckets.stopped.push(task);
            } else if task.desired == DesiredStatus::Stopped
                || task.observed.status > TaskStatus::Running
            {
                buckets.stopping.push(task);
            } else {
                buckets.live.push(live(situation, &mut specs, task, current.as_ref()));
            }
        }
        buckets.has_old = buckets.live.iter().any(|live| !live.current);
        buckets
    }

    /// Tasks that the service can go on with.
    pub(super) fn good(&self) -> impl Iterator<Item = &Live<'a>> {
        self.live.iter().filter(|live| live.is_good())
    }

    /// Tasks that take up room under the maximum percent.
    pub(super) fn occupying(&self) -> usize {
        let stopping = if super::bounds::STOPPING_COUNTS { self.stopping.len() } else { 0 };
        self.live.len() + stopping
    }

    /// Whether a task counts toward the minimum healthy percent. New tasks only have to settle
    /// while there are old ones to replace.
    pub(super) fn counts(&self, live: &Live<'_>, now: Timestamp) -> bool {
        let settled = !self.has_old || live.settles_at().is_none_or(|at| at <= now);
        live.condition == Condition::Serving && settled
    }

    /// Number of tasks that count toward the minimum healthy percent.
    pub(super) fn healthy(&self, now: Timestamp) -> usize {
        self.live.iter().filter(|live| self.counts(live, now)).count()
    }

    /// When the first task comes out of its grace period that may not be healthy as a target.
    pub(super) fn next_judged(&self, situation: &Situation<'_>) -> Option<Timestamp> {
        let waiting = self.live.iter().filter(|live| live.condition == Condition::Starting);
        let ends = waiting.map(|live| targets::grace_ends(situation.service, live.task));
        ends.filter(|at| *at > situation.now).min()
    }

    /// When the next serving task begins to count.
    pub(super) fn next_settled(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.has_old {
            return None;
        }
        let serving = self.live.iter().filter(|live| live.condition == Condition::Serving);
        serving.filter_map(Live::settles_at).filter(|at| *at > now).min()
    }
}

/// The task definition of the task before: tasks of one mostly stand together.
#[derive(Default)]
struct Specs<'a> {
    last: Option<(&'a Family, Revision, Option<&'a TaskSpec>)>,
}

impl<'a> Specs<'a> {
    fn of(&mut self, situation: &Situation<'a>, task: &'a Task) -> Option<&'a TaskSpec> {
        if let Some((family, revision, spec)) = self.last
            && revision == task.revision
            && *family == task.family
        {
            return spec;
        }
        let spec = situation.spec(&task.family, task.revision);
        self.last = Some((&task.family, task.revision, spec));
        spec
    }
}

fn live<'a>(
    situation: &Situation<'a>,
    specs: &mut Specs<'a>,
    task: &'a Task,
    current: Option<&String>,
) -> Live<'a> {
    let spec = specs.of(situation, task);
    let checked = spec.is_some_and(lifecycle::has_health_check);
    let health = spec.map_or(HealthStatus::Unknown, |spec| lifecycle::health(task, spec));
    let standing = targets::standing(situation, task);
    let condition = match (task.observed.status < TaskStatus::Running, health, standing) {
        (true, ..) => Condition::Pending,
        (false, HealthStatus::Unhealthy, _) | (false, _, Standing::Unhealthy(_)) => {
            Condition::Unhealthy
        }
        (false, _, Standing::Waiting) => Condition::Starting,
        (false, HealthStatus::Unknown, _) if checked => Condition::Starting,
        (false, ..) => Condition::Serving,
    };
    let settles = match standing {
        Standing::Healthy(full_at) => Settles::At(full_at),
        _ if checked => Settles::AtOnce,
        _ => Settles::AfterAWhile,
    };
    let node = situation.fleet.node(task.instance);
    Live {
        task,
        current: current.is_some() && task.started_by.as_ref() == current,
        leaving: node.is_none_or(|node| node.instance.status != InstanceStatus::Active),
        condition,
        failing_in: match standing {
            Standing::Unhealthy(group) if health != HealthStatus::Unhealthy => Some(group),
            _ => None,
        },
        settles,
    }
}
