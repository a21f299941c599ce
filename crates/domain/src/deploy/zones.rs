//! Rebalancing of availability zones: where a steady service is spread unevenly, one task starts in
//! the emptiest zone, and when it serves, one in the fullest zone stops.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::bounds::Bounds;
use super::buckets::{Buckets, Condition, Live};
use super::draft::{Draft, Hold};
use super::{events, replica};
use crate::record::{Cause, InstanceStatus, RolloutState};
use crate::schedule::ZONE;

/// Name of a zone and number of tasks there, of every zone with instances that take tasks.
type Spread = BTreeMap<String, usize>;

fn zone_of<'a>(draft: &Draft<'a, '_>, live: &Live<'_>) -> Option<&'a String> {
    let node = draft.situation.fleet.node(live.task.instance)?;
    node.instance.attributes.get(ZONE)?.as_ref()
}

fn spread(draft: &Draft<'_, '_>, buckets: &Buckets<'_>) -> Spread {
    let nodes = draft.situation.fleet.nodes().iter();
    let takes = nodes.filter(|node| {
        node.instance.status == InstanceStatus::Active && node.instance.connection.connected
    });
    let mut spread: Spread =
        takes.filter_map(|node| Some((node.instance.attributes.get(ZONE)?.clone()?, 0))).collect();
    for live in buckets.good() {
        if let Some(count) = zone_of(draft, live).and_then(|zone| spread.get_mut(zone)) {
            *count += 1;
        }
    }
    spread
}

/// Of the tasks above the desired count those that may go: the ones in the fullest zone.
pub(super) fn surplus<'a>(
    draft: &Draft<'_, '_>,
    buckets: &Buckets<'_>,
    good: Vec<Live<'a>>,
) -> Vec<Live<'a>> {
    let spread = spread(draft, buckets);
    let fullest = spread.values().max().copied().unwrap_or_default();
    let there =
        |live: &&Live<'_>| zone_of(draft, live).and_then(|zone| spread.get(zone)) == Some(&fullest);
    let kept: Vec<_> = good.iter().filter(there).copied().collect();
    if kept.is_empty() { good } else { kept }
}

/// Tells whether the service is balanced, and starts a task if it is not.
pub(super) fn rebalance(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    let desired = usize::try_from(draft.service.desired_count).unwrap_or(usize::MAX);
    let now = draft.now();
    let rests = draft.plan.start.is_none()
        && draft.plan.stop.is_empty()
        && draft.plan.unplaced.is_none()
        && buckets.stopping.is_empty()
        && buckets.live.len() == desired
        && buckets.live.iter().all(|l| l.is_good() && l.condition == Condition::Serving);
    let complete = draft.current().is_some_and(|d| d.rollout == RolloutState::Completed);
    let spread = spread(draft, buckets);
    if !rests || !complete || draft.hold != Hold::Nothing || spread.len() < 2 {
        return;
    }
    let fullest = spread.iter().max_by_key(|(_, count)| **count);
    let emptiest = spread.iter().min_by_key(|(_, count)| **count);
    let (Some((full, most)), Some((empty, least))) = (fullest, emptiest) else { return };
    let list = spread.iter().map(|(zone, count)| format!("{count} tasks in {zone}"));
    let list: Vec<String> = list.collect();
    let list = list.join(", ");
    let service = draft.service.name.clone();
    if most - least < 2 {
        draft.conditions.push((
            Cause::ZonesBalanced,
            String::new(),
            events::balanced(&service, &list),
        ));
        return;
    }
    let movable = |l: &&Live<'_>| zone_of(draft, l) == Some(full) && !l.task.is_protected(now);
    let bounds = Bounds::of(&draft.service.deployment_configuration, draft.service.desired_count);
    if buckets.live.iter().find(movable).is_none() || bounds.max <= buckets.occupying() {
        return;
    }
    let text = events::unbalanced(&service, &list);
    draft.conditions.push((Cause::ZonesUnbalanced, String::new(), text));
    replica::start_in(draft, empty);
}
