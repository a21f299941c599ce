//! Attributes of balancers and target groups: their keys, defaults and values.

use std::collections::BTreeMap;

use longshore_auth::Authorized;
use longshore_domain::record::{LoadBalancer, TargetGroup};
use longshore_domain::route::{
    Algorithm, BalancerAttributes, BalancerKind, ForwardedFor, Protocol, Stickiness,
    TargetGroupAttributes,
};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::{
    DescribeLoadBalancerAttributesInput, DescribeLoadBalancerAttributesOutput,
    DescribeTargetGroupAttributesInput, DescribeTargetGroupAttributesOutput, ErrorCode,
    LoadBalancerAttribute, ModifyLoadBalancerAttributesInput, ModifyLoadBalancerAttributesOutput,
    ModifyTargetGroupAttributesInput, ModifyTargetGroupAttributesOutput, TargetGroupAttribute,
};

use super::{invalid, load_balancers, lookup};
use crate::call::Call;

/// What an attribute may be.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Switch,
    /// A whole number within bounds.
    Number(u32, u32),
    /// Zero, or a number within bounds.
    ZeroOr(u32, u32),
    OneOf(&'static [&'static str]),
    Text,
    /// Nothing, or a whole number within bounds.
    NothingOr(u32, u32),
    /// A value of a header, or nothing.
    Header,
    /// A name of a header.
    HeaderName,
}

/// Longest value of a header (ALB: 1 K).
const HEADER_VALUE: usize = 1024;
/// Longest name of a header (ALB: 40).
const HEADER_NAME: usize = 40;
/// Headers that frame or route a message: nothing else takes their names.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "cookie",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-amzn-trace-id",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
];

/// An attribute: key, default, and what it may be. Keys, defaults and bounds are those of the model
/// (ELBv2 `LoadBalancerAttribute` and `TargetGroupAttribute`).
pub(super) type Attribute = (&'static str, &'static str, Kind);

const ANY_BALANCER: &[Attribute] = &[
    ("access_logs.s3.bucket", "", Kind::Text),
    ("access_logs.s3.enabled", "false", Kind::Switch),
    ("access_logs.s3.prefix", "", Kind::Text),
    ("deletion_protection.enabled", "false", Kind::Switch),
    ("load_balancing.cross_zone.enabled", "true", Kind::Switch),
];

const APPLICATION: &[Attribute] = &[
    ("client_keep_alive.seconds", "3600", Kind::Number(60, 604_800)),
    ("connection_logs.s3.bucket", "", Kind::Text),
    ("connection_logs.s3.enabled", "false", Kind::Switch),
    ("connection_logs.s3.prefix", "", Kind::Text),
    ("idle_timeout.timeout_seconds", "60", Kind::Number(1, 4000)),
    (
        "routing.http.desync_mitigation_mode",
        "defensive",
        Kind::OneOf(&["monitor", "defensive", "strictest"]),
    ),
    ("routing.http.drop_invalid_header_fields.enabled", "false", Kind::Switch),
    ("routing.http.preserve_host_header.enabled", "false", Kind::Switch),
    ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Kind::Switch),
    ("routing.http.xff_client_port.enabled", "false", Kind::Switch),
    (
        "routing.http.xff_header_processing.mode",
        "append",
        Kind::OneOf(&["append", "preserve", "remove"]),
    ),
    ("routing.http2.enabled", "true", Kind::Switch),
    ("waf.fail_open.enabled", "false", Kind::Switch),
    ("zonal_shift.config.enabled", "false", Kind::Switch),
];

const NETWORK: &[Attribute] = &[
    ("dns_record.client_routing_policy", "any_availability_zone", Kind::Text),
    ("zonal_shift.config.enabled", "false", Kind::Switch),
];

const ANY_GROUP: &[Attribute] = &[
    ("deregistration_delay.timeout_seconds", "300", Kind::Number(0, 3600)),
    ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration", Kind::Text),
    ("stickiness.enabled", "false", Kind::Switch),
    ("target_group_health.dns_failover.minimum_healthy_targets.count", "1", Kind::Text),
    ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", Kind::Text),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", Kind::Text),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        Kind::Text,
    ),
];

const HTTP_GROUP: &[Attribute] = &[
    ("load_balancing.algorithm.anomaly_mitigation", "off", Kind::OneOf(&["on", "off"])),
    (
        "load_balancing.algorithm.type",
        "round_robin",
        Kind::OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"]),
    ),
    ("slow_start.duration_seconds", "0", Kind::ZeroOr(30, 900)),
    ("stickiness.app_cookie.cookie_name", "", Kind::Text),
    ("stickiness.app_cookie.duration_seconds", "86400", Kind::Number(1, 604_800)),
    ("stickiness.lb_cookie.duration_seconds", "86400", Kind::Number(1, 604_800)),
    ("stickiness.type", "lb_cookie", Kind::OneOf(&["lb_cookie", "app_cookie"])),
];

