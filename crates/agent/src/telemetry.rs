//! Metrics and health of an agent's tasks, as the control plane wants them.
//!
//! Containers are asked one by one, once per period; what they used is the difference to the time
//! before. Nothing is kept open between two periods. Health is what the engine knows: all of it once
//! per period, and between two periods that of the tasks where it has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_domain::record::HealthStatus;
use longshore_domain::task::Status;
use longshore_domain::time::Timestamp;
use longshore_wire::agent::{
    ContainerHealth, ContainerMetric, HealthMetadata, InstanceStatus, LongStatsSet,
    MetricsMetadata, NetworkStatsSet, PublishHealthRequest, PublishInstanceStatusRequest,
    PublishMetricsRequest, RestartStatsSet, StatsSet, StatusMetadata, StorageStatsSet, TaskHealth,
    TaskMetric, TcsToServer,
};
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Event, Query};
use crate::hands::Hands;
use crate::record::TaskRecord;
use crate::runtime::Stats;
use crate::session::tcs::Telemetry;
use crate::{clock, limits, random};

const MIB: f64 = 1_048_576.0;

/// Gathers what is published.
pub(crate) struct Collector {
    hands: Arc<Hands>,
    events: mpsc::Sender<Event>,
    frames: Frames,
    /// What each container had used, and how often it had been restarted, the time before.
    before: BTreeMap<String, (Stats, u32)>,
    runtime_status: Option<(&'static str, Timestamp)>,
    /// The health of each task as it was published last.
    published: BTreeMap<String, TaskHealth>,
}

impl Collector {
    pub(crate) fn new(
        hands: Arc<Hands>,
        events: mpsc::Sender<Event>,
        cluster: &str,
        container_instance: &str,
    ) -> Self {
        Self {
            hands,
            events,
            frames: Frames::new(cluster, container_instance),
            before: BTreeMap::new(),
            runtime_status: None,
            published: BTreeMap::new(),
        }
    }

    /// The tasks that have not stopped; `None` without an engine.
    async fn tasks(&self) -> Option<Vec<TaskRecord>> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Query(Query::Tasks(reply))).await.ok()?;
        let mut tasks = answer.await.ok()?;
        tasks.retain(|task| !task.state.is_stopped());
        Some(tasks)
    }

    async fn metrics(&mut self, tasks: &[TaskRecord]) -> Vec<TcsToServer> {
        let mut metrics = Vec::new();
        let mut now = BTreeMap::new();
        for task in tasks {
            let mut containers = Vec::new();
            for (index, facts) in task.containers.iter().enumerate() {
                let state = &task.state.containers[index];
                let Some(id) =
                    facts.runtime_id.as_ref().filter(|_| state.status == Status::Running)
                else {
                    continue;
                };
                let limit = self.hands.config.timeouts.inspect;
                let used = Hands::within(limit, self.hands.runtime.stats(id)).await;
                let Ok(Some(used)) = used else { continue };
                let before = self.before.get(id).map(|(used, restarts)| (used, *restarts));
                let container = &task.task.containers[index];
                let policy = container.restart_policy.as_ref().is_some_and(|policy| policy.enabled);
                containers.push(ContainerMetric {
                    container_name: container.name.clone(),
                    container_arn: container.container_arn.clone(),
                    restart_stats_set: policy.then(|| RestartStatsSet {
                        restart_count: i64::from(state.restarts - before.map_or(0, |(_, n)| n)),
                    }),
                    ..measure(before.map(|(used, _)| used), &used)
                });
                now.insert(id.clone(), (used, state.restarts));
            }
            if !containers.is_empty() {
                metrics.push(TaskMetric {
                    task_arn: task.task.arn.clone(),
                    task_definition_family: task.task.family.clone(),
                    task_definition_version: task.task.version.clone(),
                    cluster_arn: task.task.task_cluster_arn.clone(),
                    container_metrics: containers,
                });
            }
        }
        self.before = now;
        self.frames.metrics(&metrics)
    }

    async fn instance_status(&mut self) -> TcsToServer {
        let limit = self.hands.config.timeouts.inspect;
        let answers = Hands::within(limit, self.hands.runtime.describe()).await.is_ok();
        let status = if answers { "OK" } else { "IMPAIRED" };
        let now = clock::now();
        let since = match self.runtime_status {
            Some((before, since)) if before == status => since,
            _ => now,
        };
        self.runtime_status = Some((status, since));
        self.frames.runtime_status(status, since)
    }
}

