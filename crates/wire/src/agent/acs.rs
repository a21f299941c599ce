//! ACS: what the control plane asks of an agent, and how the agent answers.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::eni::ElasticNetworkInterface;
use super::envelope::envelope;
use super::open::{nullable, words};
use super::task::Task;

envelope! {
    /// Control plane → agent.
    AcsToAgent {
        /// Keeps the session alive.
        Heartbeat(HeartbeatMessage) = "HeartbeatMessage",
        /// Tasks to start or to stop.
        Payload(PayloadMessage) = "PayloadMessage",
        /// The tasks that should run.
        TaskManifest(TaskManifestMessage) = "TaskManifestMessage",
        /// Which stop candidates are to be stopped.
        TaskStopVerificationAck(TaskStopVerificationAck) = "TaskStopVerificationAck",
        /// Fresh credentials of a task's role.
        IamRoleCredentials(IamRoleCredentialsMessage) = "IAMRoleCredentialsMessage",
        /// Network interfaces of a task that will follow.
        AttachTaskNetworkInterfaces(NetworkInterfacesMessage) = "AttachTaskNetworkInterfacesMessage",
        /// Network interfaces of the instance.
        AttachInstanceNetworkInterfaces(NetworkInterfacesMessage) = "AttachInstanceNetworkInterfacesMessage",
        /// A volume that was attached to the instance.
        ConfirmAttachment(ConfirmAttachmentMessage) = "ConfirmAttachmentMessage",
        /// Download a new agent.
        StageUpdate(UpdateMessage) = "StageUpdateMessage",
        /// Become the new agent.
        PerformUpdate(UpdateMessage) = "PerformUpdateMessage",
        /// The session is about to close.
        Close(CloseMessage) = "CloseMessage",
        /// The control plane could not do something.
        Error(ErrorMessage) = "ErrorMessage",
    }
}

envelope! {
    /// Agent → control plane.
    AcsToServer {
        /// Answers a heartbeat.
        HeartbeatAck(HeartbeatAckRequest) = "HeartbeatAckRequest",
        /// Answers a payload, a manifest or an attachment.
        Ack(AckRequest) = "AckRequest",
        /// Refuses a message.
        Nack(NackRequest) = "NackRequest",
        /// Answers credentials, in a payload or on their own.
        IamRoleCredentialsAck(IamRoleCredentialsAckRequest) = "IAMRoleCredentialsAckRequest",
        /// Tasks that run here and are not in the manifest.
        TaskStopVerification(TaskStopVerificationMessage) = "TaskStopVerificationMessage",
    }
}

/// Keeps a session alive; to be sent more often than once a minute, on TCS too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatMessage {
    /// Whether the control plane feels well.
    pub healthy: bool,
    /// Id to echo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// Answers a [`HeartbeatMessage`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatAckRequest {
    /// Id of the heartbeat.
    pub message_id: String,
}

/// Tasks to start or to stop. A known task takes only its desired status from here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, from = "PayloadOnWire")]
pub struct PayloadMessage {
    /// Id to acknowledge.
    pub message_id: String,
    /// Cluster to echo.
    pub cluster_arn: String,
    /// Container instance to echo.
    pub container_instance_arn: String,
    /// Grows with every message of the instance, together with a manifest's `timeline`.
    pub seq_num: i64,
    /// Milliseconds since the epoch.
    pub generated_at: i64,
    /// The tasks that could be read.
    pub tasks: Vec<Task>,
    /// The ones that could not; never written.
    #[serde(skip)]
    pub unreadable: Vec<UnreadableTask>,
}

/// A task of a payload that has no task's shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnreadableTask {
    /// Its ARN, if at least that could be read.
    pub arn: Option<String>,
    /// What is wrong with it.
    pub error: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PayloadOnWire {
    message_id: String,
    cluster_arn: String,
    container_instance_arn: String,
    seq_num: i64,
    generated_at: i64,
    #[serde(deserialize_with = "nullable")]
    tasks: Vec<Box<RawValue>>,
}

/// As much of a task as a report about it needs.
#[derive(Deserialize)]
struct Named {
    arn: Option<String>,
}

impl From<PayloadOnWire> for PayloadMessage {
    fn from(wire: PayloadOnWire) -> Self {
        let mut tasks = Vec::with_capacity(wire.tasks.len());
        let mut unreadable = Vec::new();
        for json in wire.tasks {
            match serde_json::from_str(json.get()) {
                Ok(task) => tasks.push(task),
                Err(error) => {
                    let named = serde_json::from_str::<Named>(json.get());
                    let arn = named.ok().and_then(|named| named.arn);
                    unreadable.push(UnreadableTask { arn, error: error.to_string() });
                }
            }
        }
        Self {
            message_id: wire.message_id,
            cluster_arn: wire.cluster_arn,
            container_instance_arn: wire.container_instance_arn,
            seq_num: wire.seq_num,
            generated_at: wire.generated_at,
            tasks,
            unreadable,
        }
    }
}

/// Acknowledges a message by its own values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AckRequest {
    /// Cluster as the message named it.
    pub cluster: String,
    /// Container instance as the message named it.
    pub container_instance: String,
    /// Id of the message.
    pub message_id: String,
}

