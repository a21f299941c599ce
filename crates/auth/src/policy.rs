//! IAM policies: what they say, and what they say of one request.
//!
//! A [`Policy`] is parsed once and kept; [`evaluate`] follows IAM's order over all policies that
//! count for a principal, and returns an [`Evaluation`] that can be told to people. Strings and
//! patterns only: nothing here knows a service.
//!
//! The rule it keeps: whatever is unsure is refused. A statement that allows does not apply where a
//! variable of it has no value, and one that denies is not escaped that way by a negated operator.
//!
//! Why not a crate: `iam-rs` 0.8, the one that the registry has for this, does no I/O and reads the
//! whole language, but knows one set of policies (no boundary, no session policies), takes one of two
//! equal keys of a condition, and reads every pattern and value again for each question.

mod condition;
mod evaluate;
mod json;
mod parse;
mod pattern;
mod principal;
mod said;
mod standing;
#[cfg(test)]
mod tests;
mod trace;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use evaluate::{ResourceRule, ResourceSide, evaluate, evaluate_with, trusts};
pub use principal::{Grant, PrincipalType, Who};
pub use said::Said;
pub(crate) use standing::Case;
pub use standing::Standing;
pub use trace::{Mismatch, NearMiss, StatementRef};

/// Bytes of a document, white space included: IAM's limit for the parameter. How long a policy of
/// some sort may be is for whoever stores it; see [`Policy::size`].
pub const DOCUMENT_MAX: usize = 131_072;

/// Characters of a managed policy, white space not counted.
pub const MANAGED_POLICY_MAX: usize = 6_144;

/// Statements that an [`Evaluation`] tells of as having come near.
pub const NEAR_MAX: usize = 16;

/// A policy document, parsed and ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    kind: PolicyKind,
    id: Option<Box<str>>,
    statements: Box<[Statement]>,
    size: usize,
}

/// Where a document is to be attached, which decides what it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// To a user, group, role or session, or as boundary: no `Principal`.
    Identity,
    /// To a resource: with `Principal`; without `Resource` it means what it is attached to.
    Resource,
    /// To a role, as its trust policy: with `Principal`, without `Resource`, `sts:` actions only.
    Trust,
}

/// What a statement does where it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever others allow.
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    sid: Option<Box<str>>,
    effect: Effect,
    principals: Option<principal::Principals>,
    actions: List<pattern::Action>,
    /// `None` where what the policy is attached to is meant, as in trust policies.
    resources: Option<List<pattern::Template>>,
    conditions: Box<[condition::Condition]>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct List<P> {
    negated: bool,
    patterns: Box<[P]>,
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// AWS's text for `MalformedPolicyDocument`.
    pub message: String,
    /// What is wrong and where, which AWS's text mostly leaves out.
    pub detail: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for PolicyError {}

/// A policy and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// For people: ARN of a managed policy, or `inline policy NAME of user/ann`.
    pub source: String,
    /// What it says.
    pub policy: Arc<Policy>,
}

/// All policies that count for one principal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// Of the user and its groups, or of the role.
    pub identity: Vec<Attached>,
    /// The permission boundary; `None` where there is none.
    pub boundary: Option<Attached>,
    /// Session policies; `None` where the session has none, which differs from an empty list.
    pub session: Option<Vec<Attached>>,
}

/// What a principal may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Everything within its own account: root, and everyone where identities are open.
    Account,
    /// What these policies allow, within its own account.
    By(Arc<Standing>),
}

impl Permissions {
    /// What policies allow.
    pub fn by(policies: Policies) -> Self {
        Self::By(Arc::new(Standing::new(policies)))
    }

    /// An empty context for questions: it takes the keys that policies read.
    pub fn context(&self) -> Context {
        match self {
            Self::Account => Context::default(),
            Self::By(standing) => standing.context(),
        }
    }
}

/// Condition keys of a request and their values. Keys are kept in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    values: BTreeMap<String, Vec<String>>,
    /// The keys that it takes, in lower case; any, where it is not known what is read.
    wanted: Option<Arc<[Box<str>]>>,
}

impl Context {
    /// An empty one that takes these keys.
    fn of_keys(wanted: Arc<[Box<str>]>) -> Self {
        Self { values: BTreeMap::new(), wanted: Some(wanted) }
    }

    /// Whether it takes a key. Who finds its value with some effort may ask before.
    pub fn wants(&self, key: &str) -> bool {
        let wanted = self.wanted.as_ref();
        wanted.is_none_or(|wanted| wanted.iter().any(|one| one.eq_ignore_ascii_case(key)))
    }

    /// Whether it takes any key with this text, in lower case, in its name.
    pub fn wants_any(&self, text: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|one| one.contains(text)))
    }

    /// With one more value of a key, if it takes that.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        if self.wants(key) {
            self.keep(key, value);
        }
    }

    /// With one more value of a key that others than policies read.
    pub fn keep(&mut self, key: &str, value: impl Into<String>) {
        self.values.entry(key.to_ascii_lowercase()).or_default().push(value.into());
    }

    /// Values of a key, in the order in which they were added.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.folded(&key.to_ascii_lowercase())
    }

    /// All keys, in lower case, and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.values.iter().map(|(key, values)| (key.as_str(), values.as_slice()))
    }

    /// Values of a key that is in lower case.
    fn folded(&self, key: &str) -> Option<&[String]> {
        self.values.get(key).map(Vec::as_slice)
    }

    /// The value of a key that has one: only those can be variables.
    fn only(&self, key: &str) -> Option<&str> {
        match self.folded(key) {
            Some([value]) => Some(value),
            _ => None,
        }
    }
}

