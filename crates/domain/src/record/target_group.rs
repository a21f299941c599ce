//! Target groups and their targets.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use super::Tags;
use crate::ids::{ClusterName, ElbArn, ElbId, ElbResource, Scope, ServiceName, TaskId};
use crate::route::{Health, HealthCheck, Probe, Protocol, ProtocolVersion};
use crate::time::Timestamp;

/// A target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Account and region.
    pub scope: Scope,
    /// Id, the last part of its ARN.
    pub id: ElbId,
    /// Name, unique within account and region.
    pub name: String,
    /// What its targets are.
    pub target_type: TargetType,
    /// What its targets speak.
    pub protocol: Protocol,
    /// Version of HTTP.
    pub version: ProtocolVersion,
    /// Port of targets that are registered without one.
    pub port: u16,
    /// VPC, as given.
    pub vpc_id: Option<String>,
    /// Whether targets are asked whether they are well.
    pub health_check_enabled: bool,
    /// How.
    pub health_check: HealthCheck,
    /// Attributes that were set, as in the API.
    pub attributes: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Tags.
    pub tags: Tags,
}

impl TargetGroup {
    /// Its ARN.
    pub fn arn(&self) -> String {
        let resource = ElbResource::TargetGroup(self.name.clone(), self.id);
        ElbArn::new(&self.scope, resource).to_string()
    }
}

/// What the targets of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetType {
    /// Instances, by id.
    Instance,
    /// Addresses.
    Ip,
}

impl TargetType {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Ip => "ip",
        }
    }
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Account and region.
    pub scope: Scope,
    /// Its group.
    pub group: ElbId,
    /// Instance id or address, as it was registered.
    pub id: String,
    /// Port.
    pub port: u16,
    /// Availability zone, as it was registered.
    pub zone: Option<String>,
    /// The task that it is, if the service scheduler registered it.
    pub task: Option<TaskTarget>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When it was deregistered.
    pub deregistered_at: Option<Timestamp>,
    /// What nodes of balancers have seen of it, by the number of the node.
    pub seen: BTreeMap<String, Seen>,
}

/// The task that a target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTarget {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its service.
    pub service: ServiceName,
    /// The task.
    pub task: TaskId,
}

/// What a node has seen of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How it does.
    pub health: Health,
    /// What is under way to it; kept up to date for targets that leave.
    pub in_flight: u32,
    /// How it was last asked, when its health changed.
    pub probe: Option<Probe>,
}
