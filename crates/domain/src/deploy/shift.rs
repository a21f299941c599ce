//! Deployments that keep two revisions and shift traffic: the new one (green) is scaled up in the
//! target group that does not serve, gets test traffic, then production traffic, and after the bake time
//! the old one (blue) goes.
//!
//! A stage is left in one pass and transaction, together with the weights of rules that go with it, so
//! that traffic is always where the record says. Each revision is kept like a service of its own.
//! Production traffic goes to green only while as many of its tasks serve as are wanted. On the way back
//! traffic goes to blue first, all of it, and then green goes. From the last stage on, when old tasks stop,
//! the deployment is planned as a rolling one is.

mod keep;
mod reconcile;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::buckets::{Buckets, Condition};
use super::draft::{Budget, Draft, Hold};
use super::events::Subject;
use super::hooks::{self, Settled};
use super::traffic::{self, Reweigh, Which};
use super::{Plan, Situation, failures, process, sets};
use crate::ids::IdSource;
use crate::record::{
    Completed, Deployment, DeploymentController, LifecycleStage as Stage, Notice,
    SchedulingStrategy, Service, ServiceDeploymentStatus as Status, ServiceStatus, Share, Shift,
    ShiftStrategy,
};
use reconcile::{is_restored, reconcile};

/// Whether the service has two revisions between which traffic shifts, or soon will have.
pub(super) fn applies(situation: &Situation<'_>) -> bool {
    let service = situation.service;
    service.status == ServiceStatus::Active
        && service.controller == DeploymentController::Ecs
        && service.scheduling_strategy == SchedulingStrategy::Replica
        && situation.deployment.is_some_and(|deployment| {
            deployment.shift.is_some()
                && deployment.stage != Stage::CleanUp
                && (!deployment.status.is_over() || service.deployments.len() > 1)
        })
}

/// Decides what such a service needs next.
pub(super) fn plan(situation: &Situation<'_>, ids: &mut dyn IdSource) -> Plan {
    let subject = Subject::service(&situation.service.name);
    let mut draft = Draft::new(situation, subject, Budget::whole(), ids);
    draft.hold = Hold::Nothing;
    let buckets = Buckets::of(situation, draft.current());
    failures::count(&mut draft, &buckets);
    let reweigh = advance(&mut draft, &buckets);
    let kept = keep::revisions(&mut draft, reweigh.len());
    let mut whole = draft.finish();
    whole.reweigh = reweigh;
    let mut service = whole.service.take().unwrap_or_else(|| situation.service.clone());
    for (part, notices) in kept {
        let known = |new: &Notice| {
            let mut known = service.notices.iter();
            known.any(|old| old.cause == new.cause && old.detail == new.detail)
        };
        let new: Vec<Notice> = notices.into_iter().filter(|new| !known(new)).collect();
        service.notices.extend(new);
        sets::merge(&mut whole, part);
    }
    sets::put_in_order(&mut whole);
    whole.service = (service != *situation.service).then_some(service);
    whole
}

/// The state of the shift.
fn shift<'d>(draft: &'d Draft<'_, '_>) -> Option<&'d Shift> {
    draft.deployment.as_ref()?.shift.as_ref()
}

fn change_shift(draft: &mut Draft<'_, '_>, change: impl FnOnce(&mut Shift)) {
    draft.change_deployment(|deployment| {
        if let Some(shift) = &mut deployment.shift {
            change(shift);
        }
    });
}

fn by_id(service: &Service, id: Option<u64>) -> Option<&Deployment> {
    service.deployments.iter().find(|deployment| Some(deployment.id) == id)
}

/// The new revision.
fn green<'d>(draft: &'d Draft<'_, '_>) -> Option<&'d Deployment> {
    by_id(&draft.service, draft.deployment.as_ref().map(|deployment| deployment.target))
}

/// Tasks of a deployment that serve.
fn serving(deployment: &Deployment, buckets: &Buckets<'_>) -> usize {
    let label = Some(deployment.label());
    let own = buckets.live.iter().filter(|live| live.task.started_by == label);
    own.filter(|live| live.condition == Condition::Serving && !live.leaving).count()
}

