//! Parser of the cluster query language.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use winnow::Parser;
use winnow::ascii::multispace0;
use winnow::combinator::{alt, opt};
use winnow::error::ParserError;
use winnow::token::{literal, take_while};

use super::value::{Pattern, Version, parse_date};
use super::{Clause, Comparison, Predicate, Subject, Value};
use crate::limits;

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// Bytes before the place of the error.
    pub position: usize,
    /// What was expected or found there.
    pub message: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at position {}", self.message, self.position)
    }
}

impl core::error::Error for QueryError {}

/// The same while parsing, when only the rest of the text is at hand.
#[derive(Debug)]
struct Fault {
    rest: usize,
    message: String,
}

impl ParserError<&str> for Fault {
    type Inner = Self;

    fn from_input(input: &&str) -> Self {
        Self { rest: input.len(), message: String::new() }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

type Parsed<T> = Result<T, Fault>;

fn fault<T>(input: &str, message: impl Into<String>) -> Parsed<T> {
    Err(Fault { rest: input.len(), message: message.into() })
}

pub(super) fn parse(source: &str) -> Result<Clause, QueryError> {
    if source.chars().count() > limits::EXPRESSION_LEN {
        let message = format!("expression is longer than {} characters", limits::EXPRESSION_LEN);
        return Err(QueryError { position: 0, message });
    }
    let mut input = source;
    whole(&mut input).map_err(|fault| QueryError {
        position: source.len().saturating_sub(fault.rest),
        message: fault.message,
    })
}

fn whole(input: &mut &str) -> Parsed<Clause> {
    let clause = any_of(input, 0)?;
    space(input)?;
    if input.is_empty() {
        Ok(clause)
    } else {
        fault(input, "expected 'and', 'or' or the end of the expression")
    }
}

fn space(input: &mut &str) -> Parsed<()> {
    multispace0.void().parse_next(input)
}

fn any_of(input: &mut &str, depth: usize) -> Parsed<Clause> {
    let mut clauses = vec![all_of(input, depth)?];
    while connective(input, "||", "or")? {
        clauses.push(all_of(input, depth)?);
    }
    Ok(single_or(clauses, Clause::Or))
}

fn all_of(input: &mut &str, depth: usize) -> Parsed<Clause> {
    let mut clauses = vec![unary(input, depth)?];
    while connective(input, "&&", "and")? {
        clauses.push(unary(input, depth)?);
    }
    Ok(single_or(clauses, Clause::And))
}

fn single_or(mut clauses: Vec<Clause>, many: fn(Vec<Clause>) -> Clause) -> Clause {
    if clauses.len() == 1 { clauses.remove(0) } else { many(clauses) }
}

/// Takes a symbol or a whole word, if it is next.
fn connective(input: &mut &str, symbol: &'static str, word: &'static str) -> Parsed<bool> {
    space(input)?;
    if opt(literal(symbol)).parse_next(input)?.is_some() {
        return Ok(true);
    }
    Ok(take_word(input, word))
}

/// Takes `word` unless it is only the start of a longer one.
fn take_word(input: &mut &str, word: &str) -> bool {
    match input.strip_prefix(word) {
        Some(rest) if !rest.starts_with(is_word) => {
            *input = rest;
            true
        }
        _ => false,
    }
}

fn unary(input: &mut &str, depth: usize) -> Parsed<Clause> {
    space(input)?;
    if depth >= limits::EXPRESSION_DEPTH {
        return fault(input, format!("nested deeper than {} levels", limits::EXPRESSION_DEPTH));
    }
    if opt(literal("!")).parse_next(input)?.is_some() || take_word(input, "not") {
        return Ok(Clause::Not(Box::new(unary(input, depth + 1)?)));
    }
    if opt(literal("(")).parse_next(input)?.is_none() {
        return test(input);
    }
    let inside = any_of(input, depth + 1)?;
    space(input)?;
    match opt(literal(")")).parse_next(input)? {
        Some(_) => Ok(inside),
        None => fault(input, "expected ')', 'and' or 'or'"),
    }
}

fn test(input: &mut &str) -> Parsed<Clause> {
    let subject = subject(input)?;
    space(input)?;
    let at = *input;
    let operator = operator(input)?;
    if !allowed(&subject, operator) {
        return fault(at, format!("{subject} does not take the operator {}", operator.name()));
    }
    space(input)?;
    let predicate = match operator {
        Operator::Compare(comparison) => Predicate::Compare(comparison, value(input, &subject)?),
        Operator::In => Predicate::In(values(input, &subject)?),
        Operator::NotIn => Predicate::NotIn(values(input, &subject)?),
        Operator::Exists => Predicate::Exists,
        Operator::NotExists => Predicate::NotExists,
        Operator::Matches => Predicate::Matches(pattern(input)?),
        Operator::NotMatches => Predicate::NotMatches(pattern(input)?),
    };
    Ok(Clause::Test(subject, predicate))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '\\' | ':')
}

fn subject(input: &mut &str) -> Parsed<Subject> {
    const EXPECTED: &str = "expected agentConnected, agentVersion, attribute:NAME, ec2InstanceId, \
                            registeredAt, runningTasksCount or task:group";
    let at = *input;
    let word: &str = take_while(0.., is_word).parse_next(input)?;
    match word {
        "agentConnected" => Ok(Subject::AgentConnected),
        "agentVersion" => Ok(Subject::AgentVersion),
        "ec2InstanceId" => Ok(Subject::Ec2InstanceId),
        "registeredAt" => Ok(Subject::RegisteredAt),
        "runningTasksCount" => Ok(Subject::RunningTasksCount),
        "task:group" => Ok(Subject::TaskGroup),
        _ => match word.strip_prefix("attribute:") {
            Some(name) if !name.is_empty() => Ok(Subject::Attribute(name.into())),
            Some(_) => fault(input, "expected the name of an attribute"),
            None => fault(at, EXPECTED),
        },
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Compare(Comparison),
    In,
    NotIn,
    Exists,
    NotExists,
    Matches,
    NotMatches,
}

/// Symbol, word and meaning; a symbol that starts another one stands after it.
const OPERATORS: [(&str, &str, Operator); 12] = [
    ("==", "equals", Operator::Compare(Comparison::Equals)),
    ("!=", "not_equals", Operator::Compare(Comparison::NotEquals)),
    (">=", "greater_than_equal", Operator::Compare(Comparison::GreaterThanEqual)),
    (">", "greater_than", Operator::Compare(Comparison::GreaterThan)),
    ("<=", "less_than_equal", Operator::Compare(Comparison::LessThanEqual)),
    ("<", "less_than", Operator::Compare(Comparison::LessThan)),
    ("=~", "matches", Operator::Matches),
    ("!~", "not_matches", Operator::NotMatches),
    ("!exists", "not_exists", Operator::NotExists),
    ("exists", "exists", Operator::Exists),
    ("!in", "not_in", Operator::NotIn),
    ("in", "in", Operator::In),
];

impl Operator {
    fn name(self) -> &'static str {
        match self {
            Self::Compare(Comparison::Equals) => "==",
            Self::Compare(Comparison::NotEquals) => "!=",
            Self::Compare(Comparison::GreaterThan) => ">",
            Self::Compare(Comparison::GreaterThanEqual) => ">=",
            Self::Compare(Comparison::LessThan) => "<",
            Self::Compare(Comparison::LessThanEqual) => "<=",
            Self::In => "in",
            Self::NotIn => "!in",
            Self::Exists => "exists",
            Self::NotExists => "!exists",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        }
    }
}

fn operator(input: &mut &str) -> Parsed<Operator> {
    for (symbol, word, operator) in OPERATORS {
        let is_symbol = !symbol.ends_with(|c: char| c.is_ascii_alphabetic());
        if is_symbol && opt(literal(symbol)).parse_next(input)?.is_some() {
            return Ok(operator);
        }
        if take_word(input, word) || (!is_symbol && take_word(input, symbol)) {
            return Ok(operator);
        }
    }
    fault(input, "expected an operator such as ==, in, exists or =~")
}

/// Which operators the documentation gives to which subject.
fn allowed(subject: &Subject, operator: Operator) -> bool {
    match subject {
        Subject::Attribute(_) => true,
        Subject::AgentConnected | Subject::Ec2InstanceId | Subject::TaskGroup => !matches!(
            operator,
            Operator::Exists
                | Operator::NotExists
                | Operator::Compare(
                    Comparison::GreaterThan
                        | Comparison::GreaterThanEqual
                        | Comparison::LessThan
                        | Comparison::LessThanEqual
                )
        ),
        Subject::AgentVersion | Subject::RegisteredAt | Subject::RunningTasksCount => {
            matches!(operator, Operator::Compare(_))
        }
    }
}

fn values(input: &mut &str, subject: &Subject) -> Parsed<Vec<Value>> {
    if opt(literal("[")).parse_next(input)?.is_none() {
        return fault(input, "expected a list such as [a, b]");
    }
    let mut values = Vec::new();
    loop {
        space(input)?;
        values.push(value(input, subject)?);
        space(input)?;
        match opt(alt((literal(","), literal("]")))).parse_next(input)? {
            Some(",") => {}
            Some(_) => return Ok(values),
            None => return fault(input, "expected ',' or ']'"),
        }
    }
}

fn value(input: &mut &str, subject: &Subject) -> Parsed<Value> {
    let at = *input;
    let text = match quoted(input)? {
        Some(text) => text,
        None => bare(input)?,
    };
    let typed = match subject {
        Subject::AgentVersion => Version::parse(&text).map(Value::Version),
        Subject::RunningTasksCount => text.parse().ok().map(Value::Count),
        Subject::RegisteredAt => parse_date(&text).map(Value::Date),
        Subject::AgentConnected => {
            matches!(text.as_str(), "true" | "false").then_some(Value::Text(text))
        }
        _ => Some(Value::Text(text)),
    };
    let wanted = match subject {
        Subject::AgentVersion => "expected a version such as 1.2.3",
        Subject::RunningTasksCount => "expected a number",
        Subject::RegisteredAt => "expected a date such as 2018-06-18T22:28:28+00:00",
        _ => "expected true or false",
    };
    typed.map_or_else(|| fault(at, wanted), Ok)
}

fn bare(input: &mut &str) -> Parsed<String> {
    let ends = |c: char| c.is_whitespace() || "()[],\"'&|".contains(c);
    let word: &str = take_while(0.., |c: char| !ends(c)).parse_next(input)?;
    if word.is_empty() { fault(input, "expected an argument") } else { Ok(word.into()) }
}

/// Text in single or double quotes; a backslash takes the next character as it is.
fn quoted(input: &mut &str) -> Parsed<Option<String>> {
    let at = *input;
    let Some(quote) = input.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return Ok(None);
    };
    let mut text = String::new();
    let mut chars = at.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => {
                *input = at.get(i + 1..).unwrap_or_default();
                return Ok(Some(text));
            }
            '\\' => text.extend(chars.next().map(|(_, c)| c)),
            c => text.push(c),
        }
    }
    fault(at, "quote without end")
}

