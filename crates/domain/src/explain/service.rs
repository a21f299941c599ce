//! What a service waits for.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Cause, StopTimeouts, Wait, killed_at, task};
use crate::deploy::{self, Plan, Situation, Standing};
use crate::idle;
use crate::ids::{IdSource, InstanceId};
use crate::lifecycle;
use crate::limits;
use crate::record::{
    Cause as Noticed, Deployment, DeploymentController, DesiredStatus, HealthStatus,
    InstanceStatus, LifecycleStage, RolloutState, Service, ServiceDeployment,
    ServiceDeploymentStatus, ServiceStatus, Task, TaskStatus,
};
use crate::route::Outcome;
use crate::time::Timestamp;

/// Ids for a plan that nobody carries out.
#[derive(Debug)]
struct Throwaway(u128);

impl IdSource for Throwaway {
    fn next_id(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

/// Whether a service has what it wants: one deployment that is completed, and exactly the wanted
/// tasks, all of them RUNNING, of that deployment, not unhealthy, and on instances that stay.
pub fn is_steady(situation: &Situation<'_>) -> bool {
    let service = situation.service;
    match (service.status, service.controller) {
        (ServiceStatus::Inactive, _) => true,
        (ServiceStatus::Draining, _) => false,
        (ServiceStatus::Active, DeploymentController::External) => {
            service.task_sets.iter().all(|set| set.is_steady)
        }
        (ServiceStatus::Active, DeploymentController::Ecs) => {
            let [deployment] = service.deployments.as_slice() else { return false };
            let seen = Seen::of(situation);
            deployment.rollout == RolloutState::Completed
                && seen.live.len() == usize::try_from(service.desired_count).unwrap_or(usize::MAX)
                && seen.live.iter().all(|task| seen.serves(situation, task))
        }
    }
}

/// What a service waits for; nothing when it [is steady](is_steady), unless it sleeps.
pub fn service(situation: &Situation<'_>, timeouts: &StopTimeouts) -> Vec<Wait> {
    let mut waits: Vec<Wait> = asleep(situation.service).into_iter().collect();
    if is_steady(situation) {
        return waits;
    }
    let plan = deploy::plan(situation, &mut Throwaway(0));
    let seen = Seen::of(situation);
    if situation.service.status == ServiceStatus::Draining {
        let what = "its tasks to stop; then it is INACTIVE";
        waits.push(Wait::new(Cause::Deleting, what, "wait, or look at the tasks that stop"));
    } else {
        waits.extend(process(situation));
        waits.extend(role(situation, &plan));
        waits.extend(places(situation, &plan));
        waits.extend(sets(situation));
        waits.extend(conditions(situation, &seen));
    }
    waits.extend(agents(situation, &seen));
    waits.extend(stopping(&seen, timeouts));
    if waits.is_empty() {
        let what = "the service scheduler to look at it";
        let fix = "this takes less than a second; if it lasts, look at the server's log";
        waits.push(Wait::new(Cause::Scheduler, what, fix).until(plan.next));
    }
    waits
}

/// That nothing runs until somebody asks for it.
fn asleep(service: &Service) -> Option<Wait> {
    let (since, count) = idle::asleep(service)?;
    let what = "a request to its load balancer: it is scaled to zero";
    let fix = format!(
        "a request starts its tasks ({count}), and so does `aws ecs update-service --desired-count \
         {count}`; without the tag {} it is never scaled to zero",
        idle::TAG
    );
    Some(Wait::new(Cause::Asleep, what, fix).since(since))
}

/// The tasks of a service that have not ended.
struct Seen<'a> {
    /// Those that should run.
    live: Vec<&'a Task>,
    /// Those that are being stopped.
    stopping: Vec<&'a Task>,
    /// `startedBy` of those that are kept.
    current: Option<String>,
}

impl<'a> Seen<'a> {
    fn of(situation: &Situation<'a>) -> Self {
        let left = situation.tasks.iter().copied().filter(|task| !task.is_stopped());
        let (live, stopping) = left.partition(|task| {
            task.desired == DesiredStatus::Running && task.observed.status <= TaskStatus::Running
        });
        let current = situation.service.deployments.first().map(Deployment::label);
        Self { live, stopping, current }
    }

    fn is_current(&self, situation: &Situation<'_>, task: &Task) -> bool {
        let external = situation.service.controller == DeploymentController::External;
        external || (self.current.is_some() && task.started_by == self.current)
    }

