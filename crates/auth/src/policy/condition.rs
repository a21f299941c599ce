//! Conditions: operators, and whether they hold in a request.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::pattern::{Match, Style, Template, Variables};
use super::{Context, Effect};

/// One key under one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// As written.
    pub(super) name: Box<str>,
    /// Lower case.
    key: Box<str>,
    form: Form,
    test: Test,
}

/// An operator without its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    set: Set,
    base: &'static str,
    if_exists: bool,
    negated: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// No qualifier, for keys with one value. Of several AWS asks for a qualifier, and without one the
    /// condition does not hold. So here, where the statement allows; one that denies applies if any
    /// value would do: else a tag in two spellings, `env` and `ENV`, would be a way around it.
    Plain,
    ForAllValues,
    ForAnyValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text(Style),
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Ip,
    Null,
}

/// How the value of the request stands to the value of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, seen: &T, wanted: &T) -> bool {
        match self {
            Self::Equal => seen == wanted,
            Self::Less => seen < wanted,
            Self::LessOrEqual => seen <= wanted,
            Self::Greater => seen > wanted,
            Self::GreaterOrEqual => seen >= wanted,
        }
    }
}

/// The values of a condition, ready to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Texts(Box<[Template]>),
    Numbers(Order, Box<[Number]>),
    Dates(Order, Box<[Timestamp]>),
    Blocks(Box<[IpNet]>),
    /// Whether the key must be absent.
    Absent(Box<[bool]>),
}

/// Never NaN.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Number(f64);

impl Eq for Number {}

/// Why a condition is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadValue;

impl Form {
    /// Reads an operator with its qualifier and `IfExists`.
    pub(super) fn parse(operator: &str) -> Option<Self> {
        let (set, rest) = match operator.split_once(':') {
            None => (Set::Plain, operator),
            Some(("ForAllValues", rest)) => (Set::ForAllValues, rest),
            Some(("ForAnyValue", rest)) => (Set::ForAnyValue, rest),
            Some(_) => return None,
        };
        let (base, if_exists) =
            rest.strip_suffix("IfExists").map_or((rest, false), |base| (base, true));
        let (base, kind, negated) = *OPERATORS.iter().find(|(name, ..)| *name == base)?;
        // "any condition operator name except the Null condition"
        let null = kind == Kind::Null && if_exists;
        (!null).then_some(Self { set, base, if_exists, negated, kind })
    }
}

