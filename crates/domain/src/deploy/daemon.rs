//! One task on each instance that matches.
//!
//! Only one task of the service is ever on an instance, so a new one starts when the old one has
//! stopped; the minimum healthy percent says how many instances may be without at a time.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use super::bounds::Bounds;
use super::buckets::{Buckets, Condition, Live};
use super::draft::{Draft, Hold, Why};
use super::{replica, roles};
use crate::ids::{InstanceId, TaskId};
use crate::record::{Demand, TaskSpec};
use crate::schedule::{
    Constraints, Fleet, Node, PlacementRequest, Reason, Refusal, Report, demand_of, refusals,
};

pub(super) fn decide(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    let Some(current) = draft.current() else { return };
    let Some(spec) = draft.situation.spec(&current.family, current.revision) else { return };
    let service = draft.situation.service;
    let all = service.placement_constraints.iter().chain(&spec.placement_constraints);
    let Ok(constraints) = Constraints::parse(all) else { return };
    let group = format!("service:{}", service.name);
    let demand = demand_of(spec);
    let request = request(draft, spec, &group, &demand, &constraints);
    let wanted = matching(&request, draft.situation.fleet);
    draft.service.desired_count = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
    stop(draft, buckets, &wanted);
    start(draft, buckets, &wanted, &request);
}

/// What a task of the service asks of an instance.
pub(super) fn request<'a>(
    draft: &Draft<'a, '_>,
    spec: &'a TaskSpec,
    group: &'a str,
    demand: &'a Demand,
    constraints: &'a Constraints,
) -> PlacementRequest<'a> {
    PlacementRequest {
        tasks: &[],
        group,
        demand,
        required_attributes: &spec.requires_attributes,
        constraints,
        strategies: &[],
        launch_type: draft.situation.service.launch_type,
        capacity_provider: None,
        zones: &[],
    }
}

/// Instances that should have a task, whether or not there is room now.
fn matching(request: &PlacementRequest<'_>, fleet: &Fleet<'_>) -> BTreeSet<InstanceId> {
    let nothing = Demand::default();
    let request = PlacementRequest { demand: &nothing, ..*request };
    let passing = |reason: &Reason| {
        matches!(
            reason,
            Reason::AgentDisconnected
                | Reason::Fenced(_)
                | Reason::DistinctInstance
                | Reason::Daemon { .. }
        )
    };
    let matches = |node: &&Node<'_>| refusals(&request, node).iter().all(passing);
    fleet.nodes().iter().filter(matches).map(|node| node.instance.id).collect()
}

fn stop(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>, wanted: &BTreeSet<InstanceId>) {
    let now = draft.now();
    let misplaced = |live: &Live<'_>| live.leaving || !wanted.contains(&live.task.instance);
    // Whatever the minimum is: an instance that does not match has no task.
    let (gone, mut rest): (Vec<_>, Vec<_>) =
        buckets.live.iter().copied().partition(|live| misplaced(live));
    let running = rest.iter().filter(|live| live.condition != Condition::Pending).count();
    let healthy = rest.iter().filter(|live| buckets.counts(live, now)).count();
    // What is not replaced stays.
    let stays = draft.hold == Hold::CleanUp || draft.starts_nothing();
    let replaced = |live: &&Live<'_>| !live.is_good() && (live.current || !stays);
    let held: Vec<_> = gone.iter().chain(rest.iter().filter(replaced)).copied().collect();
    draft.held_by_protection(&held);
    rest.retain(|live| !live.task.is_protected(now));
    for live in gone.iter().filter(|live| !live.task.is_protected(now)) {
        if !draft.stop(live, Why::Scaling) {
            return;
        }
    }
    let bounds = Bounds::of(&draft.service.deployment_configuration, draft.service.desired_count);
    let mut allowance = healthy.saturating_sub(bounds.min);
    let mut one_by_one = buckets.stopping.is_empty() && running > bounds.min;
    let mut kept = BTreeSet::new();
    for live in &rest {
        let counts = buckets.counts(live, now);
        let (why, stops) = if live.is_good() {
            // The first one of each instance stays.
            (Why::Scaling, !kept.insert(live.task.instance) && (!counts || allowance > 0))
        } else if live.current {
            (Why::Unhealthy, core::mem::take(&mut one_by_one))
        } else {
            (Why::Scaling, !stays && (!counts || allowance > 0))
        };
        if !stops {
            continue;
        }
        if !draft.stop(live, why) {
            return;
        }
        allowance -= usize::from(counts);
    }
}

fn start(
    draft: &mut Draft<'_, '_>,
    buckets: &Buckets<'_>,
    wanted: &BTreeSet<InstanceId>,
    request: &PlacementRequest<'_>,
) {
    let live = buckets.live.iter().map(|live| live.task.instance);
    let taken: BTreeSet<InstanceId> =
        live.chain(buckets.stopping.iter().map(|task| task.instance)).collect();
    let missing: Vec<InstanceId> = wanted.difference(&taken).copied().collect();
    if !missing.is_empty() {
        roles::tell(draft);
    }
    if missing.is_empty() || draft.starts_nothing() || draft.is_throttled() {
        return;
    }
    let mut assigned = Vec::new();
    let mut report = Report::default();
    for id in missing {
        let Some(node) = draft.situation.fleet.node(id) else { continue };
        let reasons = refusals(request, node);
        if !reasons.is_empty() {
            report.refusals.push(Refusal { instance: id, reasons });
        } else if assigned.len() < draft.budget() {
            assigned.push((TaskId::fresh(draft.ids), id));
        }
    }
    draft.start(assigned, 0, None);
    if !report.refusals.is_empty() {
        replica::refuse(draft, report);
    }
}