    fn serves(&self, situation: &Situation<'_>, task: &Task) -> bool {
        self.is_current(situation, task)
            && task.observed.status == TaskStatus::Running
            && !leaves(situation, task)
            && matches!(health(situation, task), None | Some(HealthStatus::Healthy))
            && matches!(deploy::standing(situation, task), Standing::Alone | Standing::Healthy(_))
    }

    fn live(&self, takes: impl Fn(&Task) -> bool) -> Vec<&'a Task> {
        self.live.iter().copied().filter(|task| takes(task)).collect()
    }
}

/// Whether the instance of a task takes no tasks any more.
fn leaves(situation: &Situation<'_>, task: &Task) -> bool {
    let node = situation.fleet.node(task.instance);
    node.is_none_or(|node| node.instance.status != InstanceStatus::Active)
}

/// Health of a task that has a check.
fn health(situation: &Situation<'_>, task: &Task) -> Option<HealthStatus> {
    let spec = situation.specs.get(&(task.family.clone(), task.revision))?;
    lifecycle::has_health_check(spec).then(|| lifecycle::health(task, spec))
}

/// Where the deployment itself stands in the way.
fn process(situation: &Situation<'_>) -> Vec<Wait> {
    let service = situation.service;
    let mut waits = Vec::new();
    if let Some(deployment) = situation.deployment.filter(|d| !d.status.is_over()) {
        waits.extend(paused(deployment));
        waits.extend(baking(deployment, situation.now));
        waits.extend(rolling_back(deployment));
        waits.extend(breaker(service, deployment));
    }
    waits.extend(halted(situation));
    if let Some(primary) = service.deployments.first()
        && primary.rollout == RolloutState::Failed
    {
        let what = format!("somebody: {} has failed. {}", primary.label(), primary.rollout_reason);
        let fix = "update the service with a task definition that works";
        waits.push(Wait::new(Cause::Failed, what, fix).since(primary.updated_at));
    }
    if let Some(at) = service.retry_at.filter(|at| *at > situation.now) {
        let primary = service.deployments.first();
        waits.push(throttled(primary, at));
    }
    waits
}

fn throttled(deployment: Option<&Deployment>, until: Timestamp) -> Wait {
    let failed = deployment.map_or(0, |deployment| deployment.failed_starts);
    let what = format!("the next attempt: {failed} tasks in a row ended before they ran");
    let fix = "see why its stopped tasks ended; a new deployment starts at once";
    Wait::new(Cause::Throttled, what, fix)
        .since(deployment.and_then(|deployment| deployment.failed_at))
        .until(until)
}

fn paused(deployment: &ServiceDeployment) -> Option<Wait> {
    let pause = deployment.pauses.iter().find(|pause| pause.is_open())?;
    let hook = deployment.pause_hooks.iter().find(|hook| hook.stages.contains(&pause.stage));
    let minutes = hook.map(|hook| u64::from(hook.timeout_min));
    let since = minutes.map(|minutes| {
        let length = core::time::Duration::from_secs(minutes * 60);
        pause.expires_at - length
    });
    let stage = pause.stage.as_str();
    if let Some(call) = &pause.call {
        let what = format!("the webhook {} to let it go on at {stage}", call.url);
        let fix = "have it answer with hookStatus SUCCEEDED or FAILED";
        return Some(Wait::new(Cause::Paused, what, fix).since(since).until(pause.expires_at));
    }
    let what = format!("somebody to continue it: it is paused at {stage}");
    let fix = format!("`aws ecs continue-service-deployment` with the hook id {}", pause.id);
    Some(Wait::new(Cause::Paused, what, fix).since(since).until(pause.expires_at))
}

/// Both revisions stay for a while, and traffic where it is.
fn baking(deployment: &ServiceDeployment, now: Timestamp) -> Option<Wait> {
    let shift = deployment.shift.as_ref()?;
    let until = shift.until.filter(|until| *until > now)?;
    let (whole, tenths) = (shift.production.tenths() / 10, shift.production.tenths() % 10);
    let what = format!(
        "the time of {} to be over: the new revision has {whole}.{tenths}% of production traffic",
        deployment.stage.as_str()
    );
    let fix =
        "a shorter bake time is for the next deployment; StopServiceDeployment goes back at once";
    Some(Wait::new(Cause::Baking, what, fix).until(until))
}

