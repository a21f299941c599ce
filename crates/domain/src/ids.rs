//! Identifiers and ARNs, parsed once at the edge. Only this module splits an ARN.

mod arn;
mod balancing;
mod certificate;
mod iam;
mod name;
mod text;
mod unique;

pub use arn::{Arn, ArnError, Resource, deployment_id};
pub use balancing::{ElbArn, ElbId, ElbResource};
pub use certificate::{CertificateArn, CertificateId};
pub use iam::{IamArn, IamId, IamIdKind, IamResource};
pub use name::{AccountId, ClusterName, DaemonName, Family, NameError, Region, Scope, ServiceName};
pub use unique::{
    DaemonDeploymentId, EventId, IdSource, InstanceId, Revision, ServiceDeploymentId, TaskId,
};
