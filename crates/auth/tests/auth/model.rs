//! Policies against a slow, obvious model: it walks the JSON document for each question, matches by
//! trying everything, and shares no code with the engine.

use std::sync::Arc;

use longshore_auth::{Ask, Attached, Context, Decision, Layer, Policies, Policy, Reason, evaluate};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// One character of a pattern.
#[derive(Clone, Copy, PartialEq)]
enum Token {
    Char(char),
    Many,
    One,
}

/// The keys of a request, as the model keeps them.
type Keys = Vec<(String, Vec<String>)>;

fn values<'a>(keys: &'a Keys, key: &str) -> &'a [String] {
    let found = keys.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    found.map(|(_, values)| values.as_slice()).unwrap_or_default()
}

/// The text with its variables; `None` where one has no value.
fn resolve(text: &str, keys: &Keys, wild: bool) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix("${") {
            let end = inside.find('}').expect("variables end");
            let name = &inside[..end];
            rest = &inside[end + 1..];
            let (key, default) = match name.split_once(", ") {
                Some((key, default)) => (key, Some(default.trim_matches('\''))),
                None => (name, None),
            };
            let value = match (name, values(keys, key)) {
                ("*" | "?" | "$", _) => name,
                (_, [one]) => one,
                _ => default?,
            };
            out.extend(value.chars().map(Token::Char));
            continue;
        }
        let char = rest.chars().next().expect("not empty");
        rest = &rest[char.len_utf8()..];
        out.push(match char {
            '*' if wild => Token::Many,
            '?' if wild => Token::One,
            other => Token::Char(other),
        });
    }
    Some(out)
}

fn like(pattern: &[Token], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((Token::Many, after)), _) => (0..=text.len()).any(|n| like(after, &text[n..])),
        (Some((Token::One, after)), Some((_, rest))) => like(after, rest),
        (Some((Token::Char(c), after)), Some((t, rest))) => c == t && like(after, rest),
        (Some(_), None) => false,
    }
}

/// A wildcard stays within its segment, unless it ends it or stands in the sixth.
fn resource(pattern: &[Token], text: &[char], segment: usize) -> bool {
    let inside = |c: &char| segment >= 6 || *c != ':';
    match (pattern.split_first(), text.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((Token::Many, after)), _) => {
            let ends = matches!(after.first(), None | Some(Token::Char(':')));
            (0..=text.len())
                .filter(|n| ends || text[..*n].iter().all(inside))
                .any(|n| resource(after, &text[n..], segment))
        }
        (Some((Token::One, after)), Some((t, rest))) => inside(t) && resource(after, rest, segment),
        (Some((Token::Char(c), after)), Some((t, rest))) => {
            c == t && resource(after, rest, segment + usize::from(*c == ':'))
        }
        (Some(_), None) => false,
    }
}

fn arn(pattern: &[Token], text: &str) -> bool {
    if pattern == [Token::Many] {
        return true;
    }
    let patterns: Vec<&[Token]> = pattern.splitn(6, |t| *t == Token::Char(':')).collect();
    let texts: Vec<Vec<char>> = text.splitn(6, ':').map(|part| part.chars().collect()).collect();
    patterns.len() == 6
        && texts.len() == 6
        && patterns.iter().zip(&texts).all(|(pattern, text)| like(pattern, text))
}

/// Whether a value of a request is the wanted one under an operator that is not negated.
fn same(operator: &str, seen: &str, wanted: &str, keys: &Keys) -> Option<bool> {
    let chars: Vec<char> = seen.chars().collect();
    let exact = |fold: bool| {
        let tokens = resolve(wanted, keys, false)?;
        let char = |token: &Token| if let Token::Char(c) = token { *c } else { '!' };
        let text: String = tokens.iter().map(char).collect();
        Some(if fold { text.to_lowercase() == seen.to_lowercase() } else { text == seen })
    };
    let numbers = || Some((seen.parse::<f64>().ok()?, wanted.parse::<f64>().ok()?));
    let order = |holds: fn(f64, f64) -> bool| Some(numbers().is_some_and(|(a, b)| holds(a, b)));
    match operator {
        "StringEquals" => exact(false),
        "StringEqualsIgnoreCase" | "Bool" => exact(true),
        "StringLike" => resolve(wanted, keys, true).map(|tokens| like(&tokens, &chars)),
        "ArnEquals" | "ArnLike" => resolve(wanted, keys, true).map(|tokens| arn(&tokens, seen)),
        // Dates of this test are seconds, which compare as numbers do.
        "NumericEquals" | "DateEquals" => order(|a, b| a.total_cmp(&b).is_eq()),
        "NumericLessThan" | "DateLessThan" => order(|a, b| a < b),
        "NumericLessThanEquals" | "DateLessThanEquals" => order(|a, b| a <= b),
        "NumericGreaterThan" | "DateGreaterThan" => order(|a, b| a > b),
        "NumericGreaterThanEquals" | "DateGreaterThanEquals" => order(|a, b| a >= b),
        other => panic!("the model does not know {other}"),
    }
}

