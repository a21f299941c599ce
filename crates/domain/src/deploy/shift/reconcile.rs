//! Traffic that a deployment has left where it was cut short, and how it comes back to the revision that
//! served before.
//!
//! That revision may have been scaled in meanwhile, so it is started again first; whoever has the traffic
//! keeps it until then.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::bounds::Bounds;
use super::super::buckets::Buckets;
use super::super::draft::Draft;
use super::super::traffic::{self, Reweigh, Which};
use super::{by_id, change_shift, desired, green, serving, shift};
use crate::record::{Deployment, LifecycleStage as Stage, ServiceDeployment, Share, Shift};

/// Whether traffic can go to the old revision, which may have to be started again: as many of its tasks serve
/// as there must be, or no others do.
pub(super) fn is_restored(
    draft: &Draft<'_, '_>,
    blue: Option<&Deployment>,
    buckets: &Buckets<'_>,
) -> bool {
    let Some(blue) = blue else { return true };
    let service = &draft.service;
    let bounds = Bounds::of(&service.deployment_configuration, service.desired_count);
    let enough = bounds.min.max(1).min(desired(draft));
    let mut others = service.deployments.iter().filter(|other| other.id != blue.id);
    serving(blue, buckets) >= enough || others.all(|other| serving(other, buckets) == 0)
}

/// Whether traffic is still where a deployment has left it that was cut short: in the group that the new
/// revision takes, which counts as having all of it until then.
pub(super) fn is_elsewhere(deployment: &ServiceDeployment) -> bool {
    let left = |shift: &Shift| shift.takes_over && shift.production != Share::NONE;
    deployment.stage == Stage::ReconcileService && deployment.shift.as_ref().is_some_and(left)
}

/// Brings traffic that [`is_elsewhere`] to the old revision; nothing as long as that is not there.
pub(super) fn reconcile(
    draft: &mut Draft<'_, '_>,
    buckets: &Buckets<'_>,
) -> Result<Option<Vec<Reweigh>>, String> {
    if !draft.deployment.as_ref().is_some_and(is_elsewhere) {
        return Ok(Some(Vec::new()));
    }
    let blue = shift(draft).and_then(|shift| shift.blue);
    if !is_restored(draft, by_id(&draft.service, blue), buckets) {
        return Ok(None);
    }
    let Some(green) = green(draft) else { return Ok(Some(Vec::new())) };
    let rules = draft.situation.rules;
    let mut changes = traffic::reweigh(green, rules, Which::Production, Share::NONE)?;
    changes.extend(traffic::reweigh(green, rules, Which::Test, Share::NONE)?);
    change_shift(draft, |shift| shift.production = Share::NONE);
    Ok(Some(changes))
}
