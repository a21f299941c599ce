//! Which rule takes a request.
//!
//! Of a thousand rules a request should look at few: rules stand under the hosts that they name,
//! or else under the first segment of their paths, and only those that name neither are looked at
//! each time. Of the candidates the first by priority wins whose conditions all hold.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use regex::{Regex, RegexBuilder};

use super::rule::{Cidr, Condition, Patterns, QueryPair, Rule};

/// Asks whether some header with a name, whatever its case, has a value that passes.
pub type SomeHeader<'a> = &'a dyn Fn(&str, &dyn Fn(&str) -> bool) -> bool;

/// What conditions look at.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The host without its port.
    pub host: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// The query without the question mark.
    pub query: &'a str,
    /// The method.
    pub method: &'a str,
    /// The other end of the connection.
    pub source: IpAddr,
    /// Its headers.
    pub some_header: SomeHeader<'a>,
}

/// The rules of a listener, ready to be asked.
#[derive(Debug)]
pub struct Rules {
    all: Vec<Ready>,
    /// By whole host, or by what follows the star of `*.example.com`.
    by_host: BTreeMap<String, Vec<usize>>,
    by_segment: BTreeMap<String, Vec<usize>>,
    anywhere: Vec<usize>,
}

#[derive(Debug)]
struct Ready {
    rule: Rule,
    tests: Vec<Test>,
}

#[derive(Debug)]
enum Test {
    Host(Texts),
    Path(Texts),
    Header(String, Texts),
    Method(Vec<String>),
    Query(Vec<QueryPair>),
    Source(Vec<Cidr>),
}

#[derive(Debug)]
enum Texts {
    /// Compared without regard to case where the condition says so.
    Globs(Vec<String>),
    Regexes(Vec<Regex>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Matters,
    Ignored,
}

impl Rules {
    /// Of rules by priority, with the default one, which has no conditions, last.
    ///
    /// A regular expression that cannot be read matches nothing; the control plane refuses such
    /// rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut made = Self {
            all: Vec::with_capacity(rules.len()),
            by_host: BTreeMap::new(),
            by_segment: BTreeMap::new(),
            anywhere: Vec::new(),
        };
        for (position, rule) in rules.into_iter().enumerate() {
            made.enter(position, &rule);
            let tests = rule.conditions.iter().map(Test::new).collect();
            made.all.push(Ready { rule, tests });
        }
        made
    }

    /// The rule that takes a request; `None` only where there is no default rule.
    pub fn find(&self, facts: &Facts<'_>) -> Option<&Rule> {
        let host = facts.host.to_ascii_lowercase();
        let dots = host.match_indices('.').map(|(at, _)| &host[at..]);
        let hosts = core::iter::once(&*host).chain(dots);
        let mut lists: Vec<&[usize]> = Vec::with_capacity(4);
        lists.push(&self.anywhere);
        if !self.by_host.is_empty() {
            lists.extend(hosts.filter_map(|key| self.by_host.get(key).map(Vec::as_slice)));
        }
        lists.extend(self.by_segment.get(segment(facts.path)).map(Vec::as_slice));
        loop {
            let heads = lists.iter_mut().filter_map(|list| Some((*list.first()?, list)));
            let (first, list) = heads.min_by_key(|(first, _)| *first)?;
            *list = &list[1..];
            let ready = &self.all[first];
            if ready.tests.iter().all(|test| test.holds(facts)) {
                return Some(&ready.rule);
            }
        }
    }

    /// All rules in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter().map(|ready| &ready.rule)
    }

    fn enter(&mut self, position: usize, rule: &Rule) {
        let keys = rule.conditions.iter().find_map(|condition| match condition {
            Condition::HostHeader(Patterns::Values(values)) => {
                let keys: Option<Vec<String>> = values.iter().map(|v| host_key(v)).collect();
                keys.map(|keys| (true, keys))
            }
            _ => None,
        });
        let keys = keys.or_else(|| {
            rule.conditions.iter().find_map(|condition| match condition {
                Condition::PathPattern(Patterns::Values(values)) => {
                    let keys: Option<Vec<String>> = values.iter().map(|v| path_key(v)).collect();
                    keys.map(|keys| (false, keys))
                }
                _ => None,
            })
        });
        match keys {
            Some((host, keys)) => {
                let index = if host { &mut self.by_host } else { &mut self.by_segment };
                for key in keys {
                    let list = index.entry(key).or_default();
                    // Two values of one rule may share a key.
                    if list.last() != Some(&position) {
                        list.push(position);
                    }
                }
            }
            None => self.anywhere.push(position),
        }
    }
}

