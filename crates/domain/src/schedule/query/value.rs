//! Versions, dates and patterns: the arguments that are more than text.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use jiff::civil;
use jiff::tz::TimeZone;
use regex::{Regex, RegexBuilder};

use crate::limits;

/// A dotted version. `1.2` equals `1.2.0`; a suffix after `-` or `+` does not count.
#[derive(Clone, Debug)]
pub struct Version(Vec<u64>);

impl Version {
    /// Parses e.g. `1.105.1`, with or without a leading `v`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let core = text.split(['-', '+']).next().unwrap_or_default();
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse().ok() } else { None }
        };
        core.split('.').map(number).collect::<Option<Vec<u64>>>().map(Self)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.0.len().max(other.0.len());
        let part = |version: &Self, i: usize| version.0.get(i).copied().unwrap_or(0);
        (0..length)
            .map(|i| part(self, i).cmp(&part(other, i)))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            write!(f, "{}{part}", if i == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

/// A regular expression that must match a whole value.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    whole: Regex,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The compiler's message, when the pattern is malformed or too large.
    pub fn new(source: &str) -> Result<Self, String> {
        let compile = |text: &str| {
            RegexBuilder::new(text)
                .size_limit(limits::PATTERN_BYTES)
                .nest_limit(limits::PATTERN_DEPTH)
                .build()
                .map_err(|error| format!("{error}"))
        };
        // First by itself: `a)(b` must not become valid by what is put around it.
        compile(source)?;
        let whole = compile(&format!(r"\A(?:{source})\z"))?;
        Ok(Self { source: source.into(), whole })
    }

    /// The pattern as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it matches all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

/// Parses a date or a date with time, with or without zone, into seconds since the Unix epoch.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_second());
    }
    let local = match text.parse::<civil::DateTime>() {
        Ok(time) => time,
        Err(_) => text.parse::<civil::Date>().ok()?.to_datetime(civil::Time::midnight()),
    };
    Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// `2018-06-18T22:28:28Z`
pub(super) fn print_date(seconds: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => fmt::Display::fmt(&time, f),
        // Only dates that `parse_date` read are ever printed.
        Err(_) => write!(f, "{seconds}"),
    }
}
