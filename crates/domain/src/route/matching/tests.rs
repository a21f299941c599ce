use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;

use super::*;

fn rule(priority: u32, conditions: Vec<Condition>) -> Rule {
    Rule { arn: priority.to_string(), priority: Some(priority), conditions, actions: Vec::new() }
}

fn values(texts: &[&str]) -> Patterns {
    Patterns::Values(texts.iter().map(ToString::to_string).collect())
}

fn host(texts: &[&str]) -> Condition {
    Condition::HostHeader(values(texts))
}

fn path(texts: &[&str]) -> Condition {
    Condition::PathPattern(values(texts))
}

fn no_header(_: &str, _: &dyn Fn(&str) -> bool) -> bool {
    false
}

const PLAIN: Facts<'static> = Facts {
    host: "example.com",
    path: "/",
    query: "",
    method: "GET",
    source: IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)),
    some_header: &no_header,
};

/// Number of the rule that takes a request, or 0 for the default one.
#[track_caller]
fn check(conditions: Vec<Vec<Condition>>, facts: Facts<'_>, expected: u32) {
    let mut rules: Vec<Rule> = (1..).zip(conditions).map(|(n, c)| rule(n, c)).collect();
    rules.push(Rule { priority: None, ..rule(0, Vec::new()) });
    let rules = Rules::new(rules);
    let found = rules.find(&facts).expect("the default rule takes everything");
    assert_eq!(found.arn, expected.to_string());
}

#[test]
fn the_first_rule_by_priority_wins() {
    let rules = || vec![vec![path(&["/b/*"])], vec![host(&["example.com"])], vec![path(&["*"])]];
    check(rules(), PLAIN, 2);
    check(rules(), Facts { path: "/b/c", ..PLAIN }, 1);
    check(rules(), Facts { host: "other", ..PLAIN }, 3);
    check(vec![], PLAIN, 0);
}

#[test]
fn hosts_are_compared_without_case_and_with_wildcards() {
    check(vec![vec![host(&["EXAMPLE.com"])]], Facts { host: "Example.COM", ..PLAIN }, 1);
    check(vec![vec![host(&["*.example.com"])]], Facts { host: "a.b.Example.com", ..PLAIN }, 1);
    check(vec![vec![host(&["*.example.com"])]], PLAIN, 0);
    check(vec![vec![host(&["exam?le.*"])]], PLAIN, 1);
    check(vec![vec![host(&["x", "*"])]], PLAIN, 1);
}

#[test]
fn paths_are_compared_with_case_and_whole() {
    check(vec![vec![path(&["/img/*"])]], Facts { path: "/img/a.png", ..PLAIN }, 1);
    check(vec![vec![path(&["/img/*"])]], Facts { path: "/IMG/a.png", ..PLAIN }, 0);
    check(vec![vec![path(&["/img"])]], Facts { path: "/img/a.png", ..PLAIN }, 0);
    check(vec![vec![path(&["/img*"])]], Facts { path: "/images/a.png", ..PLAIN }, 0);
    check(vec![vec![path(&["/im*"])]], Facts { path: "/images/a.png", ..PLAIN }, 1);
    check(vec![vec![path(&["/??/*"])]], Facts { path: "/de/a", ..PLAIN }, 1);
}

#[test]
fn other_conditions() {
    let headers = |name: &str, passes: &dyn Fn(&str) -> bool| {
        name.eq_ignore_ascii_case("x-version") && ["1", "Two"].iter().any(|value| passes(value))
    };
    let facts = Facts { some_header: &headers, query: "a=1&B=c%20d&flag", ..PLAIN };
    let header = |value| {
        let values = values(&[value]);
        vec![Condition::HttpHeader { name: "X-Version".into(), values }]
    };
    check(vec![header("two")], facts, 1);
    check(vec![header("three")], facts, 0);
    let query = |key: Option<&str>, value: &str| {
        let pair = QueryPair { key: key.map(Into::into), value: value.into() };
        vec![Condition::QueryString(vec![pair])]
    };
    check(vec![query(Some("b"), "C%20*")], facts, 1);
    check(vec![query(None, "1")], facts, 1);
    check(vec![query(Some("flag"), "")], facts, 1);
    check(vec![query(Some("a"), "2")], facts, 0);
    check(vec![vec![Condition::HttpRequestMethod(vec!["POST".into()])]], facts, 0);
    check(vec![vec![Condition::HttpRequestMethod(vec!["GET".into()])]], facts, 1);
    let source = |block: &str| vec![Condition::SourceIp(vec![block.parse().expect("a block")])];
    check(vec![source("192.0.2.0/24")], facts, 1);
    check(vec![source("192.0.3.0/24")], facts, 0);
    let regex = |text: &str| vec![Condition::PathPattern(Patterns::Regex(vec![text.into()]))];
    check(vec![regex("^/v[0-9]+/")], Facts { path: "/v12/x", ..PLAIN }, 1);
    check(vec![regex("(")], PLAIN, 0);
}

#[test]
fn all_conditions_have_to_hold() {
    let both = || vec![vec![host(&["example.com"]), path(&["/a"])]];
    check(both(), PLAIN, 0);
    check(both(), Facts { path: "/a", ..PLAIN }, 1);
}

/// What the index must not change.
fn one_by_one<'a>(rules: &'a Rules, facts: &Facts<'_>) -> Option<&'a Rule> {
    let holds = |ready: &&Ready| ready.tests.iter().all(|test| test.holds(facts));
    rules.all.iter().find(holds).map(|ready| &ready.rule)
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let hosts = prop::collection::vec("[ab*?.]{1,5}", 1..3);
    let paths = prop::collection::vec("/[ab*?/]{0,5}|[*?a]{1,2}", 1..3);
    let condition = prop_oneof![
        hosts.prop_map(|texts| Condition::HostHeader(Patterns::Values(texts))),
        paths.prop_map(|texts| Condition::PathPattern(Patterns::Values(texts))),
        Just(Condition::HttpRequestMethod(vec!["GET".into()])),
    ];
    prop::collection::vec(condition, 0..3)
}

proptest! {
    #[test]
    fn the_index_finds_what_a_look_at_every_rule_finds(
        all in prop::collection::vec(conditions(), 0..12),
        host in "[abAB.]{1,5}",
        path in "/[ab/]{0,6}",
    ) {
        let rules = (1..).zip(all).map(|(n, c)| rule(n, c)).collect();
        let rules = Rules::new(rules);
        let facts = Facts { host: &host, path: &path, ..PLAIN };
        prop_assert_eq!(rules.find(&facts), one_by_one(&rules, &facts));
    }

    #[test]
    fn wildcards_mean_what_a_regular_expression_says(glob in "[ab*?]{0,8}", text in "[ab]{0,8}") {
        let regex = glob.replace('*', ".*").replace('?', ".");
        let regex = Regex::new(&format!("^{regex}$")).expect("a regular expression");
        prop_assert_eq!(matches(&glob, &text, Case::Matters), regex.is_match(&text));
    }
}
