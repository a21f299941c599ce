//! Settings that several operations share, and what the API tells of itself.

use std::ops::RangeInclusive;

use longshore_auth::Authorized;
use longshore_domain::route::Protocol;
use longshore_wire::ServiceError;
use longshore_wire::elbv2::enums::ProtocolEnum;
use longshore_wire::elbv2::{
    Cipher, DescribeAccountLimitsInput, DescribeAccountLimitsOutput, DescribeSSLPoliciesInput,
    DescribeSSLPoliciesOutput, ErrorCode, Limit, SslPolicy,
};

use super::invalid;
use crate::call::Call;
use crate::ecs::page::PageRequest;

/// Largest page (ELBv2 `PageSize`), and the usual one.
const PAGE: usize = 400;

/// TLS policy of listeners that are created without one.
pub(super) const DEFAULT_SSL_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

/// TLS policies, with the versions that they allow. Ciphers are those of the TLS library: there are
/// none with known weaknesses among them.
const SSL_POLICIES: &[(&str, &[&str])] = &[
    (DEFAULT_SSL_POLICY, &["TLSv1.2", "TLSv1.3"]),
    ("ELBSecurityPolicy-TLS13-1-3-2021-06", &["TLSv1.3"]),
    ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", &["TLSv1.2", "TLSv1.3"]),
    ("ELBSecurityPolicy-2016-08", &["TLSv1.2"]),
    ("ELBSecurityPolicy-TLS-1-2-2017-01", &["TLSv1.2"]),
    ("ELBSecurityPolicy-FS-1-2-Res-2020-10", &["TLSv1.2"]),
];

const CIPHERS: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];

/// A protocol that is spoken here.
pub(super) fn protocol(given: ProtocolEnum) -> Result<Protocol, ServiceError> {
    Ok(match given {
        ProtocolEnum::Http => Protocol::Http,
        ProtocolEnum::Https => Protocol::Https,
        ProtocolEnum::Tcp => Protocol::Tcp,
        ProtocolEnum::Tls => Protocol::Tls,
        ProtocolEnum::Udp => Protocol::Udp,
        ProtocolEnum::TcpUdp => Protocol::TcpUdp,
        ProtocolEnum::Geneve | ProtocolEnum::Quic | ProtocolEnum::TcpQuic => {
            return Err(ErrorCode::UnsupportedProtocol.error(format!(
                "The protocol {given} is not available in this version of Longshore"
            )));
        }
    })
}

/// # Errors
/// `SSLPolicyNotFound`.
pub(super) fn check_ssl_policy(name: &str) -> Result<(), ServiceError> {
    if SSL_POLICIES.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    Err(ErrorCode::SSLPolicyNotFound.error(format!("SSL policy '{name}' not found")))
}

/// Codes that count as healthy: `200`, `200,202` or `200-299`.
///
/// # Errors
/// `ValidationError`.
pub(super) fn check_codes(text: &str, allowed: RangeInclusive<u16>) -> Result<(), ServiceError> {
    let wrong = || {
        let (first, last) = (allowed.start(), allowed.end());
        invalid(format!("Health check matcher '{text}' must have codes between {first} and {last}"))
    };
    let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| allowed.contains(code));
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (code(first).ok_or_else(wrong)?, code(last).ok_or_else(wrong)?);
        if first > last {
            return Err(wrong());
        }
    }
    Ok(())
}

/// The page that a request asks for.
pub(super) fn page(
    filters: &impl std::fmt::Debug,
    size: Option<i32>,
    marker: Option<&str>,
) -> Result<PageRequest, ServiceError> {
    PageRequest::new(filters, size, marker, PAGE, PAGE).map_err(|error| invalid(error.message))
}

/// DescribeAccountLimits.
pub(super) async fn account_limits(
    call: &Call,
    request: Authorized<DescribeAccountLimitsInput>,
) -> Result<DescribeAccountLimitsOutput, ServiceError> {
    drop(request);
    let addresses = call.server.balancer_addresses.hosts().count();
    let limits = [
        ("application-load-balancers", addresses),
        ("network-load-balancers", addresses),
        ("target-groups", 3000),
        ("targets-per-target-group", 1000),
        ("listeners-per-application-load-balancer", 50),
        ("listeners-per-network-load-balancer", 50),
        ("rules-per-application-load-balancer", 2000),
        ("condition-values-per-alb-rule", 5),
        ("target-groups-per-action-on-application-load-balancer", 5),
        ("target-groups-per-action-on-network-load-balancer", 1),
    ];
    let limit = |(name, max): (&str, usize)| Limit {
        name: Some(name.to_owned()),
        max: Some(max.to_string()),
    };
    let limits = Some(limits.map(limit).into());
    Ok(DescribeAccountLimitsOutput { limits, next_marker: None })
}

/// DescribeSSLPolicies.
pub(super) async fn ssl_policies(
    call: &Call,
    request: Authorized<DescribeSSLPoliciesInput>,
) -> Result<DescribeSSLPoliciesOutput, ServiceError> {
    let _ = call;
    let (_, request) = request.into_parts();
    let names = request.names.unwrap_or_default();
    names.iter().try_for_each(|name| check_ssl_policy(name))?;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let policies = SSL_POLICIES.iter().filter(|(name, _)| wanted(name)).map(|(name, versions)| {
        let ciphers = (1..).zip(CIPHERS).map(|(priority, name)| Cipher {
            name: Some((*name).to_owned()),
            priority: Some(priority),
        });
        SslPolicy {
            name: Some((*name).to_owned()),
            ssl_protocols: Some(versions.iter().map(ToString::to_string).collect()),
            ciphers: Some(ciphers.collect()),
            supported_load_balancer_types: Some(vec!["application".into(), "network".into()]),
        }
    });
    let page = page(&names, request.page_size, request.marker.as_deref())?;
    let mut policies: Vec<SslPolicy> = policies.collect();
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    let (policies, next_marker) =
        page.cut(policies, |policy| policy.name.clone().unwrap_or_default());
    Ok(DescribeSSLPoliciesOutput { ssl_policies: Some(policies), next_marker })
}
