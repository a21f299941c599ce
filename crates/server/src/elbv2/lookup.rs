//! Finds what a request names, or the error of AWS.

use std::sync::Arc;

use longshore_domain::ids::{ElbArn, ElbId, ElbResource, Scope};
use longshore_domain::record::{Listener, ListenerRule, LoadBalancer, TargetGroup};
use longshore_store::tables::{
    ForwardIndex, ListenerKey, ListenerRuleKey, LoadBalancerKey, TargetGroupKey,
};
use longshore_store::{Row, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::ErrorCode;

use super::invalid;

/// What an ARN names in this account and region.
fn resource(scope: &Scope, text: &str, what: &str) -> Result<ElbResource, ServiceError> {
    let arn: ElbArn =
        text.parse().map_err(|_| invalid(format!("'{text}' is not a valid {what} ARN")))?;
    if arn.scope == *scope {
        Ok(arn.resource)
    } else {
        Err(invalid(format!("'{text}' is not a valid {what} ARN in this account and region")))
    }
}

pub(crate) fn balancer_by_name<'v>(
    view: &'v View,
    scope: &Scope,
    name: &str,
) -> Option<&'v Arc<Row<LoadBalancer>>> {
    view.load_balancers.get(&LoadBalancerKey { scope: scope.clone(), name: name.into() })
}

/// # Errors
/// `ValidationError`, `LoadBalancerNotFound`.
pub(super) fn balancer<'v>(
    view: &'v View,
    scope: &Scope,
    arn: &str,
) -> Result<&'v Arc<Row<LoadBalancer>>, ServiceError> {
    let ElbResource::LoadBalancer(_, name, id) = resource(scope, arn, "load balancer")? else {
        return Err(invalid(format!("'{arn}' is not a valid load balancer ARN")));
    };
    balancer_by_name(view, scope, &name).filter(|row| row.id == id && row.arn() == arn).ok_or_else(
        || ErrorCode::LoadBalancerNotFound.error(format!("Load balancer '{arn}' not found")),
    )
}

/// # Errors
/// `ValidationError`, `ListenerNotFound`.
pub(super) fn listener<'v>(
    view: &'v View,
    scope: &Scope,
    arn: &str,
) -> Result<&'v Arc<Row<Listener>>, ServiceError> {
    let ElbResource::Listener(_, _, balancer, id) = resource(scope, arn, "listener")? else {
        return Err(invalid(format!("'{arn}' is not a valid listener ARN")));
    };
    let key = ListenerKey { scope: scope.clone(), balancer, id };
    // Policies were asked about the whole ARN, so no part of it may be made up.
    let found = view.listeners.get(&key).filter(|row| row.arn() == arn);
    found.ok_or_else(|| ErrorCode::ListenerNotFound.error(format!("Listener '{arn}' not found")))
}

/// A rule by its ARN; the default one is its listener's.
pub(super) enum AnyRule<'v> {
    Default(&'v Arc<Row<Listener>>),
    Own(&'v Arc<Row<ListenerRule>>),
}

/// # Errors
/// `ValidationError`, `RuleNotFound`.
pub(super) fn rule<'v>(
    view: &'v View,
    scope: &Scope,
    arn: &str,
) -> Result<AnyRule<'v>, ServiceError> {
    let ElbResource::Rule(_, _, balancer, listener, id) = resource(scope, arn, "rule")? else {
        return Err(invalid(format!("'{arn}' is not a valid rule ARN")));
    };
    let found = if id == listener {
        let key = ListenerKey { scope: scope.clone(), balancer, id: listener };
        let found = view.listeners.get(&key).filter(|row| row.default_rule_arn() == arn);
        found.map(AnyRule::Default)
    } else {
        let key = ListenerRuleKey { scope: scope.clone(), listener, id };
        view.listener_rules.get(&key).filter(|row| row.arn() == arn).map(AnyRule::Own)
    };
    found.ok_or_else(|| ErrorCode::RuleNotFound.error(format!("Rule '{arn}' not found")))
}

pub(crate) fn group_by_name<'v>(
    view: &'v View,
    scope: &Scope,
    name: &str,
) -> Option<&'v Arc<Row<TargetGroup>>> {
    view.target_groups.get(&TargetGroupKey { scope: scope.clone(), name: name.into() })
}

/// The target group with this ARN, if it is one and there is one.
pub(crate) fn group_by_arn<'v>(view: &'v View, arn: &str) -> Option<&'v Arc<Row<TargetGroup>>> {
    let ElbArn { scope, resource } = arn.parse().ok()?;
    let ElbResource::TargetGroup(name, id) = resource else { return None };
    group_by_name(view, &scope, &name).filter(|row| row.id == id)
}

/// # Errors
/// `ValidationError`, `TargetGroupNotFound`.
pub(super) fn group<'v>(
    view: &'v View,
    scope: &Scope,
    arn: &str,
) -> Result<&'v Arc<Row<TargetGroup>>, ServiceError> {
    let ElbResource::TargetGroup(name, id) = resource(scope, arn, "target group")? else {
        return Err(invalid(format!("'{arn}' is not a valid target group ARN")));
    };
    group_by_name(view, scope, &name)
        .filter(|row| row.id == id)
        .ok_or_else(|| ErrorCode::TargetGroupNotFound.error("One or more target groups not found"))
}

/// Rules of a listener by priority, without the default one.
pub(super) fn rules_of<'v>(view: &'v View, listener: &Listener) -> Vec<&'v Arc<Row<ListenerRule>>> {
    let prefix = ListenerRuleKey::of_listener(&listener.scope, listener.id);
    let mut rules: Vec<_> = view.listener_rules.range(&prefix).collect();
    rules.sort_by_key(|rule| rule.priority);
    rules
}

pub(super) fn listeners_of<'v>(
    view: &'v View,
    scope: &Scope,
    balancer: ElbId,
) -> impl Iterator<Item = &'v Arc<Row<Listener>>> {
    view.listeners.range(&ListenerKey::of_balancer(scope, balancer))
}

/// Ids of the balancers that forward to a target group.
pub(super) fn balancers_of_group(view: &View, arn: &str) -> Vec<ElbId> {
    let index = ForwardIndex::TargetGroup(arn.to_owned());
    let listeners = view.listeners.by(&index).map(|row| row.balancer);
    let mut ids: Vec<ElbId> =
        listeners.chain(view.listener_rules.by(&index).map(|row| row.balancer)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Whether a listener or rule forwards to a target group.
pub(crate) fn is_used(view: &View, arn: &str) -> bool {
    let index = ForwardIndex::TargetGroup(arn.to_owned());
    view.listeners.count_by(&index) + view.listener_rules.count_by(&index) > 0
}

/// ARN of a listener's balancer.
pub(crate) fn balancer_arn(view: &View, listener: &Listener) -> Option<String> {
    balancer_by_name(view, &listener.scope, &listener.balancer_name).map(|row| row.arn())
}

/// ARNs of a balancer's listeners.
pub(crate) fn listener_arns(view: &View, balancer: &LoadBalancer) -> Vec<String> {
    listeners_of(view, &balancer.scope, balancer.id).map(|row| row.arn()).collect()
}
