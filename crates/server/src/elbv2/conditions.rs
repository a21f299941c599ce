//! Conditions of rules, from the API and back.

use longshore_domain::route::{Condition, Patterns, QueryPair};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::{
    HostHeaderConditionConfig, HttpHeaderConditionConfig, HttpRequestMethodConditionConfig,
    PathPatternConditionConfig, QueryStringConditionConfig, QueryStringKeyValuePair, RuleCondition,
    SourceIpConditionConfig,
};

use super::invalid;

/// Values of all conditions of a rule together (ELBv2 quota).
const VALUES: usize = 5;
/// Longest value.
const VALUE_LEN: usize = 128;
/// Longest name of a header.
const HEADER_NAME_LEN: usize = 40;
/// Longest method.
const METHOD_LEN: usize = 40;

/// # Errors
/// `ValidationError`.
pub(super) fn read(given: Vec<RuleCondition>) -> Result<Vec<Condition>, ServiceError> {
    let conditions: Vec<Condition> = given.into_iter().map(one).collect::<Result<_, _>>()?;
    if conditions.is_empty() {
        return Err(invalid("A condition must be specified"));
    }
    let kinds = ["host-header", "path-pattern", "http-request-method", "source-ip"];
    for kind in kinds {
        if conditions.iter().filter(|condition| field(condition) == kind).count() > 1 {
            return Err(invalid(format!("Condition '{kind}' can be specified only once")));
        }
    }
    if conditions.iter().map(values).sum::<usize>() > VALUES {
        return Err(invalid(format!("A rule can have at most {VALUES} condition values")));
    }
    Ok(conditions)
}

fn field(condition: &Condition) -> &'static str {
    match condition {
        Condition::HostHeader(_) => "host-header",
        Condition::PathPattern(_) => "path-pattern",
        Condition::HttpHeader { .. } => "http-header",
        Condition::HttpRequestMethod(_) => "http-request-method",
        Condition::QueryString(_) => "query-string",
        Condition::SourceIp(_) => "source-ip",
    }
}

fn values(condition: &Condition) -> usize {
    let of = |patterns: &Patterns| match patterns {
        Patterns::Values(texts) | Patterns::Regex(texts) => texts.len(),
    };
    match condition {
        Condition::HostHeader(patterns) | Condition::PathPattern(patterns) => of(patterns),
        Condition::HttpHeader { values, .. } => of(values),
        Condition::HttpRequestMethod(methods) => methods.len(),
        Condition::QueryString(pairs) => pairs.len(),
        Condition::SourceIp(blocks) => blocks.len(),
    }
}

fn one(given: RuleCondition) -> Result<Condition, ServiceError> {
    let field = given.field.clone().unwrap_or_default();
    let plain = (given.values, given.regex_values);
    match field.as_str() {
        "host-header" => {
            let config = given.host_header_config.unwrap_or_default();
            let patterns = patterns(&field, plain, (config.values, config.regex_values))?;
            Ok(Condition::HostHeader(patterns))
        }
        "path-pattern" => {
            let config = given.path_pattern_config.unwrap_or_default();
            let patterns = patterns(&field, plain, (config.values, config.regex_values))?;
            Ok(Condition::PathPattern(patterns))
        }
        "http-header" => {
            let config = given.http_header_config.unwrap_or_default();
            let name = config.http_header_name.unwrap_or_default();
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~?".contains(c);
            if name.is_empty() || name.len() > HEADER_NAME_LEN || !name.chars().all(token) {
                return Err(invalid("The HTTP header name is not valid"));
            }
            let values = patterns(&field, (None, None), (config.values, config.regex_values))?;
            Ok(Condition::HttpHeader { name, values })
        }
        "http-request-method" => {
            let config = given.http_request_method_config.unwrap_or_default();
            let methods = some(&field, config.values)?;
            let valid = |m: &String| {
                m.len() <= METHOD_LEN
                    && m.chars().all(|c| c.is_ascii_uppercase() || "-_".contains(c))
            };
            if !methods.iter().all(valid) {
                return Err(invalid("An HTTP request method has A-Z, '-' and '_' only"));
            }
            Ok(Condition::HttpRequestMethod(methods))
        }
        "query-string" => query(&field, given.query_string_config.unwrap_or_default()),
        "source-ip" => {
            let config = given.source_ip_config.unwrap_or_default();
            let blocks = some(&field, config.values)?.into_iter().map(|text| {
                text.parse().map_err(|_| invalid(format!("'{text}' is not a valid CIDR block")))
            });
            Ok(Condition::SourceIp(blocks.collect::<Result<_, _>>()?))
        }
        other => Err(invalid(format!("Condition field '{other}' is not valid"))),
    }
}

