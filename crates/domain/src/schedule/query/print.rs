//! Prints an expression so that it parses to the same form again.

use core::fmt;

use super::value::print_date;
use super::{Clause, Comparison, Predicate, Subject, Value};

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(clauses) => join(f, clauses, " or ", |clause| matches!(clause, Self::Or(_))),
            Self::And(clauses) => {
                join(f, clauses, " and ", |clause| matches!(clause, Self::Or(_) | Self::And(_)))
            }
            Self::Not(clause) => write!(f, "not({clause})"),
            Self::Test(subject, predicate) => write!(f, "{subject} {predicate}"),
        }
    }
}

fn join(
    f: &mut fmt::Formatter<'_>,
    clauses: &[Clause],
    between: &str,
    enclose: impl Fn(&Clause) -> bool,
) -> fmt::Result {
    for (i, clause) in clauses.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        if enclose(clause) {
            write!(f, "({clause})")?;
        } else {
            write!(f, "{clause}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AgentConnected => "agentConnected",
            Self::AgentVersion => "agentVersion",
            Self::Attribute(name) => return write!(f, "attribute:{name}"),
            Self::Ec2InstanceId => "ec2InstanceId",
            Self::RegisteredAt => "registeredAt",
            Self::RunningTasksCount => "runningTasksCount",
            Self::TaskGroup => "task:group",
        })
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare(comparison, value) => write!(f, "{comparison} {value}"),
            Self::In(values) => list(f, "in", values),
            Self::NotIn(values) => list(f, "!in", values),
            Self::Exists => f.write_str("exists"),
            Self::NotExists => f.write_str("!exists"),
            Self::Matches(pattern) => {
                f.write_str("=~ ")?;
                text(f, pattern.source())
            }
            Self::NotMatches(pattern) => {
                f.write_str("!~ ")?;
                text(f, pattern.source())
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, operator: &str, values: &[Value]) -> fmt::Result {
    write!(f, "{operator} [")?;
    for (i, value) in values.iter().enumerate() {
        write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
    }
    f.write_str("]")
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equals => "==",
            Self::NotEquals => "!=",
            Self::GreaterThan => ">",
            Self::GreaterThanEqual => ">=",
            Self::LessThan => "<",
            Self::LessThanEqual => "<=",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(value) => text(f, value),
            Self::Version(version) => version.fmt(f),
            Self::Count(count) => count.fmt(f),
            Self::Date(seconds) => print_date(*seconds, f),
        }
    }
}

/// Bare when nothing in it could end the argument early, in quotes otherwise.
fn text(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@*+".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return f.write_str(value);
    }
    f.write_str("\"")?;
    for c in value.chars() {
        if c == '"' || c == '\\' {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
