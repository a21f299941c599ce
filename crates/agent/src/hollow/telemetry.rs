//! What hollow containers are said to use and how they are said to feel: a little, and well.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::time::Timestamp;
use longshore_wire::agent::{
    ContainerHealth, ContainerMetric, TaskHealth, TaskMetric, TcsToServer,
};

use super::instance::{Instance, Live};
use crate::clock;
use crate::runtime::{NetworkIo, Stats};
use crate::session::tcs::Telemetry;
use crate::telemetry::{Frames, measure};

/// How long ago the reading was that the newest is compared with.
const PERIOD: Duration = Duration::from_secs(20);

/// Publishes for one agent.
pub(super) struct Published {
    instance: Arc<Instance>,
    frames: Frames,
    since: Timestamp,
    told_status: bool,
}

impl Published {
    pub(super) fn new(instance: Arc<Instance>, cluster: &str) -> Self {
        let frames = Frames::new(cluster, &instance.arn);
        Self { instance, frames, since: clock::now(), told_status: false }
    }

    fn running(&self) -> impl Iterator<Item = (Live, Timestamp)> {
        let live = self.instance.live().into_iter();
        live.filter_map(|live| live.running_since.map(|since| (live, since)))
    }

    fn health(&self) -> Vec<TcsToServer> {
        let health: Vec<TaskHealth> =
            self.running().filter_map(|(live, since)| health(&live, since)).collect();
        self.frames.health(&health)
    }
}

impl Telemetry for Published {
    async fn collect(&mut self, check: bool) -> Vec<TcsToServer> {
        let now = clock::now();
        let metrics: Vec<TaskMetric> =
            self.running().map(|(live, since)| metric(&live, since, now)).collect();
        let mut frames = self.frames.metrics(&metrics);
        frames.extend(self.health());
        if check || !self.told_status {
            self.told_status = true;
            frames.push(self.frames.runtime_status("OK", self.since));
        }
        frames
    }

    async fn health_changed(&self) {
        self.instance.health_changed.notified().await;
    }

    async fn changed_health(&mut self) -> Vec<TcsToServer> {
        self.health()
    }
}

fn metric(live: &Live, since: Timestamp, now: Timestamp) -> TaskMetric {
    let task = &live.task;
    let period = i64::try_from(PERIOD.as_millis()).unwrap_or_default();
    let earlier = Timestamp::from_millis(now.as_millis() - period).max(since);
    let (before, after) = (used(since, earlier), used(since, now));
    let container_metrics = task.containers.iter().map(|container| ContainerMetric {
        container_name: container.name.clone(),
        container_arn: container.arn.clone(),
        ..measure(Some(&before), &after)
    });
    TaskMetric {
        task_arn: task.arn.to_string(),
        task_definition_family: task.family.clone(),
        task_definition_version: task.version.clone(),
        cluster_arn: task.cluster_arn.clone(),
        container_metrics: container_metrics.collect(),
    }
}

/// What a container has used by `at` that runs since `since`: one percent of a core, a little
/// traffic.
fn used(since: Timestamp, at: Timestamp) -> Stats {
    let ms = u64::try_from(at.saturating_since(since).as_millis()).unwrap_or(u64::MAX);
    Stats {
        at,
        cpu_ns: ms.saturating_mul(10_000),
        cpus: 1,
        memory_bytes: 16 << 20,
        network: Some(NetworkIo { rx_bytes: ms, tx_bytes: ms, ..NetworkIo::default() }),
        ..Stats::default()
    }
}

fn health(live: &Live, since: Timestamp) -> Option<TaskHealth> {
    let task = &live.task;
    let checked = task.containers.iter().filter(|container| container.has_health_check);
    let containers: Vec<ContainerHealth> = checked
        .map(|container| ContainerHealth {
            container_name: container.name.clone(),
            health_status: "HEALTHY".to_owned(),
            status_since: Some(since.as_epoch_seconds()),
        })
        .collect();
    (!containers.is_empty()).then(|| TaskHealth {
        task_arn: task.arn.to_string(),
        task_definition_family: task.family.clone(),
        task_definition_version: task.version.clone(),
        containers,
    })
}
