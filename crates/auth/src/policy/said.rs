//! What a statement says, for people who read a decision.

use super::pattern::Style;
use super::{Attached, Layer, Policies, StatementRef};

/// A statement as it is written. Long lists are not cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `Action`, or `NotAction`.
    pub actions: Vec<String>,
    /// Whether that is `NotAction`.
    pub not_actions: bool,
    /// `Resource`, or `NotResource`.
    pub resources: Vec<String>,
    /// Whether that is `NotResource`.
    pub not_resources: bool,
    /// Operator, key and values of each condition.
    pub conditions: Vec<(String, String, Vec<String>)>,
}

impl Policies {
    /// What a statement of one of these policies says.
    pub fn said(&self, statement: &StatementRef) -> Option<Said> {
        let policies: &[Attached] = match statement.layer {
            Layer::Identity => &self.identity,
            Layer::Boundary => self.boundary.as_slice(),
            Layer::Session => self.session.as_deref().unwrap_or_default(),
            Layer::Resource | Layer::Trust => &[],
        };
        let attached = policies.iter().find(|attached| attached.source == statement.source)?;
        let found = attached.policy.statements.get(statement.index)?;
        let resources = found.resources.as_ref();
        let templates = resources.into_iter().flat_map(|list| &list.patterns);
        let conditions = found.conditions.iter().map(|condition| {
            (condition.operator(), String::from(&*condition.name), condition.wanted())
        });
        Some(Said {
            actions: found.actions.patterns.iter().map(|a| String::from(&*a.0)).collect(),
            not_actions: found.actions.negated,
            resources: templates.map(|template| template.text(Style::Resource)).collect(),
            not_resources: resources.is_some_and(|list| list.negated),
            conditions: conditions.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Ask, Context, Policy, evaluate};

    #[test]
    fn a_statement_that_denies_is_told_as_written() {
        let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecs:*","Resource":"*"},{"Sid":"Stop","Effect":"Deny","Action":["ecs:Stop*","ecs:Run*"],"NotResource":"arn:aws:ecs:*:*:task/${aws:username}","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}"#;
        let policy = Arc::new(Policy::parse(text).expect("a policy"));
        let attached = Attached { source: "p".into(), policy };
        let policies = Policies { identity: vec![attached], ..Policies::default() };
        let mut context = Context::default();
        context.add("aws:SecureTransport", "false");
        context.add("aws:username", "ann");
        let ask = Ask { action: "ecs:StopTask", resource: "*", context: &context };
        let [statement] = &evaluate(&policies, &ask).statements[..] else { panic!("one denies") };
        let said = policies.said(statement).expect("it is there");
        assert_eq!(said.actions, ["ecs:Stop*", "ecs:Run*"]);
        assert_eq!(said.resources, ["arn:aws:ecs:*:*:task/${aws:username}"]);
        assert!(said.not_resources && !said.not_actions);
        let condition = ("Bool".into(), "aws:SecureTransport".into(), vec!["false".into()]);
        assert_eq!(said.conditions, [condition]);
        let gone = StatementRef { source: "q".into(), ..statement.clone() };
        assert_eq!(policies.said(&gone), None);
    }
}
