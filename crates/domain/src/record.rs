//! Records: the persisted shapes, one file per resource.
//!
//! A record holds what a decision reads in typed form, and keeps as a [`Document`] whatever
//! the API must only give back verbatim. Records are not wire shapes; `server` converts.
//! ARNs are not stored: they follow from scope, names and ids.

mod account_setting;
mod certificate;
mod client_token;
mod cluster;
mod container_instance;
mod control_authority;
mod daemon;
mod daemon_deployment;
mod daemon_task_definition;
mod iam;
mod idle;
mod load_balancer;
mod placement;
mod service;
mod service_action;
mod service_deployment;
mod target_group;
mod task;
mod task_definition;
mod task_set;
mod traffic;

pub use account_setting::AccountSetting;
pub use certificate::{Certificate, CertificateAuthority, CertificateRequest, PrivateKey};
pub use client_token::ClientToken;
pub use cluster::{Cluster, ClusterStatus};
pub use container_instance::{
    AgentConnection, ContainerInstance, DeviceId, InstanceStatus, Resources, VersionInfo,
};
pub use control_authority::ControlAuthority;
pub use daemon::{Daemon, DaemonRevision, DaemonStatus};
pub use daemon_deployment::{
    DaemonDeployment, DaemonDeploymentConfiguration, DaemonDeploymentStatus, DaemonRollback,
};
pub use daemon_task_definition::{DaemonTaskDefinition, DaemonTaskDefinitionStatus};
pub use iam::{
    AccessKey, Grants, IamAccount, IamGroup, IamPolicy, IamRole, IamUser, InstanceProfile,
    JoinToken, KeyUse, OidcProvider, PolicyVersion, RoleUse, Sealed,
};
pub use idle::{Idle, IdleState, Obstacle};
pub use load_balancer::{
    BalancerAddress, BalancerNode, Listener, ListenerRule, LoadBalancer, forwarded_to,
};
pub use placement::{
    ConstraintKind, PlacementConstraint, PlacementStrategy, Spread, StrategyField,
};
pub use service::{
    Cause, CircuitBreaker, Completed, Deployment, DeploymentConfiguration, DeploymentStatus,
    Notice, RolloutState, SchedulingStrategy, Service, ServiceBalancer, ServiceEvent,
    ServiceStatus, Threshold,
};
pub use service_action::{ActionName, ActionType, ServiceAction};
pub use service_deployment::{
    BreakerState, HookAction, HookCall, LifecycleStage, Pause, PauseHook, Rollback,
    ServiceDeployment, ServiceDeploymentStatus, ServiceRevision, TrafficKind, Webhook,
};
pub use target_group::{Seen, Target, TargetGroup, TargetType, TaskTarget};
pub use task::{
    ContainerState, ContainerStatus, DAEMON_GROUP, DAEMON_STARTER, Demand, DesiredStatus,
    HealthStatus, LaunchType, NetworkBinding, Observed, PortClaim, Protection, StopCode, StopOrder,
    Task, TaskStatus,
};
pub use task_definition::{
    ContainerSpec, DependencyCondition, NetworkMode, PortMapping, Protocol, TaskDefinition,
    TaskDefinitionStatus, TaskSpec,
};
pub use task_set::{DeploymentController, Scale, TaskSet, TaskSetStatus};
pub use traffic::{Advanced, Share, Shift, ShiftStrategy, Shifting};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Tags of a resource: key to value (ECS: at most 50).
pub type Tags = BTreeMap<String, String>;

/// A piece of an API request kept verbatim as JSON, for answers that must give it back whole.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(Box<RawValue>);

impl Document {
    /// Keeps `json`, which must be one valid JSON value.
    ///
    /// # Errors
    /// The parser's message when it is not.
    pub fn new(json: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(json).map(Self)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Document {}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
