//! Which principal may speak for a container instance: the one that registered it.
//!
//! Instances that share one key share one principal, so each may report for all of them, as with ECS.
//! Sessions of one role are principals of their own, by the name of the session: instances that assume
//! one role do not speak for each other. Root may do everything, as everywhere.

use longshore_auth::{Principal, PrincipalKind};
use longshore_domain::ids::{Arn, Resource, Scope};
use longshore_domain::record::ContainerInstance;
use longshore_store::{KeyPrefix, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::ErrorCode;

/// Whether a principal may speak for an instance: report, listen, register it anew.
///
/// # Errors
/// `AccessDeniedException`.
pub(crate) fn speaks_for(
    principal: &Principal,
    instance: &ContainerInstance,
    action: &str,
) -> Result<(), ServiceError> {
    let is_its = match &instance.registered_by {
        // It registered before longshore remembered that.
        None => true,
        Some(arn) => *arn == principal.arn,
    };
    if is_its || principal.kind == PrincipalKind::Root {
        return Ok(());
    }
    let resource = Resource::ContainerInstance(instance.cluster.clone(), instance.id);
    let resource = Arn::new(&instance.scope, resource);
    Err(ErrorCode::AccessDeniedException.error(format!(
        "User: {} is not authorized to perform: {action} on resource: {resource} because another \
         principal registered the container instance",
        principal.arn
    )))
}

/// Whether a principal may manage an instance. An agent may manage its own only: a machine that joined by
/// a token is one, and whoever has a session of a role by which it has ever registered an instance. People and their tools may manage all that
/// their policies say.
///
/// # Errors
/// `AccessDeniedException`.
pub(crate) fn manages(
    view: &View,
    principal: &Principal,
    instance: &ContainerInstance,
    action: &str,
) -> Result<(), ServiceError> {
    let denied = match speaks_for(principal, instance, action) {
        Ok(()) => return Ok(()),
        Err(denied) => denied,
    };
    if is_agent(view, &instance.scope, principal) { Err(denied) } else { Ok(()) }
}

fn is_agent(view: &View, scope: &Scope, principal: &Principal) -> bool {
    let PrincipalKind::AssumedRole { .. } = principal.kind else { return false };
    if principal.session.as_ref().is_some_and(|session| session.joined) {
        return true;
    }
    // One that has deregistered its instance is no less an agent.
    let mut instances = view.container_instances.range(&KeyPrefix::scope(scope));
    instances.any(|row| row.registered_by.as_deref() == Some(principal.arn.as_str()))
}
