//! The tasks of each revision, planned like those of a service of its own.

use alloc::vec;
use alloc::vec::Vec;

use super::super::buckets::Buckets;
use super::super::draft::Draft;
use super::super::events::Subject;
use super::super::{Plan, Situation, failures, images, replica};
use super::reconcile::is_elsewhere;
use crate::record::{
    Deployment, DeploymentStatus, LifecycleStage as Stage, Notice, RolloutState, Service,
    ServiceDeployment, Task,
};
use crate::time::Timestamp;

/// Events that a second revision adds at most to the transaction that changes the service.
const EVENTS: usize = 4;

/// Starts and stops tasks of each revision; a plan of each, and the conditions that hold for it.
pub(super) fn revisions(draft: &mut Draft<'_, '_>, reweighed: usize) -> Vec<(Plan, Vec<Notice>)> {
    let mut parts: Vec<(Plan, Vec<Notice>)> = Vec::new();
    let situation = draft.situation;
    let mut budget = draft.left();
    // Rules, and the events of two revisions, are in the transaction that changes the service.
    let taken = EVENTS + 2 * reweighed;
    budget.with_service = budget.with_service.saturating_sub(taken);
    if draft.turned_back {
        budget.moves = budget.moves.min(budget.with_service);
    }
    let mut deployments = core::mem::take(&mut draft.service.deployments);
    let mut gone = Vec::new();
    for deployment in &mut deployments {
        let role = role(draft.deployment.as_ref(), deployment);
        let wanted = match role {
            Role::Kept => draft.service.desired_count,
            Role::Awaited | Role::Left | Role::Replaced => 0,
        };
        let label = deployment.label();
        let own = |task: &&&Task| task.started_by.as_ref() == Some(&label);
        let tasks: Vec<&Task> = situation.tasks.iter().filter(own).copied().collect();
        let alone = alone(&draft.service, deployment, wanted);
        let part = Situation { service: &alone, deployment: None, tasks: &tasks, ..situation };
        let mut inner = Draft::new(&part, Subject::service(&alone.name), budget, &mut *draft.ids);
        inner.starts_later = parts.iter().any(|(plan, _)| plan.starts().next().is_some());
        images::resolve(&mut inner);
        let buckets = Buckets::of(&part, inner.current());
        if matches!(role, Role::Kept | Role::Replaced) {
            replica::decide(&mut inner, &buckets);
        }
        if let Some(own) = inner.service.deployments.first() {
            deployment.images.clone_from(&own.images);
        }
        let mut done = inner.finish();
        let notices = done.service.take().map_or_else(|| alone.notices.clone(), |s| s.notices);
        budget = budget.less(&done);
        parts.push((done, notices));
        let left = buckets.live.len();
        settle(deployment, role, wanted, left, draft.situation.now);
        if role == Role::Replaced && left == 0 {
            gone.push(deployment.id);
        }
    }
    deployments.retain(|deployment| !gone.contains(&deployment.id));
    draft.service.deployments = deployments;
    parts
}

/// What is to become of the tasks of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It has none yet.
    Awaited,
    /// As many as are wanted run.
    Kept,
    /// It has traffic yet, and keeps what it has, but gets no more: it is about to be replaced.
    Left,
    /// None is wanted any more.
    Replaced,
}

fn role(of: Option<&ServiceDeployment>, deployment: &Deployment) -> Role {
    let Some(of) = of else { return Role::Kept };
    let blue = of.shift.as_ref().and_then(|shift| shift.blue);
    let back = of.rollback.as_ref().map(|rollback| rollback.to);
    if Some(deployment.id) == blue || Some(deployment.id) == back {
        return Role::Kept;
    }
    if deployment.id != of.target {
        return if is_elsewhere(of) { Role::Left } else { Role::Replaced };
    }
    let waits = matches!(of.stage, Stage::ReconcileService | Stage::PreScaleUp);
    if waits { Role::Awaited } else { Role::Kept }
}

/// The service that a revision would be by itself.
fn alone(service: &Service, deployment: &Deployment, wanted: u32) -> Service {
    let deployment = Deployment { status: DeploymentStatus::Primary, ..deployment.clone() };
    Service {
        desired_count: wanted,
        retry_at: failures::retry_at(&deployment, wanted),
        deployments: vec![deployment],
        // Zones are levelled when there is one revision again.
        zone_rebalancing: false,
        completed: None,
        ..service.clone()
    }
}

fn settle(deployment: &mut Deployment, role: Role, wanted: u32, left: usize, now: Timestamp) {
    let shown = match role {
        Role::Left | Role::Replaced => u32::try_from(left).unwrap_or(u32::MAX),
        // What has failed gets no more tasks than it has.
        Role::Kept if deployment.rollout == RolloutState::Failed => {
            u32::try_from(left).unwrap_or(u32::MAX).min(wanted)
        }
        Role::Kept | Role::Awaited => wanted,
    };
    if deployment.desired_count != shown {
        deployment.desired_count = shown;
        deployment.updated_at = now;
    }
}