fn query(field: &str, config: QueryStringConditionConfig) -> Result<Condition, ServiceError> {
    let pair = |pair: QueryStringKeyValuePair| {
        let value = pair.value.ok_or_else(|| invalid("A query string condition needs a value"))?;
        let key = pair.key.filter(|key| !key.is_empty());
        for text in key.iter().chain([&value]) {
            check_value(field, text)?;
        }
        Ok(QueryPair { key, value })
    };
    let pairs = some(field, config.values)?.into_iter().map(pair).collect::<Result<_, _>>()?;
    Ok(Condition::QueryString(pairs))
}

type Given = (Option<Vec<String>>, Option<Vec<String>>);

/// Values or regular expressions, in the old place or in the new one.
fn patterns(field: &str, old: Given, new: Given) -> Result<Patterns, ServiceError> {
    let values = new.0.or(old.0).filter(|values| !values.is_empty());
    let regexes = new.1.or(old.1).filter(|values| !values.is_empty());
    match (values, regexes) {
        (Some(values), None) => {
            values.iter().try_for_each(|value| check_value(field, value))?;
            Ok(Patterns::Values(values))
        }
        (None, Some(regexes)) => {
            for text in &regexes {
                check_value(field, text)?;
                regex::Regex::new(text)
                    .map_err(|_| invalid(format!("'{text}' is not a valid regular expression")))?;
            }
            Ok(Patterns::Regex(regexes))
        }
        _ => Err(invalid(format!(
            "Condition '{field}' must have either values or regular expressions"
        ))),
    }
}

fn check_value(field: &str, value: &str) -> Result<(), ServiceError> {
    if value.is_empty() || value.chars().count() > VALUE_LEN {
        return Err(invalid(format!(
            "A value of condition '{field}' must have 1 to {VALUE_LEN} characters"
        )));
    }
    Ok(())
}

fn some<T>(field: &str, values: Option<Vec<T>>) -> Result<Vec<T>, ServiceError> {
    let values = values.unwrap_or_default();
    if values.is_empty() {
        return Err(invalid(format!("Condition '{field}' must have at least one value")));
    }
    Ok(values)
}

/// As the API shows them; host and path also in their old place.
pub(super) fn encode(conditions: &[Condition]) -> Vec<RuleCondition> {
    conditions.iter().map(shown).collect()
}

fn split(patterns: &Patterns) -> Given {
    match patterns {
        Patterns::Values(values) => (Some(values.clone()), None),
        Patterns::Regex(texts) => (None, Some(texts.clone())),
    }
}

fn shown(condition: &Condition) -> RuleCondition {
    let base =
        RuleCondition { field: Some(field(condition).to_owned()), ..RuleCondition::default() };
    match condition {
        Condition::HostHeader(patterns) => {
            let (values, regex_values) = split(patterns);
            RuleCondition {
                values: values.clone(),
                host_header_config: Some(HostHeaderConditionConfig { values, regex_values }),
                ..base
            }
        }
        Condition::PathPattern(patterns) => {
            let (values, regex_values) = split(patterns);
            RuleCondition {
                values: values.clone(),
                path_pattern_config: Some(PathPatternConditionConfig { values, regex_values }),
                ..base
            }
        }
        Condition::HttpHeader { name, values } => {
            let (values, regex_values) = split(values);
            let http_header_name = Some(name.clone());
            let config = HttpHeaderConditionConfig { http_header_name, values, regex_values };
            RuleCondition { http_header_config: Some(config), ..base }
        }
        Condition::HttpRequestMethod(methods) => RuleCondition {
            http_request_method_config: Some(HttpRequestMethodConditionConfig {
                values: Some(methods.clone()),
            }),
            ..base
        },
        Condition::QueryString(pairs) => {
            let pair = |pair: &QueryPair| QueryStringKeyValuePair {
                key: pair.key.clone(),
                value: Some(pair.value.clone()),
            };
            let values = Some(pairs.iter().map(pair).collect());
            RuleCondition {
                query_string_config: Some(QueryStringConditionConfig { values }),
                ..base
            }
        }
        Condition::SourceIp(blocks) => {
            let values = Some(blocks.iter().map(ToString::to_string).collect());
            let config = SourceIpConditionConfig { values, ..SourceIpConditionConfig::default() };
            RuleCondition { source_ip_config: Some(config), ..base }
        }
    }
}
