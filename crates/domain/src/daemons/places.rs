//! Instance by instance: what is there of the daemon, and what happens there next.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::progress::has_failed;
use super::{Draft, belongs, group, is_live, is_of};
use crate::deploy::{UNHEALTHY, delay};
use crate::ids::{InstanceId, TaskId};
use crate::lifecycle;
use crate::limits;
use crate::record::{DaemonRevision, HealthStatus, InstanceStatus, Task, TaskSpec, TaskStatus};
use crate::schedule::{
    Constraints, Node, PlacementRequest, Refusal, Report, demand_of, launch_type_of, refusals,
};
use crate::time::Timestamp;

/// What there is of a daemon on an instance that should have it.
#[derive(Clone, Copy, Debug)]
enum Standing<'a> {
    /// The wanted revision runs, is healthy, and has settled.
    Good(&'a Task),
    /// The wanted revision is on its way; when it will have settled, if that is a matter of time.
    Starting(Option<Timestamp>),
    /// Another revision is there, and serves or not.
    Old(&'a Task, bool),
    /// A task is being stopped; nothing starts before it has stopped.
    Leaving,
    /// Nothing is there.
    Empty,
}

/// What became of the instances, for the progress of the deployment.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Whether every instance that can be reached has the wanted revision, and no other one.
    pub(super) all_good: bool,
    /// When the newest task of the wanted revision started, on instances that were there when the
    /// deployment was asked for: one that joins does not delay its end.
    pub(super) newest: Option<Timestamp>,
}

/// Decides what starts and stops.
pub(super) fn decide(draft: &mut Draft<'_, '_>) -> Places {
    let mut by_instance: BTreeMap<InstanceId, Vec<&Task>> = BTreeMap::new();
    for &task in draft.situation.tasks.iter().filter(|task| !task.is_stopped()) {
        by_instance.entry(task.instance).or_default().push(task);
    }
    let wanted = draft.wanted();
    let strangers = stop_misplaced(draft, &by_instance, wanted.map(|(_, revision, _)| revision));
    let Some((id, revision, spec)) = wanted else { return Places::default() };
    let mut standings = Vec::new();
    for node in draft.situation.fleet.nodes() {
        if belongs(revision, node.instance) {
            let tasks = by_instance.get(&node.instance.id).map_or(&[][..], Vec::as_slice);
            let standing = stand(draft, id, spec, tasks);
            // What nobody can reach is not waited for, and counts for nothing.
            if node.instance.connection.connected {
                standings.push((node, standing));
            }
        }
    }
    // Without their role none start, and what they would replace stays.
    if let Some(refused) = draft.situation.refused_roles.get(&id) {
        let missing = |standing| matches!(standing, &Standing::Empty | &Standing::Old(..));
        if standings.iter().any(|(_, standing)| missing(standing)) {
            draft.plan.refused_role = Some(refused.clone());
        }
    } else {
        renew(draft, &standings);
        start(draft, id, spec, &standings);
    }
    let mut places = Places { all_good: !strangers, newest: None };
    for (node, standing) in &standings {
        match standing {
            Standing::Good(task) => {
                let started = task.observed.started_at.filter(|at| *at <= draft.situation.now);
                if node.instance.registered_at <= draft.deployment.created_at {
                    places.newest = places.newest.max(started);
                }
            }
            _ => places.all_good = false,
        }
        if let Standing::Starting(Some(settled)) = standing {
            draft.look_again(*settled);
        }
    }
    places
}

/// Stops tasks on instances that should not have them: at once where the instance is not of the
/// daemon, after all other tasks where it drains. Says whether there are such tasks on instances
/// that stay ACTIVE.
fn stop_misplaced(
    draft: &mut Draft<'_, '_>,
    by_instance: &BTreeMap<InstanceId, Vec<&Task>>,
    revision: Option<&DaemonRevision>,
) -> bool {
    let mut strangers = false;
    for (instance, tasks) in by_instance {
        let Some(node) = draft.situation.fleet.node(*instance) else { continue };
        let drains = node.instance.status == InstanceStatus::Draining;
        let of_other = revision.is_some_and(|revision| !is_of(revision, node.instance));
        let reason = match node.instance.status {
            InstanceStatus::Draining if !draft.situation.busy.contains(instance) => {
                format!("(daemon {}) (instance {instance}) is draining.", draft.daemon.name)
            }
            InstanceStatus::Active if of_other => format!(
                "(daemon {}) (instance {instance}) is not of its capacity providers.",
                draft.daemon.name
            ),
            _ => continue,
        };
        strangers |= !drains && node.instance.connection.connected;
        for task in tasks.iter().filter(|task| is_live(task)) {
            if !draft.stop(task, reason.clone()) {
                return strangers;
            }
        }
    }
    strangers
}