fn condition(operator: &str, key: &str, wanted: &Value, keys: &Keys, allows: bool) -> bool {
    let wanted: Vec<&str> = match wanted {
        Value::Array(list) => list.iter().map(|v| v.as_str().expect("text")).collect(),
        one => vec![one.as_str().expect("text")],
    };
    let seen = values(keys, key);
    if operator == "Null" {
        return wanted.iter().any(|absent| (*absent == "true") == seen.is_empty());
    }
    let (set, rest) = operator.split_once(':').unwrap_or(("", operator));
    let (base, if_exists) = match rest.strip_suffix("IfExists") {
        Some(base) => (base, true),
        None => (rest, false),
    };
    let (base, negated) = (base.replace("Not", ""), base.contains("Not"));
    let holds = |value: &&String| {
        let found: Vec<Option<bool>> =
            wanted.iter().map(|wanted| same(&base, value, wanted, keys)).collect();
        if found.contains(&Some(true)) {
            !negated
        } else if found.contains(&None) {
            negated && !allows
        } else {
            negated
        }
    };
    let filled: Vec<&String> = seen.iter().filter(|value| !value.is_empty()).collect();
    match set {
        "ForAllValues" => filled.iter().all(holds),
        "ForAnyValue" => filled.iter().any(holds),
        _ if seen.is_empty() => if_exists || negated,
        _ if seen.len() > 1 && allows => false,
        _ => seen.iter().any(|value| holds(&value)),
    }
}

struct Question {
    action: String,
    resource: String,
    keys: Keys,
}

fn listed(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|v| v.as_str().expect("text")).collect()
}

fn applies(statement: &Value, question: &Question) -> bool {
    let allows = statement["Effect"] == "Allow";
    let lower: Vec<char> = question.action.to_lowercase().chars().collect();
    let acts = |written: &&str| {
        let tokens = resolve(&written.to_lowercase(), &Keys::new(), true).expect("no variables");
        like(&tokens, &lower)
    };
    let actions = match statement.get("NotAction") {
        Some(list) => !listed(list).iter().any(acts),
        None => listed(&statement["Action"]).iter().any(acts),
    };
    let text: Vec<char> = question.resource.chars().collect();
    let found = |list: &Value| -> Vec<Option<bool>> {
        let one = |written: &&str| {
            let tokens = resolve(written, &question.keys, true)?;
            Some(tokens == [Token::Many] || resource(&tokens, &text, 1))
        };
        listed(list).iter().map(one).collect()
    };
    let resources = match statement.get("NotResource") {
        Some(list) => {
            let found = found(list);
            !(found.contains(&Some(true)) || allows && found.contains(&None))
        }
        None => found(&statement["Resource"]).contains(&Some(true)),
    };
    let conditions = statement["Condition"].as_object().expect("an object");
    let holds = conditions.iter().all(|(operator, keys)| {
        let mut keys = keys.as_object().expect("an object").iter();
        keys.all(|(key, wanted)| condition(operator, key, wanted, &question.keys, allows))
    });
    actions && resources && holds
}

fn model(layers: &[(Layer, Option<Vec<Value>>)], question: &Question) -> Reason {
    let says = |documents: &[Value], effect: &str| {
        documents.iter().any(|document| {
            let mut statements = document["Statement"].as_array().expect("a list").iter();
            statements.any(|s| s["Effect"] == effect && applies(s, question))
        })
    };
    for (layer, documents) in layers {
        if documents.as_deref().is_some_and(|documents| says(documents, "Deny")) {
            return Reason::ExplicitDeny(*layer);
        }
    }
    for (layer, documents) in layers {
        if documents.as_deref().is_some_and(|documents| !says(documents, "Allow")) {
            return Reason::NoAllow(*layer);
        }
    }
    Reason::Allowed
}

const PIECES: [&str; 14] = [
    "a",
    "b",
    ":",
    "*",
    "?",
    "a*",
    "*b",
    "/",
    "é",
    "${k:x}",
    "${K:Y}",
    "${k:x, 'a'}",
    "${*}",
    "${?}",
];
const TEXTS: [&str; 7] = ["a", "b", "", "A", "a:b", "*", "arn:a:b::a:b"];

