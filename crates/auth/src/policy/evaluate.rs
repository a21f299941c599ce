//! IAM's order over all policies that count for a request.

use std::borrow::Cow;

use super::pattern::{Action, Match, Style, Template};
use super::principal::{Grant, Principals, Who};
use super::trace::{Mismatch, NearMiss, StatementRef};
use super::{
    Ask, Attached, Context, Decision, Effect, Evaluation, Layer, List, NEAR_MAX, Policies, Policy,
    PolicyKind, Reason, Statement,
};

/// What the owner of a resource says.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSide<'a> {
    /// Who asks.
    pub who: Who<'a>,
    /// Policies of the resource.
    pub policies: &'a [Attached],
    /// How much its word counts.
    pub rule: ResourceRule,
}

/// How the policies of a resource and those of the caller go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceRule {
    /// Within one account: either side may allow.
    Either,
    /// Within one account, trust policies of roles: the resource must allow. Where it names no more
    /// than the account, the caller's policies must too.
    ResourceMust,
    /// Between two accounts: both must allow.
    Both,
}

/// Asks all policies of a principal.
pub fn evaluate(policies: &Policies, ask: &Ask<'_>) -> Evaluation {
    decide(policies, None, ask)
}

/// Asks the policies of a principal and those of the resource.
pub fn evaluate_with(policies: &Policies, side: &ResourceSide<'_>, ask: &Ask<'_>) -> Evaluation {
    decide(policies, Some(side), ask)
}

/// Asks a trust or resource policy alone: who has no policies of its own (a service, a web
/// identity), or whether a role trusts someone at all.
pub fn trusts(policy: &Attached, who: &Who<'_>, ask: &Ask<'_>) -> Evaluation {
    let asked = Asked::new(ask, Some(who));
    let policies = core::slice::from_ref(policy);
    let layer = layer_of(policies);
    let found = asked.layer(layer, policies);
    let mut evaluation = match (found.deny, found.allow) {
        (Some(deny), _) => denied(deny),
        (None, Some((allow, _))) => allowed(vec![allow]),
        (None, None) => lacking(vec![layer]),
    };
    evaluation.grant = found.grant.filter(|_| evaluation.decision == Decision::Allowed);
    if evaluation.decision == Decision::ImplicitDeny {
        asked.near(layer, policies, &mut evaluation.near);
    }
    evaluation
}

/// Trust policies are the resource policies of roles, under a name of their own.
fn layer_of(policies: &[Attached]) -> Layer {
    let trust = policies.iter().any(|attached| attached.policy.kind == PolicyKind::Trust);
    if trust { Layer::Trust } else { Layer::Resource }
}

fn decide(policies: &Policies, side: Option<&ResourceSide<'_>>, ask: &Ask<'_>) -> Evaluation {
    let asked = Asked::new(ask, side.map(|side| &side.who));
    let boundary = policies.boundary.as_ref().map(core::slice::from_ref);
    let layers: [(Layer, Option<&[Attached]>); 4] = [
        (side.map_or(Layer::Resource, |side| layer_of(side.policies)), side.map(|s| s.policies)),
        (Layer::Identity, Some(&policies.identity)),
        (Layer::Boundary, boundary),
        (Layer::Session, policies.session.as_deref()),
    ];
    let found = layers.map(|(layer, policies)| policies.map(|all| asked.layer(layer, all)));
    if let Some(deny) = found.iter().flatten().find_map(|found| found.deny.as_ref()) {
        return denied(deny.clone());
    }
    let [resource, ..] = &found;
    let grant = resource.as_ref().and_then(|found| found.grant);
    let needed = needed(side.map(|side| side.rule), grant);
    let missing: Vec<Layer> = layers
        .iter()
        .zip(&found)
        .filter(|((layer, _), found)| {
            needed.contains(layer) && found.as_ref().is_some_and(|found| found.allow.is_none())
        })
        .map(|((layer, _), _)| *layer)
        .collect();
    if missing.is_empty() {
        let of_resource = |layer| matches!(layer, Layer::Resource | Layer::Trust);
        let counts = |layer: Layer| needed.contains(&layer) || of_resource(layer);
        let found = found.into_iter().flatten().filter_map(|found| found.allow);
        let statements = found.map(|(allow, _)| allow).filter(|allow| counts(allow.layer));
        return Evaluation { grant, ..allowed(statements.collect()) };
    }
    let mut evaluation = lacking(missing);
    for (layer, policies) in layers {
        if let Some(policies) = policies.filter(|_| evaluation.missing.contains(&layer)) {
            asked.near(layer, policies, &mut evaluation.near);
        }
    }
    evaluation
}