fn desired(draft: &Draft<'_, '_>) -> usize {
    usize::try_from(draft.service.desired_count).unwrap_or(usize::MAX)
}

/// Whether as many tasks of the new revision serve as are wanted.
fn is_green_ready(draft: &Draft<'_, '_>, buckets: &Buckets<'_>) -> bool {
    green(draft).is_some_and(|green| serving(green, buckets) >= desired(draft))
}

/// What becomes of the deployment in this pass, and the rules that change with it.
fn advance(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) -> Vec<Reweigh> {
    let now = draft.now();
    let Some(status) = draft.deployment.as_ref().map(|d| d.status) else { return Vec::new() };
    let mut brought_back = Vec::new();
    match status {
        Status::StopRequested => {
            match reconcile(draft, buckets) {
                Ok(Some(changes)) => brought_back = changes,
                Ok(None) => return Vec::new(),
                // Its rules are gone, and with them what there was to bring back.
                Err(_) => {}
            }
            // Whoever has traffic goes on.
            if shift(draft).is_none_or(|shift| shift.production == Share::NONE) {
                process::halt(draft, stopped);
            }
            draft.change_deployment(|d| process::end(d, Status::Stopped, process::ASKED, now));
        }
        Status::RollbackRequested => take_back(draft, process::ASKED_BACK),
        status if !status.is_over() => {
            remember(draft);
            process::trip(draft);
        }
        _ => {}
    }
    let status = draft.deployment.as_ref().map(|d| d.status);
    let went = match status {
        Some(Status::Pending) => begin(draft, buckets),
        Some(Status::InProgress) => step(draft, buckets),
        _ => Ok(Vec::new()),
    };
    let mut changes = went.unwrap_or_else(|why| {
        take_back(draft, &why);
        Vec::new()
    });
    changes.extend(brought_back);
    if draft.deployment.as_ref().is_some_and(|d| d.status == Status::RollbackInProgress) {
        changes.extend(come_back(draft, buckets));
    }
    changes
}

fn stopped(label: &str) -> String {
    format!("ECS deployment {label} was stopped.")
}

fn take_back(draft: &mut Draft<'_, '_>, why: &str) {
    process::halt(draft, stopped);
    remember(draft);
    process::go_back(draft, why);
}

/// Where no deployment was ever completed, there is still the one that served when this one began.
fn remember(draft: &mut Draft<'_, '_>) {
    let under_way = draft.deployment.as_ref().is_some_and(|d| d.rollback.is_none());
    let blue = shift(draft).and_then(|shift| shift.blue);
    if let Some(deployment) = by_id(&draft.service, blue).cloned()
        && under_way
        && draft.service.completed.is_none()
    {
        let document = draft.service.document.clone();
        draft.service.completed = Some(Completed { deployment, document });
    }
}

/// The deployment begins: which revision serves, which group the new one takes, and that the rules are as
/// they have to be.
fn begin(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) -> Result<Vec<Reweigh>, String> {
    let now = draft.now();
    let target = draft.deployment.as_ref().map(|deployment| deployment.target);
    let older = || draft.service.deployments.iter().filter(|d| Some(d.id) != target);
    let completed = draft.service.completed.as_ref().map(|completed| completed.deployment.id);
    let blue = older()
        .find(|deployment| Some(deployment.id) == completed)
        .or_else(|| older().find(|deployment| serving(deployment, buckets) > 0))
        .cloned();
    let cut_short = shift(draft).is_some_and(|shift| shift.takes_over);
    let reconciles = cut_short || older().count() > 1;
    let rules = draft.situation.rules;
    draft.change_deployment(|deployment| {
        deployment.status = Status::InProgress;
        deployment.started_at = Some(now);
        deployment.updated_at = now;
    });
    let Some(mut new) = green(draft).cloned() else { return Ok(Vec::new()) };
    new.balancers = traffic::facing_idle(&new.balancers, blue.as_ref(), rules, cut_short)?;
    let mut changes = traffic::reweigh(&new, rules, Which::Production, Share::NONE)?;
    let waits = cut_short && !changes.is_empty() && !is_restored(draft, blue.as_ref(), buckets);
    if cut_short {
        changes.extend(traffic::reweigh(&new, rules, Which::Test, Share::NONE)?);
    }
    if waits {
        changes.clear();
    }
    change_shift(draft, |shift| {
        shift.production = if waits { Share::WHOLE } else { Share::NONE };
        shift.blue = blue.map(|blue| blue.id);
        shift.balancers.clone_from(&new.balancers);
    });
    if let Some(own) = draft.service.deployments.iter_mut().find(|d| d.id == new.id) {
        own.balancers = new.balancers;
    }
    enter(draft, if reconciles { Stage::ReconcileService } else { Stage::PreScaleUp });
    Ok(changes)
}

