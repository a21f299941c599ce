//! Docker, through its Engine API.

mod convert;
mod create;

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{EventMessage, ExecConfig, VolumeCreateRequest};
use bollard::query_parameters as query;
use futures_util::future;
use futures_util::stream::{BoxStream, StreamExt};
use longshore_domain::time::Timestamp;
use tokio::time::timeout;

use super::types::{
    Cgroups, ContainerRequest, Description, ExecOutput, Image, Inspection, RegistryAuth,
    RuntimeError, RuntimeEvent, Stats, VolumeRequest, What,
};
use super::{Call, Runtime};

/// Longest that the client itself waits for an answer; every caller has its own, shorter limit.
const CLIENT_TIMEOUT_S: u64 = 3 * 3600;

/// Longest that a start waits for Docker to clean up after another container.
const CLEAN_UP: Duration = Duration::from_millis(300);

/// A Docker daemon.
#[derive(Clone, Debug)]
pub struct DockerRuntime {
    docker: Docker,
    /// The container that ended last, until a start has waited for it.
    ended: Arc<Mutex<Option<Ended>>>,
}

/// The end of a container.
#[derive(Debug)]
struct Ended {
    id: String,
    /// By Docker's clock.
    at: Timestamp,
    heard: Instant,
}

impl DockerRuntime {
    /// Connects to the daemon behind a socket (a path or `unix://…`), in the newest version of its
    /// API that both sides know.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn connect(address: &str) -> Result<Self, RuntimeError> {
        let docker =
            Docker::connect_with_unix(address, CLIENT_TIMEOUT_S, bollard::API_DEFAULT_VERSION);
        let docker = docker.map_err(|error| failure(&error))?;
        let docker = docker.negotiate_version().await.map_err(|error| failure(&error))?;
        Ok(Self { docker, ended: Arc::default() })
    }

    /// Waits until Docker has taken the network of the container apart that ended just now: taking
    /// one endpoint apart while another is made takes longer than the one after the other. Docker
    /// says when it has; and it answers a look at that container only after its whole clean-up,
    /// which is the end of the wait for a container that had no network.
    async fn cleaned_up(&self) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ended) = ended.filter(|ended| ended.heard.elapsed() < CLEAN_UP) else { return };
        tracing::trace!(container = ended.id, "waits for its end");
        let look = self.docker.inspect_container(&ended.id, None::<query::InspectContainerOptions>);
        let said = self.disconnected(&ended);
        // However it comes out, what waits for it goes on.
        drop(timeout(CLEAN_UP, future::select(pin!(look), pin!(said))).await);
    }

    /// Waits until the daemon says that a container which ended has left its network.
    async fn disconnected(&self, ended: &Ended) {
        let filters = [
            ("type".to_owned(), vec!["network".to_owned()]),
            ("event".to_owned(), vec!["disconnect".to_owned()]),
        ];
        let options = query::EventsOptions {
            since: Some(since(ended.at)),
            filters: Some(filters.into()),
            ..query::EventsOptions::default()
        };
        let its = |event: &EventMessage| {
            let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
            attributes.and_then(|all| all.get("container")).is_some_and(|id| *id == ended.id)
        };
        let mut events = self.docker.events(Some(options));
        while let Some(Ok(event)) = events.next().await {
            if its(&event) {
                return;
            }
        }
        // The stream broke: the look alone tells.
        future::pending::<()>().await;
    }

    /// The id of the container of that name, if the same task made it.
    async fn adopt(&self, request: &ContainerRequest) -> Result<String, RuntimeError> {
        let taken = || {
            let name = &request.name;
            RuntimeError::Refused(format!("the name {name} is taken by another container"))
        };
        let found = Runtime::inspect(self, &request.name).await?.ok_or_else(taken)?;
        let label = crate::labels::TASK_ARN;
        if found.labels.get(label) == request.labels.get(label) {
            Ok(found.id)
        } else {
            Err(taken())
        }
    }
}

/// A time as the daemon's events take it: seconds, with a fraction.
fn since(at: Timestamp) -> String {
    let millis = at.as_millis();
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Sorts Docker's errors by what a caller can do about them.
fn failure(error: &Error) -> RuntimeError {
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            let text = format!("Error response from daemon: {message}");
            match status_code {
                404 => RuntimeError::NotFound(text),
                _ => RuntimeError::Refused(text),
            }
        }
        Error::DockerStreamError { error } => RuntimeError::Refused(error.clone()),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                text.push_str(": ");
                text.push_str(&cause.to_string());
                source = cause.source();
            }
            RuntimeError::Unavailable(text)
        }
    }
}

