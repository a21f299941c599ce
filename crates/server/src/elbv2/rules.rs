//! Rules of listeners.

use std::collections::BTreeMap;

use longshore_auth::Authorized;
use longshore_domain::ids::ElbId;
use longshore_domain::record::ListenerRule;
use longshore_domain::route::BalancerKind;
use longshore_store::tables::ListenerKey;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::{
    self, CreateRuleInput, CreateRuleOutput, DeleteRuleInput, DeleteRuleOutput, DescribeRulesInput,
    DescribeRulesOutput, ErrorCode, ModifyRuleInput, ModifyRuleOutput, SetRulePrioritiesInput,
    SetRulePrioritiesOutput,
};

use super::lookup::AnyRule;
use super::settings::page;
use super::{actions, conditions, encode, invalid, lookup, tags};
use crate::call::Call;
use crate::clock::RandomIds;

/// Greatest priority.
const PRIORITY_MAX: u32 = 50_000;
/// Rules of a listener: more than AWS's quota of 100 per balancer.
const RULES: usize = 2000;

fn priority(given: i32) -> Result<u32, ServiceError> {
    let priority = u32::try_from(given).ok().filter(|n| (1..=PRIORITY_MAX).contains(n));
    priority
        .ok_or_else(|| invalid(format!("Priority must be a number between 1 and {PRIORITY_MAX}")))
}

fn in_use(priority: u32) -> ServiceError {
    ErrorCode::PriorityInUse.error(format!("Priority '{priority}' is currently in use"))
}

/// CreateRule.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateRuleInput>,
) -> Result<CreateRuleOutput, ServiceError> {
    let (_, request) = request.into_parts();
    refuse_transforms(request.transforms.as_ref())?;
    let priority = priority(request.priority)?;
    let conditions = conditions::read(request.conditions)?;
    let tags = tags::checked(request.tags)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let listener = lookup::listener(view, &call.scope, &request.listener_arn)?;
        if listener.kind == BalancerKind::Network {
            return Err(ErrorCode::OperationNotPermitted
                .error("Rules cannot be created for listeners of network load balancers"));
        }
        let known = lookup::rules_of(view, listener);
        if known.iter().any(|rule| rule.priority == priority) {
            return Err(in_use(priority));
        }
        if known.len() >= RULES {
            return Err(
                ErrorCode::TooManyRules.error(format!("A listener can have at most {RULES} rules"))
            );
        }
        let record = ListenerRule {
            scope: call.scope.clone(),
            balancer: listener.balancer,
            balancer_name: listener.balancer_name.clone(),
            kind: listener.kind,
            listener: listener.id,
            id: ElbId::fresh(&mut RandomIds),
            priority,
            conditions: conditions.clone(),
            actions: actions::read(request.actions.clone(), listener.kind, &[])?,
            tags: tags.clone(),
        };
        actions::expect_groups(view, txn, &call.scope, listener.protocol, &record.actions)?;
        txn.insert(&record);
        // Two rules for one priority do not both go through, and none for a listener that goes.
        txn.update(listener, &listener.record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    Ok(CreateRuleOutput { rules: Some(vec![encode::rule(&record)]) })
}

fn refuse_transforms(given: Option<&Vec<elbv2::RuleTransform>>) -> Result<(), ServiceError> {
    if given.is_some_and(|given| !given.is_empty()) {
        return Err(ErrorCode::InvalidConfigurationRequest
            .error("Rule transforms are not available in this version of Longshore"));
    }
    Ok(())
}

/// DescribeRules.
pub(super) async fn describe(
    call: &Call,
    request: Authorized<DescribeRulesInput>,
) -> Result<DescribeRulesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    // Sorted by priority, as AWS shows them, the default one last.
    let found: Vec<(String, elbv2::Rule)> = match (&request.listener_arn, &request.rule_arns) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(invalid("You must specify either listener ARNs or rule ARNs"));
        }
        (Some(arn), None) => {
            let listener = lookup::listener(&view, &call.scope, arn)?;
            let rules = lookup::rules_of(&view, listener).into_iter();
            let rules = rules.map(|rule| (place(rule.priority), encode::rule(rule)));
            let default = (place(u32::MAX), encode::default_rule(listener));
            rules.chain([default]).collect()
        }
        (None, Some(arns)) => arns
            .iter()
            .enumerate()
            .map(|(number, arn)| {
                let rule = match lookup::rule(&view, &call.scope, arn)? {
                    AnyRule::Default(listener) => encode::default_rule(listener),
                    AnyRule::Own(rule) => encode::rule(rule),
                };
                Ok((format!("{number:08}"), rule))
            })
            .collect::<Result<_, ServiceError>>()?,
    };
    let filters = (&request.listener_arn, &request.rule_arns);
    let page = page(&filters, request.page_size, request.marker.as_deref())?;
    let (found, next_marker) = page.cut(found, |(place, _)| place.clone());
    let rules = Some(found.into_iter().map(|(_, rule)| rule).collect());
    Ok(DescribeRulesOutput { rules, next_marker })
}

