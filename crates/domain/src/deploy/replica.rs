//! A wanted number of tasks, anywhere in the cluster.
//!
//! In this order: tasks that wait on a draining instance stop; missing tasks and replacements
//! start as far as the maximum percent and the cluster have room; then tasks stop that are too
//! many, of earlier deployments, on draining instances or unhealthy, as far as the minimum healthy
//! percent allows.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::bounds::Bounds;
use super::buckets::{Buckets, Condition, Live};
use super::draft::{Draft, Hold, Why};
use super::{roles, targets, zones};
use crate::ids::TaskId;
use crate::record::{Cause, TaskSpec};
use crate::schedule::{Constraints, PlacementRequest, Reason, Report, demand_of, place};

/// What the starts of this pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Starts {
    /// All that is missing is there or starts, or waits for the throttle.
    Enough,
    /// The maximum percent leaves no room.
    NoRoom,
    /// The cluster has no place for some.
    NoPlace,
}

pub(super) fn decide(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    let bounds = Bounds::of(&draft.service.deployment_configuration, draft.service.desired_count);
    leave_draining_instances(draft, buckets);
    let starts = start_missing(draft, buckets, bounds);
    let mut allowance = Allowance {
        counting: buckets.healthy(draft.now()).saturating_sub(bounds.min),
        held: Vec::new(),
    };
    stop_replaced(draft, buckets, &mut allowance);
    stop_surplus(draft, buckets, &mut allowance);
    stop_unhealthy(draft, buckets, bounds, starts);
    targets::tell(draft, buckets);
    zones::rebalance(draft, buckets);
    let Allowance { held, .. } = allowance;
    draft.held_by_protection(&held);
    let judged = buckets.next_judged(&draft.situation);
    if let Some(at) = buckets.next_settled(draft.now()).into_iter().chain(judged).min() {
        draft.look_again(at);
    }
    if starts == Starts::NoRoom && is_blocked(draft, buckets) {
        let message = draft.subject.blocked();
        draft.conditions.push((Cause::DeploymentBlocked, String::new(), message));
    }
}

/// Tasks that do not run yet on an instance that takes none any more stop at once.
fn leave_draining_instances(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    let now = draft.now();
    for live in &buckets.live {
        let waits = live.leaving && live.condition == Condition::Pending;
        if waits && !live.task.is_protected(now) && !draft.stop(live, Why::Scaling) {
            return;
        }
    }
}

fn start_missing(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>, bounds: Bounds) -> Starts {
    let desired = usize::try_from(draft.service.desired_count).unwrap_or(usize::MAX);
    let missing = desired.saturating_sub(buckets.good().count());
    if missing > 0 {
        roles::tell(draft);
    }
    if missing == 0 || draft.starts_nothing() || draft.is_throttled() {
        return Starts::Enough;
    }
    let room = bounds.max.saturating_sub(buckets.occupying());
    if room == 0 {
        return Starts::NoRoom;
    }
    let count = missing.min(room).min(draft.budget());
    let unhealthy =
        buckets.live.iter().filter(|l| l.current && l.condition == Condition::Unhealthy);
    let unhealthy = unhealthy.count();
    match start(draft, count, unhealthy, None) {
        None => Starts::Enough,
        Some(report) => {
            refuse(draft, report);
            Starts::NoPlace
        }
    }
}

/// Starts `count` tasks; the report says why some have no place.
fn start(
    draft: &mut Draft<'_, '_>,
    count: usize,
    unhealthy: usize,
    zone: Option<&String>,
) -> Option<Report> {
    let current = draft.current()?;
    let spec: &TaskSpec = draft.situation.spec(&current.family, current.revision)?;
    let service = draft.situation.service;
    let constraints =
        Constraints::parse(service.placement_constraints.iter().chain(&spec.placement_constraints))
            .ok()?;
    let tasks: Vec<TaskId> = (0..count).map(|_| TaskId::fresh(draft.ids)).collect();
    let request = PlacementRequest {
        tasks: &tasks,
        group: &format!("service:{}", service.name),
        demand: &demand_of(spec),
        required_attributes: &spec.requires_attributes,
        constraints: &constraints,
        strategies: &service.placement_strategy,
        launch_type: service.launch_type,
        capacity_provider: None,
        zones: zone.map_or(&[], core::slice::from_ref),
    };
    let placement = place(&request, draft.situation.fleet);
    if !placement.assigned.is_empty() {
        let replaced = unhealthy.min(placement.assigned.len());
        draft.start(placement.assigned, replaced, zone.map(String::as_str));
    }
    (!placement.unplaced.is_empty()).then_some(placement.report)
}

/// Starts one task in a zone for balance, if it has room.
pub(super) fn start_in(draft: &mut Draft<'_, '_>, zone: &String) {
    if start(draft, 1, 0, Some(zone)).is_some() {
        let message = draft.subject.unplaced_in(zone);
        draft.conditions.push((Cause::ZoneUnplaced, zone.clone(), message));
    }
}