/// Layers that must allow, given what the resource says. A layer that is not there lacks nothing.
fn needed(rule: Option<ResourceRule>, grant: Option<Grant>) -> &'static [Layer] {
    use Layer::{Boundary, Identity, Resource, Session, Trust};
    match (rule, grant) {
        (Some(ResourceRule::Both), _) => &[Resource, Trust, Identity, Boundary, Session],
        (Some(ResourceRule::ResourceMust), None) => &[Resource, Trust],
        // "not limited by an implicit deny in an identity-based policy, a permissions boundary, or
        // session policy" (policy evaluation logic: user, role session)
        (Some(_), Some(Grant::Direct)) => &[],
        // "limited by an implicit deny in a permissions boundary or session policy" (role)
        (Some(_), Some(Grant::Role)) => &[Boundary, Session],
        _ => &[Identity, Boundary, Session],
    }
}

fn denied(statement: StatementRef) -> Evaluation {
    Evaluation {
        decision: Decision::ExplicitDeny,
        reason: Reason::ExplicitDeny(statement.layer),
        statements: vec![statement],
        missing: Vec::new(),
        near: Vec::new(),
        grant: None,
    }
}

fn allowed(statements: Vec<StatementRef>) -> Evaluation {
    Evaluation {
        decision: Decision::Allowed,
        reason: Reason::Allowed,
        statements,
        missing: Vec::new(),
        near: Vec::new(),
        grant: None,
    }
}

fn lacking(missing: Vec<Layer>) -> Evaluation {
    Evaluation {
        decision: Decision::ImplicitDeny,
        reason: Reason::NoAllow(missing.first().copied().unwrap_or(Layer::Identity)),
        statements: Vec::new(),
        missing,
        near: Vec::new(),
        grant: None,
    }
}

/// What one layer says.
#[derive(Default)]
struct Found {
    deny: Option<StatementRef>,
    /// The statement that allows, the most direct one first.
    allow: Option<(StatementRef, Option<Grant>)>,
    grant: Option<Grant>,
}

/// A question, made ready.
struct Asked<'a> {
    /// As it was asked.
    written: &'a str,
    /// Lower case.
    action: Cow<'a, str>,
    resource: &'a str,
    context: &'a Context,
    who: Option<&'a Who<'a>>,
}

