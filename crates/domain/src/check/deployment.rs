//! Judges the plan of a service.

use alloc::string::String;
use alloc::vec::Vec;

use super::shift;
use super::task_sets::task_sets;
use crate::deploy::{Plan, Situation};
use crate::ids::TaskId;
use crate::record::{
    DeploymentController, DesiredStatus, HealthStatus, InstanceStatus, LifecycleStage,
    RolloutState, SchedulingStrategy, ServiceDeploymentStatus, ServiceStatus, Task, TaskStatus,
};
use crate::route::HealthState;

/// What is wrong with the plan of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeploymentViolation {
    /// It stops a task that is not the service's, or is on its way out already, or twice.
    Stop(TaskId),
    /// It stops a protected task of a service that is in use.
    Protected(TaskId),
    /// It starts a task whose id is taken, or on an instance that takes none.
    Start(TaskId),
    /// It starts more than the service wants.
    TooMany,
    /// It starts beyond the maximum percent.
    AboveMaximum {
        /// Tasks that would be there.
        tasks: usize,
        /// Tasks that may be there.
        max: usize,
    },
    /// It stops healthy tasks below the minimum healthy percent.
    BelowMinimum {
        /// Healthy tasks that would be left.
        healthy: usize,
        /// Healthy tasks that must be left.
        min: usize,
    },
    /// It starts tasks for a deployment that failed.
    StartsForFailed(u64),
    /// It starts tasks for a deployment that is being replaced, or that waits at a pause.
    StartsForWrong(u64),
    /// It starts tasks that cannot have their role.
    StartsWithoutRole(u64),
    /// It changes a service deployment that is over.
    Reopened,
    /// It gives production traffic to a group in which nothing is healthy, or weights that are no
    /// shares of a whole.
    Traffic(String),
    /// Two tasks of a daemon would be on one instance.
    Twice(TaskId),
}

/// Judges a plan by what it was made from.
pub fn deployment(situation: &Situation<'_>, plan: &Plan) -> Vec<DeploymentViolation> {
    let mut found = judged(situation, plan);
    for start in plan.starts() {
        if situation.refused_roles.contains_key(&(start.family.clone(), start.revision)) {
            found.push(DeploymentViolation::StartsWithoutRole(start.deployment));
        }
    }
    found
}

fn judged(situation: &Situation<'_>, plan: &Plan) -> Vec<DeploymentViolation> {
    let service = situation.service;
    if service.controller == DeploymentController::External
        && service.status == ServiceStatus::Active
    {
        return task_sets(situation, plan);
    }
    if shift::has_two(situation) {
        return shift::shift(situation, plan);
    }
    let judge = Judge { situation, plan };
    let mut found = judge.stops();
    found.extend(judge.starts());
    found.extend(judge.service_deployment());
    if situation.service.status == ServiceStatus::Active {
        found.extend(judge.maximum());
        found.extend(judge.minimum());
    }
    found
}

pub(super) struct Judge<'a> {
    pub(super) situation: &'a Situation<'a>,
    pub(super) plan: &'a Plan,
}

impl<'a> Judge<'a> {
    fn desired(&self) -> usize {
        let after = self.plan.service.as_ref().unwrap_or(self.situation.service);
        usize::try_from(after.desired_count).unwrap_or(usize::MAX)
    }