/// Every operator, what it compares, and whether it is negated.
const OPERATORS: [(&str, Kind, bool); 27] = [
    ("StringEquals", Kind::Text(Style::Exact), false),
    ("StringNotEquals", Kind::Text(Style::Exact), true),
    ("StringEqualsIgnoreCase", Kind::Text(Style::Folded), false),
    ("StringNotEqualsIgnoreCase", Kind::Text(Style::Folded), true),
    ("StringLike", Kind::Text(Style::Like), false),
    ("StringNotLike", Kind::Text(Style::Like), true),
    ("ArnEquals", Kind::Text(Style::Arn), false),
    ("ArnNotEquals", Kind::Text(Style::Arn), true),
    ("ArnLike", Kind::Text(Style::Arn), false),
    ("ArnNotLike", Kind::Text(Style::Arn), true),
    ("NumericEquals", Kind::Number(Order::Equal), false),
    ("NumericNotEquals", Kind::Number(Order::Equal), true),
    ("NumericLessThan", Kind::Number(Order::Less), false),
    ("NumericLessThanEquals", Kind::Number(Order::LessOrEqual), false),
    ("NumericGreaterThan", Kind::Number(Order::Greater), false),
    ("NumericGreaterThanEquals", Kind::Number(Order::GreaterOrEqual), false),
    ("DateEquals", Kind::Date(Order::Equal), false),
    ("DateNotEquals", Kind::Date(Order::Equal), true),
    ("DateLessThan", Kind::Date(Order::Less), false),
    ("DateLessThanEquals", Kind::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", Kind::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Kind::Date(Order::GreaterOrEqual), false),
    ("Bool", Kind::Bool, false),
    ("BinaryEquals", Kind::Binary, false),
    ("IpAddress", Kind::Ip, false),
    ("NotIpAddress", Kind::Ip, true),
    ("Null", Kind::Null, false),
];

impl Condition {
    pub(super) fn new(
        form: Form,
        name: &str,
        wanted: &[String],
        variables: Variables,
    ) -> Result<Self, BadValue> {
        let test = test(form, wanted, variables)?;
        Ok(Self { name: name.into(), key: name.to_ascii_lowercase().into(), form, test })
    }

    /// E.g. `ForAnyValue:StringLikeIfExists`.
    pub(super) fn operator(&self) -> String {
        let Form { set, base, if_exists, .. } = self.form;
        let set = match set {
            Set::Plain => "",
            Set::ForAllValues => "ForAllValues:",
            Set::ForAnyValue => "ForAnyValue:",
        };
        format!("{set}{base}{}", if if_exists { "IfExists" } else { "" })
    }

    /// Its values, for people.
    pub(super) fn wanted(&self) -> Vec<String> {
        fn shown<T: ToString>(values: &[T]) -> Vec<String> {
            values.iter().map(ToString::to_string).collect()
        }
        match &self.test {
            Test::Texts(templates) => {
                let style = match self.form.kind {
                    Kind::Text(style) => style,
                    _ => Style::Exact,
                };
                templates.iter().map(|template| template.text(style)).collect()
            }
            Test::Numbers(_, numbers) => numbers.iter().map(|n| n.0.to_string()).collect(),
            Test::Dates(_, dates) => shown(dates),
            Test::Blocks(blocks) => shown(blocks),
            Test::Absent(wanted) => shown(wanted),
        }
    }

    /// Whether it holds. A statement that allows does not apply where a variable has no value; in
    /// one that denies, such a value equals nothing.
    pub(super) fn holds(&self, context: &Context, effect: Effect) -> bool {
        let values = context.folded(&self.key).unwrap_or_default();
        if let Test::Absent(wanted) = &self.test {
            return wanted.contains(&values.is_empty());
        }
        let Form { set, if_exists, negated, .. } = self.form;
        let satisfied = |value: &String| self.satisfied(value, context, effect);
        match set {
            Set::Plain if values.is_empty() => if_exists || negated,
            Set::Plain if values.len() > 1 && effect == Effect::Allow => false,
            Set::Plain => values.iter().any(satisfied),
            // "a null dataset, such as an empty string" counts as no value: true for all, and
            // false for any, with IfExists too.
            Set::ForAllValues => values.iter().filter(|value| !value.is_empty()).all(satisfied),
            Set::ForAnyValue => values.iter().filter(|value| !value.is_empty()).any(satisfied),
        }
    }

    /// Keys, in lower case, whose values it needs.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let templates: &[Template] = match &self.test {
            Test::Texts(templates) => templates,
            _ => &[],
        };
        core::iter::once(&*self.key).chain(templates.iter().flat_map(Template::keys))
    }

    /// The first variable of its values without a value.
    pub(super) fn unresolved(&self, context: &Context) -> Option<&str> {
        let Test::Texts(templates) = &self.test else { return None };
        templates.iter().find_map(|template| template.unresolved(context))
    }

    /// What the request has for its key.
    pub(super) fn seen<'a>(&self, context: &'a Context) -> Option<&'a [String]> {
        context.folded(&self.key)
    }

    /// Whether one value of the request is as the policy wants it, after negation.
    fn satisfied(&self, value: &str, context: &Context, effect: Effect) -> bool {
        let matched = match &self.test {
            Test::Texts(templates) => self.text(templates, value, context),
            Test::Numbers(order, wanted) => {
                let seen = number(value);
                seen.is_some_and(|seen| wanted.iter().any(|want| order.holds(&seen, want))).into()
            }
            Test::Dates(order, wanted) => {
                let seen = date(value);
                seen.is_some_and(|seen| wanted.iter().any(|want| order.holds(&seen, want))).into()
            }
            Test::Blocks(blocks) => {
                let seen: Option<IpAddr> = value.parse().ok();
                let seen = seen.map(|seen| seen.to_canonical());
                seen.is_some_and(|seen| blocks.iter().any(|block| block.contains(&seen))).into()
            }
            Test::Absent(_) => Match::No,
        };
        match matched {
            Match::Yes => !self.form.negated,
            Match::No => self.form.negated,
            Match::Unresolved => self.form.negated && effect == Effect::Deny,
        }
    }

    fn text(&self, templates: &[Template], value: &str, context: &Context) -> Match {
        let folded;
        let value = if matches!(self.form.kind, Kind::Text(Style::Folded) | Kind::Bool) {
            folded = value.to_lowercase();
            &folded
        } else {
            value
        };
        let mut found = Match::No;
        for template in templates {
            match template.matches(value, context) {
                Match::Yes => return Match::Yes,
                Match::No => {}
                Match::Unresolved => found = Match::Unresolved,
            }
        }
        found
    }
}