impl<'a> Asked<'a> {
    fn new(ask: &Ask<'a>, who: Option<&'a Who<'a>>) -> Self {
        let action = if ask.action.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(ask.action.to_ascii_lowercase())
        } else {
            Cow::Borrowed(ask.action)
        };
        Self { written: ask.action, action, resource: ask.resource, context: ask.context, who }
    }

    fn layer(&self, layer: Layer, policies: &[Attached]) -> Found {
        let mut found = Found::default();
        for attached in policies {
            for (index, statement) in attached.policy.statements.iter().enumerate() {
                let settled = statement.effect == Effect::Allow
                    && found.allow.is_some()
                    && !matches!(layer, Layer::Resource | Layer::Trust);
                let Some(grant) = (!settled).then(|| self.applies(statement)).flatten() else {
                    continue;
                };
                let named = || reference(layer, attached, index, statement);
                match statement.effect {
                    Effect::Deny => {
                        found.deny = Some(named());
                        return found;
                    }
                    Effect::Allow => {
                        let better = found.allow.as_ref().is_none_or(|(_, best)| *best < grant.0);
                        if better {
                            found.allow = Some((named(), grant.0));
                            found.grant = grant.0;
                        }
                    }
                }
            }
        }
        found
    }

    /// Whether a statement applies, and how directly it speaks of who asks.
    fn applies(&self, statement: &Statement) -> Option<Applies> {
        if !self.action(statement) || self.resource(statement) != Match::Yes {
            return None;
        }
        let grant = match (&statement.principals, self.who) {
            (None, _) => None,
            (Some(principals), Some(who)) => Some(principals.grant(who)?),
            (Some(_), None) => return None,
        };
        let holds = |condition: &super::condition::Condition| {
            condition.holds(self.context, statement.effect)
        };
        statement.conditions.iter().all(holds).then_some(Applies(grant))
    }

    fn action(&self, statement: &Statement) -> bool {
        let actions = &statement.actions;
        actions.patterns.iter().any(|pattern| pattern.matches(&self.action)) != actions.negated
    }

    /// Whether the resource is one of the statement's. A pattern whose variable has no value matches
    /// nothing; then `NotResource` allows nothing either.
    fn resource(&self, statement: &Statement) -> Match {
        let Some(resources) = &statement.resources else { return Match::Yes };
        let mut unresolved = false;
        for template in &resources.patterns {
            match template.matches(self.resource, self.context) {
                Match::Yes => return (!resources.negated).into(),
                Match::No => {}
                Match::Unresolved => unresolved = true,
            }
        }
        let unsure = unresolved && (!resources.negated || statement.effect == Effect::Allow);
        if unsure { Match::Unresolved } else { resources.negated.into() }
    }

    /// Adds statements of a layer that came near to allowing: those about the action first, then
    /// those about the service of the action and this resource.
    fn near(&self, layer: Layer, policies: &[Attached], near: &mut Vec<NearMiss>) {
        let service = self.action.split(':').next().unwrap_or_default();
        for about_action in [true, false] {
            for attached in policies {
                for (index, statement) in attached.policy.statements.iter().enumerate() {
                    let matched = self.action(statement);
                    let same_service = || {
                        let mut written = statement.actions.patterns.iter();
                        let vendor = |action: &Action| {
                            let vendor = action.0.split(':').next();
                            vendor.is_some_and(|vendor| vendor.eq_ignore_ascii_case(service))
                        };
                        !statement.actions.negated
                            && self.resource(statement) == Match::Yes
                            && written.any(vendor)
                    };
                    let wanted = if about_action { matched } else { !matched && same_service() };
                    if statement.effect == Effect::Allow && wanted && near.len() < NEAR_MAX {
                        let why = self.mismatches(statement);
                        let statement = reference(layer, attached, index, statement);
                        near.push(NearMiss { statement, why });
                    }
                }
            }
        }
    }

    fn mismatches(&self, statement: &Statement) -> Vec<Mismatch> {
        let mut why = Vec::new();
        if !self.action(statement) {
            let actions = statement.actions.patterns.iter();
            why.push(Mismatch::Action {
                asked: self.written.to_owned(),
                patterns: actions.map(|action| String::from(&*action.0)).collect(),
                negated: statement.actions.negated,
            });
        }
        let others = |_: &&List<Template>| self.resource(statement) != Match::Yes;
        if let Some(resources) = statement.resources.as_ref().filter(others) {
            let templates = resources.patterns.iter();
            why.push(Mismatch::Resource {
                asked: self.resource.to_owned(),
                patterns: templates.map(|template| template.text(Style::Resource)).collect(),
                negated: resources.negated,
            });
            let mut open = resources.patterns.iter();
            let variable = open.find_map(|template| template.unresolved(self.context));
            why.extend(variable.map(|key| Mismatch::Variable(key.to_owned())));
        }
        let unnamed = |all: &&Principals| self.who.and_then(|who| all.grant(who)).is_none();
        if let Some(principals) = statement.principals.as_ref().filter(unnamed) {
            let named = principals.named.iter();
            why.push(Mismatch::Principal {
                asked: self.who.map(Who::name).unwrap_or_default().to_owned(),
                named: named.map(|named| format!("{} {}", named.kind, named.value)).collect(),
                negated: principals.negated,
            });
        }
        for condition in &statement.conditions {
            if !condition.holds(self.context, statement.effect) {
                why.push(Mismatch::Condition {
                    operator: condition.operator(),
                    key: String::from(&*condition.name),
                    wanted: condition.wanted(),
                    seen: condition.seen(self.context).map(<[String]>::to_vec),
                });
                let variable = condition.unresolved(self.context);
                why.extend(variable.map(|key| Mismatch::Variable(key.to_owned())));
            }
        }
        why
    }
}

/// That a statement applies, and how directly it speaks of who asks.
struct Applies(Option<Grant>);

fn reference(
    layer: Layer,
    attached: &Attached,
    index: usize,
    statement: &Statement,
) -> StatementRef {
    StatementRef {
        layer,
        source: attached.source.clone(),
        index,
        sid: statement.sid.as_deref().filter(|sid| !sid.is_empty()).map(str::to_owned),
        effect: statement.effect,
    }
}

impl Policy {
    /// Condition keys and variables that it reads, in lower case.
    pub fn context_keys(&self) -> std::collections::BTreeSet<String> {
        let mut keys = std::collections::BTreeSet::new();
        for statement in &self.statements {
            let resources = statement.resources.iter().flat_map(|list| &list.patterns);
            keys.extend(resources.flat_map(|template| template.keys().map(str::to_owned)));
            let conditions = statement.conditions.iter();
            keys.extend(conditions.flat_map(|condition| condition.keys().map(str::to_owned)));
        }
        keys
    }
}
