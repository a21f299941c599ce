//! What led to a decision, in words for people.

use core::fmt;

use super::{Effect, Layer};

/// A statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRef {
    /// On which side of the evaluation its policy stands.
    pub layer: Layer,
    /// Where its policy comes from, as [`super::Attached::source`] has it.
    pub source: String,
    /// Its place in the document, from 0.
    pub index: usize,
    /// Its `Sid`, if it has one.
    pub sid: Option<String>,
    /// What it does where it applies.
    pub effect: Effect,
}

impl fmt::Display for StatementRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sid {
            Some(sid) => write!(f, "statement '{sid}' of {}", self.source),
            None => write!(f, "statement {} of {}", self.index + 1, self.source),
        }
    }
}

/// A statement that allows something like what was asked, and why it does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// Which one.
    pub statement: StatementRef,
    /// Everything in it that does not match.
    pub why: Vec<Mismatch>,
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not apply: ", self.statement)?;
        for (at, why) in self.why.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            why.fmt(f)?;
        }
        Ok(())
    }
}

/// One element of a statement that does not match a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// `Action` or `NotAction`.
    Action {
        /// What was asked.
        asked: String,
        /// What the statement has.
        patterns: Vec<String>,
        /// Whether that is `NotAction`.
        negated: bool,
    },
    /// `Resource` or `NotResource`.
    Resource {
        /// What was asked.
        asked: String,
        /// What the statement has.
        patterns: Vec<String>,
        /// Whether that is `NotResource`.
        negated: bool,
    },
    /// `Principal` or `NotPrincipal`.
    Principal {
        /// Who asks: an ARN, or the name of a service.
        asked: String,
        /// Whom the statement names, e.g. `AWS 111122223333`.
        named: Vec<String>,
        /// Whether that is `NotPrincipal`.
        negated: bool,
    },
    /// One key of `Condition`.
    Condition {
        /// E.g. `StringEquals`.
        operator: String,
        /// E.g. `ecs:cluster`.
        key: String,
        /// What the statement has.
        wanted: Vec<String>,
        /// What the request has; `None` where it lacks the key.
        seen: Option<Vec<String>>,
    },
    /// A variable of the statement that has no single value in the request.
    Variable(
        /// Its key, in lower case.
        String,
    ),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action { asked, patterns, negated } => {
                let element = if *negated { "NotAction" } else { "Action" };
                write!(f, "{element} is {}, not {asked}", listed(patterns))
            }
            Self::Resource { asked, patterns, negated } => {
                let element = if *negated { "NotResource" } else { "Resource" };
                write!(f, "{element} is {}, and the request is for {asked}", listed(patterns))
            }
            Self::Principal { asked, named, negated } => {
                let element = if *negated { "NotPrincipal" } else { "Principal" };
                write!(f, "{element} is {}, and {asked} asks", listed(named))
            }
            Self::Condition { operator, key, wanted, seen } => {
                write!(f, "{operator} wants {key} {}, and the request has ", listed(wanted))?;
                match seen.as_deref() {
                    None => f.write_str("no such key"),
                    Some(values @ [_, _, ..]) if !operator.contains(':') => {
                        let values = values.join(", ");
                        write!(f, "{values}: several need ForAllValues: or ForAnyValue:")
                    }
                    Some(values) => f.write_str(&values.join(", ")),
                }
            }
            Self::Variable(key) => write!(f, "${{{key}}} has no value in this request"),
        }
    }
}

/// Long lists are cut: these texts are for people.
fn listed(texts: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = texts.iter().take(SHOWN).map(String::as_str).collect();
    let more = texts.len().saturating_sub(SHOWN);
    match (shown.len(), more) {
        (0, _) => "nothing".to_owned(),
        (_, 0) => shown.join(" or "),
        (_, more) => format!("{} or {more} more", shown.join(" or ")),
    }
}
