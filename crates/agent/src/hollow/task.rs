//! The life of a hollow task, and what is reported of it: its images are there, it starts after a
//! while, runs, and ends when it is told to, or by itself.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::time::Timestamp;
use longshore_wire::Timestamp as WireTimestamp;
use longshore_wire::agent::{self, TransportProtocol};
use longshore_wire::ecs;
use longshore_wire::ecs::enums;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::count;
use super::instance::Instance;
use crate::engine::{shortened, submit};
use crate::{clock, random};

/// First of the ports that are made up, as Docker would choose them.
const FIRST_PORT: u16 = 32_768;

/// A task as its agent knows it.
pub(super) struct Task {
    pub(super) arn: Arc<str>,
    pub(super) cluster_arn: Option<String>,
    pub(super) family: String,
    pub(super) version: String,
    pub(super) containers: Vec<Container>,
    /// Told when it is to stop.
    pub(super) stop: Notify,
}

/// A container of it.
pub(super) struct Container {
    pub(super) name: String,
    pub(super) arn: Option<String>,
    pub(super) has_health_check: bool,
    runtime_id: String,
    image_digest: String,
    bindings: Vec<ecs::NetworkBinding>,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The images are there.
    Pulled,
    /// All containers run.
    Running,
    /// All containers have exited with a code.
    Exited(i32),
    /// No container was ever started.
    NeverStarted,
    /// They could not be started.
    Failed,
}

impl Task {
    pub(super) fn new(order: agent::Task) -> Self {
        Self {
            arn: order.arn.into(),
            cluster_arn: order.task_cluster_arn,
            family: order.family,
            version: order.version,
            containers: order.containers.into_iter().map(Container::new).collect(),
            stop: Notify::new(),
        }
    }

    pub(super) fn has_health_check(&self) -> bool {
        self.containers.iter().any(|container| container.has_health_check)
    }

    fn report(&self, cluster: &str, phase: Phase, pulled_at: Timestamp) -> Report {
        let stopped = !matches!(phase, Phase::Pulled | Phase::Running);
        let (status, reason) = match phase {
            Phase::Pulled => ("PENDING", None),
            Phase::Running => ("RUNNING", None),
            Phase::Exited(_) | Phase::NeverStarted => ("STOPPED", None),
            Phase::Failed => ("STOPPED", Some("CannotStartContainerError: it is hollow")),
        };
        let at = |at: Timestamp| Some(WireTimestamp(at.as_epoch_seconds()));
        ecs::SubmitTaskStateChangeRequest {
            cluster: Some(cluster.to_owned()),
            task: Some(self.arn.to_string()),
            status: Some(status.to_owned()),
            reason: reason.map(str::to_owned),
            containers: Some(self.containers.iter().map(|c| c.change(phase)).collect()),
            pull_started_at: at(pulled_at),
            pull_stopped_at: at(pulled_at),
            execution_stopped_at: at(clock::now()).filter(|_| stopped),
            ..Default::default()
        }
    }
}

type Report = ecs::SubmitTaskStateChangeRequest;

impl Container {
    fn new(order: agent::Container) -> Self {
        let digest = Sha256::digest(order.image.as_bytes());
        let ports = (FIRST_PORT..).zip(&order.port_mappings);
        Self {
            name: order.name,
            arn: order.container_arn,
            has_health_check: order.health_check_type.is_some(),
            runtime_id: format!("{:032x}{:032x}", random::bits(), random::bits()),
            image_digest: format!("sha256:{}", hex::encode(digest)),
            bindings: ports.map(|(free, mapping)| binding(free, mapping)).collect(),
        }
    }

    fn change(&self, phase: Phase) -> ecs::ContainerStateChange {
        let started = matches!(phase, Phase::Running | Phase::Exited(_));
        ecs::ContainerStateChange {
            container_name: Some(self.name.clone()),
            status: Some(
                match phase {
                    Phase::Pulled => "PENDING",
                    Phase::Running => "RUNNING",
                    Phase::Exited(_) | Phase::NeverStarted | Phase::Failed => "STOPPED",
                }
                .to_owned(),
            ),
            exit_code: match phase {
                Phase::Exited(code) => Some(code),
                _ => None,
            },
            reason: None,
            runtime_id: started.then(|| self.runtime_id.clone()),
            image_digest: Some(self.image_digest.clone()),
            network_bindings: Some(self.bindings.clone())
                .filter(|bindings| started && !bindings.is_empty()),
        }
    }
}

fn binding(free: u16, mapping: &agent::PortMapping) -> ecs::NetworkBinding {
    let host_port = if mapping.host_port == 0 { free } else { mapping.host_port };
    ecs::NetworkBinding {
        bind_ip: Some("0.0.0.0".to_owned()),
        container_port: Some(i32::from(mapping.container_port)),
        host_port: Some(i32::from(host_port)),
        protocol: Some(match mapping.protocol {
            TransportProtocol::Udp => enums::TransportProtocol::Udp,
            _ => enums::TransportProtocol::Tcp,
        }),
        ..Default::default()
    }
}

/// The life of a task from its acceptance to the acknowledgement of its end.
pub(super) async fn live(instance: Arc<Instance>, task: Arc<Task>) {
    let delay = instance.fleet.options.start_delay;
    let pulled_at = clock::now();
    let tell = |phase| tell(&instance, task.report(instance.cluster(), phase, pulled_at));
    // Its containers start whether or not the report has arrived; the next one waits for that.
    let starting = async {
        tokio::select! {
            biased;
            () = task.stop.notified() => true,
            () = sleep(delay) => false,
        }
    };
    let ((), stopped) = tokio::join!(tell(Phase::Pulled), starting);
    if stopped {
        instance.ended(&task, false);
        return tell(Phase::NeverStarted).await;
    }
    if chance(instance.fleet.options.failure_rate) {
        count(&instance.fleet.counts.failed);
        instance.ended(&task, false);
        return tell(Phase::Failed).await;
    }
    instance.runs(&task);
    tell(Phase::Running).await;
    let code = tokio::select! {
        biased;
        () = task.stop.notified() => {
            sleep(delay).await;
            0
        }
        () = exit(instance.fleet.options.exit_rate) => {
            count(&instance.fleet.counts.exited);
            1
        }
    };
    instance.ended(&task, true);
    tell(Phase::Exited(code)).await;
}

/// Reports a task that this agent does not care for.
pub(super) async fn refuse(instance: Arc<Instance>, arn: String, reason: String) {
    let report = ecs::SubmitTaskStateChangeRequest {
        cluster: Some(instance.cluster().to_owned()),
        task: Some(arn),
        status: Some("STOPPED".to_owned()),
        reason: Some(shortened(&reason)),
        containers: Some(Vec::new()),
        ..Default::default()
    };
    tell(&instance, report).await;
}

/// Reports until it is acknowledged.
async fn tell(instance: &Instance, report: Report) {
    // Boxed, so that a task that only waits takes little memory.
    Box::pin(submit(&instance.api, &instance.reports, &report)).await;
    count(&instance.fleet.counts.reports);
}

/// Ready when a container exits of which this share would within a minute.
async fn exit(rate: f64) {
    if rate <= 0.0 {
        return std::future::pending().await;
    }
    // Lives without memory: their lengths are spread exponentially.
    let minutes = share().max(f64::MIN_POSITIVE).ln() / (1.0 - rate.min(0.999_999)).ln();
    sleep(Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX)).await;
}

fn chance(rate: f64) -> bool {
    rate > 0.0 && share() < rate
}

/// A number from 0 up to 1.
fn share() -> f64 {
    let bits = u32::try_from(random::bits() & 0xffff_ffff).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}