    /// Tasks that should run and do not end.
    fn wanted(&self) -> impl Iterator<Item = &'a Task> {
        self.situation.tasks.iter().copied().filter(|task| {
            task.desired == DesiredStatus::Running && task.observed.status <= TaskStatus::Running
        })
    }

    fn on_active_instance(&self, task: &Task) -> bool {
        let node = self.situation.fleet.node(task.instance);
        node.is_some_and(|node| node.instance.status == InstanceStatus::Active)
    }

    fn is_newest(&self, task: &Task) -> bool {
        let after = self.plan.service.as_ref().unwrap_or(self.situation.service);
        let held = usize::from(self.is_held() && after.deployments.len() > 1);
        let newest = after.deployments.get(held);
        let label = newest.map(|newest| alloc::format!("ecs-svc/{}", newest.id));
        label.is_some() && task.started_by == label
    }

    /// Whether the newest deployment waits before its first task.
    fn is_held(&self) -> bool {
        let deployment = self.plan.deployment.as_ref().or(self.situation.deployment);
        deployment.is_some_and(|deployment| {
            deployment.status == ServiceDeploymentStatus::InProgress
                && deployment.pauses.iter().any(|pause| {
                    let open = pause.answer.is_none() && !pause.timed_out;
                    open && pause.stage == LifecycleStage::PreScaleUp
                })
        })
    }

    /// Failed deployments start nothing, those that wait neither; what is over stays so.
    fn service_deployment(&self) -> Vec<DeploymentViolation> {
        let mut found = Vec::new();
        let after = self.plan.service.as_ref().unwrap_or(self.situation.service);
        for start in self.plan.starts() {
            let place = after.deployments.iter().position(|d| d.id == start.deployment);
            let failed = place.and_then(|place| after.deployments.get(place));
            if failed.is_none_or(|deployment| deployment.rollout == RolloutState::Failed) {
                found.push(DeploymentViolation::StartsForFailed(start.deployment));
            }
            if place != Some(usize::from(self.is_held())) {
                found.push(DeploymentViolation::StartsForWrong(start.deployment));
            }
        }
        let over = self.situation.deployment.is_some_and(|d| d.finished_at.is_some());
        if over && self.plan.deployment.is_some() {
            found.push(DeploymentViolation::Reopened);
        }
        found
    }

    fn stops(&self) -> Vec<DeploymentViolation> {
        let mut found = Vec::new();
        for (i, stop) in self.plan.stops().enumerate() {
            let task = self.wanted().find(|task| task.id == stop.task);
            let again = self.plan.stops().take(i).any(|other| other.task == stop.task);
            let in_use = self.situation.service.status == ServiceStatus::Active;
            match task {
                Some(task) if in_use && task.is_protected(self.situation.now) => {
                    found.push(DeploymentViolation::Protected(stop.task));
                }
                Some(_) if !again => {}
                _ => found.push(DeploymentViolation::Stop(stop.task)),
            }
        }
        found
    }

    fn starts(&self) -> Vec<DeploymentViolation> {
        let mut found = Vec::new();
        let assigned = || self.plan.starts().flat_map(|start| &start.assigned);
        for (i, (id, instance)) in assigned().enumerate() {
            let known = self.situation.tasks.iter().any(|task| task.id == *id);
            let node = self.situation.fleet.node(*instance);
            let takes = node.is_some_and(|node| {
                node.instance.status == InstanceStatus::Active && node.instance.connection.connected
            });
            if known || !takes {
                found.push(DeploymentViolation::Start(*id));
            }
            let there = self.situation.tasks.iter();
            let there = there.filter(|task| task.observed.status != TaskStatus::Stopped);
            let twice = there.clone().any(|task| task.instance == *instance)
                || assigned().take(i).any(|(_, other)| other == instance);
            if self.situation.service.scheduling_strategy == SchedulingStrategy::Daemon && twice {
                found.push(DeploymentViolation::Twice(*id));
            }
        }
        let unhealthy = |task: &Task| {
            self.health(task) == Some(HealthStatus::Unhealthy) || self.is_failing_target(task)
        };
        let usable = self.wanted().filter(|task| {
            self.is_newest(task) && self.on_active_instance(task) && !unhealthy(task)
        });
        // One task more moves to another zone.
        let moving = usize::from(self.situation.service.zone_rebalancing);
        let starts = assigned().count();
        if starts > 0 && usable.count() + starts > self.desired() + moving {
            found.push(DeploymentViolation::TooMany);
        }
        found
    }

    fn maximum(&self) -> Option<DeploymentViolation> {
        let starts = self.plan.starts().map(|start| start.assigned.len()).sum::<usize>();
        let there = self.situation.tasks.iter();
        let there = there.filter(|task| task.observed.status != TaskStatus::Stopped).count();
        let tasks = there + starts;
        let percent = self.situation.service.deployment_configuration.maximum_percent;
        let max = self.desired() * usize::try_from(percent).unwrap_or(usize::MAX) / 100;
        // A daemon's instance counts for itself: tasks that leave other instances are not in the
        // way.
        let replica = self.situation.service.scheduling_strategy == SchedulingStrategy::Replica;
        (replica && starts > 0 && tasks > max)
            .then_some(DeploymentViolation::AboveMaximum { tasks, max })
    }

    fn minimum(&self) -> Option<DeploymentViolation> {
        let healthy: Vec<&Task> = self.wanted().filter(|task| self.is_healthy(task)).collect();
        let stops = |task: &&&Task| self.plan.stops().any(|stop| stop.task == task.id);
        // A daemon's task leaves a draining instance whatever the minimum is.
        let daemon = self.situation.service.scheduling_strategy == SchedulingStrategy::Daemon;
        let excused = |task: &&&Task| daemon && !self.on_active_instance(task);
        let lost = healthy.iter().filter(stops).filter(|task| !excused(task)).count();
        let left = healthy.iter().filter(|task| !stops(task)).count();
        let percent = self.situation.service.deployment_configuration.minimum_healthy_percent;
        let min = (self.desired() * usize::try_from(percent).unwrap_or(0)).div_ceil(100);
        let below = lost > 0 && left < min;
        below.then_some(DeploymentViolation::BelowMinimum { healthy: left, min })
    }

    /// Whether every target group of the task's deployment finds it healthy; `None` without any.
    fn as_target(&self, task: &Task) -> Option<bool> {
        let mut deployments = self.situation.service.deployments.iter();
        let label = task.started_by.as_deref()?;
        let own = deployments.find(|d| alloc::format!("ecs-svc/{}", d.id) == label)?;
        let healthy = |group: &str| {
            let mut targets = self.situation.targets.get(&task.id).into_iter().flatten();
            targets.any(|target| {
                let state = target.health.state;
                target.target_group == group
                    && matches!(
                        state,
                        HealthState::Healthy | HealthState::Unused | HealthState::Unavailable
                    )
            })
        };
        let all = own.balancers.iter().all(|balancer| healthy(&balancer.target_group));
        (!own.balancers.is_empty()).then_some(all)
    }

    /// Whether a target group finds a task unhealthy, and its grace period is over.
    fn is_failing_target(&self, task: &Task) -> bool {
        let grace = self.situation.service.health_check_grace_period_s.unwrap_or(0);
        let started = task.observed.started_at.unwrap_or(task.created_at);
        let over = self.situation.now.saturating_since(started).as_secs() >= u64::from(grace);
        let mut targets = self.situation.targets.get(&task.id).into_iter().flatten();
        over && targets.any(|target| target.health.state == HealthState::Unhealthy)
    }

    /// Health by the checks of essential containers; `None` without any.
    fn health(&self, task: &Task) -> Option<HealthStatus> {
        let key = (task.family.clone(), task.revision);
        let spec = self.situation.specs.get(&key)?;
        let mut worst = None;
        for container in spec.containers.iter().filter(|c| c.essential && c.has_health_check) {
            let state = task.observed.containers.iter().find(|state| state.name == container.name);
            worst = match (worst, state.map_or(HealthStatus::Unknown, |state| state.health)) {
                (Some(HealthStatus::Unhealthy), _) | (_, HealthStatus::Unhealthy) => {
                    Some(HealthStatus::Unhealthy)
                }
                (Some(HealthStatus::Unknown), _) | (_, HealthStatus::Unknown) => {
                    Some(HealthStatus::Unknown)
                }
                _ => Some(HealthStatus::Healthy),
            };
        }
        worst
    }

    pub(super) fn is_healthy(&self, task: &Task) -> bool {
        if task.observed.status != TaskStatus::Running {
            return false;
        }
        if let Some(health) = self.health(task)
            && health != HealthStatus::Healthy
        {
            return false;
        }
        if let Some(healthy) = self.as_target(task) {
            return healthy;
        }
        if self.health(task).is_some() {
            return true;
        }
        let replacing = self.wanted().any(|other| !self.is_newest(other));
        let new = replacing && self.is_newest(task) && self.on_active_instance(task);
        let started = task.observed.started_at.unwrap_or(task.created_at);
        !new || self.situation.now.saturating_since(started).as_secs() >= 40
    }
}
