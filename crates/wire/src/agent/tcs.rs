//! TCS: metrics and health that an agent publishes.
//!
//! A frame from the agent is not bare JSON: a block of signed headers comes first, see
//! [`split_signed_frame`]. Frames to the agent are plain envelopes.

use serde::{Deserialize, Serialize};

use super::acs::{ErrorMessage, HeartbeatMessage};
use super::envelope::envelope;
use super::open::nullable;

envelope! {
    /// Agent → control plane.
    TcsToServer {
        /// Metrics of the instance's tasks.
        PublishMetrics(PublishMetricsRequest) = "PublishMetricsRequest",
        /// Health of containers that have a health check.
        PublishHealth(PublishHealthRequest) = "PublishHealthRequest",
        /// Health of the instance itself.
        PublishInstanceStatus(PublishInstanceStatusRequest) = "PublishInstanceStatusRequest",
    }
}

envelope! {
    /// Control plane → agent.
    TcsToAgent {
        /// Keeps the session alive.
        Heartbeat(HeartbeatMessage) = "HeartbeatMessage",
        /// Metrics arrived.
        AckPublishMetric(AckMessage) = "AckPublishMetric",
        /// Health arrived.
        AckPublishHealth(AckMessage) = "AckPublishHealth",
        /// Instance health arrived.
        AckPublishInstanceStatus(AckMessage) = "AckPublishInstanceStatus",
        /// Stop publishing.
        StopTelemetrySession(ErrorMessage) = "StopTelemetrySessionMessage",
    }
}

/// Splits a frame of the agent at the first empty line: header block, then envelope. A frame
/// without headers is taken as a bare envelope.
pub fn split_signed_frame(frame: &str) -> (&str, &str) {
    if frame.starts_with('{') {
        return ("", frame);
    }
    frame.split_once("\r\n\r\n").unwrap_or(("", frame))
}

/// Puts a block of headers before an envelope.
pub fn sign_frame<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    envelope: &str,
) -> String {
    let mut frame = String::with_capacity(envelope.len() + 512);
    for (name, value) in headers {
        frame.push_str(name);
        frame.push_str(": ");
        frame.push_str(value);
        frame.push_str("\r\n");
    }
    frame.push_str("\r\n");
    frame.push_str(envelope);
    frame
}

/// Answers a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AckMessage {
    /// Free text.
    #[serde(deserialize_with = "nullable")]
    pub message: String,
}

/// Metrics of up to ten tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishMetricsRequest {
    /// Who publishes, and whether more follows.
    pub metadata: MetricsMetadata,
    /// Metrics of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_metrics: Option<InstanceMetrics>,
    /// Metrics of its tasks.
    #[serde(deserialize_with = "nullable")]
    pub task_metrics: Vec<TaskMetric>,
    /// Seconds since the epoch.
    pub timestamp: f64,
}

/// Who publishes metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsMetadata {
    /// Cluster.
    pub cluster: String,
    /// Container instance.
    pub container_instance: String,
    /// Same for all frames of a batch.
    pub message_id: String,
    /// Whether the instance runs nothing.
    pub idle: bool,
    /// Whether this is the last frame of its batch.
    pub fin: bool,
}

/// Metrics of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceMetrics {
    /// Storage in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<serde_json::Value>,
}

/// Metrics of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskMetric {
    /// ARN of the task.
    pub task_arn: String,
    /// Family.
    pub task_definition_family: String,
    /// Revision.
    pub task_definition_version: String,
    /// ARN of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_arn: Option<String>,
    /// Metrics of its containers.
    #[serde(deserialize_with = "nullable")]
    pub container_metrics: Vec<ContainerMetric>,
}

/// Metrics of a container over one period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerMetric {
    /// Name within the task.
    pub container_name: String,
    /// ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_arn: Option<String>,
    /// Percent of the whole host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_stats_set: Option<StatsSet>,
    /// MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_stats_set: Option<StatsSet>,
    /// Traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_stats_set: Option<NetworkStatsSet>,
    /// Bytes read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_stats_set: Option<StorageStatsSet>,
    /// Restarts by policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_stats_set: Option<RestartStatsSet>,
}

