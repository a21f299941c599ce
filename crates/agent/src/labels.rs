//! Labels that an agent puts on its containers; with them it finds them again.

/// ARN of the task.
pub const TASK_ARN: &str = "com.amazonaws.ecs.task-arn";
/// Name of the container in its task.
pub const CONTAINER_NAME: &str = "com.amazonaws.ecs.container-name";
/// Family of the task definition.
pub(crate) const FAMILY: &str = "com.amazonaws.ecs.task-definition-family";
/// Revision of the task definition.
pub(crate) const VERSION: &str = "com.amazonaws.ecs.task-definition-version";
/// Cluster.
pub(crate) const CLUSTER: &str = "com.amazonaws.ecs.cluster";
/// ARN of the container instance; several agents on one runtime know their own by it.
pub(crate) const CONTAINER_INSTANCE_ARN: &str = "com.amazonaws.ecs.container-instance-arn";
