//! Records of Elastic Load Balancing.

use std::collections::BTreeMap;

use longshore_domain::ids::{ElbId, TaskId};
use longshore_domain::record::{
    BalancerAddress, BalancerNode, Listener, ListenerRule, LoadBalancer, Seen, Target, TargetGroup,
    TargetType, TaskTarget,
};
use longshore_domain::route::{
    Action, BalancerKind, Condition, Forward, Health, HealthCheck, HealthReason, HealthState,
    Outcome, Patterns, Probe, ProbePort, Protocol, ProtocolVersion, Redirect, Weighted,
};

use super::{at, name, scope, tags};

pub(crate) fn balancer_address() -> BalancerAddress {
    BalancerAddress { address: [127, 0, 2, 1].into(), scope: scope(), name: "web".into() }
}

pub(crate) fn balancer_node() -> BalancerNode {
    BalancerNode {
        id: 17_000_000_000_000_000_001,
        server: 9_000_000_000_000_000_001,
        since: at(1),
        failed_listeners: BTreeMap::from([("arn:aws:1".into(), "the port is taken".into())]),
    }
}

pub(crate) fn load_balancer() -> LoadBalancer {
    LoadBalancer {
        scope: scope(),
        id: ElbId::new(1),
        name: "web".into(),
        kind: BalancerKind::Application,
        is_internal: true,
        address: [127, 0, 2, 1].into(),
        subnets: vec!["subnet-1".into()],
        security_groups: vec!["sg-1".into()],
        attributes: BTreeMap::from([("idle_timeout.timeout_seconds".into(), "30".into())]),
        created_at: at(1),
        tags: tags(),
    }
}

const GROUP: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0000000000000004";

pub(crate) fn listener() -> Listener {
    let forward = Forward {
        groups: vec![Weighted { group: GROUP.into(), weight: 1 }],
        stickiness_s: Some(60),
    };
    Listener {
        scope: scope(),
        balancer: ElbId::new(1),
        balancer_name: "web".into(),
        kind: BalancerKind::Application,
        id: ElbId::new(2),
        port: 443,
        protocol: Protocol::Https,
        ssl_policy: Some("ELBSecurityPolicy-TLS13-1-2-2021-06".into()),
        certificates: vec!["arn:aws:acm:us-east-1:000000000000:certificate/1".into()],
        alpn_policy: None,
        default_actions: vec![Action::Forward(forward)],
        attributes: BTreeMap::new(),
        tags: tags(),
    }
}

pub(crate) fn listener_rule() -> ListenerRule {
    let redirect = Redirect {
        protocol: "HTTPS".into(),
        host: "#{host}".into(),
        port: "443".into(),
        path: "/#{path}".into(),
        query: "#{query}".into(),
        permanent: true,
    };
    ListenerRule {
        scope: scope(),
        balancer: ElbId::new(1),
        balancer_name: "web".into(),
        kind: BalancerKind::Application,
        listener: ElbId::new(2),
        id: ElbId::new(3),
        priority: 10,
        conditions: vec![
            Condition::HostHeader(Patterns::Values(vec!["*.example.com".into()])),
            Condition::SourceIp(vec!["10.0.0.0/8".parse().expect("a block")]),
        ],
        actions: vec![Action::Redirect(redirect)],
        tags: tags(),
    }
}

pub(crate) fn target_group() -> TargetGroup {
    TargetGroup {
        scope: scope(),
        id: ElbId::new(4),
        name: "web".into(),
        target_type: TargetType::Instance,
        protocol: Protocol::Http,
        version: ProtocolVersion::Http1,
        port: 80,
        vpc_id: Some("vpc-1".into()),
        health_check_enabled: true,
        health_check: HealthCheck {
            protocol: Protocol::Http,
            port: ProbePort::TrafficPort,
            path: "/".into(),
            interval_s: 30,
            timeout_s: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: "200".into(),
        },
        attributes: BTreeMap::from([("slow_start.duration_seconds".into(), "30".into())]),
        created_at: at(2),
        tags: tags(),
    }
}

pub(crate) fn target() -> Target {
    let health = Health {
        state: HealthState::Unhealthy,
        reason: Some(HealthReason::ResponseCodeMismatch),
        description: Some("Health checks failed with these codes: [503]".into()),
        since: at(4),
    };
    let probe = Probe { at: at(4), took_ms: 3, outcome: Outcome::WrongCode(503) };
    Target {
        scope: scope(),
        group: ElbId::new(4),
        id: "i-0123456789abcdef0".into(),
        port: 32768,
        zone: Some("us-east-1a".into()),
        task: Some(TaskTarget {
            cluster: name("web"),
            service: name("front"),
            task: TaskId::new(5),
        }),
        registered_at: at(3),
        deregistered_at: Some(at(5)),
        seen: BTreeMap::from([("7".into(), Seen { health, in_flight: 1, probe: Some(probe) })]),
    }
}