/// A deployment was stopped where it was, between two revisions.
fn halted(situation: &Situation<'_>) -> Option<Wait> {
    let deployment = situation.deployment?;
    let shift = deployment.shift.as_ref().filter(|_| deployment.status.is_over())?;
    if !keeps_two(situation.deployment) || situation.service.deployments.len() < 2 {
        return None;
    }
    let (whole, tenths) = (shift.production.tenths() / 10, shift.production.tenths() % 10);
    let what = format!(
        "somebody: the deployment was stopped in {}, both revisions stay, and the new one has \
         {whole}.{tenths}% of production traffic",
        deployment.stage.as_str()
    );
    let fix = "update the service, with the revision that is to have all of it";
    Some(Wait::new(Cause::Failed, what, fix).since(deployment.finished_at))
}

/// Whether the tasks of two revisions are wanted.
fn keeps_two(deployment: Option<&ServiceDeployment>) -> bool {
    deployment.is_some_and(|d| d.shift.is_some() && d.stage != LifecycleStage::CleanUp)
}

fn rolling_back(deployment: &ServiceDeployment) -> Option<Wait> {
    let back = deployment.rollback.as_ref()?;
    if deployment.status != ServiceDeploymentStatus::RollbackInProgress {
        return None;
    }
    let what = format!("the way back to ecs-svc/{}: {}", back.to, back.reason);
    let fix = "correct what failed, and deploy again";
    Some(Wait::new(Cause::RollingBack, what, fix).since(back.started_at))
}

fn breaker(service: &Service, deployment: &ServiceDeployment) -> Option<Wait> {
    let state = deployment.breaker;
    if !state.enabled || state.failure_count == 0 || deployment.rollback.is_some() {
        return None;
    }
    let (count, threshold) = (state.failure_count, state.threshold);
    let what =
        format!("a task that works: the circuit breaker has {count} of {threshold} failures");
    let fix = "see why its stopped tasks ended";
    let since = service.deployments.first().and_then(|deployment| deployment.failed_at);
    Some(Wait::new(Cause::CircuitBreaker, what, fix).since(since))
}

/// Tasks without a place.
fn places(situation: &Situation<'_>, plan: &Plan) -> Option<Wait> {
    let report = plan.unplaced.as_ref()?;
    let notices = &situation.service.notices;
    let noticed = notices.iter().find(|notice| notice.cause == Noticed::Unplaced);
    let what = match report.closest() {
        None => String::from("a place for a task: the cluster has no container instances"),
        Some(refusal) => {
            let reasons: Vec<String> =
                refusal.reasons.iter().map(|reason| format!("{reason}")).collect();
            let (id, of) = (refusal.instance, report.refusals.len());
            let reasons = reasons.join("; ");
            format!(
                "a place for a task: none of {of} instances has one; the closest, {id}: {reasons}"
            )
        }
    };
    let fix = report.nearest_fix().unwrap_or_else(|| String::from("start an agent"));
    Some(Wait::new(Cause::NoPlace, what, fix).since(noticed.map(|notice| notice.at)))
}

/// The role without which nothing starts.
fn role(situation: &Situation<'_>, plan: &Plan) -> Option<Wait> {
    let refused = plan.refused_role.as_ref()?;
    let notices = &situation.service.notices;
    let noticed = notices.iter().find(|notice| notice.cause == Noticed::RoleRefused);
    let what = format!("a role that its tasks can have: {} ({})", refused.role, refused.why);
    let fix = "make the role, or have its trust policy allow sts:AssumeRole to \
               ecs-tasks.amazonaws.com; tasks start at once then";
    Some(Wait::new(Cause::Role, what, fix).since(noticed.map(|notice| notice.at)))
}

/// Task sets that are not steady.
fn sets(situation: &Situation<'_>) -> Vec<Wait> {
    let mut waits = Vec::new();
    for set in situation.service.task_sets.iter().filter(|set| !set.is_steady) {
        let label = set.label();
        let own = |task: &&&Task| task.started_by.as_ref() == Some(&label);
        let running = situation.tasks.iter().filter(own).filter(|task| deploy::is_running(task));
        let (running, wanted) = (running.count(), set.scale.of(situation.service.desired_count));
        let what = format!("task set {label}: {running} of {wanted} tasks run");
        let fix = "look at its tasks, or change its scale";
        let wait = Wait::new(Cause::Starting, what, fix).since(set.steady_changed_at);
        waits.push(wait);
        if let Some(at) = set.retry_at.filter(|at| *at > situation.now) {
            waits.push(throttled(Some(&set.deployment), at));
        }
    }
    waits
}

