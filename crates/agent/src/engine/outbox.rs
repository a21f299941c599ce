//! What the control plane is told: every phase of a task once and in order, with the changes of
//! its containers since the last time.

use std::collections::VecDeque;
use std::sync::Arc;

use longshore_domain::task::{ContainerIndex, Phase, Status};
use longshore_domain::time::Timestamp;
use longshore_wire::ecs::{self, op};
use longshore_wire::{Timestamp as WireTimestamp, ecs::enums::TransportProtocol};
use tokio::sync::Semaphore;

use super::{Engine, Event, TaskKey};
use crate::api::Api;
use crate::backoff::Backoff;
use crate::record::{Binding, Sent, TaskRecord};
use crate::task::port_ranges;
use crate::{clock, limits};

/// A report that waits to be sent, and what it says.
#[derive(Clone, Debug)]
struct Change {
    request: ecs::SubmitTaskStateChangeRequest,
    phase: Option<Phase>,
    containers: Vec<Status>,
}

/// The reports of one task. One is under way at a time, which keeps their order.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<Change>,
    in_flight: bool,
    /// How far each container has come by the reports in the queue and those before.
    told: Vec<Status>,
}

impl Outbox {
    pub(super) fn new(sent: &Sent) -> Self {
        Self { queue: VecDeque::new(), in_flight: false, told: sent.containers.clone() }
    }

    /// Queues a report. A queue that is full loses its oldest report of containers alone: what
    /// they have become is in a later one.
    fn push(&mut self, change: Change) {
        if self.queue.len() >= limits::CHANGES_PER_TASK {
            let first = usize::from(self.in_flight);
            let alone = self.queue.iter().skip(first).position(|change| change.phase.is_none());
            if let Some(at) = alone {
                self.queue.remove(at + first);
            }
        }
        self.told.clone_from(&change.containers);
        self.queue.push_back(change);
    }
}

impl Engine {
    /// The task has come to a phase.
    pub(super) fn announce(&mut self, key: &TaskKey, phase: Phase) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        tracing::info!(task = %key, ?phase, "task");
        if phase == Phase::Stopped {
            entry.record.stopped_at = Some(clock::now());
            entry.role = None;
            entry.execution_role = None;
        }
        let digests = entry.record.containers.iter().any(|facts| facts.image_digest.is_some());
        if phase == Phase::Pending && !digests {
            return;
        }
        let change =
            change(&self.hands.config.cluster, &entry.record, &entry.outbox.told, Some(phase));
        entry.flush_at = None;
        entry.outbox.push(change);
    }

    /// A container has started or stopped; told with the task's next phase, or soon.
    pub(super) fn changed(&mut self, key: &TaskKey, index: ContainerIndex) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        let container = &entry.record.state.containers[index];
        let reason = container.reason.as_ref().map(ToString::to_string);
        tracing::info!(
            task = %key,
            container = entry.record.task.containers[index].name,
            status = ?container.status,
            exit_code = container.exit_code,
            reason,
            "container"
        );
        let at = clock::now() + self.hands.config.timeouts.container_changes;
        entry.flush_at.get_or_insert(at);
    }

    /// Reports the changes of single containers that no phase has carried.
    pub(super) fn flush(&mut self, key: &TaskKey) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        entry.flush_at = None;
        if entry.record.state.announced == Some(Phase::Stopped) {
            return;
        }
        let change = change(&self.hands.config.cluster, &entry.record, &entry.outbox.told, None);
        if change.request.containers.as_ref().is_some_and(|list| !list.is_empty()) {
            entry.outbox.push(change);
        }
        self.dispatch(key);
    }

    /// Sends the oldest report, unless one is under way.
    pub(super) fn dispatch(&mut self, key: &TaskKey) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        if entry.outbox.in_flight {
            return;
        }
        // Images were known a moment ago; when what follows is waiting already, that tells it too.
        if entry.outbox.queue.len() > 1
            && entry.outbox.queue.front().is_some_and(|c| c.phase == Some(Phase::Pending))
        {
            entry.outbox.queue.pop_front();
        }
        let Some(change) = entry.outbox.queue.front().cloned() else { return };
        entry.outbox.in_flight = true;
        let hands = Arc::clone(&self.hands);
        let key = Arc::clone(key);
        self.hands.spawn(async move {
            submit(&hands.api, &hands.reports, &change.request).await;
            // Without an engine there is nobody to tell.
            drop(hands.events.send(Event::Reported(key)).await);
        });
    }

    /// The oldest report of a task is done with.
    pub(super) fn reported(&mut self, key: &TaskKey) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        entry.outbox.in_flight = false;
        if let Some(change) = entry.outbox.queue.pop_front() {
            entry.record.sent.containers = change.containers;
            entry.record.sent.phase = entry.record.sent.phase.max(change.phase);
        }
        self.dirty.insert(Arc::clone(key));
        self.dispatch(key);
    }

    /// Queues what a restarted agent finds announced and not acknowledged.
    pub(super) fn repeat_unsent(&mut self, key: &TaskKey) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        let (announced, sent) = (entry.record.state.announced, entry.record.sent.phase);
        if announced > sent {
            let phase = announced.filter(|phase| *phase > Phase::Pending);
            if phase.is_some() {
                let cluster = &self.hands.config.cluster;
                let change = change(cluster, &entry.record, &entry.outbox.told, phase);
                entry.outbox.push(change);
                self.dispatch(key);
            }
        } else {
            self.flush(key);
        }
    }

    /// Queues the end of a task once more, with all that there is to tell of its containers.
    pub(super) fn repeat_end(&mut self, key: &TaskKey) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        if entry.outbox.queue.is_empty() {
            let cluster = &self.hands.config.cluster;
            let untold = vec![Status::None; entry.outbox.told.len()];
            entry.outbox.push(change(cluster, &entry.record, &untold, Some(Phase::Stopped)));
            self.dispatch(key);
        }
    }

    /// Reports a task that this agent does not care for.
    pub(super) fn report_stray(&self, request: ecs::SubmitTaskStateChangeRequest) {
        let hands = Arc::clone(&self.hands);
        self.hands.spawn(async move {
            submit(&hands.api, &hands.reports, &request).await;
        });
    }
}

