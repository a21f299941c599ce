//! Volumes of a task: which of them the runtime has to make, and what a mount refers to.

use std::collections::BTreeMap;

use longshore_domain::task::Reason;
use longshore_wire::agent::{Container, DockerVolumeConfiguration, Task, Volume};

use crate::labels;
use crate::record::id_of;
use crate::runtime::{Bind, VolumeRequest};

/// What is to be done about a volume before containers mount it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VolumePlan {
    /// Make it, unless it is there.
    Make(VolumeRequest),
    /// It must be there already.
    Expect(String),
}

/// Checks the volumes of a task.
pub(super) fn check(task: &Task) -> Result<(), Reason> {
    for volume in &task.volumes {
        let known = match volume.kind.as_deref().unwrap_or("host") {
            "host" => volume.host.is_some(),
            "docker" => volume.docker_volume_configuration.is_some(),
            other => {
                let text = format!(
                    "volume {} has type {other}, which this agent does not offer; use a host \
                     path or a Docker volume",
                    volume.name
                );
                return Err(Reason::new("ResourceInitializationError", text));
            }
        };
        // A volume without type may carry only its Docker configuration.
        if !known && volume.docker_volume_configuration.is_none() {
            let text = "Error loading task - invalid volume: empty volume configuration";
            return Err(Reason::new("UnrecogniedTaskError", text));
        }
    }
    Ok(())
}

/// Checks that what a container mounts is there.
pub(super) fn check_mounts(task: &Task, container: &Container) -> Result<(), Reason> {
    for mount in &container.mount_points {
        if !task.volumes.iter().any(|volume| volume.name == mount.source_volume) {
            let text = format!(
                "container {} mounts volume {}, which the task does not have",
                container.name, mount.source_volume
            );
            return Err(Reason::new("InvalidVolumeError", text));
        }
    }
    Ok(())
}

/// What has to be done before `container` can mount its volumes. A plain volume of the default
/// driver needs nothing: the runtime makes it with the container.
pub(crate) fn plan(task: &Task, container: &Container) -> Vec<VolumePlan> {
    let mounted = |volume: &&Volume| {
        container.mount_points.iter().any(|mount| mount.source_volume == volume.name)
    };
    let mut plans = Vec::new();
    for volume in task.volumes.iter().filter(mounted) {
        let Some(docker) = &volume.docker_volume_configuration else { continue };
        let name = source(task, volume);
        if is_shared(docker) && !docker.autoprovision {
            plans.push(VolumePlan::Expect(name));
        } else {
            let mut all = docker.labels.clone();
            if !is_shared(docker) {
                all.insert(labels::TASK_ARN.to_owned(), task.arn.clone());
            }
            plans.push(VolumePlan::Make(VolumeRequest {
                name,
                driver: docker.driver.clone(),
                driver_opts: docker.driver_opts.clone(),
                labels: all,
            }));
        }
    }
    plans
}

/// Names of the volumes that live and end with the task.
pub(crate) fn names(task: &Task) -> Vec<String> {
    let own = task.volumes.iter().filter(|volume| {
        let host_path = volume.host.as_ref().and_then(|host| host.source_path.as_ref());
        match &volume.docker_volume_configuration {
            Some(docker) => !is_shared(docker),
            None => host_path.is_none_or(String::is_empty),
        }
    });
    own.map(|volume| source(task, volume)).collect()
}

/// The mounts of a container.
pub(super) fn binds(task: &Task, container: &Container) -> Vec<Bind> {
    let volumes: BTreeMap<&str, &Volume> =
        task.volumes.iter().map(|volume| (volume.name.as_str(), volume)).collect();
    let mounts = container.mount_points.iter().filter_map(|mount| {
        let volume = volumes.get(mount.source_volume.as_str())?;
        Some(Bind {
            source: source(task, volume),
            target: mount.container_path.clone(),
            read_only: mount.read_only,
        })
    });
    mounts.collect()
}

/// What a mount of the volume refers to: a path, or a volume's name in the runtime.
fn source(task: &Task, volume: &Volume) -> String {
    if let Some(docker) = &volume.docker_volume_configuration {
        return if is_shared(docker) { volume.name.clone() } else { own_name(task, volume) };
    }
    let path = volume.host.as_ref().and_then(|host| host.source_path.clone());
    path.filter(|path| !path.is_empty()).unwrap_or_else(|| own_name(task, volume))
}

fn own_name(task: &Task, volume: &Volume) -> String {
    let id = id_of(&task.arn);
    format!("ecs-{}-{}-{}-{id}", task.family, task.version, volume.name)
}

fn is_shared(docker: &DockerVolumeConfiguration) -> bool {
    docker.scope.as_deref() == Some("shared")
}
