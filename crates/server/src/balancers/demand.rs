//! Services that scale to zero: what nodes have to know of them, and what nodes say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_domain::idle::{self, Heard, Marked};
use longshore_domain::record::{IdleState, Service, ServiceStatus};
use longshore_domain::route::{OnDemand, Report};
use longshore_domain::time::Timestamp;
use longshore_store::tables::ServiceIndex;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;

use crate::Server;
use crate::clock::RandomIds;

/// Services that one transaction changes.
const AT_ONCE: usize = 50;

/// The target groups for which a request may wait until there is a target, by ARN.
pub(super) fn groups(view: &View) -> BTreeMap<&str, OnDemand> {
    let mut found: BTreeMap<&str, OnDemand> = BTreeMap::new();
    for row in view.services.by(&ServiceIndex::ScalesToZero) {
        let Some(marked) = Marked::of(&row.tags).filter(|_| waits(row)) else { continue };
        let hold_ms = u32::try_from(marked.hold.as_millis()).unwrap_or(u32::MAX);
        for group in idle::target_groups(row) {
            // Of several services one group may have, the most patient one counts.
            let known = found.entry(group).or_insert(OnDemand { hold_ms, queue: idle::QUEUE });
            known.hold_ms = known.hold_ms.max(hold_ms);
        }
    }
    found
}

fn waits(service: &Service) -> bool {
    let able = |state| !matches!(state, IdleState::Unable(_));
    service.status == ServiceStatus::Active && service.idle.is_some_and(|idle| able(idle.state))
}

/// Takes in what a node says of groups for which requests come and wait.
///
/// # Errors
/// The store cannot be reached; the node says it again.
pub(super) async fn heard(
    server: &Server,
    report: &Report,
    now: Timestamp,
) -> Result<(), ServiceError> {
    if report.wanted.is_empty() && report.used.is_empty() {
        return Ok(());
    }
    let wanted: BTreeSet<&str> = report.wanted.iter().map(String::as_str).collect();
    let used: BTreeMap<&str, u64> =
        report.used.iter().map(|(group, since)| (group.as_str(), *since)).collect();
    let said = |service: &Service| {
        let groups = || idle::target_groups(service);
        let is_wanted = groups().any(|group| wanted.contains(group));
        let since = groups().filter_map(|group| used.get(group)).min();
        let since = since.map(|since| Duration::from_millis(*since));
        let used_at = since.map(|since| now - since).or(is_wanted.then_some(now))?;
        Some(Heard { used_at, is_wanted })
    };
    let mut decide = |view: &View, txn: &mut RecordTxn| -> Result<bool, ServiceError> {
        let mut changed = 0;
        for row in view.services.by(&ServiceIndex::ScalesToZero) {
            let Some(heard) = said(row) else { continue };
            let plan = idle::heard(row, heard, now, &mut RandomIds);
            let Some(next) = &plan.service else { continue };
            txn.update(row, next);
            plan.event.iter().for_each(|event| _ = txn.insert(event));
            changed += 1;
            if changed == AT_ONCE {
                return Ok(true);
            }
        }
        Ok(false)
    };
    // A request waits for this: nothing is as it was on the strength of a view alone.
    while if wanted.is_empty() {
        server.decide_as_seen(&mut decide).await?
    } else {
        server.decide(&mut decide).await?
    } {}
    Ok(())
}
