//! Making a container: what it needs first, then the container itself.

use std::sync::Arc;

use longshore_domain::task::{ContainerIndex, Event as TaskEvent, Reason};
use longshore_wire::agent::{Container, RoleCredentials, Task};

use super::{Hands, Turn, named};
use crate::engine::{Fact, TaskKey};
use crate::record::ContainerFacts;
use crate::runtime::{ContainerRequest, RuntimeError};
use crate::task::{self, VolumePlan};

/// A container to make.
#[derive(Debug)]
pub(crate) struct CreateJob {
    pub(crate) task: Task,
    pub(crate) facts: ContainerFacts,
    pub(crate) execution_role: Option<RoleCredentials>,
}

/// Why a container could not be made.
enum Failure {
    /// The task lacks something that it needs as a whole.
    Task(Reason),
    /// This container cannot be made.
    Container(Reason),
}

impl Hands {
    /// Makes a container.
    pub(crate) fn create(self: &Arc<Self>, key: TaskKey, index: ContainerIndex, job: CreateJob) {
        let hands = Arc::clone(self);
        self.spawn(async move {
            match hands.try_create(index, &job).await {
                Ok((id, turn)) => {
                    let fact = Fact::Made(index, id, turn);
                    hands.tell(&key, Some(fact), TaskEvent::Created(index)).await;
                }
                Err(Failure::Container(reason)) => {
                    hands.tell(&key, None, TaskEvent::CreateFailed(index, reason)).await;
                }
                Err(Failure::Task(reason)) => {
                    hands.tell(&key, None, TaskEvent::Failed(reason.clone())).await;
                    hands.tell(&key, None, TaskEvent::CreateFailed(index, reason)).await;
                }
            }
        });
    }

    async fn try_create(
        &self,
        index: ContainerIndex,
        job: &CreateJob,
    ) -> Result<(String, Turn), Failure> {
        let container = &job.task.containers[index];
        self.volumes(&job.task, container).await.map_err(Failure::Task)?;
        let ranges = task::port_ranges(container);
        let host_ranges = self
            .ports
            .claim(self.surroundings.host_address, &ranges)
            .map_err(|text| Failure::Container(Reason::new("CannotCreateContainerError", text)))?;
        let mut request =
            task::request(&job.task, container, &job.facts, &self.surroundings, &host_ranges)
                .map_err(|text| Failure::Container(Reason::new("HostConfigError", text)))?;
        crate::secrets::resolve(&self.api, container, job.execution_role.as_ref(), &mut request)
            .await
            .map_err(Failure::Task)?;
        request.cgroup_parent = self.limits.parent(&job.task);
        self.make(&request).await.map_err(|error| {
            let text = error.to_string();
            // Settings that cannot be read bring the name of their error with them.
            for name in ["DockerClientConfigError", "HostConfigError"] {
                if let Some(rest) = text.strip_prefix(name) {
                    let rest = rest.trim_start_matches(": ");
                    return Failure::Container(Reason::new(name, rest));
                }
            }
            Failure::Container(named("CannotCreateContainerError", &error))
        })
    }

    /// Makes the container; when its image has been removed meanwhile, gets the image again once.
    async fn make(&self, request: &ContainerRequest) -> Result<(String, Turn), RuntimeError> {
        let first = self.make_once(request).await;
        let Err(RuntimeError::NotFound(_)) = first else { return first };
        self.images.forget(&request.image).await;
        if self.images.ensure(&request.image, None).await.is_err() {
            return first;
        }
        self.make_once(request).await
    }

    async fn make_once(&self, request: &ContainerRequest) -> Result<(String, Turn), RuntimeError> {
        let turn = self.turn().await;
        let made = Self::within(self.config.timeouts.create, self.runtime.create(request)).await;
        made.map(|id| (id, turn))
    }

    async fn volumes(&self, task: &Task, container: &Container) -> Result<(), Reason> {
        let limit = self.config.timeouts.inspect;
        for plan in task::volume_plan(task, container) {
            match plan {
                VolumePlan::Make(volume) => {
                    Self::within(limit, self.runtime.create_volume(&volume))
                        .await
                        .map_err(|error| named("CannotCreateVolumeError", &error))?;
                }
                VolumePlan::Expect(name) => {
                    let there = Self::within(limit, self.runtime.has_volume(&name))
                        .await
                        .map_err(|error| named("CannotCreateVolumeError", &error))?;
                    if !there {
                        let text = format!(
                            "the shared volume {name} does not exist and autoprovision is off: \
                             create it, or set autoprovision"
                        );
                        return Err(Reason::new("CannotCreateVolumeError", text));
                    }
                }
            }
        }
        Ok(())
    }
}