fn place(priority: u32) -> String {
    format!("{priority:010}")
}

/// ModifyRule: each member if given.
pub(super) async fn modify(
    call: &Call,
    request: Authorized<ModifyRuleInput>,
) -> Result<ModifyRuleOutput, ServiceError> {
    let (_, request) = request.into_parts();
    refuse_transforms(request.transforms.as_ref())?;
    let conditions = request.conditions.map(conditions::read).transpose()?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = match lookup::rule(view, &call.scope, &request.rule_arn)? {
            AnyRule::Own(row) => row,
            AnyRule::Default(_) => {
                return Err(ErrorCode::OperationNotPermitted
                    .error("Default rules cannot be modified; modify the listener instead"));
            }
        };
        let key =
            ListenerKey { scope: row.scope.clone(), balancer: row.balancer, id: row.listener };
        let listener = view.listeners.get(&key);
        let listener =
            listener.ok_or_else(|| ErrorCode::RuleNotFound.error("The listener is gone"))?;
        let mut next = row.record.clone();
        if let Some(conditions) = &conditions {
            next.conditions.clone_from(conditions);
        }
        if let Some(given) = &request.actions {
            next.actions = actions::read(given.clone(), row.kind, &row.actions)?;
        }
        actions::expect_groups(view, txn, &call.scope, listener.protocol, &next.actions)?;
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(next)
    };
    let record = call.server.decide(decide).await?;
    Ok(ModifyRuleOutput { rules: Some(vec![encode::rule(&record)]) })
}

/// DeleteRule.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteRuleInput>,
) -> Result<DeleteRuleOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        match lookup::rule(view, &call.scope, &request.rule_arn)? {
            AnyRule::Own(row) => _ = txn.remove(row),
            AnyRule::Default(_) => {
                return Err(
                    ErrorCode::OperationNotPermitted.error("Default rules cannot be deleted")
                );
            }
        }
        Ok(())
    };
    call.server.decide(decide).await?;
    Ok(DeleteRuleOutput::default())
}

/// SetRulePriorities: all of them, or none.
pub(super) async fn set_priorities(
    call: &Call,
    request: Authorized<SetRulePrioritiesInput>,
) -> Result<SetRulePrioritiesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let mut wanted = BTreeMap::new();
    for pair in request.rule_priorities {
        let arn = pair.rule_arn.ok_or_else(|| invalid("A rule ARN must be specified"))?;
        let given = pair.priority.ok_or_else(|| invalid("A priority must be specified"))?;
        if wanted.insert(arn, priority(given)?).is_some() {
            return Err(invalid("A rule can have only one priority"));
        }
    }
    let decide = |view: &View, txn: &mut RecordTxn| {
        let mut changed = Vec::new();
        for (arn, priority) in &wanted {
            let AnyRule::Own(row) = lookup::rule(view, &call.scope, arn)? else {
                return Err(ErrorCode::OperationNotPermitted
                    .error("The priority of default rules cannot be changed"));
            };
            let key =
                ListenerKey { scope: row.scope.clone(), balancer: row.balancer, id: row.listener };
            if let Some(listener) = view.listeners.get(&key) {
                let rest = lookup::rules_of(view, listener);
                let mut rest = rest.iter().filter(|other| !wanted.contains_key(&other.arn()));
                let twice = wanted.values().filter(|other| *other == priority).count() > 1;
                if twice || rest.any(|other| other.priority == *priority) {
                    return Err(in_use(*priority));
                }
                txn.expect_unchanged(listener);
            }
            let next = ListenerRule { priority: *priority, ..row.record.clone() };
            txn.update(row, &next);
            changed.push(encode::rule(&next));
        }
        Ok(changed)
    };
    let rules = call.server.decide(decide).await?;
    Ok(SetRulePrioritiesOutput { rules: Some(rules) })
}
