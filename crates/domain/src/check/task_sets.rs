//! Judges the plan of a service with task sets: each set by its own tasks and its share of the
//! desired count, as if it were a service.

use alloc::vec;
use alloc::vec::Vec;

use super::deployment::{DeploymentViolation, deployment};
use crate::deploy::{Plan, Portion, Situation};
use crate::ids::TaskId;
use crate::record::{DeploymentController, Service, ServiceStatus, Task, TaskSet, TaskSetStatus};

/// Judges a plan set by set.
pub(super) fn task_sets(situation: &Situation<'_>, plan: &Plan) -> Vec<DeploymentViolation> {
    let mut found = Vec::new();
    let sets = &situation.service.task_sets;
    for set in sets {
        let label = alloc::format!("ecs-svc/{}", set.deployment.id);
        let own = |task: &&&Task| task.started_by.as_deref() == Some(label.as_str());
        let tasks: Vec<&Task> = situation.tasks.iter().filter(own).copied().collect();
        let alone = alone(situation.service, set);
        let part = Situation { service: &alone, deployment: None, tasks: &tasks, ..*situation };
        found.extend(deployment(&part, &share(plan, set.deployment.id, &tasks)));
        if set.status == TaskSetStatus::Draining
            && let Some(start) = plan.starts().find(|s| s.deployment == set.deployment.id)
        {
            found.push(DeploymentViolation::StartsForWrong(start.deployment));
        }
    }
    let of_none =
        plan.starts().filter(|s| sets.iter().all(|set| set.deployment.id != s.deployment));
    found.extend(of_none.map(|start| DeploymentViolation::StartsForWrong(start.deployment)));
    let labels: Vec<_> =
        sets.iter().map(|set| alloc::format!("ecs-svc/{}", set.deployment.id)).collect();
    let of_a_set = |id: TaskId| {
        let task = situation.tasks.iter().find(|task| task.id == id);
        task.is_some_and(|task| labels.iter().any(|label| task.started_by.as_ref() == Some(label)))
    };
    let strays = plan.stops().filter(|stop| !of_a_set(stop.task));
    found.extend(strays.map(|stop| DeploymentViolation::Stop(stop.task)));
    found
}

/// The service that a set would be by itself.
fn alone(service: &Service, set: &TaskSet) -> Service {
    let whole = u64::from(service.desired_count) * u64::from(set.scale.millionths());
    let (status, wanted) = match set.status {
        TaskSetStatus::Draining => (ServiceStatus::Draining, 0),
        _ => (ServiceStatus::Active, whole.div_ceil(100_000_000)),
    };
    Service {
        status,
        controller: DeploymentController::Ecs,
        desired_count: u32::try_from(wanted).unwrap_or(u32::MAX),
        deployments: vec![set.deployment.clone()],
        task_sets: Vec::new(),
        ..service.clone()
    }
}

/// What of a plan is about one set.
pub(super) fn share(plan: &Plan, set: u64, tasks: &[&Task]) -> Plan {
    let own = |id: &TaskId| tasks.iter().any(|task| task.id == *id);
    let part = |portion: &Portion| Portion {
        start: portion.start.clone().filter(|start| start.deployment == set),
        stop: portion.stop.iter().filter(|stop| own(&stop.task)).cloned().collect(),
        events: Vec::new(),
    };
    Plan { ahead: plan.ahead.iter().map(part).collect(), last: part(&plan.last), ..Plan::default() }
}
