//! Load balancers, their listeners and rules.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Tags;
use crate::ids::{ElbArn, ElbId, ElbResource, Scope};
use crate::route::{Action, BalancerKind, Condition, Protocol};
use crate::time::Timestamp;

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Account and region.
    pub scope: Scope,
    /// Id, the last part of its ARN.
    pub id: ElbId,
    /// Name, unique within account and region.
    pub name: String,
    /// Layer 7 or 4.
    pub kind: BalancerKind,
    /// Whether it is for clients within the network only; as given, it changes nothing here.
    pub is_internal: bool,
    /// Where it listens; no other balancer has it.
    pub address: IpAddr,
    /// Subnets, as given.
    pub subnets: Vec<String>,
    /// Security groups, as given.
    pub security_groups: Vec<String>,
    /// Attributes that were set, as in the API.
    pub attributes: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Tags.
    pub tags: Tags,
}

impl LoadBalancer {
    /// Its ARN.
    pub fn arn(&self) -> String {
        let resource = ElbResource::LoadBalancer(self.kind, self.name.clone(), self.id);
        ElbArn::new(&self.scope, resource).to_string()
    }
}

/// An address that a balancer has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerAddress {
    /// The address.
    pub address: IpAddr,
    /// Account and region of the balancer.
    pub scope: Scope,
    /// Its name.
    pub name: String,
}

/// A node of balancers that is there. What it reports every few seconds is not written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerNode {
    /// Number that it drew when its process started.
    pub id: u64,
    /// Id of the server that it reports to: that one knows when it was last heard of.
    pub server: u64,
    /// Since when it reports there.
    pub since: Timestamp,
    /// Listeners that it cannot open, by ARN, and why.
    pub failed_listeners: BTreeMap<String, String>,
}

impl BalancerNode {
    /// What it is called where targets say what nodes have seen of them.
    pub fn name(&self) -> String {
        self.id.to_string()
    }
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Account and region.
    pub scope: Scope,
    /// Its balancer.
    pub balancer: ElbId,
    /// Name of its balancer, a part of its ARN.
    pub balancer_name: String,
    /// Kind of its balancer, a part of its ARN.
    pub kind: BalancerKind,
    /// Id, the last part of its ARN.
    pub id: ElbId,
    /// Port, unique within the balancer.
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// Name of its TLS policy.
    pub ssl_policy: Option<String>,
    /// ARNs of its certificates, the default one first.
    pub certificates: Vec<String>,
    /// ALPN policy.
    pub alpn_policy: Option<String>,
    /// What happens when no rule takes a request.
    pub default_actions: Vec<Action>,
    /// Attributes that were set, as in the API.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: Tags,
}

impl Listener {
    /// Its ARN.
    pub fn arn(&self) -> String {
        let name = self.balancer_name.clone();
        let resource = ElbResource::Listener(self.kind, name, self.balancer, self.id);
        ElbArn::new(&self.scope, resource).to_string()
    }

    /// ARN of its default rule.
    pub fn default_rule_arn(&self) -> String {
        let name = self.balancer_name.clone();
        let resource = ElbResource::Rule(self.kind, name, self.balancer, self.id, self.id);
        ElbArn::new(&self.scope, resource).to_string()
    }
}

/// A rule of a listener; its default one is part of the listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerRule {
    /// Account and region.
    pub scope: Scope,
    /// The balancer of its listener.
    pub balancer: ElbId,
    /// Name of that balancer, a part of its ARN.
    pub balancer_name: String,
    /// Kind of that balancer, a part of its ARN.
    pub kind: BalancerKind,
    /// Its listener.
    pub listener: ElbId,
    /// Id, the last part of its ARN.
    pub id: ElbId,
    /// 1 to 50,000, unique within the listener.
    pub priority: u32,
    /// All have to hold.
    pub conditions: Vec<Condition>,
    /// What happens then.
    pub actions: Vec<Action>,
    /// Tags.
    pub tags: Tags,
}

impl ListenerRule {
    /// Its ARN.
    pub fn arn(&self) -> String {
        let name = self.balancer_name.clone();
        let resource = ElbResource::Rule(self.kind, name, self.balancer, self.listener, self.id);
        ElbArn::new(&self.scope, resource).to_string()
    }
}

/// ARNs of the target groups that actions forward to.
pub fn forwarded_to(actions: &[Action]) -> impl Iterator<Item = &str> {
    let forwards = actions.iter().filter_map(|action| match action {
        Action::Forward(forward) => Some(&forward.groups),
        _ => None,
    });
    forwards.flatten().map(|group| group.group.as_str())
}