/// What the tasks that should run have yet to do, and what is in the way.
fn conditions(situation: &Situation<'_>, seen: &Seen<'_>) -> Vec<Wait> {
    let service = situation.service;
    let mut waits = Vec::new();
    let started = |tasks: &[&Task]| tasks.iter().filter_map(|t| t.observed.started_at).min();
    let mut add = |cause, tasks: &[&Task], what: &str, fix: &str, since| {
        if !tasks.is_empty() {
            waits.push(Wait::new(cause, format!("{} {what}", tasks.len()), fix).since(since));
        }
    };
    let pending = seen.live(|task| task.observed.status < TaskStatus::Running);
    let since = pending.iter().map(|task| task.created_at).min();
    add(Cause::Starting, &pending, "tasks to run", "`longshore ctl explain` one of them", since);
    let running = |task: &Task| task.observed.status == TaskStatus::Running;
    let of_health = |wanted| seen.live(|t| running(t) && health(situation, t) == Some(wanted));
    let fix = "see what the check says; a shorter interval or startPeriod tells sooner";
    let unknown = of_health(HealthStatus::Unknown);
    let what = "tasks to pass their first health check";
    add(Cause::HealthCheck, &unknown, what, fix, started(&unknown));
    let unhealthy = of_health(HealthStatus::Unhealthy);
    let what = "UNHEALTHY tasks to be replaced";
    add(Cause::HealthCheck, &unhealthy, what, "see what the health check says", None);
    let of_targets = |takes: fn(&Standing<'_>) -> bool| {
        seen.live(|task| running(task) && takes(&deploy::standing(situation, task)))
    };
    let waiting = of_targets(|standing| *standing == Standing::Waiting);
    let fix = "`aws elbv2 describe-target-health` says why; a shorter HealthCheckIntervalSeconds or \
               a lower HealthyThresholdCount tells sooner";
    let last = waiting.iter().find_map(|task| last_probe(situation, task));
    let (found, fix) = last.unwrap_or_else(|| (String::new(), fix));
    let what = format!("tasks to be healthy targets of their balancers{found}");
    add(Cause::TargetHealth, &waiting, &what, fix, started(&waiting));
    let failing = of_targets(|standing| matches!(standing, Standing::Unhealthy(_)));
    let last = failing.iter().chain(&waiting).find_map(|task| last_probe(situation, task));
    let (found, fix) = last.unwrap_or_else(|| (String::new(), CHECK_FIX));
    let what = format!("tasks that are unhealthy targets to be replaced{found}");
    add(Cause::TargetHealth, &failing, &what, fix, None);
    let leaving = seen.live(|task| leaves(situation, task));
    let fix = "set the instance ACTIVE again, or wait";
    let what = "tasks to leave instances that are DRAINING";
    add(Cause::DrainingInstance, &leaving, what, fix, None);
    let two = keeps_two(situation.deployment);
    let old = seen.live(|task| !seen.is_current(situation, task) && !two);
    let since = service.deployments.first().map(|d| d.resumed_at.unwrap_or(d.created_at));
    let fix = "a lower minimumHealthyPercent or a higher maximumPercent is faster";
    add(Cause::Replacing, &old, "tasks of earlier deployments to be replaced", fix, since);
    let surplus =
        seen.live.len().saturating_sub(usize::try_from(service.desired_count).unwrap_or(0));
    if surplus > 0 && !two && old.is_empty() && service.controller == DeploymentController::Ecs {
        let what = format!("{surplus} tasks to stop that are too many");
        waits.push(Wait::new(Cause::ScalingIn, what, "nothing: they stop as soon as they may"));
    }
    waits.extend(settling(situation, seen, !old.is_empty()));
    waits.extend(noticed(situation, seen));
    waits
}

/// What to do about a target that is not healthy, as far as nothing more is known.
const CHECK_FIX: &str = "see what the target answers to the health check, or give it a longer \
                         healthCheckGracePeriodSeconds";

/// How a task was last asked by a balancer, if that failed, and the likely fix.
fn last_probe(situation: &Situation<'_>, task: &Task) -> Option<(String, &'static str)> {
    let targets = situation.targets.get(&task.id)?;
    let (port, probe) = targets.iter().find_map(|t| Some((t.port, t.probe.as_ref()?)))?;
    let (outcome, fix) = match &probe.outcome {
        Outcome::Passed(_) => return None,
        Outcome::WrongCode(code) => (
            format!("answered {code}"),
            "have HealthCheckPath answer with a code of the target group's Matcher, or change either",
        ),
        Outcome::Refused => (
            String::from("refused the connection"),
            "have the container listen on its containerPort, on all of its addresses",
        ),
        Outcome::TimedOut => (
            String::from("did not answer in time"),
            "find out what keeps the container, or raise HealthCheckTimeoutSeconds",
        ),
        Outcome::Broken(what) => (
            format!("broke off ({what})"),
            "check that HealthCheckProtocol is what the container speaks",
        ),
    };
    let took = probe.took_ms;
    Some((format!(": port {port} {outcome} after {took} ms, at {}", probe.at), fix))
}

