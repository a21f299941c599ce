//! Records as the API shows them.

use longshore_domain::record::{self, LoadBalancer as BalancerRecord};
use longshore_domain::route::{BalancerKind, ProbePort, Protocol, ProtocolVersion};
use longshore_domain::time::Timestamp;
use longshore_store::View;
use longshore_wire::elbv2::enums::{
    IpAddressType, LoadBalancerSchemeEnum, LoadBalancerTypeEnum, ProtocolEnum,
    TargetGroupIpAddressTypeEnum, TargetTypeEnum,
};
use longshore_wire::elbv2::{
    AvailabilityZone, Certificate, Listener, LoadBalancer, LoadBalancerState, Matcher,
    MutualAuthenticationAttributes, Rule, TargetGroup,
};

use super::{actions, conditions, lookup};

/// Zone that aliases of DNS name balancers in; ours is the same everywhere.
const HOSTED_ZONE: &str = "Z0LONGSHORE";
/// VPC of what was made without one.
pub(super) const DEFAULT_VPC: &str = "vpc-00000000";
/// Subnet of what was made without one.
const DEFAULT_SUBNET: &str = "subnet-00000000";

pub(super) fn time(at: Timestamp) -> longshore_wire::Timestamp {
    longshore_wire::Timestamp(at.as_epoch_seconds())
}

pub(super) fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

pub(super) fn protocol(protocol: Protocol) -> ProtocolEnum {
    match protocol {
        Protocol::Http => ProtocolEnum::Http,
        Protocol::Https => ProtocolEnum::Https,
        Protocol::Tcp => ProtocolEnum::Tcp,
        Protocol::Tls => ProtocolEnum::Tls,
        Protocol::Udp => ProtocolEnum::Udp,
        Protocol::TcpUdp => ProtocolEnum::TcpUdp,
    }
}

/// A balancer in its state.
pub(super) fn balancer(record: &BalancerRecord, state: LoadBalancerState) -> LoadBalancer {
    let zone = |subnet: &str| AvailabilityZone {
        subnet_id: Some(subnet.to_owned()),
        zone_name: Some(format!("{}a", record.scope.region)),
        load_balancer_addresses: Some(Vec::new()),
        ..AvailabilityZone::default()
    };
    let subnets: Vec<&str> = record.subnets.iter().map(String::as_str).collect();
    let subnets = if subnets.is_empty() { vec![DEFAULT_SUBNET] } else { subnets };
    LoadBalancer {
        load_balancer_arn: Some(record.arn()),
        // An address is a name that everybody resolves.
        dns_name: Some(record.address.to_string()),
        canonical_hosted_zone_id: Some(HOSTED_ZONE.to_owned()),
        created_time: Some(time(record.created_at)),
        load_balancer_name: Some(record.name.clone()),
        scheme: Some(if record.is_internal {
            LoadBalancerSchemeEnum::Internal
        } else {
            LoadBalancerSchemeEnum::InternetFacing
        }),
        vpc_id: Some(DEFAULT_VPC.to_owned()),
        state: Some(state),
        r#type: Some(match record.kind {
            BalancerKind::Application => LoadBalancerTypeEnum::Application,
            BalancerKind::Network => LoadBalancerTypeEnum::Network,
        }),
        availability_zones: Some(subnets.into_iter().map(zone).collect()),
        security_groups: Some(record.security_groups.clone()),
        ip_address_type: Some(IpAddressType::Ipv4),
        ..LoadBalancer::default()
    }
}

pub(super) fn listener(view: &View, record: &record::Listener) -> Listener {
    let balancer = lookup::balancer_by_name(view, &record.scope, &record.balancer_name);
    let certificate =
        |arn: &String| Certificate { certificate_arn: Some(arn.clone()), is_default: None };
    // Those beside the default one have an operation of their own.
    let default = record.certificates.iter().take(1).map(certificate).collect::<Vec<_>>();
    Listener {
        listener_arn: Some(record.arn()),
        load_balancer_arn: balancer.map(|row| row.arn()),
        port: Some(int(record.port)),
        protocol: Some(protocol(record.protocol)),
        certificates: (!default.is_empty()).then_some(default),
        ssl_policy: record.ssl_policy.clone(),
        default_actions: Some(actions::encode(&record.default_actions)),
        alpn_policy: record.alpn_policy.clone().map(|policy| vec![policy]),
        mutual_authentication: (record.protocol == Protocol::Https).then(|| {
            MutualAuthenticationAttributes {
                mode: Some("off".to_owned()),
                ..MutualAuthenticationAttributes::default()
            }
        }),
    }
}

pub(super) fn rule(record: &record::ListenerRule) -> Rule {
    Rule {
        rule_arn: Some(record.arn()),
        priority: Some(record.priority.to_string()),
        conditions: Some(conditions::encode(&record.conditions)),
        actions: Some(actions::encode(&record.actions)),
        is_default: Some(false),
        ..Rule::default()
    }
}

pub(super) fn default_rule(listener: &record::Listener) -> Rule {
    Rule {
        rule_arn: Some(listener.default_rule_arn()),
        priority: Some("default".to_owned()),
        conditions: Some(Vec::new()),
        actions: Some(actions::encode(&listener.default_actions)),
        is_default: Some(true),
        ..Rule::default()
    }
}

pub(super) fn group(view: &View, record: &record::TargetGroup) -> TargetGroup {
    let arn = record.arn();
    let ids = lookup::balancers_of_group(view, &arn);
    let balancers = view.load_balancers.iter().filter(|row| ids.contains(&row.id));
    let check = &record.health_check;
    let http = matches!(check.protocol, Protocol::Http | Protocol::Https);
    let of_http = matches!(record.protocol, Protocol::Http | Protocol::Https);
    let grpc = record.version == ProtocolVersion::Grpc;
    TargetGroup {
        target_group_name: Some(record.name.clone()),
        protocol: Some(protocol(record.protocol)),
        protocol_version: of_http.then(|| {
            match record.version {
                ProtocolVersion::Http1 => "HTTP1",
                ProtocolVersion::Http2 => "HTTP2",
                ProtocolVersion::Grpc => "GRPC",
            }
            .to_owned()
        }),
        port: Some(int(record.port)),
        vpc_id: Some(record.vpc_id.clone().unwrap_or_else(|| DEFAULT_VPC.to_owned())),
        health_check_enabled: Some(record.health_check_enabled),
        health_check_protocol: Some(protocol(check.protocol)),
        health_check_port: Some(match check.port {
            ProbePort::TrafficPort => "traffic-port".to_owned(),
            ProbePort::Port(port) => port.to_string(),
        }),
        health_check_path: http.then(|| check.path.clone()),
        health_check_interval_seconds: Some(int(check.interval_s)),
        health_check_timeout_seconds: Some(int(check.timeout_s)),
        healthy_threshold_count: Some(int(check.healthy_threshold)),
        unhealthy_threshold_count: Some(int(check.unhealthy_threshold)),
        matcher: http.then(|| Matcher {
            grpc_code: grpc.then(|| check.matcher.clone()),
            http_code: (!grpc).then(|| check.matcher.clone()),
        }),
        target_type: Some(match record.target_type {
            record::TargetType::Instance => TargetTypeEnum::Instance,
            record::TargetType::Ip => TargetTypeEnum::Ip,
        }),
        load_balancer_arns: Some(balancers.map(|row| row.arn()).collect()),
        ip_address_type: Some(TargetGroupIpAddressTypeEnum::Ipv4),
        target_group_arn: Some(arn),
        ..TargetGroup::default()
    }
}
