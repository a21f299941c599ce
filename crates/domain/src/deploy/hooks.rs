//! Lifecycle hooks: where a deployment waits for somebody, or for the answer of a webhook.
//!
//! All hooks of a stage run at the same time, and the deployment goes on when all of them let it; one
//! that does not takes it back. A webhook stands where AWS calls a Lambda function: whom to call, with
//! what, and what follows from the answer is decided here; whoever posts it may do so twice.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::value::RawValue;

use super::draft::Draft;
use crate::limits;
use crate::record::{
    Document, HookAction, HookCall, LifecycleStage, Pause, PauseHook, ServiceDeployment, Share,
    TrafficKind,
};
use crate::time::Timestamp;

/// What came of the hooks so far.
pub(super) enum Settled {
    /// All let the deployment go on.
    Clear,
    /// Some have not answered.
    Waiting,
    /// The deployment goes back, and why.
    Back(String),
}

/// Opens the hooks of a stage that the deployment enters.
pub(super) fn open(draft: &mut Draft<'_, '_>, stage: LifecycleStage) {
    open_some(draft, stage, |_| true);
}

/// Opens the webhooks of a stage: nobody has to let a deployment go back.
pub(super) fn open_calls(draft: &mut Draft<'_, '_>, stage: LifecycleStage) {
    open_some(draft, stage, |hook| hook.webhook.is_some());
}

fn open_some(
    draft: &mut Draft<'_, '_>,
    stage: LifecycleStage,
    wanted: impl Fn(&PauseHook) -> bool,
) {
    let now = draft.now();
    let hooks: Vec<PauseHook> = draft.service.pause_hooks.clone();
    let hooks = hooks.into_iter().filter(|hook| hook.stages.contains(&stage) && wanted(hook));
    let mut pauses = Vec::new();
    for hook in hooks {
        let kind = if hook.webhook.is_some() { "lambda" } else { "pause" };
        let expires_at = now + Duration::from_secs(u64::from(hook.timeout_min) * 60);
        draft.look_again(expires_at);
        pauses.push(Pause {
            id: format!("ecs-{kind}-{:032x}", draft.ids.next_id()),
            stage,
            expires_at,
            timeout_action: hook.action,
            answer: None,
            timed_out: false,
            call: draft.deployment.as_ref().and_then(|of| call(of, stage, hook, now)),
        });
    }
    draft.change_deployment(|deployment| {
        // A stage that comes again has hooks of its own.
        deployment.pauses.retain(|pause| pause.stage != stage);
        if !pauses.is_empty() {
            deployment.updated_at = now;
        }
        deployment.pauses.extend(pauses);
    });
}

fn call(
    deployment: &ServiceDeployment,
    stage: LifecycleStage,
    hook: PauseHook,
    now: Timestamp,
) -> Option<HookCall> {
    let webhook = hook.webhook?;
    let shift = deployment.shift.as_ref();
    let of = |kind, share: Option<Share>| (Some(kind), share.unwrap_or_default());
    let (shifts, share) = match stage {
        LifecycleStage::TestTrafficShift => of(TrafficKind::Test, shift.map(|s| s.test)),
        LifecycleStage::PreProductionTrafficShift | LifecycleStage::ProductionTrafficShift => {
            of(TrafficKind::Production, shift.map(|shift| shift.production))
        }
        _ => (None, Share::NONE),
    };
    Some(HookCall {
        url: webhook.url,
        details: webhook.details,
        shifts,
        share,
        next_at: now,
        unreached: 0,
        failure: None,
    })
}

/// Ends hooks whose time is over, and says what came of all.
pub(super) fn settle(draft: &mut Draft<'_, '_>) -> Settled {
    let now = draft.now();
    let mut next: Option<Timestamp> = None;
    let mut back = None;
    draft.change_deployment(|deployment| {
        let stage = deployment.stage;
        for pause in &mut deployment.pauses {
            if pause.is_open() && pause.expires_at <= now {
                pause.timed_out = true;
                deployment.updated_at = now;
            }
            if pause.is_open() {
                next = Some(next.map_or(pause.expires_at, |at| at.min(pause.expires_at)));
            }
            let end = pause.answer.or(pause.timed_out.then_some(pause.timeout_action));
            if pause.stage == stage && end == Some(HookAction::Rollback) && back.is_none() {
                back = Some(why_back(pause));
            }
        }
    });
    if let Some(at) = next {
        draft.look_again(at);
    }
    match (back, next) {
        (Some(why), _) => Settled::Back(why),
        (None, Some(_)) => Settled::Waiting,
        (None, None) => Settled::Clear,
    }
}

/// AWS's words, where they are known.
fn why_back(pause: &Pause) -> String {
    const BECAUSE: &str = "Service deployment rolled back because";
    let stage = pause.stage.as_str();
    match (&pause.call, pause.timed_out) {
        (Some(call), true) => {
            let url = &call.url;
            format!(
                "{BECAUSE} {stage} lifecycle hook(s) failed. Lifecycle hook target {url} timed out."
            )
        }
        (Some(HookCall { failure: Some(why), .. }), false) => {
            format!("{BECAUSE} {stage} lifecycle hook(s) failed. {why}")
        }
        (Some(_), false) => format!("{BECAUSE} {stage} lifecycle hook(s) failed."),
        (None, true) => format!("{BECAUSE} {stage} pause hook timed out."),
        (None, false) => format!("{BECAUSE} {stage} pause hook was answered with ROLLBACK."),
    }
}

