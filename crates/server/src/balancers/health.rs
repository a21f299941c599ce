//! Health of a target, from what all nodes have seen of it. Pure.

use std::collections::BTreeSet;

use longshore_domain::record::{Seen, Target, TargetGroup};
use longshore_domain::route::{Health, HealthReason, HealthState};

/// Health as AWS shows it: a target is as well as the node finds it that finds it worst.
pub(crate) fn health(group: &TargetGroup, target: &Target, group_is_used: bool) -> Health {
    let is = |state, reason, description: &str| Health {
        state,
        reason: Some(reason),
        description: Some(description.to_owned()),
        since: target.registered_at,
    };
    if target.deregistered_at.is_some() {
        return is(
            HealthState::Draining,
            HealthReason::DeregistrationInProgress,
            "Target deregistration is in progress",
        );
    }
    if !group_is_used {
        return is(
            HealthState::Unused,
            HealthReason::NotInUse,
            "Target group is not configured to receive traffic from the load balancer",
        );
    }
    if !group.health_check_enabled {
        return is(
            HealthState::Unavailable,
            HealthReason::HealthCheckDisabled,
            "Health checks are disabled for this target group",
        );
    }
    let bad = |health: &Health| match health.state {
        HealthState::Unhealthy => 2,
        HealthState::Healthy => 0,
        _ => 1,
    };
    let seen = target.seen.values().map(|seen| &seen.health);
    let worst = seen.max_by_key(|health| (bad(health), health.since));
    worst.cloned().unwrap_or_else(|| {
        is(
            HealthState::Initial,
            HealthReason::RegistrationInProgress,
            "Target registration is in progress",
        )
    })
}

/// The target without what nodes have seen of it that are gone; `None` where there is no such thing.
pub(crate) fn without_gone(target: &Target, present: &BTreeSet<String>) -> Option<Target> {
    if target.seen.keys().all(|node| present.contains(node)) {
        return None;
    }
    let mut next = target.clone();
    next.seen.retain(|node, _| present.contains(node));
    Some(next)
}

/// Whether every node that had this target, and every one of `asked`, knows that it leaves and has
/// nothing under way to it.
pub(crate) fn is_idle(target: &Target, asked: &BTreeSet<String>) -> bool {
    let idle = |seen: &Seen| seen.health.state == HealthState::Draining && seen.in_flight == 0;
    target.deregistered_at.is_some()
        && target.seen.values().all(idle)
        && asked.iter().all(|node| target.seen.contains_key(node))
}
