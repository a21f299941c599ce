//! Messages between the control plane and an agent: ACS (work) and TCS (telemetry).
//!
//! Both websockets carry text frames `{"type":"<TypeName>","message":{…}}`. A type that this
//! module does not know decodes to `Unknown`, an unknown member is ignored, an absent or null
//! list is empty and an absent option is left out when written, so that either side may be older
//! than the other.
//!
//! What it leaves out: the websocket itself, signatures, and the calls that an agent makes through
//! the public API (RegisterContainerInstance, SubmitTaskStateChange, …).

mod acs;
mod eni;
mod envelope;
mod open;
mod task;
mod tcs;

pub use acs::{
    AckRequest, AcsToAgent, AcsToServer, Attachment, AttachmentProperty, CloseMessage,
    ConfirmAttachmentMessage, ErrorMessage, HeartbeatAckRequest, HeartbeatMessage,
    IamRoleCredentialsAckRequest, IamRoleCredentialsMessage, ManifestTask, NackRequest,
    NetworkInterfacesMessage, PayloadMessage, RoleCredentials, RoleType, TaskIdentifier,
    TaskManifestMessage, TaskStopVerificationAck, TaskStopVerificationMessage, UnreadableTask,
    UpdateInfo, UpdateMessage,
};
pub use eni::{ElasticNetworkInterface, Ipv4Address, Ipv6Address, VlanProperties};
pub use envelope::{EnvelopeError, Rejection};
pub use task::{
    AsmAuthData, Association, AssociationContent, AuthorizationConfig, Container,
    ContainerOverrides, Dependency, DependencyCondition, DockerConfig, DockerVolumeConfiguration,
    EcrAuthData, EfsVolumeConfiguration, EnvironmentFile, FirelensConfiguration, HostVolume,
    ManagedAgent, MountPoint, PortMapping, ProxyConfiguration, RegistryAuthentication,
    RestartPolicy, Secret, Task, TransportProtocol, Volume, VolumeFrom,
};
pub use tcs::{
    AckMessage, ContainerHealth, ContainerMetric, HealthMetadata, InstanceMetrics, InstanceStatus,
    LongStatsSet, MetricsMetadata, NetworkStatsSet, PublishHealthRequest,
    PublishInstanceStatusRequest, PublishMetricsRequest, RestartStatsSet, StatsSet, StatusMetadata,
    StorageStatsSet, TaskHealth, TaskMetric, TcsToAgent, TcsToServer, sign_frame,
    split_signed_frame,
};

#[cfg(test)]
mod tests;