impl Telemetry for Collector {
    async fn collect(&mut self, check: bool) -> Vec<TcsToServer> {
        let Some(tasks) = self.tasks().await else { return Vec::new() };
        let mut frames = self.metrics(&tasks).await;
        let health: Vec<TaskHealth> = tasks.iter().filter_map(task_health).collect();
        frames.extend(self.frames.health(&health));
        self.published = by_arn(health);
        if check || self.runtime_status.is_none() {
            frames.push(self.instance_status().await);
        }
        frames
    }

    async fn health_changed(&self) {
        self.hands.health_changed.notified().await;
    }

    async fn changed_health(&mut self) -> Vec<TcsToServer> {
        let Some(tasks) = self.tasks().await else { return Vec::new() };
        let health = by_arn(tasks.iter().filter_map(task_health).collect());
        let changed =
            health.iter().filter(|(arn, health)| self.published.get(*arn) != Some(health));
        let changed: Vec<TaskHealth> = changed.map(|(_, health)| health.clone()).collect();
        self.published = health;
        self.frames.health(&changed)
    }
}

/// Makes the frames of one instance.
pub(crate) struct Frames {
    cluster: String,
    container_instance: String,
}

impl Frames {
    pub(crate) fn new(cluster: &str, container_instance: &str) -> Self {
        Self { cluster: cluster.to_owned(), container_instance: container_instance.to_owned() }
    }

    /// What containers use; an instance without tasks says that it is idle.
    pub(crate) fn metrics(&self, metrics: &[TaskMetric]) -> Vec<TcsToServer> {
        let message_id = random::uuid();
        let frame = |tasks: &[TaskMetric], fin| {
            TcsToServer::PublishMetrics(PublishMetricsRequest {
                metadata: MetricsMetadata {
                    cluster: self.cluster.clone(),
                    container_instance: self.container_instance.clone(),
                    message_id: message_id.clone(),
                    idle: tasks.is_empty(),
                    fin,
                },
                instance_metrics: None,
                task_metrics: tasks.to_vec(),
                timestamp: clock::now().as_epoch_seconds(),
            })
        };
        if metrics.is_empty() {
            return vec![frame(&[], true)];
        }
        let count = metrics.len().div_ceil(limits::TASKS_PER_FRAME);
        let chunks = metrics.chunks(limits::TASKS_PER_FRAME).enumerate();
        chunks.map(|(index, tasks)| frame(tasks, index + 1 == count)).collect()
    }

    /// How containers with a health check feel.
    pub(crate) fn health(&self, health: &[TaskHealth]) -> Vec<TcsToServer> {
        let message_id = random::uuid();
        let count = health.len().div_ceil(limits::TASKS_PER_FRAME);
        let chunks = health.chunks(limits::TASKS_PER_FRAME).enumerate();
        let frame = |(index, tasks): (usize, &[TaskHealth])| {
            TcsToServer::PublishHealth(PublishHealthRequest {
                metadata: HealthMetadata {
                    cluster: self.cluster.clone(),
                    container_instance: self.container_instance.clone(),
                    message_id: message_id.clone(),
                    fin: index + 1 == count,
                },
                tasks: tasks.to_vec(),
                timestamp: clock::now().as_epoch_seconds(),
            })
        };
        chunks.map(frame).collect()
    }

    /// Whether the container runtime answers, and since when it has been so.
    pub(crate) fn runtime_status(&self, status: &str, since: Timestamp) -> TcsToServer {
        let now = clock::now().as_epoch_seconds();
        TcsToServer::PublishInstanceStatus(PublishInstanceStatusRequest {
            metadata: StatusMetadata {
                cluster: self.cluster.clone(),
                container_instance: self.container_instance.clone(),
                request_id: random::uuid(),
            },
            statuses: vec![InstanceStatus {
                kind: "ContainerRuntime".to_owned(),
                status: status.to_owned(),
                last_updated: now,
                last_status_change: since.as_epoch_seconds(),
            }],
            timestamp: now,
        })
    }
}

fn by_arn(health: Vec<TaskHealth>) -> BTreeMap<String, TaskHealth> {
    health.into_iter().map(|health| (health.task_arn.clone(), health)).collect()
}

fn task_health(task: &TaskRecord) -> Option<TaskHealth> {
    let checked = task.task.containers.iter().zip(&task.state.containers);
    let checked = checked.filter(|(container, _)| container.health_check_type.is_some());
    let containers: Vec<ContainerHealth> = checked
        .map(|(container, state)| ContainerHealth {
            container_name: container.name.clone(),
            health_status: state.health.as_str().to_owned(),
            status_since: state
                .health_since
                .filter(|_| state.health != HealthStatus::Unknown)
                .or(state.started_at)
                .map(Timestamp::as_epoch_seconds),
        })
        .collect();
    (!containers.is_empty()).then(|| TaskHealth {
        task_arn: task.task.arn.clone(),
        task_definition_family: task.task.family.clone(),
        task_definition_version: task.task.version.clone(),
        containers,
    })
}

