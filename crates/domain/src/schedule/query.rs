//! The cluster query language: expressions over one container instance.
//!
//! `memberOf` constraints and the filter of ListContainerInstances are written in it, e.g.
//! `attribute:ecs.instance-type =~ t3.* and not(task:group == service:db)`. An expression is
//! parsed once (`query/parse.rs`), then asked of any number of instances.
//!
//! Where AWS's documentation is silent, these rules hold:
//! - `and` binds tighter than `or`; `not` takes the test or the parentheses that follow it.
//! - A pattern must match the whole value, as `String.matches` does in Java. Patterns are those
//!   of the `regex` crate: no look-around and no back references.
//! - The negative operators are the negation of the positive ones, so an instance without the
//!   attribute satisfies `attribute:x != y`. Orderings need the attribute.
//! - An attribute without value counts as the empty text. `<` and its kin compare attributes as
//!   versions when both sides are dotted numbers, and as text otherwise.
//! - `task:group == g` holds when the instance runs at least one task of the group, `!=` when none.
//! - A date without zone is UTC; `registeredAt` is compared in whole seconds.
//! - An argument with spaces or special characters may stand in quotes (ours).

mod parse;
mod print;
#[cfg(test)]
mod tests;
mod value;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use crate::record::ContainerInstance;

pub use parse::QueryError;
pub use value::{Pattern, Version};

/// A parsed expression, with the text that it was parsed from.
#[derive(Clone, Debug)]
pub struct Expression {
    source: String,
    root: Clause,
}

/// Part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// At least one holds.
    Or(Vec<Clause>),
    /// All hold.
    And(Vec<Clause>),
    /// It does not hold.
    Not(Box<Clause>),
    /// One subject, operator and argument.
    Test(Subject, Predicate),
}

/// What a test looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `agentConnected`: `true` or `false`.
    AgentConnected,
    /// `agentVersion`, e.g. `1.105.1`.
    AgentVersion,
    /// `attribute:NAME`
    Attribute(String),
    /// `ec2InstanceId`
    Ec2InstanceId,
    /// `registeredAt`
    RegisteredAt,
    /// `runningTasksCount`
    RunningTasksCount,
    /// `task:group`: the groups of the tasks that run there.
    TaskGroup,
}

/// What a test asks of its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// `==` and the orderings.
    Compare(Comparison, Value),
    /// `in`
    In(Vec<Value>),
    /// `!in`
    NotIn(Vec<Value>),
    /// `exists`
    Exists,
    /// `!exists`
    NotExists,
    /// `=~`
    Matches(Pattern),
    /// `!~`
    NotMatches(Pattern),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equals,
    /// `!=`
    NotEquals,
    /// `>`
    GreaterThan,
    /// `>=`
    GreaterThanEqual,
    /// `<`
    LessThan,
    /// `<=`
    LessThanEqual,
}

/// An argument, of the type that its subject has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Agent version.
    Version(Version),
    /// Number of tasks.
    Count(u64),
    /// Seconds since the Unix epoch.
    Date(i64),
}

/// What an expression can see of an instance.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The instance.
    pub instance: &'a ContainerInstance,
    /// Tasks on it that should run.
    pub running_tasks: u32,
    /// How many of them belong to which group.
    pub groups: &'a BTreeMap<Cow<'a, str>, u32>,
    /// Tasks of one group that a plan has just put there and `groups` does not hold yet.
    pub placed: (&'a str, u32),
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// [`QueryError`] says what is wrong and where.
    pub fn parse(source: &str) -> Result<Self, QueryError> {
        Ok(Self { source: source.into(), root: parse::parse(source)? })
    }

    /// The text that it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The parsed form.
    pub fn root(&self) -> &Clause {
        &self.root
    }

    /// Whether it is true of an instance.
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        self.root.holds(facts)
    }

    /// Whether placing a task on an instance can change the answer for that instance.
    pub fn depends_on_tasks(&self) -> bool {
        self.root.depends_on_tasks()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl Clause {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Or(clauses) => clauses.iter().any(|clause| clause.holds(facts)),
            Self::And(clauses) => clauses.iter().all(|clause| clause.holds(facts)),
            Self::Not(clause) => !clause.holds(facts),
            Self::Test(subject, predicate) => test(subject, predicate, facts),
        }
    }

    fn depends_on_tasks(&self) -> bool {
        match self {
            Self::Or(clauses) | Self::And(clauses) => clauses.iter().any(Self::depends_on_tasks),
            Self::Not(clause) => clause.depends_on_tasks(),
            Self::Test(subject, _) => {
                matches!(subject, Subject::RunningTasksCount | Subject::TaskGroup)
            }
        }
    }
}

