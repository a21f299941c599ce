//! Lifecycle hooks of deployments, as requests give them.
//!
//! AWS calls Lambda functions. There are none here: a hook of type `AWS_LAMBDA` names a URL as its target
//! instead of a function, and is posted what the function would be given.

use longshore_domain::limits;
use longshore_domain::record::{
    Document, HookAction, LifecycleStage, PauseHook, Shifting, Webhook as Target,
};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{
    DeploymentLifecycleHookAction, DeploymentLifecycleHookStage as Stage,
    DeploymentLifecycleHookTargetType,
};
use longshore_wire::ecs::{DeploymentConfiguration, DeploymentLifecycleHook, ErrorCode};

use crate::Webhook;
use crate::ecs::{client_error, invalid_parameter};

/// The hooks, if any are given.
///
/// # Errors
/// `InvalidParameterException` for what is not whole or within AWS's limits, and a refusal of Lambda functions.
pub(super) fn read(
    given: Option<&DeploymentConfiguration>,
) -> Result<Option<Vec<PauseHook>>, ServiceError> {
    let hooks = given.and_then(|given| given.lifecycle_hooks.as_ref());
    let Some(hooks) = hooks else { return Ok(None) };
    let hooks: Vec<PauseHook> = hooks.iter().map(one).collect::<Result<_, _>>()?;
    let webhooks = hooks.iter().filter(|hook| hook.webhook.is_some()).count();
    if webhooks > limits::HOOKS || hooks.len() - webhooks > limits::HOOKS {
        return Err(invalid_parameter(format!(
            "A service can have at most {} lifecycle hooks of each type.",
            limits::HOOKS
        )));
    }
    Ok(Some(hooks))
}

/// Whether deployments of a service have the stages of its hooks.
///
/// # Errors
/// `InvalidParameterException`.
pub(super) fn check(hooks: &[PauseHook], shifting: Option<Shifting>) -> Result<(), ServiceError> {
    let rolls = |stage: &LifecycleStage| {
        matches!(stage, LifecycleStage::PreScaleUp | LifecycleStage::PostScaleUp)
    };
    let mut stages = hooks.iter().flat_map(|hook| &hook.stages);
    match stages.find(|stage| shifting.is_none() && !rolls(stage)) {
        None => Ok(()),
        Some(stage) => Err(invalid_parameter(format!(
            "The lifecycle stage {} is not available for the ROLLING deployment strategy.",
            stage.as_str()
        ))),
    }
}

fn stage(given: Stage) -> LifecycleStage {
    match given {
        Stage::ReconcileService => LifecycleStage::ReconcileService,
        Stage::PreScaleUp => LifecycleStage::PreScaleUp,
        Stage::PostScaleUp => LifecycleStage::PostScaleUp,
        Stage::TestTrafficShift => LifecycleStage::TestTrafficShift,
        Stage::PostTestTrafficShift => LifecycleStage::PostTestTrafficShift,
        Stage::PreProductionTrafficShift => LifecycleStage::PreProductionTrafficShift,
        Stage::ProductionTrafficShift => LifecycleStage::ProductionTrafficShift,
        Stage::PostProductionTrafficShift => LifecycleStage::PostProductionTrafficShift,
    }
}

fn one(given: &DeploymentLifecycleHook) -> Result<PauseHook, ServiceError> {
    let pauses = given.target_type == Some(DeploymentLifecycleHookTargetType::Pause);
    let mut stages: Vec<LifecycleStage> =
        given.lifecycle_stages.iter().flatten().copied().map(stage).collect();
    stages.sort_unstable();
    stages.dedup();
    if stages.is_empty() {
        return Err(invalid_parameter("lifecycleStages of a lifecycle hook cannot be empty."));
    }
    let shifts = [LifecycleStage::TestTrafficShift, LifecycleStage::ProductionTrafficShift];
    if pauses && stages.iter().any(|stage| shifts.contains(stage)) {
        return Err(invalid_parameter("Invalid lifecycle stage provided for Pause Hook"));
    }
    let timeout = given.timeout_configuration.clone().unwrap_or_default();
    let (of_pause, of_call) = limits::HOOK_TIMEOUT_MAX_MIN;
    let most = if pauses { of_pause } else { of_call };
    let timeout_min = match timeout.timeout_in_minutes {
        None => limits::HOOK_TIMEOUT_MIN,
        Some(n) => u32::try_from(n).ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
            invalid_parameter(format!("timeoutInMinutes must be between 1 and {most}."))
        })?,
    };
    let action = match timeout.action {
        None | Some(DeploymentLifecycleHookAction::Rollback) => HookAction::Rollback,
        Some(DeploymentLifecycleHookAction::Continue) => HookAction::Continue,
    };
    let webhook = if pauses { None } else { Some(webhook(given)?) };
    if pauses && (given.hook_target_arn.is_some() || given.role_arn.is_some()) {
        return Err(invalid_parameter(
            "hookTargetArn and roleArn are not applicable for PAUSE lifecycle hooks.",
        ));
    }
    Ok(PauseHook { stages, timeout_min, action, webhook })
}

fn webhook(given: &DeploymentLifecycleHook) -> Result<Target, ServiceError> {
    let missing =
        || invalid_parameter("hookTargetArn of a lifecycle hook cannot be null or empty.");
    let url = given.hook_target_arn.clone().filter(|url| !url.is_empty()).ok_or_else(missing)?;
    if url.starts_with("arn:") {
        return Err(ErrorCode::UnsupportedFeatureException.error(
            "A lifecycle hook that is a Lambda function is not available in this version of \
             Longshore. Give the http:// or https:// URL of a webhook as hookTargetArn, or use a \
             hook of type PAUSE.",
        ));
    }
    Webhook::parse(&url).map_err(|why| invalid_parameter(format!("hookTargetArn: {why}.")))?;
    let details = given.hook_details.as_ref().map(|details| Document::new(details.to_string()));
    let details = details.transpose().map_err(|error| client_error(error.to_string()))?;
    if details.as_ref().is_some_and(|details| !details.as_str().starts_with('{')) {
        return Err(invalid_parameter("hookDetails must be a JSON object."));
    }
    Ok(Target { url, role: given.role_arn.clone(), details })
}
