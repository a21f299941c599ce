#![no_main]
//! The rule that the index finds is the first one whose conditions hold, whatever rules and requests are like.

use std::net::{IpAddr, Ipv4Addr};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use longshore_domain::route::{Condition, Facts, Patterns, QueryPair, Rule, Rules};

#[derive(Arbitrary, Debug)]
enum Texts {
    Values(Vec<String>),
    Regex(Vec<String>),
}

#[derive(Arbitrary, Debug)]
enum Given {
    Host(Texts),
    Path(Texts),
    Header(String, Texts),
    Method(Vec<String>),
    Query(Vec<(Option<String>, String)>),
    Source(u32, u8),
}

#[derive(Arbitrary, Debug)]
struct Input {
    rules: Vec<Vec<Given>>,
    host: String,
    path: String,
    query: String,
    method: String,
    header: (String, String),
    source: u32,
}

fn patterns(texts: Texts) -> Patterns {
    match texts {
        Texts::Values(values) => Patterns::Values(values),
        Texts::Regex(texts) => Patterns::Regex(texts),
    }
}

fn condition(given: Given) -> Condition {
    match given {
        Given::Host(texts) => Condition::HostHeader(patterns(texts)),
        Given::Path(texts) => Condition::PathPattern(patterns(texts)),
        Given::Header(name, texts) => Condition::HttpHeader { name, values: patterns(texts) },
        Given::Method(methods) => Condition::HttpRequestMethod(methods),
        Given::Query(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| QueryPair { key, value });
            Condition::QueryString(pairs.collect())
        }
        Given::Source(address, prefix) => {
            let block = format!("{}/{}", Ipv4Addr::from(address), prefix % 33);
            Condition::SourceIp(vec![block.parse().expect("a block")])
        }
    }
}

fuzz_target!(|input: Input| {
    let rules: Vec<Rule> = (1..)
        .zip(input.rules)
        .map(|(priority, conditions)| Rule {
            arn: String::new(),
            priority: Some(priority),
            conditions: conditions.into_iter().map(condition).collect(),
            actions: Vec::new(),
        })
        .collect();
    let (name, value) = &input.header;
    let some_header =
        |wanted: &str, holds: &dyn Fn(&str) -> bool| name.eq_ignore_ascii_case(wanted) && holds(value);
    let facts = Facts {
        host: &input.host,
        path: &input.path,
        query: &input.query,
        method: &input.method,
        source: IpAddr::V4(Ipv4Addr::from(input.source)),
        some_header: &some_header,
    };
    // Each alone, without an index over the others.
    let first = rules.iter().find(|rule| Rules::new(vec![(*rule).clone()]).find(&facts).is_some());
    let found = Rules::new(rules.clone());
    let found = found.find(&facts);
    assert_eq!(found.map(|rule| rule.priority), first.map(|rule| rule.priority));
});