/// A call that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The hook.
    pub hook: String,
    /// Where it is.
    pub call: HookCall,
    /// Its stage.
    pub stage: LifecycleStage,
}

/// The calls that are due, and when the next one is.
#[must_use]
pub fn due(deployment: &ServiceDeployment, now: Timestamp) -> (Vec<Due>, Option<Timestamp>) {
    let mut found = Vec::new();
    let mut next: Option<Timestamp> = None;
    if deployment.status.is_over() {
        return (found, next);
    }
    for pause in deployment.pauses.iter().filter(|pause| pause.is_open()) {
        let Some(call) = &pause.call else { continue };
        if call.next_at <= now {
            let (hook, call) = (pause.id.clone(), call.clone());
            found.push(Due { hook, call, stage: pause.stage });
        } else {
            next = Some(next.map_or(call.next_at, |at| at.min(call.next_at)));
        }
    }
    (found, next)
}

/// What a webhook has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookAnswer {
    /// The deployment may go on.
    Succeeded,
    /// It may not.
    Failed,
    /// It is to be called again.
    InProgress {
        /// After so long; unless it says so, after half a minute.
        after: Option<Duration>,
        /// What it wants to be told then.
        details: Option<Document>,
    },
    /// Nothing that makes sense; the text says why.
    Senseless(String),
    /// It could not be reached; the text says why.
    Unreached(String),
}

/// The deployment after an answer; `None` when nobody waits for it any more.
#[must_use]
pub fn answered(
    deployment: &ServiceDeployment,
    hook: &str,
    answer: &HookAnswer,
    now: Timestamp,
) -> Option<ServiceDeployment> {
    if deployment.status.is_over() {
        return None;
    }
    let mut next = deployment.clone();
    let pause = next.pauses.iter_mut().find(|pause| pause.id == hook && pause.is_open())?;
    let call = pause.call.as_mut()?;
    let url = call.url.clone();
    let unreached = call.unreached;
    call.unreached = 0;
    let mut fail = |why: String| {
        call.failure = Some(why);
        pause.answer = Some(HookAction::Rollback);
    };
    match answer {
        HookAnswer::Succeeded => pause.answer = Some(HookAction::Continue),
        HookAnswer::Failed => fail(format!("Lifecycle hook target {url} returned FAILED status.")),
        HookAnswer::Senseless(why) => {
            fail(format!("ECS was unable to parse the response from {url} due to {why}"));
        }
        HookAnswer::Unreached(why) if unreached + 1 >= limits::HOOK_ATTEMPTS => {
            fail(format!("ECS was unable to invoke hook target {url} due to {why}"));
        }
        HookAnswer::Unreached(_) => {
            call.unreached = unreached + 1;
            call.next_at = now + limits::HOOK_RETRY * call.unreached;
        }
        HookAnswer::InProgress { after, details } => {
            call.next_at =
                now + after.unwrap_or(limits::HOOK_CALLBACK).min(limits::HOOK_CALLBACK_MAX);
            let details = details.as_ref().map(|new| merged(call.details.as_ref(), new));
            match details {
                // A record has to fit into a transaction.
                Some(details) if details.as_str().len() > limits::HOOK_DETAILS_BYTES => {
                    fail(format!(
                        "ECS was unable to parse the response from {url} due to hookDetails of more \
                         than {} bytes",
                        limits::HOOK_DETAILS_BYTES
                    ));
                }
                Some(details) => call.details = Some(details),
                None => {}
            }
        }
    }
    next.updated_at = now;
    Some(next)
}

/// The members of both objects; what is no object is replaced.
fn merged(old: Option<&Document>, new: &Document) -> Document {
    type Members<'a> = BTreeMap<String, &'a RawValue>;
    let members = |text: &str| -> Option<BTreeMap<String, alloc::boxed::Box<RawValue>>> {
        serde_json::from_str(text).ok()
    };
    let (Some(old), Some(fresh)) = (old.and_then(|o| members(o.as_str())), members(new.as_str()))
    else {
        return new.clone();
    };
    let both: Members<'_> =
        old.iter().chain(&fresh).map(|(name, value)| (name.clone(), &**value)).collect();
    let text = serde_json::to_string(&both).ok();
    text.and_then(|text| Document::new(text).ok()).unwrap_or_else(|| new.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_webhook_has_said_is_told_it_again() {
        let document = |text: &str| Document::new(text.into()).expect("valid");
        let check = |old: Option<&str>, new: &str, expected: &str| {
            let old = old.map(document);
            assert_eq!(merged(old.as_ref(), &document(new)).as_str(), expected);
        };
        check(None, r#"{"a":1}"#, r#"{"a":1}"#);
        check(Some(r#"{"a":1,"b":2.50}"#), r#"{"a":[3]}"#, r#"{"a":[3],"b":2.50}"#);
        check(Some("7"), r#"{"a":1}"#, r#"{"a":1}"#);
    }
}
