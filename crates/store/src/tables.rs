//! The tables: for each record its key, its indexes and the version of its shape.
//!
//! All keys begin with account, region and kind, so that one prefix holds the records of one
//! kind in one account and region. A golden file per version stands in `tests/golden/`.

mod account_setting;
mod balancer_address;
mod balancer_node;
mod certificate;
mod certificate_authority;
mod client_token;
mod cluster;
mod container_instance;
mod control_authority;
mod daemon;
mod daemon_deployment;
mod daemon_revision;
mod daemon_task_definition;
mod iam;
mod listener;
mod listener_rule;
mod load_balancer;
mod service;
mod service_deployment;
mod service_event;
mod service_revision;
mod target;
mod target_group;
mod task;
mod task_definition;

pub use account_setting::AccountSettingKey;
pub use balancer_address::BalancerAddressKey;
pub use balancer_node::BalancerNodeKey;
pub use certificate::CertificateKey;
pub use certificate_authority::CertificateAuthorityKey;
pub use client_token::ClientTokenKey;
pub use cluster::ClusterKey;
pub use container_instance::{ContainerInstanceIndex, ContainerInstanceKey};
pub use control_authority::ControlAuthorityKey;
pub use daemon::DaemonKey;
pub use daemon_deployment::DaemonDeploymentKey;
pub use daemon_revision::DaemonRevisionKey;
pub use daemon_task_definition::DaemonTaskDefinitionKey;
pub use iam::{
    AccessKeyIndex, AccessKeyKey, IamAccountKey, IamGroupKey, IamIndex, IamPolicyIndex,
    IamPolicyKey, IamRoleKey, IamUserKey, InstanceProfileIndex, InstanceProfileKey, JoinTokenKey,
    OidcProviderKey,
};
pub use listener::{ForwardIndex, ListenerKey};
pub use listener_rule::ListenerRuleKey;
pub use load_balancer::LoadBalancerKey;
pub use service::{ServiceIndex, ServiceKey};
pub use service_deployment::{ServiceDeploymentIndex, ServiceDeploymentKey};
pub use service_event::ServiceEventKey;
pub use service_revision::ServiceRevisionKey;
pub use target::{TargetIndex, TargetKey};
pub use target_group::{TargetGroupIndex, TargetGroupKey};
pub use task::{TaskIndex, TaskKey};
pub use task_definition::TaskDefinitionKey;

/// The index of a table that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoIndex {}