fn test(form: Form, wanted: &[String], variables: Variables) -> Result<Test, BadValue> {
    fn each<T>(wanted: &[String], read: impl Fn(&str) -> Option<T>) -> Result<Box<[T]>, BadValue> {
        wanted.iter().map(|text| read(text).ok_or(BadValue)).collect()
    }
    let texts = |style, variables| {
        each(wanted, |text| Template::parse(text, style, variables).ok()).map(Test::Texts)
    };
    match form.kind {
        Kind::Text(style) => texts(style, variables),
        Kind::Bool => {
            let known = |text: &String| {
                boolean(text).is_some()
                    || (variables == Variables::Substituted && text.contains("${"))
            };
            if !wanted.iter().all(known) {
                return Err(BadValue);
            }
            texts(Style::Folded, variables)
        }
        // Both sides are base64 of the same bytes, so the texts are the same.
        Kind::Binary => {
            let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
            if !wanted.iter().all(|text| text.bytes().all(base64)) {
                return Err(BadValue);
            }
            texts(Style::Exact, Variables::Literal)
        }
        Kind::Number(order) => Ok(Test::Numbers(order, each(wanted, number)?)),
        Kind::Date(order) => Ok(Test::Dates(order, each(wanted, date)?)),
        Kind::Ip => Ok(Test::Blocks(each(wanted, block)?)),
        Kind::Null => Ok(Test::Absent(each(wanted, boolean)?)),
    }
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case("false").then_some(false)
    }
}

/// An integer or a decimal.
fn number(text: &str) -> Option<Number> {
    let plain =
        text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
    let value: f64 = text.parse().ok().filter(|_| plain)?;
    value.is_finite().then_some(Number(value))
}

/// An address alone is a block of one.
fn block(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| address.into()))
}

/// A date of W3C's profile of ISO 8601 (a year, a month, a day, or a time with zone), or seconds
/// since the Unix epoch. Four digits are a year.
fn date(text: &str) -> Option<Timestamp> {
    if text.len() != 4 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Timestamp::from_second(text.parse().ok()?).ok();
    }
    let day = |text: &str| {
        let day: Date = text.parse().ok()?;
        Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    match text.len() {
        4 => day(&format!("{text}-01-01")),
        7 => day(&format!("{text}-01")),
        10 => day(text),
        _ => text.parse().ok().or_else(|| {
            // Without a zone, or without seconds.
            let time: DateTime = text.strip_suffix(['Z', 'z']).unwrap_or(text).parse().ok()?;
            Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
        }),
    }
}
