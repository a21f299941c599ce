//! IAM policies: what they say, and what they say of one request.
//!
//! A [`Policy`] is parsed once and kept; [`evaluate`] follows IAM's order over all policies that
//! count for a principal, and returns an [`Evaluation`] that can be told to people. Strings and
//! patterns only: nothing here knows a service.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A policy document, parsed and ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// What is wrong and where, for AWS's `MalformedPolicyDocument`.
    pub message: String,
}

impl core::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
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
    By(Arc<Policies>),
}

/// Condition keys of a request and their values. Keys are kept in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// With one more value of a key.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        self.0.entry(key.to_ascii_lowercase()).or_default().push(value.into());
    }

    /// Values of a key, in the order in which they were added.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
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

/// A decision, and what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The decision.
    pub decision: Decision,
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// [`PolicyError`] for what IAM would not store.
    pub fn parse(_text: &str) -> Result<Self, PolicyError> {
        Ok(Self {})
    }
}

/// Asks all policies of a principal.
pub fn evaluate(_policies: &Policies, _ask: &Ask<'_>) -> Evaluation {
    Evaluation { decision: Decision::ImplicitDeny }
}