/// Tasks that have to run for a while before they count.
fn settling(situation: &Situation<'_>, seen: &Seen<'_>, replaces: bool) -> Option<Wait> {
    let length = if situation.fidelity.count_crash_loops {
        limits::CRASH_LOOP
    } else if replaces {
        limits::SETTLING_TIME
    } else {
        return None;
    };
    let runs = |task: &Task| {
        seen.is_current(situation, task)
            && task.observed.status == TaskStatus::Running
            && health(situation, task).is_none()
    };
    let started = seen.live(runs).into_iter().filter_map(|task| task.observed.started_at);
    let new: Vec<Timestamp> = started.filter(|at| *at + length > situation.now).collect();
    let (first, last) = (new.iter().min().copied()?, new.iter().max().copied()?);
    let (count, seconds) = (new.len(), length.as_secs());
    let what = format!("{count} new tasks to run for {seconds} s, since they have no health check");
    let fix = "give an essential container a health check: then its result decides";
    Some(Wait::new(Cause::Settling, what, fix).since(first).until(last + length))
}

/// Conditions that the scheduler has found and told of.
fn noticed(situation: &Situation<'_>, seen: &Seen<'_>) -> Vec<Wait> {
    let mut waits = Vec::new();
    for notice in &situation.service.notices {
        match notice.cause {
            Noticed::DeploymentBlocked => {
                let what = "room: minimumHealthyPercent forbids to stop a task, and \
                            maximumPercent to start one";
                let fix = "lower minimumHealthyPercent, or raise maximumPercent";
                let wait = Wait::new(Cause::DeploymentConfiguration, what, fix);
                waits.push(wait.since(notice.at));
            }
            Noticed::ScaleInProtected => {
                let held = seen.live(|task| task.is_protected(situation.now));
                let ends = held.iter().filter_map(|task| Some(task.protection?.expires_at)).min();
                let what = format!("the end of the protection of {} tasks", held.len());
                let fix = "`aws ecs update-task-protection --no-protection-enabled`";
                waits.push(Wait::new(Cause::Protected, what, fix).since(notice.at).until(ends));
            }
            _ => {}
        }
    }
    waits
}

/// Instances with tasks that are not where they should be, and whose agents cannot be told.
fn agents(situation: &Situation<'_>, seen: &Seen<'_>) -> Vec<Wait> {
    let unsettled = seen.live.iter().chain(&seen.stopping);
    let unsettled = unsettled.filter(|task| !seen.serves(situation, task));
    let instances: BTreeSet<InstanceId> = unsettled.map(|task| task.instance).collect();
    let nodes = instances.iter().filter_map(|id| situation.fleet.node(*id));
    nodes.filter_map(|node| task::unreachable(Some(node.instance), situation.fidelity)).collect()
}

fn stopping(seen: &Seen<'_>, timeouts: &StopTimeouts) -> Option<Wait> {
    let orders = seen.stopping.iter().filter_map(|task| {
        let at = task.stop.as_ref().map(|stop| stop.at).or(task.observed.execution_stopped_at)?;
        Some((at, killed_at(task, at, timeouts)))
    });
    let orders: Vec<(Timestamp, Timestamp)> = orders.collect();
    let since = orders.iter().map(|(at, _)| *at).min();
    let until = orders.iter().map(|(_, end)| *end).max();
    let what = format!("{} tasks to stop", seen.stopping.len());
    let fix = "let the containers end on SIGTERM, or give them a shorter stopTimeout";
    let drained = seen.stopping.iter().filter_map(|task| task.draining_until).max();
    if drained.is_some() {
        let what = "requests that are under way to tasks that are to stop";
        let fix = "wait, or give the target group a shorter deregistration delay";
        return Some(Wait::new(Cause::Draining, what, fix).since(since).until(drained));
    }
    let wait = Wait::new(Cause::Stopping, what, fix).since(since).until(until);
    (!seen.stopping.is_empty()).then_some(wait)
}
