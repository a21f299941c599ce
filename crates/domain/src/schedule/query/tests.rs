use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::limits;
use crate::schedule::Node;
use crate::schedule::testing::{instance, task};

/// An instance in zone `a`, with one task of `service:web`, registered at 2018-06-18T22:36:48.5Z.
fn holds(expression: &str) -> bool {
    let mut on = instance(1, "a");
    on.attributes.insert("stack".into(), Some("prod env".into()));
    on.attributes.insert("generation".into(), Some("10".into()));
    let web = task(1, 1);
    let mut node = Node::new(&on);
    node.add(&web);
    let parsed = Expression::parse(expression).unwrap_or_else(|e| panic!("{expression}: {e}"));
    let printed = parsed.to_string();
    let again = Expression::parse(&printed).unwrap_or_else(|e| panic!("{printed}: {e}"));
    assert_eq!(again.root(), parsed.root(), "{expression} prints as {printed}");
    parsed.holds(&node.facts())
}

#[test]
fn the_language_of_the_documentation() {
    for (expression, expected) in [
        ("attribute:ecs.instance-type == t3.large", true),
        ("attribute:ecs.instance-type equals t3.small", false),
        ("attribute:ecs.availability-zone in [a, b]", true),
        ("attribute:ecs.availability-zone !in [a,b]", false),
        ("attribute:ecs.availability-zone not_in [b]", true),
        ("attribute:ecs.instance-type =~ t3.* and attribute:ecs.availability-zone != b", true),
        ("attribute:ecs.instance-type matches t3", false),
        ("attribute:ecs.instance-type !~ t3", true),
        ("attribute:ecs.instance-type not_matches (t2|t3).*", false),
        ("(attribute:ecs.instance-type =~ (t2|t3)\\..*)", true),
        ("attribute:ecs.instance-type =~ [a-z]3.(large|small)&&agentConnected == true", true),
        ("attribute:stack exists", true),
        ("attribute:stack == \"prod env\"", true),
        ("attribute:stack =~ 'prod .*'", true),
        ("attribute:absent exists", false),
        ("attribute:absent !exists", true),
        ("attribute:absent not_exists", true),
        ("attribute:absent != x", true),
        ("attribute:absent !~ x", true),
        ("attribute:absent < x", false),
        ("attribute:ecs.capability.task-eni exists", true),
        ("attribute:ecs.capability.task-eni == \"\"", true),
        ("attribute:generation > 9", true),
        ("attribute:generation less_than_equal 9", false),
        ("agentConnected equals false", false),
        ("agentVersion >= 1.9.0", true),
        ("agentVersion greater_than 1.105.1", false),
        ("agentVersion less_than_equal 1.105", false),
        ("agentVersion == 1.105.1.0", true),
        ("ec2InstanceId in ['i-00000000000000001']", true),
        ("ec2InstanceId =~ i-0*2", false),
        ("registeredAt >= 2018-06-18", true),
        ("registeredAt < 2018-06-19", true),
        ("registeredAt == 2018-06-18T22:36:48Z", true),
        ("registeredAt != 2018-06-18T22:36:48", false),
        ("registeredAt greater_than_equal 2018-06-18T22:28:28+00:00", true),
        ("registeredAt > 2018-06-18T22:36:48+02:00", true),
        ("runningTasksCount == 1", true),
        ("runningTasksCount not_equals 1", false),
        ("runningTasksCount greater_than 0", true),
        ("task:group == service:web", true),
        ("task:group != service:web", false),
        ("not(task:group == service:db)", true),
        ("task:group in [service:db, service:web]", true),
        ("task:group !~ service:.*", false),
        ("!(task:group == service:web) || runningTasksCount less_than 2", true),
        ("agentConnected == false and agentConnected == true or runningTasksCount == 1", true),
        ("not agentConnected == false and not not agentConnected == true", true),
        ("  agentConnected==true&&(runningTasksCount<2)  ", true),
    ] {
        assert_eq!(holds(expression), expected, "{expression}");
    }
}