/// Samples of a gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatsSet {
    /// Least sample.
    pub min: f64,
    /// Greatest sample.
    pub max: f64,
    /// Number of samples.
    pub sample_count: i64,
    /// Sum of the samples.
    pub sum: f64,
}

/// Samples of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LongStatsSet {
    /// Least sample.
    pub min: i64,
    /// What `min` could not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_min: Option<i64>,
    /// Greatest sample.
    pub max: i64,
    /// What `max` could not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_max: Option<i64>,
    /// Number of samples.
    pub sample_count: i64,
    /// Sum of the samples.
    pub sum: i64,
    /// What `sum` could not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_sum: Option<i64>,
}

/// Traffic of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkStatsSet {
    /// Bytes received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_bytes: Option<LongStatsSet>,
    /// Packets received and dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_dropped: Option<LongStatsSet>,
    /// Errors on receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_errors: Option<LongStatsSet>,
    /// Packets received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_packets: Option<LongStatsSet>,
    /// Bytes sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_bytes: Option<LongStatsSet>,
    /// Packets dropped on sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_dropped: Option<LongStatsSet>,
    /// Errors on sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_errors: Option<LongStatsSet>,
    /// Packets sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_packets: Option<LongStatsSet>,
    /// Rate of receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_bytes_per_second: Option<StatsSet>,
    /// Rate of sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_bytes_per_second: Option<StatsSet>,
}

/// Block traffic of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageStatsSet {
    /// Bytes read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_size_bytes: Option<LongStatsSet>,
    /// Bytes written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_size_bytes: Option<LongStatsSet>,
}

/// Restarts of a container by policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartStatsSet {
    /// Restarts since the last publication.
    pub restart_count: i64,
}

/// Health of containers that have a health check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishHealthRequest {
    /// Who publishes, and whether more follows.
    pub metadata: HealthMetadata,
    /// The tasks.
    #[serde(deserialize_with = "nullable")]
    pub tasks: Vec<TaskHealth>,
    /// Seconds since the epoch.
    pub timestamp: f64,
}

/// Who publishes health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthMetadata {
    /// Cluster.
    pub cluster: String,
    /// Container instance.
    pub container_instance: String,
    /// Same for all frames of a batch.
    pub message_id: String,
    /// Whether this is the last frame of its batch.
    pub fin: bool,
}

/// Health of a task's containers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskHealth {
    /// ARN of the task.
    pub task_arn: String,
    /// Family.
    pub task_definition_family: String,
    /// Revision.
    pub task_definition_version: String,
    /// The containers.
    #[serde(deserialize_with = "nullable")]
    pub containers: Vec<ContainerHealth>,
}

/// Health of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerHealth {
    /// Name within the task.
    pub container_name: String,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health_status: String,
    /// Seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_since: Option<f64>,
}

/// Health of the instance itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishInstanceStatusRequest {
    /// Who publishes.
    pub metadata: StatusMetadata,
    /// One per check.
    #[serde(deserialize_with = "nullable")]
    pub statuses: Vec<InstanceStatus>,
    /// Seconds since the epoch.
    pub timestamp: f64,
}

/// Who publishes instance health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusMetadata {
    /// Cluster.
    pub cluster: String,
    /// Container instance.
    pub container_instance: String,
    /// Id of the request.
    pub request_id: String,
}

/// One check of the instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceStatus {
    /// What was checked, e.g. `ContainerRuntime`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `OK`, `IMPAIRED`, `INSUFFICIENT_DATA` or `INITIALIZING`.
    pub status: String,
    /// When it was checked, seconds since the epoch.
    pub last_updated: f64,
    /// When the status changed, seconds since the epoch.
    pub last_status_change: f64,
}