const FLOW_GROUP: &[Attribute] = &[
    ("deregistration_delay.connection_termination.enabled", "false", Kind::Switch),
    ("preserve_client_ip.enabled", "false", Kind::Switch),
    ("proxy_protocol_v2.enabled", "false", Kind::Switch),
    ("stickiness.type", "source_ip", Kind::OneOf(&["source_ip"])),
    ("target_health_state.unhealthy.connection_termination.enabled", "true", Kind::Switch),
];

fn of_balancer(kind: BalancerKind) -> impl Iterator<Item = &'static Attribute> {
    let own = match kind {
        BalancerKind::Application => APPLICATION,
        BalancerKind::Network => NETWORK,
    };
    ANY_BALANCER.iter().chain(own)
}

fn of_group(protocol: Protocol) -> impl Iterator<Item = &'static Attribute> {
    let http = matches!(protocol, Protocol::Http | Protocol::Https);
    ANY_GROUP.iter().chain(if http { HTTP_GROUP } else { FLOW_GROUP })
}

impl Kind {
    fn takes(self, value: &str) -> bool {
        let number = |min, max| value.parse().is_ok_and(|n: u32| (min..=max).contains(&n));
        match self {
            Self::Switch => matches!(value, "true" | "false"),
            Self::Number(min, max) => number(min, max),
            Self::ZeroOr(min, max) => value == "0" || number(min, max),
            Self::OneOf(words) => words.contains(&value),
            Self::Text => true,
            Self::NothingOr(min, max) => value.is_empty() || number(min, max),
            Self::Header => {
                value.len() <= HEADER_VALUE && value.bytes().all(|b| (b' '..=b'~').contains(&b))
            }
            Self::HeaderName => {
                let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
                (1..=HEADER_NAME).contains(&value.len())
                    && value.bytes().all(allowed)
                    && !RESERVED.iter().any(|name| value.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// All attributes with their values.
pub(super) fn whole(
    known: impl Iterator<Item = &'static Attribute>,
    set: &BTreeMap<String, String>,
) -> BTreeMap<&'static str, String> {
    let value = |(key, default, _): &'static Attribute| {
        (*key, set.get(*key).cloned().unwrap_or_else(|| (*default).to_owned()))
    };
    known.map(value).collect()
}

/// Takes in attributes of a request.
///
/// # Errors
/// `ValidationError`.
pub(super) fn set<'a>(
    known: &[&'static Attribute],
    attributes: &mut BTreeMap<String, String>,
    given: impl Iterator<Item = (Option<&'a String>, Option<&'a String>)>,
) -> Result<(), ServiceError> {
    for (key, value) in given {
        let key = key.ok_or_else(|| invalid("An attribute key must be specified"))?;
        let value = value.ok_or_else(|| invalid("An attribute value must be specified"))?;
        let (_, _, kind) = known
            .iter()
            .find(|(known, ..)| known == key)
            .ok_or_else(|| invalid(format!("Attribute key '{key}' is not recognized")))?;
        if !kind.takes(value) {
            return Err(invalid(format!("'{value}' is not a valid value for '{key}'")));
        }
        attributes.insert(key.clone(), value.clone());
    }
    Ok(())
}

/// Whether a balancer may not be deleted.
pub(super) fn is_protected(record: &LoadBalancer) -> bool {
    record.attributes.get("deletion_protection.enabled").is_some_and(|value| value == "true")
}

/// What nodes act by.
pub(crate) fn balancer_attributes(record: &LoadBalancer) -> BalancerAttributes {
    let all = whole(of_balancer(record.kind), &record.attributes);
    let text = |key: &str| all.get(key).map(String::as_str).unwrap_or_default();
    let on = |key: &str| text(key) == "true";
    let defaults = BalancerAttributes::default();
    let number = |key: &str, default: u32| text(key).parse().unwrap_or(default);
    let (bucket, prefix) = (text("access_logs.s3.bucket"), text("access_logs.s3.prefix"));
    let folder = if prefix.is_empty() { bucket.to_owned() } else { format!("{bucket}/{prefix}") };
    BalancerAttributes {
        idle_timeout_s: number("idle_timeout.timeout_seconds", defaults.idle_timeout_s),
        client_keep_alive_s: number("client_keep_alive.seconds", defaults.client_keep_alive_s),
        http2: on("routing.http2.enabled"),
        drop_invalid_header_fields: on("routing.http.drop_invalid_header_fields.enabled"),
        preserve_host_header: on("routing.http.preserve_host_header.enabled"),
        forwarded_for: match text("routing.http.xff_header_processing.mode") {
            "preserve" => ForwardedFor::Preserve,
            "remove" => ForwardedFor::Remove,
            _ => ForwardedFor::Append,
        },
        forwarded_for_port: on("routing.http.xff_client_port.enabled"),
        tls_headers: on("routing.http.x_amzn_tls_version_and_cipher_suite.enabled"),
        access_logs: on("access_logs.s3.enabled").then_some(folder),
    }
}

/// What nodes act by.
pub(crate) fn target_group_attributes(record: &TargetGroup) -> TargetGroupAttributes {
    let all = whole(of_group(record.protocol), &record.attributes);
    let text = |key: &str| all.get(key).map(String::as_str).unwrap_or_default();
    let on = |key: &str| text(key) == "true";
    let defaults = TargetGroupAttributes::default();
    let number = |key: &str, default: u32| text(key).parse().unwrap_or(default);
    let day = 86_400;
    let stickiness = match text("stickiness.type") {
        "source_ip" => Stickiness::SourceIp,
        "app_cookie" => Stickiness::AppCookie {
            name: text("stickiness.app_cookie.cookie_name").to_owned(),
            duration_s: number("stickiness.app_cookie.duration_seconds", day),
        },
        _ => Stickiness::LbCookie(number("stickiness.lb_cookie.duration_seconds", day)),
    };
    TargetGroupAttributes {
        deregistration_delay_s: number(
            "deregistration_delay.timeout_seconds",
            defaults.deregistration_delay_s,
        ),
        slow_start_s: number("slow_start.duration_seconds", defaults.slow_start_s),
        algorithm: match text("load_balancing.algorithm.type") {
            "least_outstanding_requests" => Algorithm::LeastOutstandingRequests,
            "weighted_random" => Algorithm::WeightedRandom,
            _ => Algorithm::RoundRobin,
        },
        stickiness: on("stickiness.enabled").then_some(stickiness),
        proxy_protocol_v2: on("proxy_protocol_v2.enabled"),
        terminate_on_deregistration: on("deregistration_delay.connection_termination.enabled"),
    }
}

fn shown_balancer(record: &LoadBalancer) -> Vec<LoadBalancerAttribute> {
    let all = whole(of_balancer(record.kind), &record.attributes).into_iter();
    all.map(|(key, value)| LoadBalancerAttribute { key: Some(key.to_owned()), value: Some(value) })
        .collect()
}

fn shown_group(record: &TargetGroup) -> Vec<TargetGroupAttribute> {
    let all = whole(of_group(record.protocol), &record.attributes).into_iter();
    all.map(|(key, value)| TargetGroupAttribute { key: Some(key.to_owned()), value: Some(value) })
        .collect()
}

/// DescribeLoadBalancerAttributes.
pub(super) async fn describe_balancer(
    call: &Call,
    request: Authorized<DescribeLoadBalancerAttributesInput>,
) -> Result<DescribeLoadBalancerAttributesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::balancer(&view, &call.scope, &request.load_balancer_arn)?;
    Ok(DescribeLoadBalancerAttributesOutput { attributes: Some(shown_balancer(row)) })
}

/// ModifyLoadBalancerAttributes: all of them, or none.
pub(super) async fn modify_balancer(
    call: &Call,
    request: Authorized<ModifyLoadBalancerAttributesInput>,
) -> Result<ModifyLoadBalancerAttributesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::balancer(&view, &call.scope, &request.load_balancer_arn)?;
    let known: Vec<_> = of_balancer(row.kind).collect();
    let mut new = BTreeMap::new();
    let given = request.attributes.iter().map(|given| (given.key.as_ref(), given.value.as_ref()));
    set(&known, &mut new, given)?;
    let add = |record: &mut LoadBalancer| record.attributes.extend(new.clone());
    let record = load_balancers::change(call, &request.load_balancer_arn, add).await?;
    Ok(ModifyLoadBalancerAttributesOutput { attributes: Some(shown_balancer(&record)) })
}

/// DescribeTargetGroupAttributes.
pub(super) async fn describe_group(
    call: &Call,
    request: Authorized<DescribeTargetGroupAttributesInput>,
) -> Result<DescribeTargetGroupAttributesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::group(&view, &call.scope, &request.target_group_arn)?;
    Ok(DescribeTargetGroupAttributesOutput { attributes: Some(shown_group(row)) })
}

/// ModifyTargetGroupAttributes: all of them, or none.
pub(super) async fn modify_group(
    call: &Call,
    request: Authorized<ModifyTargetGroupAttributesInput>,
) -> Result<ModifyTargetGroupAttributesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::group(view, &call.scope, &request.target_group_arn)?;
        let known: Vec<_> = of_group(row.protocol).collect();
        let mut next = row.record.clone();
        let given = request.attributes.iter();
        let given = given.map(|given| (given.key.as_ref(), given.value.as_ref()));
        set(&known, &mut next.attributes, given)?;
        let cookie = next.attributes.get("stickiness.app_cookie.cookie_name");
        let kind = next.attributes.get("stickiness.type").map(String::as_str);
        if kind == Some("app_cookie") && cookie.is_none_or(String::is_empty) {
            return Err(ErrorCode::InvalidConfigurationRequest.error(
                "You must specify an application cookie name for application-based stickiness",
            ));
        }
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(next)
    };
    let record = call.server.decide(decide).await?;
    Ok(ModifyTargetGroupAttributesOutput { attributes: Some(shown_group(&record)) })
}