#[test]
fn errors_name_the_place() {
    for (expression, position, message) in [
        ("", 0, "expected agentConnected"),
        ("foo == 1", 0, "expected agentConnected"),
        ("attribute: == 1", 10, "expected the name of an attribute"),
        ("agentConnected", 14, "expected an operator"),
        ("agentConnected = true", 15, "expected an operator"),
        ("agentConnected ==", 17, "expected an argument"),
        ("agentConnected == maybe", 18, "expected true or false"),
        ("agentConnected > true", 15, "agentConnected does not take the operator >"),
        ("agentVersion in [1.0]", 13, "agentVersion does not take the operator in"),
        ("task:group exists", 11, "task:group does not take the operator exists"),
        ("agentVersion > x", 15, "expected a version"),
        ("runningTasksCount == -1", 21, "expected a number"),
        ("registeredAt > 2018-13-01", 15, "expected a date"),
        ("attribute:x in a", 15, "expected a list"),
        ("attribute:x in [a b]", 18, "expected ',' or ']'"),
        ("attribute:x in []", 16, "expected an argument"),
        ("attribute:x == 'a", 15, "quote without end"),
        ("attribute:x =~ a(b", 15, "malformed regular expression"),
        ("attribute:x =~ 'a)(b'", 15, "malformed regular expression"),
        ("(agentConnected == true", 23, "expected ')'"),
        ("agentConnected == true)", 22, "expected 'and', 'or' or the end"),
        ("agentConnected == true agentConnected", 23, "expected 'and', 'or' or the end"),
        ("agentConnected == true & x", 23, "expected 'and', 'or' or the end"),
    ] {
        let error = Expression::parse(expression).expect_err(expression);
        assert_eq!(error.position, position, "{expression}: {error}");
        assert!(error.message.starts_with(message), "{expression}: {error}");
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let long = "x".repeat(limits::EXPRESSION_LEN + 1);
    let error = Expression::parse(&long).expect_err("too long");
    assert!(error.message.contains("2000"), "{error}");
    for open in ["(", "!", "not ", "!("] {
        let deep = open.repeat(limits::EXPRESSION_LEN / open.len());
        let error = Expression::parse(&deep).expect_err("too deep");
        assert!(error.message.starts_with("nested deeper"), "{error}");
    }
    let heavy = "attribute:x =~ (((a{99}){99}){99}){99}";
    assert!(Expression::parse(heavy).is_err(), "a pattern has a size");
    let just = alloc::format!("{}agentConnected == true", "!".repeat(limits::EXPRESSION_DEPTH - 1));
    assert!(Expression::parse(&just).is_ok());
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9_.:@/-]{1,8}", "[ -~]{0,8}", "\\PC{0,4}"]
}

fn any_predicate() -> impl Strategy<Value = Predicate> {
    let text = || any_text().prop_map(Value::Text);
    let list = || prop::collection::vec(any_text().prop_map(Value::Text), 1..4);
    let pattern =
        || "[a-z.*|()\\[\\]+ \\\\]{1,6}".prop_filter_map("valid", |p| Pattern::new(&p).ok());
    prop_oneof![
        (any_comparison(), text()).prop_map(|(c, v)| Predicate::Compare(c, v)),
        list().prop_map(Predicate::In),
        list().prop_map(Predicate::NotIn),
        Just(Predicate::Exists),
        Just(Predicate::NotExists),
        pattern().prop_map(Predicate::Matches),
        pattern().prop_map(Predicate::NotMatches),
    ]
}

fn any_comparison() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        Just(Comparison::Equals),
        Just(Comparison::NotEquals),
        Just(Comparison::GreaterThan),
        Just(Comparison::GreaterThanEqual),
        Just(Comparison::LessThan),
        Just(Comparison::LessThanEqual),
    ]
}

fn any_test() -> impl Strategy<Value = Clause> {
    let typed = |subject: Subject, comparison, value| {
        Clause::Test(subject, Predicate::Compare(comparison, value))
    };
    prop_oneof![
        ("[a-z0-9_./-]{1,8}", any_predicate())
            .prop_map(|(name, predicate)| Clause::Test(Subject::Attribute(name), predicate)),
        (any_comparison(), any::<u64>()).prop_map(move |(c, n)| typed(
            Subject::RunningTasksCount,
            c,
            Value::Count(n)
        )),
        (any_comparison(), 0..4_102_444_800_i64).prop_map(move |(c, s)| typed(
            Subject::RegisteredAt,
            c,
            Value::Date(s)
        )),
        (any_comparison(), "[0-9]{1,4}(\\.[0-9]{1,4}){0,3}").prop_map(move |(c, text)| {
            let version = Version::parse(&text).expect("a version");
            typed(Subject::AgentVersion, c, Value::Version(version))
        }),
        any_text().prop_map(|text| {
            Clause::Test(Subject::TaskGroup, Predicate::In(Vec::from([Value::Text(text)])))
        }),
        any::<bool>().prop_map(move |yes| {
            typed(Subject::AgentConnected, Comparison::Equals, Value::Text(yes.to_string()))
        }),
    ]
}

fn any_clause() -> impl Strategy<Value = Clause> {
    any_test().prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Clause::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Clause::Or),
            inner.prop_map(|clause| Clause::Not(Box::new(clause))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_printed_parses_to_the_same(clause in any_clause()) {
        let printed = clause.to_string();
        prop_assume!(printed.chars().count() <= limits::EXPRESSION_LEN);
        let parsed = Expression::parse(&printed);
        prop_assert_eq!(parsed.as_ref().map(Expression::root), Ok(&clause), "{}", printed);
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,80}") {
        if let Err(error) = Expression::parse(&text) {
            prop_assert!(error.position <= text.len() && !error.message.is_empty());
        }
    }

    #[test]
    fn nothing_almost_right_panics(
        words in prop::collection::vec(prop::sample::select(&[
            "attribute:x", "agentVersion", "registeredAt", "task:group",
            "==", "!", "in", "=~", "exists", "not", "and",
            "||", "(", ")", "[", "]", ",", "'", "\"",
            "\\", "a", "1.2", "é", " ", "2018-01-01",
        ][..]), 0..20),
    ) {
        let text: String = words.concat();
        let on = instance(1, "a");
        if let Ok(expression) = Expression::parse(&text) {
            expression.holds(&Node::new(&on).facts());
            prop_assert!(Expression::parse(&expression.to_string()).is_ok(), "{}", expression);
        }
    }
}
