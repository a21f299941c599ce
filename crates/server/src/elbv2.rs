//! The Elastic Load Balancing API (version 2): what balancers are to do, as their owners say it.
//!
//! An operation reads a snapshot of the view, decides, and commits one transaction. Nodes of balancers
//! learn of it from `crate::balancers`, which makes their snapshot of these records.

mod actions;
mod attributes;
mod certificates;
mod conditions;
pub(crate) mod coverage;
mod encode;
mod listener_attributes;
mod listeners;
mod load_balancers;
mod lookup;
mod rules;
mod settings;
mod tags;
mod target_groups;
mod targets;
mod weights;

pub(crate) use attributes::{balancer_attributes, target_group_attributes};
pub(crate) use listener_attributes::listener_attributes;
pub(crate) use lookup::{
    balancer_arn, balancer_by_name, group_by_arn, group_by_name, is_used, listener_arns,
};
pub(crate) use weights::{forwards, reweigh};

use longshore_auth::Authorized;
use longshore_wire::codec::query;
use longshore_wire::elbv2::OperationName as O;
use longshore_wire::elbv2::{ErrorCode, SERVICE, decode_problem, op};
use longshore_wire::{Operation, ServiceError};

use crate::call::{Call, refused_as};
use crate::front::namespace;

/// Decodes, authorizes, runs and encodes one operation.
pub(crate) async fn dispatch(
    call: &Call,
    operation: O,
    body: &[u8],
    request_id: &str,
) -> Result<Vec<u8>, ServiceError> {
    let form = query::Form::parse(body).map_err(|error| decode_problem(&error))?;
    // The handler takes `Authorized<Input>`, so nothing can skip it.
    macro_rules! run {
        ($op:ident, $handler:path) => {{
            let input = form.read().map_err(|error| decode_problem(&error))?;
            let request: Authorized<<op::$op as Operation>::Input> = call
                .authorize::<op::$op>(input)
                .map_err(|error| refused_as(error, |text| ErrorCode::AccessDenied.error(text)))?;
            let output: <op::$op as Operation>::Output = Box::pin($handler(call, request)).await?;
            call.answers::<op::$op>(&output);
            Ok(query::encode(&output, stringify!($op), namespace(&SERVICE), request_id))
        }};
    }
    match operation {
        O::CreateLoadBalancer => run!(CreateLoadBalancer, load_balancers::create),
        O::DescribeLoadBalancers => run!(DescribeLoadBalancers, load_balancers::describe),
        O::DeleteLoadBalancer => run!(DeleteLoadBalancer, load_balancers::delete),
        O::SetSubnets => run!(SetSubnets, load_balancers::set_subnets),
        O::SetIpAddressType => run!(SetIpAddressType, load_balancers::set_ip_address_type),
        O::SetSecurityGroups => run!(SetSecurityGroups, load_balancers::set_security_groups),
        O::DescribeLoadBalancerAttributes => {
            run!(DescribeLoadBalancerAttributes, attributes::describe_balancer)
        }
        O::ModifyLoadBalancerAttributes => {
            run!(ModifyLoadBalancerAttributes, attributes::modify_balancer)
        }
        O::CreateListener => run!(CreateListener, listeners::create),
        O::DescribeListeners => run!(DescribeListeners, listeners::describe),
        O::ModifyListener => run!(ModifyListener, listeners::modify),
        O::DeleteListener => run!(DeleteListener, listeners::delete),
        O::AddListenerCertificates => run!(AddListenerCertificates, certificates::add),
        O::RemoveListenerCertificates => run!(RemoveListenerCertificates, certificates::remove),
        O::DescribeListenerCertificates => {
            run!(DescribeListenerCertificates, certificates::describe)
        }
        O::DescribeListenerAttributes => {
            run!(DescribeListenerAttributes, listener_attributes::describe)
        }
        O::ModifyListenerAttributes => run!(ModifyListenerAttributes, listener_attributes::modify),
        O::CreateRule => run!(CreateRule, rules::create),
        O::DescribeRules => run!(DescribeRules, rules::describe),
        O::ModifyRule => run!(ModifyRule, rules::modify),
        O::DeleteRule => run!(DeleteRule, rules::delete),
        O::SetRulePriorities => run!(SetRulePriorities, rules::set_priorities),
        O::CreateTargetGroup => run!(CreateTargetGroup, target_groups::create),
        O::DescribeTargetGroups => run!(DescribeTargetGroups, target_groups::describe),
        O::ModifyTargetGroup => run!(ModifyTargetGroup, target_groups::modify),
        O::DeleteTargetGroup => run!(DeleteTargetGroup, target_groups::delete),
        O::DescribeTargetGroupAttributes => {
            run!(DescribeTargetGroupAttributes, attributes::describe_group)
        }
        O::ModifyTargetGroupAttributes => {
            run!(ModifyTargetGroupAttributes, attributes::modify_group)
        }
        O::RegisterTargets => run!(RegisterTargets, targets::register),
        O::DeregisterTargets => run!(DeregisterTargets, targets::deregister),
        O::DescribeTargetHealth => run!(DescribeTargetHealth, targets::describe_health),
        O::AddTags => run!(AddTags, tags::add),
        O::RemoveTags => run!(RemoveTags, tags::remove),
        O::DescribeTags => run!(DescribeTags, tags::describe),
        O::DescribeAccountLimits => run!(DescribeAccountLimits, settings::account_limits),
        O::DescribeSSLPolicies => run!(DescribeSSLPolicies, settings::ssl_policies),
        missing => Err(ErrorCode::OperationNotPermitted.error(coverage::refusal(missing))),
    }
}

/// `ValidationError`.
fn invalid(message: impl Into<String>) -> ServiceError {
    ErrorCode::ValidationError.error(message)
}
