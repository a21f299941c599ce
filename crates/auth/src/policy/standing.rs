//! The policies of one principal, with what they were found to allow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Ask, Context, Evaluation, Policies, evaluate};

/// Answers that are remembered for a principal, some hundred bytes each; one more, and all are forgotten.
const REMEMBERED: usize = 1024;
/// Bytes of an answer that is remembered: action, values of keys and resource. Clients choose some of them, and
/// what is longer is evaluated again.
const REMEMBERED_BYTES: usize = 2048;

/// The policies of a principal, made ready to be asked again and again.
///
/// What they say of an action and a resource depends on the condition keys that they read and on nothing
/// else. So what they allowed once they allow again as long as the values of those keys are the same.
/// A refusal is not remembered, since it is to be explained.
#[derive(Debug, Default)]
pub struct Standing {
    policies: Policies,
    /// Condition keys and variables that the policies read, in lower case.
    keys: Arc<[Box<str>]>,
    allowed: Mutex<Allowed>,
}

#[derive(Debug, Default)]
struct Allowed {
    count: usize,
    /// Resources, by action and values of the keys.
    by_case: BTreeMap<String, BTreeSet<Box<str>>>,
}

impl Standing {
    /// Nothing was asked yet.
    pub fn new(policies: Policies) -> Self {
        let Policies { identity, boundary, session } = &policies;
        let all = identity.iter().chain(boundary).chain(session.iter().flatten());
        let keys: BTreeSet<String> =
            all.flat_map(|attached| attached.policy.context_keys()).collect();
        let keys = keys.into_iter().map(String::into_boxed_str).collect();
        Self { policies, keys, allowed: Mutex::default() }
    }

    /// An empty context that takes the keys that the policies read, and no others.
    pub fn context(&self) -> Context {
        Context::of_keys(Arc::clone(&self.keys))
    }

    /// Asks all policies in a case ([`Standing::case`]) of this action and context, unless they are known to
    /// allow it.
    ///
    /// # Errors
    /// The evaluation of what they do not allow.
    pub(crate) fn allows(&self, ask: &Ask<'_>, case: &Case) -> Result<(), Box<Evaluation>> {
        let known = |allowed: &Allowed| {
            allowed.by_case.get(&case.0).is_some_and(|resources| resources.contains(ask.resource))
        };
        if known(&self.allowed()) {
            return Ok(());
        }
        let evaluation = evaluate(&self.policies, ask);
        if !evaluation.is_allowed() {
            return Err(Box::new(evaluation));
        }
        if case.0.len() + ask.resource.len() <= REMEMBERED_BYTES {
            self.allowed().remember(&case.0, ask.resource);
        }
        Ok(())
    }

    fn allowed(&self) -> MutexGuard<'_, Allowed> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The action, and what the request has for each key. Lengths stand before values, so that no two
    /// cases are written alike.
    pub(crate) fn case(&self, action: &str, context: &Context) -> Case {
        let mut case = String::with_capacity(128);
        case.push_str(action);
        for key in &*self.keys {
            let values = context.folded(key).unwrap_or_default();
            let mut add = |text: core::fmt::Arguments<'_>| {
                case.write_fmt(text).expect("a string takes all");
            };
            add(format_args!(" {}", values.len()));
            for value in values {
                add(format_args!(":{}:{value}", value.len()));
            }
        }
        Case(case)
    }
}

/// What the answers about a resource depend on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case(String);

impl Allowed {
    fn remember(&mut self, case: &str, resource: &str) {
        if self.count >= REMEMBERED {
            *self = Self::default();
        }
        let is_new = self.by_case.entry(case.to_owned()).or_default().insert(resource.into());
        self.count += usize::from(is_new);
    }
}

impl Deref for Standing {
    type Target = Policies;

    fn deref(&self) -> &Policies {
        &self.policies
    }
}

impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        self.policies == other.policies
    }
}

impl Eq for Standing {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Attached, Policy};

    const CLUSTER: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"StringEquals":{"ecs:cluster":["a","b"]}}}}"#;

    fn standing(text: &str) -> Standing {
        let policy = Arc::new(Policy::parse(text).expect("a policy"));
        let attached = Attached { source: "p".into(), policy };
        Standing::new(Policies { identity: vec![attached], ..Policies::default() })
    }

    fn context(standing: &Standing, values: &[(&str, &str)]) -> Context {
        let mut context = standing.context();
        for (key, value) in values {
            context.add(key, *value);
        }
        context
    }

    #[test]
    fn what_was_allowed_is_remembered_for_the_same_values_alone() {
        let standing = standing(CLUSTER);
        let allows = |cluster: &[&str], resource: &str| {
            let values: Vec<_> = cluster.iter().map(|value| ("ecs:Cluster", *value)).collect();
            let context = context(&standing, &values);
            let ask = Ask { action: "ecs:RunTask", resource, context: &context };
            // Once evaluated, once remembered.
            let case = standing.case(ask.action, &context);
            let first = standing.allows(&ask, &case).is_ok();
            assert_eq!(standing.allows(&ask, &case).is_ok(), first);
            assert_eq!(evaluate(&standing, &ask).is_allowed(), first);
            first
        };
        assert!(allows(&["a"], "r"));
        assert!(allows(&["b"], "r"));
        assert!(!allows(&["c"], "r"));
        assert!(!allows(&[], "r"), "what has no value is another case");
        assert!(allows(&["a"], "another"));
        assert_eq!(standing.allowed().count, 3, "refusals are evaluated again");
        for n in 0..REMEMBERED {
            assert!(allows(&["a"], &format!("r{n}")));
        }
        assert!(standing.allowed().count <= REMEMBERED);
    }

    #[test]
    fn what_is_long_is_not_remembered() {
        let standing = standing(CLUSTER);
        let context = context(&standing, &[("ecs:cluster", "a")]);
        let case = standing.case("ecs:RunTask", &context);
        for (length, count) in [(REMEMBERED_BYTES, 0), (REMEMBERED_BYTES - case.0.len(), 1)] {
            let resource = &*"r".repeat(length);
            let ask = Ask { action: "ecs:RunTask", resource, context: &context };
            assert!(standing.allows(&ask, &case).is_ok());
            assert_eq!(standing.allowed().count, count);
        }
    }

    #[test]
    fn a_context_takes_the_keys_that_are_read() {
        let standing = standing(CLUSTER);
        let context = context(&standing, &[("aws:SourceIp", "10.0.0.1"), ("ECS:cluster", "a")]);
        assert_eq!(context.iter().count(), 1);
        assert!(context.wants("ecs:Cluster") && !context.wants("aws:SourceIp"));
        assert!(!context.wants_any(":resourcetag/"));
        assert!(Context::default().wants("aws:SourceIp"), "nobody has said what is read");
    }

    #[test]
    fn values_are_told_apart() {
        let standing = standing(CLUSTER);
        let case = |values: &[&str]| {
            let values: Vec<_> = values.iter().map(|value| ("ecs:cluster", *value)).collect();
            let context = context(&standing, &values);
            standing.case("a:B", &context)
        };
        let cases = [case(&[]), case(&[""]), case(&["a", "b"]), case(&["a:1:b"]), case(&["ab"])];
        let different: BTreeSet<_> = cases.iter().collect();
        assert_eq!(different.len(), cases.len());
    }
}
