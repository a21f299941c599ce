//! A snapshot made ready to serve by: rules compiled, groups and targets with what is known of
//! them. Immutable but for the state of targets, which goes on from table to table.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use longshore_domain::route::{
    Balancer, BalancerKind, Certificate, Listener, Protocol, Rules, Snapshot,
};
use rustls::ServerConfig;
use tokio::sync::Notify;

use crate::group::Group;
use crate::stats::Stats;
use crate::target::TargetKey;
use crate::tls;

/// What a node serves by.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) version: u64,
    /// By what they are bound to.
    pub(crate) listeners: BTreeMap<SocketKey, Arc<Listening>>,
    pub(crate) groups: Arc<BTreeMap<String, Arc<Group>>>,
    /// By ARN.
    certificates: Arc<BTreeMap<String, Certificate>>,
    /// Listeners that cannot be served, by ARN, and why.
    pub(crate) refused: Vec<(String, String)>,
}

/// What a socket is bound to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct SocketKey {
    pub(crate) address: SocketAddr,
    /// UDP rather than TCP.
    pub(crate) udp: bool,
}

/// A listener on one address.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) record: Arc<Listener>,
    pub(crate) balancer: Arc<Balancing>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) groups: Arc<BTreeMap<String, Arc<Group>>>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// A balancer.
#[derive(Debug)]
pub(crate) struct Balancing {
    /// Its record, without listeners.
    pub(crate) record: Balancer,
    pub(crate) stats: Arc<Stats>,
}

impl Table {
    /// Makes a table of a snapshot. What an earlier one knows of targets goes on; rules, keys and
    /// counters that are unchanged are shared with it.
    pub(crate) fn new(
        snapshot: &Snapshot,
        before: &Self,
        workers: usize,
        news: &Arc<Notify>,
    ) -> Self {
        let mut known: BTreeMap<&TargetKey, _> = BTreeMap::new();
        for group in before.groups.values() {
            known.extend(group.targets.iter().map(|target| (&target.key, target)));
        }
        let groups = snapshot.groups.iter().map(|record| {
            let old = before.groups.get(&record.arn).map(Arc::as_ref);
            let group = Group::new(record, old, &known, workers, news);
            (record.arn.clone(), Arc::new(group))
        });
        let groups: Arc<BTreeMap<_, _>> = Arc::new(groups.collect());
        let certificates = snapshot.certificates.iter().map(|c| (c.arn.clone(), c.clone()));
        let certificates = Arc::new(certificates.collect());
        let version = snapshot.version;
        let mut table = Self { version, groups, certificates, ..Self::default() };
        let earlier = Earlier::of(before);
        for balancer in &snapshot.balancers {
            table.enter(balancer, &earlier);
        }
        table
    }

    fn enter(&mut self, balancer: &Balancer, earlier: &Earlier<'_>) {
        let stats = earlier.balancers.get(balancer.arn.as_str()).map(|b| Arc::clone(&b.stats));
        let record = Balancer { listeners: Vec::new(), ..balancer.clone() };
        let shared = Arc::new(Balancing { record, stats: stats.unwrap_or_default() });
        for record in &balancer.listeners {
            let old = earlier.listeners.get(record.arn.as_str());
            let tls = match self.tls(balancer, record, old, earlier.certificates) {
                Ok(config) => config,
                Err(why) => {
                    self.refused.push((record.arn.clone(), why));
                    continue;
                }
            };
            let same = old.filter(|old| old.record.rules == record.rules);
            let rules = same.map_or_else(
                || Arc::new(Rules::new(record.rules.clone())),
                |old| Arc::clone(&old.rules),
            );
            let listening = Arc::new(Listening {
                record: Arc::new(record.clone()),
                balancer: Arc::clone(&shared),
                rules,
                groups: Arc::clone(&self.groups),
                tls,
            });
            for key in keys(balancer, record) {
                if let Some(other) = self.listeners.get(&key) {
                    let why = format!("{} belongs to {}", key.address, other.record.arn);
                    self.refused.push((record.arn.clone(), why));
                } else {
                    self.listeners.insert(key, Arc::clone(&listening));
                }
            }
        }
    }
}

impl Table {
    /// How a listener speaks TLS, if it does. Keys are read anew only where something has changed: that
    /// takes longer than all the rest.
    fn tls(
        &self,
        balancer: &Balancer,
        record: &Listener,
        old: Option<&&Listening>,
        certificates: &BTreeMap<String, Certificate>,
    ) -> Result<Option<Arc<ServerConfig>>, String> {
        if !matches!(record.protocol, Protocol::Https | Protocol::Tls) {
            return Ok(None);
        }
        let http2 = balancer.attributes.http2;
        let same = |old: &&&Listening| {
            let settings = |l: &Listener| {
                (l.protocol, l.certificates.clone(), l.ssl_policy.clone(), l.alpn_policy.clone())
            };
            let arns = &record.certificates;
            settings(&old.record) == settings(record)
                && old.balancer.record.attributes.http2 == http2
                && arns.iter().all(|arn| certificates.get(arn) == self.certificates.get(arn))
        };
        if let Some(config) = old.filter(same).and_then(|old| old.tls.as_ref()) {
            return Ok(Some(Arc::clone(config)));
        }
        tls::server(record, http2, &self.certificates).map(Some)
    }
}

/// What an earlier table has, by ARN.
struct Earlier<'a> {
    certificates: &'a BTreeMap<String, Certificate>,
    listeners: BTreeMap<&'a str, &'a Listening>,
    balancers: BTreeMap<&'a str, &'a Balancing>,
}

impl<'a> Earlier<'a> {
    fn of(table: &'a Table) -> Self {
        let all = || table.listeners.values().map(Arc::as_ref);
        Self {
            certificates: &table.certificates,
            listeners: all().map(|l| (l.record.arn.as_str(), l)).collect(),
            balancers: all()
                .map(|l| (l.balancer.record.arn.as_str(), l.balancer.as_ref()))
                .collect(),
        }
    }
}

impl Listening {
    /// Whether it speaks HTTP.
    pub(crate) fn is_http(&self) -> bool {
        self.balancer.record.kind == BalancerKind::Application
    }
}

/// What a listener is bound to.
fn keys(balancer: &Balancer, listener: &Listener) -> Vec<SocketKey> {
    let transports: &[bool] = match listener.protocol {
        Protocol::Udp => &[true],
        Protocol::TcpUdp => &[false, true],
        Protocol::Http | Protocol::Https | Protocol::Tcp | Protocol::Tls => &[false],
    };
    let addresses = balancer.addresses.iter();
    let bound = addresses.flat_map(|ip| {
        let address = SocketAddr::new(*ip, listener.port);
        transports.iter().map(move |udp| SocketKey { address, udp: *udp })
    });
    bound.collect()
}