fn written_action() -> impl Strategy<Value = &'static str> {
    select(vec![
        "*",
        "ecs:*",
        "ecs:RunTask",
        "ECS:runtask",
        "ecs:R?nTask",
        "ecs:*Task",
        "s3:Get*",
        "ecs:S*k",
    ])
}

fn pattern() -> impl Strategy<Value = String> {
    prop::collection::vec(select(PIECES.to_vec()), 0..5).prop_map(|pieces| pieces.concat())
}

/// Segments region and account and the resource itself are free.
fn written_resource() -> impl Strategy<Value = String> {
    let arn = (pattern(), pattern(), pattern())
        .prop_map(|(region, account, name)| format!("arn:aws:ecs:{region}:{account}:{name}"));
    prop_oneof![1 => Just("*".to_owned()), 1 => Just("arn:aws:ecs:*".to_owned()), 6 => arn]
}

fn asked_text() -> impl Strategy<Value = String> {
    prop::collection::vec(select(vec!["a", "b", ":", "/", "é", "*"]), 0..4)
        .prop_map(|pieces| pieces.concat())
}

fn one_condition() -> impl Strategy<Value = (String, String, Vec<String>)> {
    let texts = || prop::collection::vec(pattern(), 0..3);
    let arns = || {
        let arn = (pattern(), pattern()).prop_map(|(a, b)| format!("arn:a:b:{a}:{b}:b"));
        prop::collection::vec(prop_oneof![arn, pattern()], 0..3)
    };
    let numbers = || {
        let number = select(vec!["1", "2", "10"]).prop_map(str::to_owned);
        prop::collection::vec(number, 0..3)
    };
    let orders =
        ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"];
    let ordered = |prefix: &str| {
        let names: Vec<String> = orders.iter().map(|order| format!("{prefix}{order}")).collect();
        select(names)
    };
    let string = select(vec![
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
    ]);
    let arn = select(vec!["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"]);
    let test = prop_oneof![
        4 => (string.prop_map(str::to_owned), texts()),
        2 => (arn.prop_map(str::to_owned), arns()),
        1 => (ordered("Numeric"), numbers()),
        1 => (ordered("Date"), numbers()),
        1 => (Just("Bool".to_owned()), Just(vec!["true".to_owned()])),
    ];
    let set = select(vec!["", "", "ForAllValues:", "ForAnyValue:"]);
    let if_exists = select(vec!["", "", "IfExists"]);
    let key = select(vec!["k:x", "k:Y", "k:z"]).prop_map(str::to_owned);
    let null = (key.clone(), select(vec!["true", "false"]))
        .prop_map(|(key, absent)| ("Null".to_owned(), key, vec![absent.to_owned()]));
    let other = (test, set, if_exists, key).prop_map(|((base, wanted), set, if_exists, key)| {
        (format!("{set}{base}{if_exists}"), key, wanted)
    });
    prop_oneof![1 => null, 9 => other]
}

prop_compose! {
    fn statement()(
        deny in prop::bool::weighted(0.3),
        (not_action, not_resource) in
            (prop::bool::weighted(0.2), prop::bool::weighted(0.2)),
        actions in prop::collection::vec(written_action(), 1..3),
        resources in prop::collection::vec(written_resource(), 1..3),
        conditions in prop::collection::vec(one_condition(), 0..3),
    ) -> Value {
        let mut block = Map::new();
        for (operator, key, wanted) in conditions {
            let keys = block.entry(operator).or_insert_with(|| json!({}));
            keys[key] = json!(wanted);
        }
        let mut statement = Map::new();
        statement.insert("Effect".into(), json!(if deny { "Deny" } else { "Allow" }));
        statement.insert(if not_action { "NotAction" } else { "Action" }.into(), json!(actions));
        let element = if not_resource { "NotResource" } else { "Resource" };
        statement.insert(element.into(), json!(resources));
        statement.insert("Condition".into(), block.into());
        statement.into()
    }
}

fn documents() -> impl Strategy<Value = Vec<Value>> {
    let document = prop::collection::vec(statement(), 1..4)
        .prop_map(|statements| json!({ "Version": "2012-10-17", "Statement": statements }));
    prop::collection::vec(document, 0..3)
}