fn test(subject: &Subject, predicate: &Predicate, facts: &Facts<'_>) -> bool {
    let instance = facts.instance;
    match subject {
        Subject::AgentConnected => {
            let text = if instance.connection.connected { "true" } else { "false" };
            text_test(Some(text), predicate)
        }
        Subject::Ec2InstanceId => text_test(Some(&instance.ec2_instance_id), predicate),
        Subject::Attribute(name) => {
            let value = instance.attributes.get(name.as_str());
            text_test(value.map(|value| value.as_deref().unwrap_or_default()), predicate)
        }
        Subject::TaskGroup => group_test(facts, predicate),
        Subject::AgentVersion => {
            let version = instance.version_info.agent_version.as_deref();
            let version = version.and_then(Version::parse).map(Value::Version);
            compare_test(version.as_ref(), predicate)
        }
        Subject::RegisteredAt => {
            let seconds = instance.registered_at.as_millis().div_euclid(1000);
            compare_test(Some(&Value::Date(seconds)), predicate)
        }
        Subject::RunningTasksCount => {
            let count = u64::from(facts.running_tasks) + u64::from(facts.placed.1);
            compare_test(Some(&Value::Count(count)), predicate)
        }
    }
}

/// `None` for a subject that the instance does not have.
fn text_test(subject: Option<&str>, predicate: &Predicate) -> bool {
    let among = |values: &[Value]| {
        subject.is_some_and(|s| values.iter().any(|v| matches!(v, Value::Text(t) if t == s)))
    };
    match predicate {
        Predicate::Compare(Comparison::NotEquals, value) => !among(core::slice::from_ref(value)),
        Predicate::Compare(comparison, Value::Text(text)) => {
            subject.is_some_and(|subject| comparison.accepts(compare_text(subject, text)))
        }
        Predicate::Compare(..) => false,
        Predicate::In(values) => among(values),
        Predicate::NotIn(values) => !among(values),
        Predicate::Exists => subject.is_some(),
        Predicate::NotExists => subject.is_none(),
        Predicate::Matches(pattern) => subject.is_some_and(|subject| pattern.matches(subject)),
        Predicate::NotMatches(pattern) => !subject.is_some_and(|subject| pattern.matches(subject)),
    }
}

/// A group test asks about any group that runs there; its negation about all.
fn group_test(facts: &Facts<'_>, predicate: &Predicate) -> bool {
    let (group, placed) = facts.placed;
    let placed = (placed > 0).then_some(group);
    let any = |positive: &Predicate| {
        facts
            .groups
            .keys()
            .map(AsRef::as_ref)
            .chain(placed)
            .any(|group| text_test(Some(group), positive))
    };
    match predicate {
        Predicate::Compare(Comparison::NotEquals, value) => {
            !any(&Predicate::Compare(Comparison::Equals, value.clone()))
        }
        Predicate::NotIn(values) => !any(&Predicate::In(values.clone())),
        Predicate::NotMatches(pattern) => !any(&Predicate::Matches(pattern.clone())),
        Predicate::NotExists => !any(&Predicate::Exists),
        positive => any(positive),
    }
}

/// A subject without value differs from everything and is in no order with anything.
fn compare_test(subject: Option<&Value>, predicate: &Predicate) -> bool {
    let Predicate::Compare(comparison, argument) = predicate else { return false };
    let ordering = match (subject, argument) {
        (Some(Value::Version(subject)), Value::Version(argument)) => subject.cmp(argument),
        (Some(Value::Count(subject)), Value::Count(argument)) => subject.cmp(argument),
        (Some(Value::Date(subject)), Value::Date(argument)) => subject.cmp(argument),
        _ => return *comparison == Comparison::NotEquals,
    };
    comparison.accepts(ordering)
}

fn compare_text(subject: &str, argument: &str) -> Ordering {
    if subject == argument {
        return Ordering::Equal;
    }
    match (Version::parse(subject), Version::parse(argument)) {
        // `01` and `1` are in no order, but they are not the same text either.
        (Some(a), Some(b)) if a != b => a.cmp(&b),
        _ => subject.cmp(argument),
    }
}

impl Comparison {
    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Equals => ordering.is_eq(),
            Self::NotEquals => ordering.is_ne(),
            Self::GreaterThan => ordering.is_gt(),
            Self::GreaterThanEqual => ordering.is_ge(),
            Self::LessThan => ordering.is_lt(),
            Self::LessThanEqual => ordering.is_le(),
        }
    }
}