fn enter(draft: &mut Draft<'_, '_>, stage: Stage) {
    let now = draft.now();
    draft.change_deployment(|deployment| {
        deployment.stage = stage;
        deployment.updated_at = now;
    });
    hooks::open(draft, stage);
}

/// Takes the next step of a deployment that is under way, if it is time.
fn step(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) -> Result<Vec<Reweigh>, String> {
    let rules = draft.situation.rules;
    let known = green(draft)
        .map(|green| traffic::rules_of(&green.balancers).all(|rule| rules.contains_key(rule)));
    if known == Some(false) {
        return Err(traffic::rules_are_gone());
    }
    match hooks::settle(draft) {
        Settled::Back(why) => return Err(why),
        Settled::Waiting => return Ok(Vec::new()),
        Settled::Clear => {}
    }
    let now = draft.now();
    let Some(shift) = shift(draft).cloned() else { return Ok(Vec::new()) };
    let ready = is_green_ready(draft, buckets);
    let over = shift.until.is_none_or(|until| until <= now);
    let minutes = |n: u32| Some(now + Duration::from_secs(u64::from(n) * 60));
    match draft.deployment.as_ref().map(|deployment| deployment.stage) {
        Some(Stage::ReconcileService) => {
            let Some(changes) = reconcile(draft, buckets)? else { return Ok(Vec::new()) };
            enter(draft, Stage::PreScaleUp);
            return Ok(changes);
        }
        Some(Stage::PreScaleUp) => enter(draft, Stage::ScaleUp),
        Some(Stage::ScaleUp) if ready => enter(draft, Stage::PostScaleUp),
        Some(Stage::PostScaleUp) => {
            let changes = turn(draft, Which::Test, Share::WHOLE)?;
            change_shift(draft, |shift| shift.test = Share::WHOLE);
            enter(draft, Stage::TestTrafficShift);
            return Ok(changes);
        }
        Some(Stage::TestTrafficShift) => enter(draft, Stage::PostTestTrafficShift),
        Some(Stage::PostTestTrafficShift) => enter(draft, Stage::PreProductionTrafficShift),
        Some(Stage::PreProductionTrafficShift) if ready => {
            let strategy = strategy(draft, &shift);
            let share = strategy.after(shift.production);
            let changes = turn(draft, Which::Production, share)?;
            change_shift(draft, |shift| {
                shift.production = share;
                shift.until = minutes(strategy.step_bake_min()).filter(|_| share != Share::WHOLE);
            });
            enter(draft, Stage::ProductionTrafficShift);
            return Ok(changes);
        }
        Some(Stage::ProductionTrafficShift) if shift.production == Share::WHOLE => {
            enter(draft, Stage::PostProductionTrafficShift);
        }
        Some(Stage::ProductionTrafficShift) if over => {
            enter(draft, Stage::PreProductionTrafficShift);
        }
        Some(Stage::PostProductionTrafficShift) => {
            change_shift(draft, |shift| shift.until = minutes(shift.config.bake_min));
            enter(draft, Stage::BakeTime);
        }
        Some(Stage::BakeTime) if over && ready => clean_up(draft),
        _ => {}
    }
    if let Some(until) = shift.until.filter(|until| *until > now) {
        draft.look_again(until);
    }
    Ok(Vec::new())
}