/// Nothing instead of "not found".
fn optional<T>(result: Result<T, Error>) -> Result<Option<T>, RuntimeError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match failure(&error) {
            RuntimeError::NotFound(_) => Ok(None),
            other => Err(other),
        },
    }
}

/// Success, too, when there was nothing to do (304) or nothing to do it to (404).
fn done<T>(result: Result<T, Error>) -> Result<(), RuntimeError> {
    match result {
        Ok(_) | Err(Error::DockerResponseServerError { status_code: 304 | 404, .. }) => Ok(()),
        Err(error) => Err(failure(&error)),
    }
}

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

impl Runtime for DockerRuntime {
    fn describe(&self) -> Call<'_, Description> {
        Box::pin(async move {
            let info = self.docker.info().await.map_err(|error| failure(&error))?;
            let none: Option<query::InspectNetworkOptions> = None;
            let bridge = optional(self.docker.inspect_network("bridge", none).await)?;
            let gateway = bridge
                .and_then(|network| network.ipam?.config?.into_iter().find_map(|c| c.gateway));
            let plugins = info.plugins.unwrap_or_default();
            let systemd = info.cgroup_driver.is_some_and(|d| d.as_ref() == "systemd");
            let cgroups = info.cgroup_version.map(|version| match version.as_ref() {
                "2" if systemd => Cgroups::V2Systemd,
                "2" => Cgroups::V2,
                _ => Cgroups::V1,
            });
            Ok(Description {
                version: info.server_version.unwrap_or_default(),
                cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
                memory_mib: info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or(0) >> 20,
                log_drivers: plugins.log.unwrap_or_default(),
                volume_drivers: plugins.volume.unwrap_or_default(),
                cgroups: cgroups.filter(|kind| !(systemd && *kind == Cgroups::V1)),
                gateway,
            })
        })
    }

    fn pull<'a>(&'a self, image: &'a str, auth: Option<&'a RegistryAuth>) -> Call<'a, ()> {
        Box::pin(async move {
            let (name, tag) = create::split_reference(image);
            let options =
                query::CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
            let auth = auth.map(convert::credentials);
            let mut progress = self.docker.create_image(Some(options), None, auth);
            while let Some(step) = progress.next().await {
                step.map_err(|error| failure(&error))?;
            }
            Ok(())
        })
    }

    fn inspect_image<'a>(&'a self, image: &'a str) -> Call<'a, Option<Image>> {
        Box::pin(async move {
            Ok(optional(self.docker.inspect_image(image).await)?.map(convert::image))
        })
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let none: Option<query::RemoveImageOptions> = None;
            done(self.docker.remove_image(image, none, None).await)
        })
    }

    fn create<'a>(&'a self, request: &'a ContainerRequest) -> Call<'a, String> {
        Box::pin(async move {
            let body = create::body(request).map_err(RuntimeError::Refused)?;
            let options =
                query::CreateContainerOptionsBuilder::default().name(&request.name).build();
            match self.docker.create_container(Some(options), body).await {
                Ok(created) => Ok(created.id),
                Err(error) if status(&error) == Some(409) => self.adopt(request).await,
                Err(error) => Err(failure(&error)),
            }
        })
    }

    fn start<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.cleaned_up().await;
            let none: Option<query::StartContainerOptions> = None;
            match self.docker.start_container(id, none).await {
                Err(error) if status(&error) != Some(304) => Err(failure(&error)),
                _ => Ok(()),
            }
        })
    }

    fn stop<'a>(&'a self, id: &'a str, timeout: Duration) -> Call<'a, ()> {
        Box::pin(async move {
            let seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
            let options = query::StopContainerOptionsBuilder::default().t(seconds).build();
            done(self.docker.stop_container(id, Some(options)).await)
        })
    }

    fn kill<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let none: Option<query::KillContainerOptions> = None;
            match self.docker.kill_container(id, none).await {
                // 409: it does not run.
                Err(error) if status(&error) == Some(409) => Ok(()),
                other => done(other),
            }
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let options =
                query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            match self.docker.remove_container(id, Some(options)).await {
                // 409: it is being removed already.
                Err(error) if status(&error) == Some(409) => Ok(()),
                other => done(other),
            }
        })
    }

    fn inspect<'a>(&'a self, id: &'a str) -> Call<'a, Option<Inspection>> {
        Box::pin(async move {
            let none: Option<query::InspectContainerOptions> = None;
            Ok(optional(self.docker.inspect_container(id, none).await)?.map(convert::inspection))
        })
    }

    fn list<'a>(&'a self, label: &'a str, value: &'a str) -> Call<'a, Vec<Inspection>> {
        Box::pin(async move {
            let options = query::ListContainersOptions {
                all: true,
                filters: Some([("label".to_owned(), vec![format!("{label}={value}")])].into()),
                ..query::ListContainersOptions::default()
            };
            let list = self.docker.list_containers(Some(options)).await;
            let mut found = Vec::new();
            for summary in list.map_err(|error| failure(&error))? {
                let Some(id) = summary.id else { continue };
                found.extend(Runtime::inspect(self, &id).await?);
            }
            Ok(found)
        })
    }

    fn events<'a>(
        &'a self,
        label: &'a str,
        value: &'a str,
    ) -> Call<'a, BoxStream<'static, Result<RuntimeEvent, RuntimeError>>> {
        Box::pin(async move {
            let actions = ["start", "die", "oom", "kill", "health_status", "destroy"];
            let filters = [
                ("type".to_owned(), vec!["container".to_owned()]),
                ("event".to_owned(), actions.map(str::to_owned).to_vec()),
                ("label".to_owned(), vec![format!("{label}={value}")]),
            ];
            // The client asks only when the stream is read; the daemon gives what came between.
            let options = query::EventsOptions {
                since: Some(since(crate::clock::now())),
                filters: Some(filters.into()),
                ..query::EventsOptions::default()
            };
            let (events, ended) = (self.docker.events(Some(options)), Arc::clone(&self.ended));
            let events = events.filter_map(move |event| {
                let event = match event {
                    Ok(message) => convert::event(message).map(Ok),
                    Err(error) => Some(Err(failure(&error))),
                };
                if let Some(Ok(RuntimeEvent { id, what: What::Exited { .. }, at })) = &event {
                    let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                    *ended = Some(Ended { id: id.clone(), at: *at, heard: Instant::now() });
                }
                std::future::ready(event)
            });
            Ok(events.boxed())
        })
    }

    fn stats<'a>(&'a self, id: &'a str) -> Call<'a, Option<Stats>> {
        Box::pin(async move {
            let options =
                query::StatsOptionsBuilder::default().stream(false).one_shot(true).build();
            let first = self.docker.stats(id, Some(options)).boxed().next().await;
            match first {
                Some(result) => Ok(optional(result)?.and_then(|stats| convert::stats(&stats))),
                None => Ok(None),
            }
        })
    }

    fn logs<'a>(&'a self, id: &'a str, lines: u32) -> Call<'a, Vec<u8>> {
        Box::pin(async move {
            let options = query::LogsOptionsBuilder::default()
                .stdout(true)
                .stderr(true)
                .tail(&lines.to_string())
                .build();
            let mut output = Vec::new();
            let mut stream = self.docker.logs(id, Some(options)).boxed();
            while let Some(piece) = stream.next().await {
                output.extend_from_slice(&piece.map_err(|error| failure(&error))?.into_bytes());
            }
            Ok(output)
        })
    }

    fn exec<'a>(&'a self, id: &'a str, command: &'a [String]) -> Call<'a, ExecOutput> {
        Box::pin(async move {
            let config = ExecConfig {
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                cmd: Some(command.to_vec()),
                ..ExecConfig::default()
            };
            let exec = self.docker.create_exec(id, config).await.map_err(|e| failure(&e))?;
            let none: Option<StartExecOptions> = None;
            let started = self.docker.start_exec(&exec.id, none).await.map_err(|e| failure(&e))?;
            let mut output = Vec::new();
            if let StartExecResults::Attached { output: mut stream, .. } = started {
                while let Some(piece) = stream.next().await {
                    output.extend_from_slice(&piece.map_err(|e| failure(&e))?.into_bytes());
                }
            }
            let ended = self.docker.inspect_exec(&exec.id).await.map_err(|e| failure(&e))?;
            Ok(ExecOutput { exit_code: ended.exit_code, output })
        })
    }

    fn create_volume<'a>(&'a self, request: &'a VolumeRequest) -> Call<'a, ()> {
        Box::pin(async move {
            let options = |map: &std::collections::BTreeMap<String, String>| {
                Some(map.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
            };
            let body = VolumeCreateRequest {
                name: Some(request.name.clone()),
                driver: request.driver.clone(),
                driver_opts: options(&request.driver_opts),
                labels: options(&request.labels),
                ..VolumeCreateRequest::default()
            };
            self.docker.create_volume(body).await.map(|_| ()).map_err(|error| failure(&error))
        })
    }

    fn has_volume<'a>(&'a self, name: &'a str) -> Call<'a, bool> {
        Box::pin(async move { Ok(optional(self.docker.inspect_volume(name).await)?.is_some()) })
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let none: Option<query::RemoveVolumeOptions> = None;
            done(self.docker.remove_volume(name, none).await)
        })
    }
}