/// Refuses a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NackRequest {
    /// Cluster as the message named it.
    pub cluster: String,
    /// Container instance as the message named it.
    pub container_instance: String,
    /// Id of the message.
    pub message_id: String,
    /// Why.
    pub reason: String,
}

/// Every task that should run on an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskManifestMessage {
    /// Id to acknowledge.
    pub message_id: String,
    /// Cluster to echo.
    pub cluster_arn: String,
    /// Container instance to echo.
    pub container_instance_arn: String,
    /// Milliseconds since the epoch.
    pub generated_at: i64,
    /// A manifest not above the newest known number is ignored.
    pub timeline: i64,
    /// The tasks.
    #[serde(deserialize_with = "nullable")]
    pub tasks: Vec<ManifestTask>,
}

/// A task of a manifest.
pub type ManifestTask = TaskIdentifier;

/// A task and what is wanted of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskIdentifier {
    /// ARN of the task.
    pub task_arn: String,
    /// Its cluster.
    pub task_cluster_arn: String,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: String,
}

/// Tasks that run on the instance and are not in the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStopVerificationMessage {
    /// Id of the manifest.
    pub message_id: String,
    /// The tasks, each with desired status `STOPPED`.
    #[serde(deserialize_with = "nullable")]
    pub stop_candidates: Vec<TaskIdentifier>,
}

/// The candidates that are to be stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStopVerificationAck {
    /// Id of the manifest.
    pub message_id: String,
    /// Milliseconds since the epoch.
    pub generated_at: i64,
    /// The tasks to stop.
    #[serde(deserialize_with = "nullable")]
    pub stop_tasks: Vec<TaskIdentifier>,
}

words! {
    /// Which of a task's roles credentials belong to.
    RoleType default TaskApplication {
        /// The task role.
        TaskApplication = "TaskApplication",
        /// The task execution role.
        TaskExecution = "TaskExecution",
    }
}

/// Fresh credentials of a task's role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IamRoleCredentialsMessage {
    /// Id to acknowledge.
    pub message_id: String,
    /// ARN of the task.
    pub task_arn: String,
    /// Its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_cluster_arn: Option<String>,
    /// Which role.
    pub role_type: RoleType,
    /// The credentials.
    pub role_credentials: RoleCredentials,
}

/// Temporary credentials. The id stays the same when they are refreshed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleCredentials {
    /// Id, the last part of the path that containers read them from.
    pub credentials_id: String,
    /// ARN of the role.
    pub role_arn: String,
    /// Access key.
    pub access_key_id: String,
    /// Secret key.
    pub secret_access_key: String,
    /// Session token.
    pub session_token: String,
    /// When they end, RFC 3339.
    pub expiration: String,
    /// Which kind of role they are for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_scope: Option<String>,
}

impl std::fmt::Debug for RoleCredentials {
    /// Leaves the secrets out, so that no log holds them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoleCredentials")
            .field("credentials_id", &self.credentials_id)
            .field("role_arn", &self.role_arn)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// Acknowledges credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IamRoleCredentialsAckRequest {
    /// Id of the message that carried them.
    pub message_id: String,
    /// When they end, RFC 3339.
    pub expiration: String,
    /// Their id.
    pub credentials_id: String,
}

/// Network interfaces of a task (with its ARN) or of the instance (without).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkInterfacesMessage {
    /// Id to acknowledge.
    pub message_id: String,
    /// Cluster to echo.
    pub cluster_arn: String,
    /// Container instance to echo.
    pub container_instance_arn: String,
    /// ARN of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// Its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_cluster_arn: Option<String>,
    /// How long the agent waits for them, in milliseconds.
    pub wait_timeout_ms: i64,
    /// Milliseconds since the epoch.
    pub generated_at: i64,
    /// The interfaces, at least one.
    #[serde(deserialize_with = "nullable")]
    pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
}

/// A volume that was attached to the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfirmAttachmentMessage {
    /// Id to acknowledge.
    pub message_id: String,
    /// ARN of the cluster.
    pub cluster_arn: String,
    /// ARN of the container instance.
    pub container_instance_arn: String,
    /// ARN of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// Its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_cluster_arn: Option<String>,
    /// How long the agent waits for it, in milliseconds.
    pub wait_timeout_ms: i64,
    /// The attachment.
    pub attachment: Attachment,
}

/// An attachment of a task or of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attachment {
    /// ARN.
    pub attachment_arn: String,
    /// Kind, e.g. `amazonebs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_type: Option<String>,
    /// Its properties.
    #[serde(deserialize_with = "nullable")]
    pub attachment_properties: Vec<AttachmentProperty>,
}

/// A property of an [`Attachment`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttachmentProperty {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// Where a new agent comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateMessage {
    /// Id to acknowledge.
    pub message_id: String,
    /// Cluster to echo.
    pub cluster_arn: String,
    /// Container instance to echo.
    pub container_instance_arn: String,
    /// The update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_info: Option<UpdateInfo>,
}

/// A file and the checksum of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateInfo {
    /// URL.
    pub location: String,
    /// Checksum.
    pub signature: String,
}

/// The session is about to close.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CloseMessage {
    /// Text for the log.
    pub message: String,
}

/// The control plane could not do something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorMessage {
    /// Text for the log.
    pub message: String,
}
