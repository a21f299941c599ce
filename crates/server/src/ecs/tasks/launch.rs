//! What a new task is made from, the same for RunTask, StartTask and services.

use std::collections::BTreeMap;

use longshore_domain::ids::IdSource;
use longshore_domain::ids::{ClusterName, InstanceId, Scope, TaskId};
use longshore_domain::record::{
    ContainerState, Demand, DesiredStatus, Document, LaunchType, Observed, Tags, Task,
    TaskDefinition,
};
use longshore_domain::time::Timestamp;

/// Everything about a new task but its id and place.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "AWS's name of the member")]
pub(crate) struct Launch<'a> {
    /// Account and region.
    pub(crate) scope: &'a Scope,
    /// Cluster.
    pub(crate) cluster: &'a ClusterName,
    /// What runs.
    pub(crate) definition: &'a TaskDefinition,
    /// Launch type.
    pub(crate) launch_type: LaunchType,
    /// Task group.
    pub(crate) group: String,
    /// `startedBy`.
    pub(crate) started_by: Option<String>,
    /// Overrides, checked.
    pub(crate) overrides: Option<Document>,
    /// Whether ExecuteCommand may enter.
    pub(crate) enable_execute_command: bool,
    /// Digests that its images have whatever their tags mean, by container.
    pub(crate) images: BTreeMap<String, String>,
    /// What it takes.
    pub(crate) demand: Demand,
    /// Tags.
    pub(crate) tags: Tags,
}

/// The records of tasks that were given a place.
pub(crate) fn make_tasks(
    launch: &Launch<'_>,
    assigned: &[(TaskId, InstanceId)],
    now: Timestamp,
    ids: &mut dyn IdSource,
) -> Vec<Task> {
    let mut make = |&(id, instance): &(TaskId, InstanceId)| {
        let containers = launch
            .definition
            .spec
            .containers
            .iter()
            .map(|spec| ContainerState::pending(spec.name.clone(), TaskId::fresh(ids)));
        Task {
            scope: launch.scope.clone(),
            cluster: launch.cluster.clone(),
            id,
            family: launch.definition.family.clone(),
            revision: launch.definition.revision,
            instance,
            launch_type: launch.launch_type,
            group: launch.group.clone(),
            started_by: launch.started_by.clone(),
            overrides: launch.overrides.clone(),
            enable_execute_command: launch.enable_execute_command,
            demand: launch.demand.clone(),
            created_at: now,
            desired: DesiredStatus::Running,
            stop: None,
            draining_until: None,
            observed: Observed::pending(containers.collect()),
            protection: None,
            images: launch.images.clone(),
            failure_counted: false,
            version: 1,
            tags: launch.tags.clone(),
        }
    };
    assigned.iter().map(&mut make).collect()
}
