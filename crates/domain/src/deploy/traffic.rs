//! Which target group of a pair serves, and the weights that shift traffic to the other.
//!
//! A rule is changed only where it forwards to the two groups of a balancer and to nothing else; of
//! everything else it is somebody else's, and the deployment goes back with AWS's words.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::record::{Deployment, ServiceBalancer, Share};
use crate::route::Weighted;

/// What rules forward to, by their ARN (that of the listener where it is one of a network balancer);
/// those that there are not are missing.
pub type Rules = BTreeMap<String, Vec<Weighted>>;

/// New weights of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reweigh {
    /// ARN of the rule or listener.
    pub rule: String,
    /// What it forwards to from now on.
    pub groups: Vec<Weighted>,
}

const BECAUSE: &str = "Service deployment rolled back because of invalid networking configuration";

/// Names of rules that are not there any more.
pub(super) fn rules_are_gone() -> String {
    format!("{BECAUSE}. One or more rules not found")
}

/// The rules of these balancers.
pub(super) fn rules_of(balancers: &[ServiceBalancer]) -> impl Iterator<Item = &String> {
    let advanced = balancers.iter().filter_map(|balancer| balancer.advanced.as_ref());
    advanced.flat_map(|a| [Some(&a.production_rule), a.test_rule.as_ref()].into_iter().flatten())
}

/// The balancers of a deployment that is to begin, each facing the group that does not serve.
///
/// `blue` is the deployment that serves. Where a deployment before was cut short (`cut_short`) rules are
/// as it left them; otherwise they must send everything where `blue` is.
///
/// # Errors
/// Why a rule is not what it has to be.
pub(super) fn facing_idle(
    balancers: &[ServiceBalancer],
    blue: Option<&Deployment>,
    rules: &Rules,
    cut_short: bool,
) -> Result<Vec<ServiceBalancer>, String> {
    let idle = |balancer: &ServiceBalancer| {
        let Some(advanced) = &balancer.advanced else { return Ok(balancer.clone()) };
        let behind = blue.and_then(|blue| place_of(blue, balancer)).map(|own| &own.target_group);
        let serving = check(balancer, rules, behind.is_some() && cut_short)?;
        if let (Some(behind), Some(serving)) = (behind, &serving)
            && behind != serving
        {
            return Err(format!(
                "{BECAUSE}. Production listener rule is forwarding traffic to unexpected target \
                 group {serving}. Expected traffic to be forwarded to {behind}, where the tasks in \
                 production are"
            ));
        }
        let serving = behind.or(serving.as_ref());
        let idle = match serving {
            Some(serving) if *serving == balancer.target_group => &advanced.alternate,
            _ => &balancer.target_group,
        };
        Ok(balancer.facing(idle))
    };
    balancers.iter().map(idle).collect()
}

/// Where a deployment is behind one of the two groups of a balancer.
pub(super) fn place_of<'d>(
    deployment: &'d Deployment,
    balancer: &ServiceBalancer,
) -> Option<&'d ServiceBalancer> {
    deployment.balancers.iter().find(|own| own.is_of_pair(balancer))
}

/// Judges the rules of a balancer; gives the group that has all production traffic.
fn check(
    balancer: &ServiceBalancer,
    rules: &Rules,
    cut_short: bool,
) -> Result<Option<String>, String> {
    let Some(advanced) = &balancer.advanced else { return Ok(None) };
    let pair = [&balancer.target_group, &advanced.alternate];
    let rule = &advanced.production_rule;
    let production = rules.get(rule).ok_or_else(rules_are_gone)?;
    let test = advanced.test_rule.as_ref();
    let test = test.map(|rule| rules.get(rule).ok_or_else(rules_are_gone)).transpose()?;
    if let Some(rule) = advanced.test_rule.as_ref().filter(|_| test.is_some_and(Vec::is_empty)) {
        return Err(format!(
            "{BECAUSE}. testListenerRule {rule} does not forward to a target group"
        ));
    }
    if let Some(other) = production.iter().find(|weighted| !pair.contains(&&weighted.group)) {
        let [group, alternate] = pair;
        return Err(format!(
            "{BECAUSE}. Production listener rule is forwarding traffic to unexpected target group \
             {}. Expected traffic to be forwarded to either targetGroupArn: {group} or \
             alternateTargetGroupArn: {alternate}",
            other.group
        ));
    }
    // A listener of a network balancer takes the second group when the first deployment begins.
    let takes_later = rule.contains(":listener/");
    let known = || production.iter().chain(test.into_iter().flatten());
    let missing = pair.into_iter().find(|group| known().all(|w| w.group != **group));
    if let Some(group) = missing.filter(|_| !takes_later) {
        return Err(format!(
            "{BECAUSE}: Target group {group} is not associated with either productionListenerRule \
             or testListenerRule."
        ));
    }
    let serving: Vec<&Weighted> = production.iter().filter(|w| w.weight > 0).collect();
    match serving.as_slice() {
        [one] => Ok((!cut_short).then(|| one.group.clone())),
        _ if cut_short => Ok(None),
        several => Err(format!(
            "{BECAUSE}. productionListenerRule {rule} should have exactly one target group serving \
             traffic but found {} target groups which are serving traffic",
            several.len()
        )),
    }
}

/// Which rule of a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Production,
    Test,
}

/// The weights with which the rules of `green` give it this share, and the other group the rest;
/// only of rules that have others.
///
/// # Errors
/// Why a rule cannot be changed.
pub(super) fn reweigh(
    green: &Deployment,
    rules: &Rules,
    which: Which,
    share: Share,
) -> Result<Vec<Reweigh>, String> {
    let mut changes: Vec<Reweigh> = Vec::new();
    for balancer in &green.balancers {
        let Some(advanced) = &balancer.advanced else { continue };
        let rule = match which {
            Which::Production => Some(&advanced.production_rule),
            Which::Test => advanced.test_rule.as_ref(),
        };
        let Some(rule) = rule else { continue };
        let now = rules.get(rule).ok_or_else(rules_are_gone)?;
        if now.is_empty() {
            return Err(format!(
                "{BECAUSE}. Listener rule {rule} does not forward to a target group"
            ));
        }
        let pair = [&balancer.target_group, &advanced.alternate];
        if let Some(other) = now.iter().find(|weighted| !pair.contains(&&weighted.group)) {
            let name = match which {
                Which::Production => "Production",
                Which::Test => "Test",
            };
            return Err(format!(
                "{BECAUSE}. {name} listener rule is forwarding traffic to unexpected target group \
                 {}",
                other.group
            ));
        }
        let groups = weights(balancer, share);
        if !same_shares(now, &groups) {
            changes.push(Reweigh { rule: rule.clone(), groups });
        }
    }
    Ok(changes)
}

/// In percent, as AWS sets them; in tenths of a percent where that is not exact.
fn weights(balancer: &ServiceBalancer, share: Share) -> Vec<Weighted> {
    let whole = share.tenths().is_multiple_of(10);
    let weight = |share: Share| if whole { share.tenths() / 10 } else { share.tenths() };
    let own = Weighted { group: balancer.target_group.clone(), weight: weight(share) };
    let rest = weight(share.rest());
    let other = balancer.advanced.as_ref();
    let other = other.map(|advanced| Weighted { group: advanced.alternate.clone(), weight: rest });
    let mut groups = vec![own];
    groups.extend(other);
    groups
}

/// Whether two lists have the same groups, and each has the same weight in both.
fn same_shares(a: &[Weighted], b: &[Weighted]) -> bool {
    a.len() == b.len() && a.iter().all(|one| b.contains(one))
}