/// What a container used between two readings; gauges only, when there is one.
pub(crate) fn measure(before: Option<&Stats>, now: &Stats) -> ContainerMetric {
    let mut metric = ContainerMetric {
        memory_stats_set: Some(gauge(as_float(now.memory_bytes) / MIB)),
        ..ContainerMetric::default()
    };
    let Some(before) = before.filter(|before| before.at < now.at) else { return metric };
    let wall = now.at.saturating_since(before.at);
    let cpu_ns = now.cpu_ns.saturating_sub(before.cpu_ns);
    let wall_ns = wall.as_secs_f64() * 1e9 * f64::from(now.cpus);
    metric.cpu_stats_set = Some(gauge(as_float(cpu_ns) / wall_ns * 100.0));
    metric.storage_stats_set = Some(StorageStatsSet {
        read_size_bytes: Some(counter(before.block.read_bytes, now.block.read_bytes)),
        write_size_bytes: Some(counter(before.block.write_bytes, now.block.write_bytes)),
    });
    if let (Some(old), Some(new)) = (&before.network, &now.network) {
        let rate = |old: u64, new: u64| {
            Some(gauge(as_float(new.saturating_sub(old)) / wall.as_secs_f64()))
        };
        metric.network_stats_set = Some(NetworkStatsSet {
            rx_bytes: Some(counter(old.rx_bytes, new.rx_bytes)),
            rx_dropped: Some(counter(old.rx_dropped, new.rx_dropped)),
            rx_errors: Some(counter(old.rx_errors, new.rx_errors)),
            rx_packets: Some(counter(old.rx_packets, new.rx_packets)),
            tx_bytes: Some(counter(old.tx_bytes, new.tx_bytes)),
            tx_dropped: Some(counter(old.tx_dropped, new.tx_dropped)),
            tx_errors: Some(counter(old.tx_errors, new.tx_errors)),
            tx_packets: Some(counter(old.tx_packets, new.tx_packets)),
            rx_bytes_per_second: rate(old.rx_bytes, new.rx_bytes),
            tx_bytes_per_second: rate(old.tx_bytes, new.tx_bytes),
        });
    }
    metric
}

fn gauge(value: f64) -> StatsSet {
    StatsSet { min: value, max: value, sample_count: 1, sum: value }
}

/// The growth of a counter as one sample; what does not fit goes into the overflow members.
fn counter(before: u64, now: u64) -> LongStatsSet {
    let grown = now.saturating_sub(before);
    let most = i64::MAX.unsigned_abs();
    let value = i64::try_from(grown.min(most)).unwrap_or(i64::MAX);
    let over = (grown > most).then(|| i64::try_from(grown - most).unwrap_or(i64::MAX));
    LongStatsSet {
        min: value,
        overflow_min: over,
        max: value,
        overflow_max: over,
        sample_count: 1,
        sum: value,
        overflow_sum: over,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a measurement, not an account")]
fn as_float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::NetworkIo;

    #[test]
    fn use_is_the_difference_to_the_time_before() {
        let at = |seconds: i64, cpu_ns, rx_bytes| Stats {
            at: Timestamp::from_millis(seconds * 1000),
            cpu_ns,
            cpus: 2,
            memory_bytes: 3 << 20,
            network: Some(NetworkIo { rx_bytes, ..NetworkIo::default() }),
            ..Stats::default()
        };
        let first = at(0, 0, 100);
        let metric = measure(None, &first);
        assert_eq!(metric.memory_stats_set, Some(gauge(3.0)));
        assert_eq!(metric.cpu_stats_set, None, "a first reading is no difference");
        // Ten seconds of one core of two, over twenty seconds.
        let metric = measure(Some(&first), &at(20, 10_000_000_000, 2_100));
        assert_eq!(metric.cpu_stats_set, Some(gauge(25.0)));
        let network = metric.network_stats_set.expect("network");
        assert_eq!(network.rx_bytes.map(|set| set.sum), Some(2_000));
        assert_eq!(network.rx_bytes_per_second, Some(gauge(100.0)));
    }

    #[test]
    fn a_counter_that_is_too_large_overflows_beside() {
        let set = counter(0, i64::MAX.unsigned_abs() + 5);
        assert_eq!((set.sum, set.overflow_sum), (i64::MAX, Some(5)));
    }
}
