//! Judges the plan of a service between whose revisions traffic shifts: each revision by its own tasks,
//! and the weights by who is healthy.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::deployment::{DeploymentViolation, Judge, deployment};
use super::task_sets::share;
use crate::deploy::{Plan, Situation};
use crate::record::{
    Deployment, DeploymentController, LifecycleStage, SchedulingStrategy, Service, ServiceStatus,
    Task,
};

/// Whether both revisions of a service are kept.
pub(super) fn has_two(situation: &Situation<'_>) -> bool {
    let service = situation.service;
    let Some(deployment) = situation.deployment else { return false };
    service.status == ServiceStatus::Active
        && service.controller == DeploymentController::Ecs
        && service.scheduling_strategy == SchedulingStrategy::Replica
        && deployment.shift.is_some()
        && deployment.stage != LifecycleStage::CleanUp
        && (deployment.finished_at.is_none() || service.deployments.len() > 1)
}

/// Judges a plan revision by revision.
pub(super) fn shift(situation: &Situation<'_>, plan: &Plan) -> Vec<DeploymentViolation> {
    let mut found = Vec::new();
    let after = plan.service.as_ref().unwrap_or(situation.service);
    let mut seen = Vec::new();
    for own in after.deployments.iter().chain(&situation.service.deployments) {
        if seen.contains(&own.id) {
            continue;
        }
        seen.push(own.id);
        let tasks = tasks_of(situation, own);
        let alone = alone(after, own, is_kept(situation, plan, own.id));
        let part = Situation { service: &alone, deployment: None, tasks: &tasks, ..*situation };
        found.extend(deployment(&part, &share(plan, own.id, &tasks)));
    }
    let of_none = plan.starts().filter(|start| !seen.contains(&start.deployment));
    found.extend(of_none.map(|start| DeploymentViolation::StartsForWrong(start.deployment)));
    let over = situation.deployment.is_some_and(|d| d.finished_at.is_some());
    if over && plan.deployment.is_some() {
        found.push(DeploymentViolation::Reopened);
    }
    found.extend(traffic(situation, plan, after));
    found
}

/// Whether a revision has tasks: the one that served, and the new one.
fn is_kept(situation: &Situation<'_>, plan: &Plan, id: u64) -> bool {
    let Some(of) = plan.deployment.as_ref().or(situation.deployment) else { return true };
    let blue = of.shift.as_ref().and_then(|shift| shift.blue);
    let back = of.rollback.as_ref().map(|rollback| rollback.to);
    id == of.target || Some(id) == blue || Some(id) == back
}

fn tasks_of<'a>(situation: &Situation<'a>, own: &Deployment) -> Vec<&'a Task> {
    let label = format!("ecs-svc/{}", own.id);
    let own = |task: &&&Task| task.started_by.as_deref() == Some(label.as_str());
    situation.tasks.iter().filter(own).copied().collect()
}

/// The service that a revision would be by itself.
fn alone(service: &Service, own: &Deployment, kept: bool) -> Service {
    Service {
        desired_count: if kept { service.desired_count } else { 0 },
        deployments: vec![own.clone()],
        zone_rebalancing: false,
        ..service.clone()
    }
}

/// Rules get shares of a whole, and no group gets production traffic anew in which nothing is healthy
/// while another group has something that is.
fn traffic(situation: &Situation<'_>, plan: &Plan, after: &Service) -> Vec<DeploymentViolation> {
    let mut found = Vec::new();
    let healthy = |group: &String| {
        let behind = after.deployments.iter().filter(|deployment| {
            deployment.balancers.iter().any(|balancer| balancer.target_group == *group)
        });
        behind.into_iter().any(|own| {
            let (tasks, alone) = (tasks_of(situation, own), alone(after, own, true));
            let part = Situation { service: &alone, deployment: None, tasks: &tasks, ..*situation };
            let judge = Judge { situation: &part, plan };
            tasks.iter().any(|task| judge.is_healthy(task))
        })
    };
    for change in &plan.reweigh {
        let total: u32 = change.groups.iter().map(|weighted| weighted.weight).sum();
        if total != 100 && total != 1000 {
            found.push(DeploymentViolation::Traffic(format!("{change:?}")));
        }
        let before = situation.rules.get(&change.rule);
        let had = |group: &String| {
            let mut before = before.into_iter().flatten();
            before.any(|weighted| weighted.group == *group && weighted.weight > 0)
        };
        let test = after.balancers.iter().filter_map(|balancer| balancer.advanced.as_ref());
        let mut test = test.filter_map(|advanced| advanced.test_rule.as_ref());
        if test.any(|rule| *rule == change.rule) || after.desired_count == 0 {
            continue;
        }
        let gets =
            change.groups.iter().filter(|weighted| weighted.weight > 0 && !had(&weighted.group));
        for anew in gets.filter(|anew| !healthy(&anew.group)) {
            let other = change.groups.iter().any(|weighted| healthy(&weighted.group));
            if other {
                found.push(DeploymentViolation::Traffic(format!(
                    "nothing serves in {}",
                    anew.group
                )));
            }
        }
    }
    found
}