/// Sends a report until it is acknowledged, or refused for good.
pub(crate) async fn submit(
    api: &Api,
    slots: &Semaphore,
    request: &ecs::SubmitTaskStateChangeRequest,
) {
    let mut backoff = Backoff::report();
    loop {
        let result = {
            let _slot = slots.acquire().await;
            api.call::<op::SubmitTaskStateChange>(request).await
        };
        match result {
            Ok(_) => return,
            Err(error) if error.is("InvalidParameterException") => {
                tracing::error!(task = request.task, %error, "a report was refused and is dropped");
                return;
            }
            Err(error) => {
                let wait = backoff.wait();
                tracing::warn!(task = request.task, %error, ?wait, "cannot report yet");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// A report of the task as it stands; `told` is how far each container has come before.
fn change(cluster: &str, record: &TaskRecord, told: &[Status], phase: Option<Phase>) -> Change {
    let state = &record.state;
    let status = match phase.or(state.announced) {
        Some(Phase::Stopped) => "STOPPED",
        Some(Phase::Running) => "RUNNING",
        Some(Phase::Pending) | None => "PENDING",
    };
    let mut containers = Vec::new();
    let mut now = told.to_vec();
    for (index, container) in state.containers.iter().enumerate() {
        let news = container.status >= Status::Running && container.status > told[index];
        let digest = phase == Some(Phase::Pending)
            && container.status < Status::Running
            && record.containers[index].image_digest.is_some();
        if news {
            now[index] = container.status;
        }
        if news || digest {
            containers.push(container_change(record, index));
        }
    }
    let time = |at: Option<Timestamp>| at.map(|at| WireTimestamp(at.as_epoch_seconds()));
    let stopped = phase == Some(Phase::Stopped);
    let reason = state.reason.as_ref().filter(|_| stopped);
    let request = ecs::SubmitTaskStateChangeRequest {
        cluster: Some(cluster.to_owned()),
        task: Some(record.task.arn.clone()),
        status: Some(status.to_owned()),
        reason: reason.map(|reason| shortened(&reason.to_string())),
        containers: Some(containers),
        pull_started_at: time(state.pull_started_at),
        pull_stopped_at: time(state.pull_stopped_at),
        execution_stopped_at: time(state.execution_stopped_at.filter(|_| stopped)),
        ..Default::default()
    };
    Change { request, phase, containers: now }
}

fn container_change(record: &TaskRecord, index: ContainerIndex) -> ecs::ContainerStateChange {
    let (state, facts) = (&record.state.containers[index], &record.containers[index]);
    let status = match state.status {
        Status::Stopped => "STOPPED",
        Status::Running => "RUNNING",
        Status::None | Status::Pulled | Status::Created => "PENDING",
    };
    let bindings = bindings(record, index, &facts.bound);
    ecs::ContainerStateChange {
        container_name: Some(record.task.containers[index].name.clone()),
        status: Some(status.to_owned()),
        exit_code: state.exit_code,
        reason: state.reason.as_ref().map(|reason| shortened(&reason.to_string())),
        runtime_id: facts.runtime_id.clone(),
        image_digest: facts.image_digest.clone(),
        network_bindings: (!bindings.is_empty()).then_some(bindings),
    }
}

/// Published ports; those of a range as one.
fn bindings(
    record: &TaskRecord,
    index: ContainerIndex,
    bound: &[Binding],
) -> Vec<ecs::NetworkBinding> {
    let protocol =
        |tcp: bool| Some(if tcp { TransportProtocol::Tcp } else { TransportProtocol::Udp });
    let ranges = port_ranges(&record.task.containers[index]);
    let range_of = |binding: &Binding| {
        ranges.iter().find(|(first, last, tcp)| {
            (*first..=*last).contains(&binding.container_port)
                && (binding.protocol == "tcp") == *tcp
        })
    };
    let mut list: Vec<ecs::NetworkBinding> = bound
        .iter()
        .filter(|binding| range_of(binding).is_none())
        .map(|binding| ecs::NetworkBinding {
            bind_ip: Some(binding.host_ip.clone()),
            container_port: Some(i32::from(binding.container_port)),
            host_port: Some(i32::from(binding.host_port)),
            protocol: protocol(binding.protocol == "tcp"),
            ..Default::default()
        })
        .collect();
    for range in &ranges {
        let own: Vec<&Binding> = bound.iter().filter(|b| range_of(b) == Some(range)).collect();
        let hosts = || own.iter().map(|binding| binding.host_port);
        if let (Some(first), Some(low), Some(high)) = (own.first(), hosts().min(), hosts().max()) {
            list.push(ecs::NetworkBinding {
                bind_ip: Some(first.host_ip.clone()),
                container_port_range: Some(format!("{}-{}", range.0, range.1)),
                host_port_range: Some(format!("{low}-{high}")),
                protocol: protocol(range.2),
                ..Default::default()
            });
        }
    }
    list
}

/// A text within the API's limit.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(limits::REASON_LEN).collect()
}
