//! The routing snapshot of a view. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use longshore_domain::ids::Scope;
use longshore_domain::record::{self, TargetType, forwarded_to};
use longshore_domain::route::{
    Balancer, Certificate, Listener, Rule, Snapshot, Target, TargetGroup,
};
use longshore_store::tables::{
    ContainerInstanceIndex, ListenerKey, ListenerRuleKey, ServiceIndex, TargetKey, TaskIndex,
};
use longshore_store::{Kind, StoreRevision, View};

use super::{demand, health};
use crate::acm::by_arn as certificate_by_arn;
use crate::elbv2::{
    balancer_attributes, group_by_arn, listener_attributes, target_group_attributes,
};

/// What a snapshot is made of; of services only those that scale to zero.
pub(super) const READS: &[Kind] = &[
    Kind::LoadBalancer,
    Kind::Listener,
    Kind::ListenerRule,
    Kind::TargetGroup,
    Kind::Target,
    Kind::ContainerInstance,
    Kind::Certificate,
    Kind::Service,
];

/// Tells whether anything has changed that a snapshot is made of.
pub(super) fn stamps(view: &View) -> Vec<(usize, StoreRevision)> {
    let stamp = |kind: &Kind| match kind {
        Kind::Service => view.services.stamp_by(&ServiceIndex::ScalesToZero),
        kind => view.stamp(*kind),
    };
    READS.iter().map(stamp).collect()
}

/// Everything that nodes need to know.
pub(super) fn of(view: &View) -> Snapshot {
    let mut groups = BTreeSet::new();
    let balancers: Vec<_> =
        view.load_balancers.iter().map(|row| balancer(view, row, &mut groups)).collect();
    let addresses = &mut BTreeMap::new();
    let on_demand = demand::groups(view);
    let group = |arn: &String| {
        let group = group(view, arn, addresses)?;
        Some(TargetGroup { on_demand: on_demand.get(arn.as_str()).copied(), ..group })
    };
    let groups = groups.iter().filter_map(group).collect();
    let certificates = certificates(view, &balancers);
    Snapshot { version: view.revision.0, balancers, groups, certificates }
}

/// The certificates that listeners name.
fn certificates(view: &View, balancers: &[Balancer]) -> Vec<Certificate> {
    let listeners = balancers.iter().flat_map(|balancer| &balancer.listeners);
    let arns: BTreeSet<&String> = listeners.flat_map(|listener| &listener.certificates).collect();
    let known = arns.into_iter().filter_map(|arn| certificate_by_arn(view, arn));
    known
        .map(|record| Certificate {
            arn: record.arn(),
            names: record.names.clone(),
            chain_pem: record.full_chain_pem(),
            key_pem: record.record.key.0.clone(),
        })
        .collect()
}

/// Whether two snapshots differ at most in their version and in what nodes have said themselves.
pub(super) fn says_the_same(a: &Snapshot, b: &Snapshot) -> bool {
    // Whoever adds a member is asked here whether it is news.
    let Snapshot { version: _, balancers, groups, certificates } = a;
    *balancers == b.balancers
        && *certificates == b.certificates
        && groups.len() == b.groups.len()
        && groups.iter().zip(&b.groups).all(|(a, b)| is_same_group(a, b))
}

fn is_same_group(a: &TargetGroup, b: &TargetGroup) -> bool {
    let TargetGroup { arn, name, protocol, version, health_check, attributes, targets, on_demand } =
        a;
    *arn == b.arn
        && *name == b.name
        && *protocol == b.protocol
        && *version == b.version
        && *health_check == b.health_check
        && *attributes == b.attributes
        && *on_demand == b.on_demand
        && targets.len() == b.targets.len()
        && targets.iter().zip(&b.targets).all(|(a, b)| is_same_target(a, b))
}

fn is_same_target(a: &Target, b: &Target) -> bool {
    let Target { id, port, address, registered_at, deregistered_at, health: _ } = a;
    *id == b.id
        && *port == b.port
        && *address == b.address
        && *registered_at == b.registered_at
        && *deregistered_at == b.deregistered_at
}

fn balancer(view: &View, record: &record::LoadBalancer, groups: &mut BTreeSet<String>) -> Balancer {
    let rows = view.listeners.range(&ListenerKey::of_balancer(&record.scope, record.id));
    Balancer {
        arn: record.arn(),
        name: record.name.clone(),
        kind: record.kind,
        addresses: vec![record.address],
        attributes: balancer_attributes(record),
        listeners: rows.map(|row| listener(view, row, groups)).collect(),
    }
}

fn listener(view: &View, record: &record::Listener, groups: &mut BTreeSet<String>) -> Listener {
    let prefix = ListenerRuleKey::of_listener(&record.scope, record.id);
    let mut own: Vec<_> = view.listener_rules.range(&prefix).collect();
    own.sort_by_key(|rule| rule.priority);
    let own = own.into_iter().map(|rule| Rule {
        arn: rule.arn(),
        priority: Some(rule.priority),
        conditions: rule.conditions.clone(),
        actions: rule.actions.clone(),
    });
    let default = Rule {
        arn: record.default_rule_arn(),
        priority: None,
        conditions: Vec::new(),
        actions: record.default_actions.clone(),
    };
    let rules: Vec<Rule> = own.chain([default]).collect();
    groups.extend(rules.iter().flat_map(|rule| forwarded_to(&rule.actions)).map(str::to_owned));
    Listener {
        arn: record.arn(),
        port: record.port,
        protocol: record.protocol,
        certificates: record.certificates.clone(),
        ssl_policy: record.ssl_policy.clone(),
        alpn_policy: record.alpn_policy.clone(),
        attributes: listener_attributes(record),
        rules,
    }
}

type Addresses = BTreeMap<String, Option<IpAddr>>;

fn group(view: &View, arn: &str, addresses: &mut Addresses) -> Option<TargetGroup> {
    let record = group_by_arn(view, arn)?;
    let rows = view.targets.range(&TargetKey::of_group(&record.scope, record.id));
    let targets = rows.map(|row| {
        let ip = match record.target_type {
            TargetType::Ip => row.id.parse().ok(),
            TargetType::Instance => *addresses
                .entry(row.id.clone())
                .or_insert_with_key(|id| address_of_instance(view, &record.scope, id)),
        };
        Target {
            id: row.id.clone(),
            port: row.port,
            address: ip.map(|ip| SocketAddr::new(ip, row.port)),
            registered_at: row.registered_at,
            deregistered_at: row.deregistered_at,
            health: health(record, row, true),
        }
    });
    Some(TargetGroup {
        arn: arn.to_owned(),
        name: record.name.clone(),
        protocol: record.protocol,
        version: record.version,
        health_check: record.health_check_enabled.then(|| record.health_check.clone()),
        attributes: target_group_attributes(record),
        targets: targets.collect(),
        on_demand: None,
    })
}

/// Where an instance is: where its containers' ports are bound, if that is one address; else where
/// its agent comes from.
fn address_of_instance(view: &View, scope: &Scope, ec2_instance_id: &str) -> Option<IpAddr> {
    let index = ContainerInstanceIndex::Ec2Instance(scope.clone(), ec2_instance_id.to_owned());
    let instance = view.container_instances.by(&index).next()?;
    let tasks = view.tasks.by(&TaskIndex::Instance(instance.id));
    let containers = tasks.flat_map(|task| &task.observed.containers);
    let mut bound = containers
        .flat_map(|container| &container.bindings)
        .filter_map(|binding| binding.bind_ip.parse::<IpAddr>().ok());
    bound.find(|ip| !ip.is_unspecified()).or(instance.address)
}