/// What there is of the daemon among its tasks on one instance that have not stopped. Tasks that
/// are unhealthy or too many are stopped.
fn stand<'a>(
    draft: &mut Draft<'a, '_>,
    wanted: u64,
    spec: &TaskSpec,
    tasks: &[&'a Task],
) -> Standing<'a> {
    let mut live: Vec<&'a Task> = tasks.iter().copied().filter(|task| is_live(task)).collect();
    // The one to keep comes first: of the wanted revision, then the furthest, then the oldest.
    live.sort_by_key(|task| {
        let other = task.daemon_revision() != Some(wanted);
        (other, Reverse(task.observed.status), task.created_at, task.id)
    });
    for task in live.iter().skip(1) {
        draft.stop(task, format!("(daemon {}) has another task there.", draft.daemon.name));
    }
    let Some(&task) = live.first() else {
        return if tasks.is_empty() { Standing::Empty } else { Standing::Leaving };
    };
    let runs = task.observed.status == TaskStatus::Running;
    if task.daemon_revision() != Some(wanted) {
        let own = task.daemon_revision().and_then(|id| draft.situation.revisions.get(&id));
        let health = own.map(|(_, spec)| lifecycle::health(task, spec));
        return Standing::Old(task, runs && health != Some(HealthStatus::Unhealthy));
    }
    let checked = lifecycle::has_health_check(spec);
    match lifecycle::health(task, spec) {
        HealthStatus::Unhealthy => {
            draft.stop(task, UNHEALTHY.into());
            return Standing::Leaving;
        }
        HealthStatus::Unknown if checked => return Standing::Starting(None),
        HealthStatus::Healthy | HealthStatus::Unknown => {}
    }
    let now = draft.situation.now;
    // What started in the future did so before the clock was set back: it has settled.
    let settles = task.observed.started_at.map(|at| (at <= now, at + limits::DAEMON_SETTLING_TIME));
    match settles.filter(|_| runs) {
        None => Standing::Starting(None),
        Some((true, at)) if !checked && at > now => Standing::Starting(Some(at)),
        Some(_) if tasks.len() > 1 => Standing::Leaving,
        Some(_) => Standing::Good(task),
    }
}

/// Stops tasks of other revisions, as many as may be missing at a time.
fn renew(draft: &mut Draft<'_, '_>, standings: &[(&Node<'_>, Standing<'_>)]) {
    let missing =
        |standing: &Standing<'_>| !matches!(standing, Standing::Good(_) | Standing::Old(_, true));
    let open = standings.iter().filter(|(_, standing)| missing(standing)).count();
    let width = width(standings.len(), draft.deployment.configuration.drain_percent);
    let mut allowance = width.saturating_sub(open);
    for (_, standing) in standings {
        let Standing::Old(task, serves) = standing else { continue };
        if *serves {
            if allowance == 0 {
                continue;
            }
            allowance -= 1;
        }
        let reason = format!(
            "(daemon {}) (deployment {}) renews it.",
            draft.daemon.name, draft.deployment.id
        );
        if !draft.stop(task, reason) {
            return;
        }
    }
}

/// Instances that may be without the daemon at a time.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a number of instances, between 0 and that number"
)]
pub(super) fn width(instances: usize, percent: f64) -> usize {
    let share = instances as f64 * percent.clamp(0.0, 100.0) / 100.0;
    (share as usize).clamp(1, instances.max(1))
}

fn start(
    draft: &mut Draft<'_, '_>,
    id: u64,
    spec: &TaskSpec,
    standings: &[(&Node<'_>, Standing<'_>)],
) {
    let constraints = Constraints::default();
    let (group, demand) = (group(&draft.daemon), demand_of(spec));
    let delays = delays(draft, id);
    let mut assigned = Vec::new();
    let mut report = Report::default();
    for (node, standing) in standings {
        let instance = node.instance.id;
        if !matches!(standing, Standing::Empty) {
            continue;
        }
        if let Some(&due) = delays.get(&instance)
            && due > draft.situation.now
        {
            draft.look_again(due);
            continue;
        }
        let request = PlacementRequest {
            tasks: &[],
            group: &group,
            demand: &demand,
            required_attributes: &spec.requires_attributes,
            constraints: &constraints,
            strategies: &[],
            launch_type: launch_type_of(node.instance),
            capacity_provider: None,
            zones: &[],
        };
        let reasons = refusals(&request, node);
        if !reasons.is_empty() {
            report.refusals.push(Refusal { instance, reasons });
        } else if draft.take() {
            assigned.push((TaskId::fresh(draft.ids), instance));
        }
    }
    if !assigned.is_empty() {
        draft.plan.start = Some((id, assigned));
    }
    if !report.refusals.is_empty() {
        draft.plan.unplaced = Some(report);
    }
}

/// When instances where tasks of the revision failed are tried again. A task that has lasted is
/// replaced at once when it ends, and so is one that ended before the clock was set back.
fn delays(draft: &Draft<'_, '_>, wanted: u64) -> BTreeMap<InstanceId, Timestamp> {
    let mut ended: BTreeMap<InstanceId, Vec<&Task>> = BTreeMap::new();
    for &task in draft.situation.tasks {
        if task.is_stopped() && task.daemon_revision() == Some(wanted) {
            ended.entry(task.instance).or_default().push(task);
        }
    }
    let due = |(instance, mut tasks): (InstanceId, Vec<&Task>)| {
        tasks.sort_by_key(|task| (Reverse(task.created_at), task.id));
        let rounds = tasks.iter().take_while(|task| has_failed(task) && !has_lasted(task)).count();
        let last = tasks.first()?.observed.stopped_at.filter(|at| *at <= draft.situation.now)?;
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        (rounds > 0).then(|| (instance, last + delay(rounds)))
    };
    ended.into_iter().filter_map(due).collect()
}

fn has_lasted(task: &Task) -> bool {
    let (started, stopped) = (task.observed.started_at, task.observed.stopped_at);
    started.zip(stopped).is_some_and(|(started, stopped)| {
        stopped.saturating_since(started) >= limits::DAEMON_LASTING_TIME
    })
}