/// In which steps traffic shifts: at once where nothing of the old revision gets the rest.
fn strategy(draft: &Draft<'_, '_>, shift: &Shift) -> ShiftStrategy {
    let old = by_id(&draft.service, shift.blue);
    let mut balancers = green(draft).into_iter().flat_map(|green| &green.balancers);
    let shares = old.is_some_and(|old| balancers.all(|b| traffic::place_of(old, b).is_some()));
    if shares { shift.config.strategy } else { ShiftStrategy::BlueGreen }
}

/// Gives the new revision this share.
fn turn(draft: &mut Draft<'_, '_>, which: Which, share: Share) -> Result<Vec<Reweigh>, String> {
    let Some(green) = green(draft) else { return Ok(Vec::new()) };
    let changes = traffic::reweigh(green, draft.situation.rules, which, share)?;
    let label = green.label();
    if !changes.is_empty() {
        let kind = if which == Which::Test { "test" } else { "production" };
        draft.messages.push(draft.subject.shifted(kind, share, &label));
    }
    Ok(changes)
}

/// From here on there is no way back: the old tasks stop, and a later deployment that fails comes
/// back to the new revision.
fn clean_up(draft: &mut Draft<'_, '_>) {
    let document = draft.service.document.clone();
    if let Some(deployment) = green(draft).cloned() {
        draft.service.completed = Some(Completed { deployment, document });
    }
    change_shift(draft, |shift| shift.until = None);
    enter(draft, Stage::CleanUp);
}

/// The way back: traffic, then whoever wants to know of it, then the tasks of the new revision.
fn come_back(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) -> Vec<Reweigh> {
    // Whatever a hook says of it now, it is the way back.
    let _ = hooks::settle(draft);
    let Some(shift) = shift(draft).cloned() else { return Vec::new() };
    if shift.production == Share::NONE && shift.test == Share::NONE {
        if !has_calls(draft) {
            leave_hooks(draft);
            enter(draft, Stage::CleanUp);
        }
        return Vec::new();
    }
    let Some(blue) = draft.service.deployments.first() else { return Vec::new() };
    let new = green(draft);
    if !is_restored(draft, Some(blue), buckets) {
        return Vec::new();
    }
    let rules = draft.situation.rules;
    let mut changes = Vec::new();
    for which in [Which::Production, Which::Test] {
        // A rule that forwards elsewhere by now, or is gone, is no concern of the way back.
        let turned = new.map(|new| traffic::reweigh(new, rules, which, Share::NONE));
        changes.extend(turned.and_then(Result::ok).into_iter().flatten());
    }
    let label = blue.label();
    if !changes.is_empty() {
        draft.messages.push(draft.subject.shifted("production", Share::WHOLE, &label));
    }
    change_shift(draft, |shift| {
        (shift.production, shift.test) = (Share::NONE, Share::NONE);
        shift.until = None;
    });
    leave_hooks(draft);
    draft.change_deployment(|deployment| deployment.stage = Stage::ProductionTrafficShift);
    hooks::open_calls(draft, Stage::TestTrafficShift);
    hooks::open_calls(draft, Stage::ProductionTrafficShift);
    changes
}

/// Whether webhooks have yet to be told that traffic is back.
fn has_calls(draft: &Draft<'_, '_>) -> bool {
    let recurs = |stage| matches!(stage, Stage::TestTrafficShift | Stage::ProductionTrafficShift);
    draft.deployment.as_ref().is_some_and(|deployment| {
        let mut open = deployment.pauses.iter().filter(|pause| pause.is_open());
        open.any(|pause| pause.call.is_some() && recurs(pause.stage))
    })
}

/// Nobody waits any more for what has not answered.
fn leave_hooks(draft: &mut Draft<'_, '_>) {
    draft.change_deployment(|deployment| deployment.pauses.retain(|pause| !pause.is_open()));
}