fn pattern(input: &mut &str) -> Parsed<Pattern> {
    let at = *input;
    let source = match quoted(input)? {
        Some(text) => text,
        None => bare_pattern(input)?,
    };
    Pattern::new(&source).or_else(|message| {
        let last = message.lines().last().unwrap_or_default().to_string();
        fault(at, format!("malformed regular expression: {last}"))
    })
}

/// A pattern without quotes ends at white space, at `&&` or `||`, or at a parenthesis that it did
/// not open.
fn bare_pattern(input: &mut &str) -> Parsed<String> {
    let at = *input;
    let mut open = 0_usize;
    let mut chars = at.char_indices();
    let mut end = at.len();
    while let Some((i, c)) = chars.next() {
        let rest = at.get(i..).unwrap_or_default();
        match c {
            '\\' => drop(chars.next()),
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' if open > 0 => open -= 1,
            c if open == 0
                && (c.is_whitespace()
                    || c == ')'
                    || rest.starts_with("&&")
                    || rest.starts_with("||")) =>
            {
                end = i;
                break;
            }
            _ => {}
        }
    }
    let (pattern, rest) = at.split_at(end);
    if pattern.is_empty() {
        return fault(at, "expected a regular expression");
    }
    *input = rest;
    Ok(pattern.into())
}