/// Under what a host stands; `None` when wildcards leave it open.
fn host_key(value: &str) -> Option<String> {
    let plain = |text: &str| !text.contains(['*', '?']);
    let key = if plain(value) {
        value
    } else {
        value.strip_prefix('*').filter(|rest| rest.starts_with('.') && plain(rest))?
    };
    Some(key.to_ascii_lowercase())
}

/// The first segment of a path; `None` when wildcards leave it open.
fn path_key(value: &str) -> Option<String> {
    let key = segment(value);
    let open = key.contains(['*', '?']) || !value.starts_with('/');
    (!open).then(|| key.into())
}

fn segment(path: &str) -> &str {
    let rest = path.strip_prefix('/').unwrap_or(path);
    rest.split('/').next().unwrap_or_default()
}

impl Test {
    fn new(condition: &Condition) -> Self {
        match condition {
            Condition::HostHeader(patterns) => Self::Host(Texts::new(patterns, Case::Ignored)),
            Condition::PathPattern(patterns) => Self::Path(Texts::new(patterns, Case::Matters)),
            Condition::HttpHeader { name, values } => {
                Self::Header(name.clone(), Texts::new(values, Case::Ignored))
            }
            Condition::HttpRequestMethod(methods) => Self::Method(methods.clone()),
            Condition::QueryString(pairs) => Self::Query(pairs.clone()),
            Condition::SourceIp(blocks) => Self::Source(blocks.clone()),
        }
    }

    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Host(texts) => texts.hold(facts.host, Case::Ignored),
            Self::Path(texts) => texts.hold(facts.path, Case::Matters),
            Self::Header(name, texts) => {
                (facts.some_header)(name, &|value| texts.hold(value, Case::Ignored))
            }
            Self::Method(methods) => methods.iter().any(|method| method == facts.method),
            Self::Query(pairs) => pairs.iter().any(|pair| has_pair(facts.query, pair)),
            Self::Source(blocks) => blocks.iter().any(|block| block.contains(facts.source)),
        }
    }
}

impl Texts {
    fn new(patterns: &Patterns, case: Case) -> Self {
        match patterns {
            Patterns::Values(values) => Self::Globs(values.clone()),
            Patterns::Regex(texts) => {
                let read = |text: &String| {
                    RegexBuilder::new(text).case_insensitive(case == Case::Ignored).build().ok()
                };
                Self::Regexes(texts.iter().filter_map(read).collect())
            }
        }
    }

    fn hold(&self, text: &str, case: Case) -> bool {
        match self {
            Self::Globs(globs) => globs.iter().any(|glob| matches(glob, text, case)),
            Self::Regexes(regexes) => regexes.iter().any(|regex| regex.is_match(text)),
        }
    }
}

/// Whether a query has a parameter. Both are compared as they are written, percent signs and all.
fn has_pair(query: &str, wanted: &QueryPair) -> bool {
    query.split('&').filter(|pair| !pair.is_empty()).any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        wanted.key.as_ref().is_none_or(|glob| matches(glob, key, Case::Ignored))
            && matches(&wanted.value, value, Case::Ignored)
    })
}

/// Whether a text is like a pattern, in which `*` stands for any bytes and `?` for exactly one.
fn matches(glob: &str, text: &str, case: Case) -> bool {
    let same = |a: u8, b: u8| match case {
        Case::Matters => a == b,
        Case::Ignored => a.eq_ignore_ascii_case(&b),
    };
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    // The last star, and how much of the text it stands for.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&c) if c == b'?' || same(c, text[t]) => {
                g += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                g = at + 1;
                t = taken + 1;
            }
        }
    }
    glob[g..].iter().all(|c| *c == b'*')
}