/// Tells why tasks have no place. Tries again when anything in the cluster changes.
pub(super) fn refuse(draft: &mut Draft<'_, '_>, report: Report) {
    let codes = report.closest().map(|refusal| {
        let codes: Vec<&str> = refusal.reasons.iter().map(Reason::aws_reason).collect();
        codes.join(",")
    });
    let message = draft.subject.unplaced(&report);
    draft.conditions.push((Cause::Unplaced, codes.unwrap_or_default(), message));
    draft.plan.unplaced = Some(report);
}

/// What may still stop.
struct Allowance<'a> {
    /// Tasks that count toward the minimum healthy percent.
    counting: usize,
    /// Tasks that should have stopped, protected ones among them.
    held: Vec<Live<'a>>,
}

impl<'a> Allowance<'a> {
    /// Stops up to `count` of the candidates, first those that do not count as healthy.
    fn stop(
        &mut self,
        draft: &mut Draft<'_, '_>,
        buckets: &Buckets<'_>,
        candidates: &[Live<'a>],
        count: usize,
        why: Why,
    ) {
        let now = draft.now();
        let left = candidates.iter().filter(|live| !draft.stops(live.task.id)).copied();
        let (counting, others): (Vec<_>, Vec<_>) = left.partition(|l| buckets.counts(l, now));
        let others = draft.first_to_stop(&others, count);
        let rest = (count - others.len()).min(self.counting);
        let counting = draft.first_to_stop(&counting, rest);
        self.counting -= counting.len();
        // What is in the way of balance is told as such.
        if others.len() + counting.len() < count && why == Why::Scaling {
            self.held.extend(candidates);
        }
        for live in others.iter().chain(&counting) {
            if !draft.stop(live, why) {
                return;
            }
        }
    }
}

/// Tasks of earlier deployments, and those that run on instances that drain.
fn stop_replaced<'a>(
    draft: &mut Draft<'_, '_>,
    buckets: &Buckets<'a>,
    allowance: &mut Allowance<'a>,
) {
    let replaced = |live: &&Live<'_>| !live.current || live.leaving;
    let held = draft.hold == Hold::CleanUp;
    let candidates: Vec<_> =
        buckets.live.iter().filter(replaced).filter(|l| !held || l.leaving).copied().collect();
    let count = candidates.iter().filter(|live| !draft.stops(live.task.id)).count();
    // What is not replaced stays, as far as it is wanted at all.
    let desired = usize::try_from(draft.service.desired_count).unwrap_or(usize::MAX);
    let surplus = buckets.live.len().saturating_sub(desired);
    let count = if draft.starts_nothing() { count.min(surplus) } else { count };
    allowance.stop(draft, buckets, &candidates, count, Why::Scaling);
}

/// Tasks above the desired count.
fn stop_surplus<'a>(
    draft: &mut Draft<'_, '_>,
    buckets: &Buckets<'a>,
    allowance: &mut Allowance<'a>,
) {
    let desired = usize::try_from(draft.service.desired_count).unwrap_or(usize::MAX);
    let good: Vec<_> = buckets.good().copied().collect();
    let count = good.len().saturating_sub(desired);
    if count > 0 {
        let (good, why) = zones::surplus(draft, buckets, good);
        let count = count.min(good.len());
        allowance.stop(draft, buckets, &good, count, why);
    }
}

/// Unhealthy tasks stop when their replacements serve. Where no replacement can start they stop
/// one by one, as long as enough tasks run at all.
fn stop_unhealthy(
    draft: &mut Draft<'_, '_>,
    buckets: &Buckets<'_>,
    bounds: Bounds,
    starts: Starts,
) {
    let unhealthy =
        |live: &&Live<'_>| live.current && !live.leaving && live.condition == Condition::Unhealthy;
    let candidates: Vec<_> = buckets.live.iter().filter(unhealthy).copied().collect();
    if candidates.is_empty() {
        return;
    }
    let now = draft.now();
    let desired = usize::try_from(draft.service.desired_count).unwrap_or(usize::MAX);
    let serving = buckets.good().filter(|live| buckets.counts(live, now)).count();
    let replaced = (serving + candidates.len()).saturating_sub(desired).min(candidates.len());
    let running = buckets.live.iter().filter(|l| l.condition != Condition::Pending).count();
    let in_the_way = starts != Starts::Enough
        && !draft.starts_any()
        && !draft.stops_any()
        && buckets.stopping.is_empty()
        && running > bounds.min;
    let count = if in_the_way { replaced.max(1) } else { replaced };
    for live in &draft.first_to_stop(&candidates, count) {
        if !draft.stop(live, Why::Unhealthy) {
            return;
        }
    }
}

/// Whether tasks wait to be replaced and nothing that is under way can change that.
fn is_blocked(draft: &Draft<'_, '_>, buckets: &Buckets<'_>) -> bool {
    let now = draft.now();
    let waits = |live: &Live<'_>| !live.is_good() && !live.task.is_protected(now);
    !draft.starts_any()
        && !draft.stops_any()
        && buckets.stopping.is_empty()
        && buckets.next_settled(now).is_none()
        && buckets.good().all(|live| live.condition == Condition::Serving)
        && buckets.live.iter().any(waits)
}
