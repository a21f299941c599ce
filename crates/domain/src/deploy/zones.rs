//! Rebalancing of availability zones: where a steady service is spread unevenly, one task starts in
//! the emptiest zone, and when it serves, one in the fullest zone stops.
//!
//! From the first move to the last the service has the notice `ZonesUnbalanced`. The operation ends
//! when the zones are level, and before that when a deployment begins, when rebalancing is switched
//! off, and when protected tasks are in the way.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::bounds::Bounds;
use super::buckets::{Buckets, Condition, Live};
use super::draft::{Draft, Hold, Why};
use super::{daemon, replica};
use crate::record::{Cause, Demand, Deployment, RolloutState, Service};
use crate::schedule::{Constraints, Node, Reason, ZONE, refusals};

/// Name of a zone and number of tasks there, of every zone with an instance that could take a
/// task, if it had room.
type Spread<'a> = BTreeMap<&'a String, usize>;

pub(super) fn zone_of<'a>(draft: &Draft<'a, '_>, live: &Live<'_>) -> Option<&'a String> {
    zone(draft.situation.fleet.node(live.task.instance)?)
}

fn zone<'a>(node: &Node<'a>) -> Option<&'a String> {
    node.instance.attributes.get(ZONE)?.as_ref()
}

fn spread<'a>(draft: &Draft<'a, '_>, buckets: &Buckets<'_>) -> Spread<'a> {
    let mut spread = Spread::new();
    let Some(current) = draft.current() else { return spread };
    let Some(spec) = draft.situation.spec(&current.family, current.revision) else { return spread };
    let service = draft.situation.service;
    let all = service.placement_constraints.iter().chain(&spec.placement_constraints);
    let Ok(constraints) = Constraints::parse(all) else { return spread };
    let group = format!("service:{}", service.name);
    let demand = Demand::default();
    let request = daemon::request(draft, spec, &group, &demand, &constraints);
    let passing = |reason: &Reason| matches!(reason, Reason::DistinctInstance);
    for node in draft.situation.fleet.nodes() {
        let Some(zone) = zone(node).filter(|zone| !spread.contains_key(zone)) else { continue };
        if refusals(&request, node).iter().all(passing) {
            spread.insert(zone, 0);
        }
    }
    for live in buckets.good() {
        if let Some(count) = zone_of(draft, live).and_then(|zone| spread.get_mut(zone)) {
            *count += 1;
        }
    }
    spread
}

/// Whether tasks were being moved when this pass began.
fn is_under_way(service: &Service) -> bool {
    was_told(service, Cause::ZonesUnbalanced)
}

fn was_told(service: &Service, cause: Cause) -> bool {
    service.notices.iter().any(|notice| notice.cause == cause)
}

/// Whether a task above the desired count is there because another one moves, and not because
/// somebody asked for fewer since the last pass.
fn is_moving(draft: &Draft<'_, '_>) -> bool {
    let before = draft.situation.service;
    let asked = before.deployments.first().map(|primary| primary.desired_count);
    is_under_way(before) && asked == Some(before.desired_count)
}

/// Of the tasks above the desired count those that may go, and why: the ones in the fullest zone,
/// unless all of them are protected.
pub(super) fn surplus<'a>(
    draft: &Draft<'_, '_>,
    buckets: &Buckets<'_>,
    good: Vec<Live<'a>>,
) -> (Vec<Live<'a>>, Why) {
    if !draft.service.zone_rebalancing {
        return (good, Why::Scaling);
    }
    let now = draft.now();
    let spread = spread(draft, buckets);
    let fullest = spread.values().max().copied().unwrap_or_default();
    let there =
        |live: &&Live<'_>| zone_of(draft, live).and_then(|zone| spread.get(zone)) == Some(&fullest);
    let kept: Vec<_> = good.iter().filter(there).copied().collect();
    if kept.iter().all(|live| live.task.is_protected(now)) {
        return (good, Why::Scaling);
    }
    (kept, if is_moving(draft) { Why::Rebalancing } else { Why::Scaling })
}

/// Whether exactly the wanted tasks are there, all of them serving, and nothing happens to them.
fn rests(draft: &Draft<'_, '_>, buckets: &Buckets<'_>) -> bool {
    !draft.starts_any()
        && !draft.stops_any()
        && draft.plan.unplaced.is_none()
        && buckets.stopping.is_empty()
        && u32::try_from(buckets.live.len()) == Ok(draft.service.desired_count)
        && buckets.live.iter().all(|l| l.is_good() && l.condition == Condition::Serving)
}

/// Looks after the balance: begins to move tasks, goes on, and ends.
pub(super) fn rebalance(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    let under_way = is_under_way(draft.situation.service);
    let complete = draft.current().is_some_and(|d| d.rollout == RolloutState::Completed);
    let rests = rests(draft, buckets);
    let held = was_told(draft.situation.service, Cause::ZoneProtected);
    if !rests && !under_way && !held {
        return;
    }
    let may = draft.service.zone_rebalancing
        && complete
        && draft.hold == Hold::Nothing
        && draft.refused_role().is_none();
    let spread = if may { spread(draft, buckets) } else { Spread::new() };
    if spread.len() < 2 {
        if under_way {
            stop(draft);
        }
        return;
    }
    let fullest = spread.iter().max_by_key(|(_, count)| **count);
    let emptiest = spread.iter().min_by_key(|(_, count)| **count);
    let (Some((full, most)), Some((empty, least))) = (fullest, emptiest) else { return };
    let list = spread.iter().map(|(zone, count)| format!("{count} tasks in {zone}"));
    let list: Vec<String> = list.collect();
    let list = list.join(", ");
    if most - least < 2 {
        match (under_way, rests) {
            (true, true) => draft.messages.push(draft.subject.balanced(&list)),
            (true, false) => go_on(draft, &list),
            (false, _) => {}
        }
        return;
    }
    let there: Vec<_> =
        buckets.good().filter(|live| zone_of(draft, live) == Some(full)).copied().collect();
    if is_held_by_protection(draft, &there) {
        if under_way {
            stop(draft);
        }
        return;
    }
    let bounds = Bounds::of(&draft.service.deployment_configuration, draft.service.desired_count);
    let room = bounds.max > buckets.occupying();
    if under_way || (rests && room) {
        go_on(draft, &list);
    }
    if rests && room {
        replica::start_in(draft, empty);
    }
}

/// The operation is under way.
fn go_on(draft: &mut Draft<'_, '_>, zones: &str) {
    let message = draft.subject.unbalanced(zones);
    draft.conditions.push((Cause::ZonesUnbalanced, String::new(), message));
}

/// The operation ends before the zones are level.
fn stop(draft: &mut Draft<'_, '_>) {
    draft.messages.push(draft.subject.rebalancing_stopped());
}

/// Whether all tasks of the fullest zone are protected; then tells that.
fn is_held_by_protection(draft: &mut Draft<'_, '_>, there: &[Live<'_>]) -> bool {
    let now = draft.now();
    if there.is_empty() || !there.iter().all(|live| live.task.is_protected(now)) {
        return false;
    }
    let ends = there.iter().filter_map(|live| Some(live.task.protection?.expires_at)).min();
    if let Some(ends) = ends {
        draft.look_again(ends);
    }
    let deployment = draft.current().map(Deployment::label).unwrap_or_default();
    let message = draft.subject.zone_protected(&deployment, there.len());
    draft.conditions.push((Cause::ZoneProtected, String::new(), message));
    true
}