/// One question: may this be done to that?
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// E.g. `ecs:RunTask`.
    pub action: &'a str,
    /// ARN, or `*` for actions without resources.
    pub resource: &'a str,
    /// Condition keys, those of the principal (`aws:username`, …) among them.
    pub context: &'a Context,
}

impl Ask<'_> {
    /// JSON of the smallest statement that would allow it, where nothing denies it.
    pub fn smallest_statement(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        // Wildcards and variables of a name are itself.
        let resource = match self.resource {
            "*" => "*".to_owned(),
            other => literal(other),
        };
        format!(
            r#"{{"Effect":"Allow","Action":{},"Resource":{}}}"#,
            text(self.action),
            text(&resource)
        )
    }
}

/// The text as a pattern that matches nothing else.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '*' | '?' => out.extend(["${", char.encode_utf8(&mut [0; 4]), "}"]),
            '$' => out.push_str("${$}"),
            other => out.push(other),
        }
    }
    out
}

/// Where a policy stands in an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Policies of the resource.
    Resource,
    /// The trust policy of a role.
    Trust,
    /// Policies of the user and its groups, or of the role.
    Identity,
    /// The permission boundary.
    Boundary,
    /// The policies of the session.
    Session,
}

impl Layer {
    /// AWS's name for policies of this sort.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource-based policy",
            Self::Trust => "role trust policy",
            Self::Identity => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
        }
    }
}

/// How a question was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// No statement allows it.
    ImplicitDeny,
}

/// Why it was decided so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is allowed wherever it must be.
    Allowed,
    /// A policy of this layer denies it.
    ExplicitDeny(Layer),
    /// Nothing of this layer allows it, which is the first that it lacks.
    NoAllow(Layer),
}

impl Reason {
    /// How AWS ends its text: `because no … allows the ACTION action`, or `with an explicit deny in
    /// …`; empty where it is allowed.
    pub fn clause(self, action: &str) -> String {
        match self {
            Self::Allowed => String::new(),
            Self::ExplicitDeny(layer) => {
                let article = match layer {
                    Layer::Identity => "an",
                    Layer::Trust => "the",
                    Layer::Resource | Layer::Boundary | Layer::Session => "a",
                };
                format!("with an explicit deny in {article} {}", layer.name())
            }
            Self::NoAllow(layer) => {
                format!("because no {} allows the {action} action", layer.name())
            }
        }
    }
}

/// A place in a document, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character of the line.
    pub column: usize,
}

impl Position {
    fn of(document: &str, at: usize) -> Option<Self> {
        let before = document.get(..at)?;
        let line = before.rsplit('\n').next().unwrap_or_default();
        Some(Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 })
    }
}

/// A decision, and what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The decision.
    pub decision: Decision,
    /// The reason, for AWS's text.
    pub reason: Reason,
    /// What decided: the statement that denies, or of each layer one that allows.
    pub statements: Vec<StatementRef>,
    /// Layers without the allow that they must have, in IAM's order; the first is the reason.
    pub missing: Vec<Layer>,
    /// For an implicit deny: statements of the missing layers that came near, nearest first, at
    /// most [`NEAR_MAX`].
    pub near: Vec<NearMiss>,
    /// How directly a policy of the resource allows it, where one does.
    pub grant: Option<Grant>,
}

impl Evaluation {
    /// Whether it is allowed.
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allowed
    }

    /// How AWS ends its text today: as [`Reason::clause`], with the ARN of a managed policy that
    /// denies.
    pub fn clause(&self, action: &str) -> String {
        let clause = self.reason.clause(action);
        match self.statements.first().filter(|_| self.decision == Decision::ExplicitDeny) {
            Some(statement) if statement.source.starts_with("arn:") => {
                format!("{clause}: {}", statement.source)
            }
            _ => clause,
        }
    }
}

impl Policy {
    /// Reads a document that is to be attached to an identity.
    ///
    /// # Errors
    /// [`PolicyError`] for what IAM would not store.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::parse_as(text, PolicyKind::Identity)
    }

    /// Reads a document that is to be attached to something.
    ///
    /// # Errors
    /// [`PolicyError`] for what IAM would not store.
    pub fn parse_as(text: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        parse::parse(text, kind)
    }

    /// Where it may be attached.
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// Its `Id`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Characters of the document as IAM counts them: without white space.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where in a document a statement begins and ends, as SimulatePrincipalPolicy tells it.
    pub fn position(document: &str, index: usize) -> Option<(Position, Position)> {
        let place = json::statements(document).get(index)?.clone();
        Some((Position::of(document, place.start)?, Position::of(document, place.end)?))
    }

    /// Whom a trust or resource policy names: sort and text, as written. Whether they exist is for
    /// whoever knows them.
    pub fn principals(&self) -> impl Iterator<Item = (PrincipalType, &str)> {
        let all = self.statements.iter().filter_map(|statement| statement.principals.as_ref());
        all.flat_map(|principals| &principals.named).map(|named| (named.kind, &*named.value))
    }
}