prop_compose! {
    fn question()(
        action in select(vec!["ecs:RunTask", "ecs:StopTask", "s3:GetObject", "ECS:RunTask"]),
        (region, account, name) in (asked_text(), asked_text(), asked_text()),
        star in prop::bool::weighted(0.1),
        keys in prop::collection::vec(
            (select(vec!["k:x", "k:y", "k:z"]),
             prop::collection::vec(
                 prop_oneof![select(TEXTS.to_vec()), select(vec!["1", "2", "true", "TRUE"])], 1..3)),
            0..4),
    ) -> Question {
        let resource = if star { "*".into() } else { format!("arn:aws:ecs:{region}:{account}:{name}") };
        let mut known = Keys::new();
        for (key, values) in keys {
            if known.iter().all(|(name, _)| name != key) {
                known.push((key.to_owned(), values.into_iter().map(str::to_owned).collect()));
            }
        }
        Question { action: action.to_owned(), resource, keys: known }
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {} with {:?}", self.action, self.resource, self.keys)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_decides_as_the_model(
        identity in documents(),
        boundary in prop::option::weighted(0.3, statement()),
        session in prop::option::weighted(0.3, documents()),
        question in question(),
    ) {
        let boundary =
            boundary.map(|one| json!({ "Version": "2012-10-17", "Statement": [one] }));
        let attached = |document: &Value| Attached {
            source: "p".to_owned(),
            policy: Arc::new(Policy::parse(&document.to_string()).expect("a policy")),
        };
        let policies = Policies {
            identity: identity.iter().map(attached).collect(),
            boundary: boundary.as_ref().map(attached),
            session: session.as_ref().map(|all| all.iter().map(attached).collect()),
        };
        let mut context = Context::default();
        for (key, values) in &question.keys {
            for value in values {
                context.add(key, value);
            }
        }
        let ask = Ask { action: &question.action, resource: &question.resource, context: &context };
        let found = evaluate(&policies, &ask);
        let layers = [
            (Layer::Identity, Some(identity)),
            (Layer::Boundary, boundary.map(|one| vec![one])),
            (Layer::Session, session),
        ];
        let expected = model(&layers, &question);
        prop_assert_eq!(found.reason, expected);
        prop_assert_eq!(found.is_allowed(), expected == Reason::Allowed);
        prop_assert_eq!(found.statements.is_empty(), found.decision == Decision::ImplicitDeny);
        // Whoever is told that a statement came near is told what is wrong with it.
        prop_assert!(found.near.iter().all(|near| !near.why.is_empty()));
    }

    #[test]
    fn patterns_match_as_the_model(
        pattern in prop::collection::vec(select(vec!["a", "b", ":", "*", "*", "?", "é"]), 0..14),
        text in prop::collection::vec(select(vec!["a", "b", ":", "é"]), 0..14),
        kind in 0..3_usize,
    ) {
        let (pattern, text) = (pattern.concat(), text.concat());
        let (pattern, text) = (format!("arn:aws:ecs:{pattern}"), format!("arn:aws:ecs:{text}"));
        let statement = match kind {
            0 => json!({ "Resource": [pattern], "Condition": {} }),
            1 => json!({ "Resource": ["*"], "Condition": { "ArnLike": { "k:x": [pattern] } } }),
            _ => json!({ "Resource": ["*"], "Condition": { "StringLike": { "k:x": [pattern] } } }),
        };
        let mut statement = statement.as_object().expect("an object").clone();
        statement.insert("Effect".into(), json!("Allow"));
        statement.insert("Action".into(), json!(["*"]));
        let document = json!({ "Version": "2012-10-17", "Statement": [statement] });
        // A pattern that is too short for an ARN is refused where it does not end with `*`.
        let Ok(policy) = Policy::parse(&document.to_string()) else { return Ok(()) };
        let attached = Attached { source: "p".to_owned(), policy: Arc::new(policy) };
        let policies = Policies { identity: vec![attached], ..Policies::default() };
        let mut context = Context::default();
        context.add("k:x", text.clone());
        let ask = Ask { action: "ecs:RunTask", resource: &text, context: &context };
        let keys = vec![("k:x".to_owned(), vec![text.clone()])];
        let question =
            Question { action: "ecs:RunTask".to_owned(), resource: text.clone(), keys };
        let expected = model(&[(Layer::Identity, Some(vec![document]))], &question);
        prop_assert_eq!(evaluate(&policies, &ask).reason, expected, "{} for {}", pattern, text);
    }

    #[test]
    fn no_text_panics(text in ".{0,200}", broken in "[\\[\\]{}\":,a-zA-Z0-9*?$]{0,200}") {
        let _ = Policy::parse(&text);
        let _ = Policy::parse(&broken);
    }
}
