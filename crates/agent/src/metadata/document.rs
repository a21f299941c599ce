//! The documents of the metadata endpoint, in the form of the official agent.

use std::net::IpAddr;

use longshore_domain::record::DesiredStatus;
use longshore_domain::task::{Phase, Status};
use longshore_domain::time::Timestamp;
use longshore_wire::ecs::{self, op};
use serde_json::{Map, Value, json};

use crate::clock::rfc3339;
use crate::hands::Hands;
use crate::record::TaskRecord;
use crate::runtime::{Inspection, Stats};
use crate::task::{network_mode, runtime_name};
use crate::{labels, limits};

/// Version of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `ECS_CONTAINER_METADATA_URI`.
    V3,
    /// `ECS_CONTAINER_METADATA_URI_V4`.
    V4,
}

/// A container.
pub(super) async fn container(
    hands: &Hands,
    record: &TaskRecord,
    index: usize,
    version: Version,
) -> Value {
    let found = look(hands, record, index).await;
    container_document(hands, record, index, found.as_ref(), version)
}

/// A task with its containers.
pub(super) async fn task(hands: &Hands, record: &TaskRecord, version: Version) -> Value {
    let mut containers = Vec::with_capacity(record.containers.len());
    for index in 0..record.containers.len() {
        // One that was not made yet is not shown.
        if record.containers[index].runtime_id.is_some() {
            containers.push(container(hands, record, index, version).await);
        }
    }
    let (task, state) = (&record.task, &record.state);
    let mut document = json!({
        "Cluster": hands.config.cluster,
        "TaskARN": task.arn,
        "Family": task.family,
        "Revision": task.version,
        "DesiredStatus": state.desired.as_str(),
        "KnownStatus": known_status(record),
        "LaunchType": task.launch_type.as_deref().unwrap_or("EC2"),
        "Containers": containers,
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            document[name] = value;
        }
    };
    let time = |at: Option<Timestamp>| at.map(|at| Value::from(rfc3339(at)));
    set("PullStartedAt", time(state.pull_started_at));
    set("PullStoppedAt", time(state.pull_stopped_at));
    set("ExecutionStoppedAt", time(state.execution_stopped_at));
    set("AvailabilityZone", hands.config.availability_zone.clone().map(Value::from));
    let mut task_limits = Map::new();
    task.cpu.map(|cpu| task_limits.insert("CPU".to_owned(), cpu.into()));
    task.memory.map(|memory| task_limits.insert("Memory".to_owned(), memory.into()));
    set("Limits", (!task_limits.is_empty()).then(|| task_limits.into()));
    if version == Version::V4 {
        set("ServiceName", task.service_name.clone().map(Value::from));
        set("Group", task.group.clone().map(Value::from));
        set("FaultInjectionEnabled", Some(task.enable_fault_injection.unwrap_or(false).into()));
    }
    document
}

/// A task with the tags of it and of its container instance.
pub(super) async fn task_with_tags(hands: &Hands, record: &TaskRecord, version: Version) -> Value {
    let mut document = task(hands, record, version).await;
    let mut errors = Vec::new();
    let resources = [
        ("TaskTags", record.task.arn.clone()),
        ("ContainerInstanceTags", hands.surroundings.container_instance_arn.clone()),
    ];
    for (member, arn) in resources {
        let input = ecs::ListTagsForResourceRequest { resource_arn: arn.clone() };
        match hands.api.call::<op::ListTagsForResource>(&input).await {
            Ok(answer) => {
                let tags = answer.tags.unwrap_or_default().into_iter();
                let pairs = tags.filter_map(|tag| Some((tag.key?, tag.value?.into())));
                let pairs: Map<String, Value> = pairs.collect();
                if !pairs.is_empty() {
                    document[member] = pairs.into();
                }
            }
            Err(error) => errors.push(json!({
                "ErrorField": member,
                "ErrorCode": "ServiceError",
                "ErrorMessage": error.to_string(),
                "ResourceARN": arn,
            })),
        }
    }
    if !errors.is_empty() {
        document["Errors"] = errors.into();
    }
    document
}

/// What a container uses, as the runtime says it.
pub(super) async fn stats(hands: &Hands, record: &TaskRecord, index: usize) -> Value {
    raw_stats(hands, record, index).await.map_or(Value::Null, |stats| stats.raw)
}

/// What the containers of a task use, by their ids.
pub(super) async fn task_stats(hands: &Hands, record: &TaskRecord) -> Value {
    let mut all = Map::new();
    for (index, facts) in record.containers.iter().enumerate() {
        if let Some(id) = facts.runtime_id.clone() {
            all.insert(id, stats(hands, record, index).await);
        }
    }
    all.into()
}

/// Names of the devices of one kind that a container uses.
pub(super) fn associations(record: &TaskRecord, index: usize, kind: &str) -> Value {
    let name = &record.task.containers[index].name;
    let own =
        record.task.associations.iter().filter(|association| {
            association.kind == kind && association.containers.contains(name)
        });
    let names: Vec<&str> = own.map(|association| association.name.as_str()).collect();
    json!({ "Associations": names })
}

/// What is to be known of one device.
pub(super) fn association(record: &TaskRecord, kind: &str, name: &str) -> Option<Value> {
    let mut all = record.task.associations.iter();
    let found = all.find(|association| association.kind == kind && association.name == name)?;
    Some(found.content.as_ref().map_or(Value::Null, |content| content.value.clone().into()))
}

/// AWS's word for how far a task has come.
pub(super) fn known_status(record: &TaskRecord) -> &'static str {
    match record.state.announced {
        Some(Phase::Stopped) => "STOPPED",
        Some(Phase::Running) => "RUNNING",
        Some(Phase::Pending) => "PULLED",
        None => "NONE",
    }
}

/// AWS's word for how far a container has come.
pub(super) fn container_status(status: Status) -> &'static str {
    match status {
        Status::None => "NONE",
        Status::Pulled => "PULLED",
        Status::Created => "CREATED",
        Status::Running => "RUNNING",
        Status::Stopped => "STOPPED",
    }
}

/// How a container stands in the runtime; nothing while it was not made, or cannot be looked at.
pub(super) async fn look(hands: &Hands, record: &TaskRecord, index: usize) -> Option<Inspection> {
    let id = record.containers[index].runtime_id.as_ref()?;
    let limit = hands.config.timeouts.inspect;
    Hands::within(limit, hands.runtime.inspect(id)).await.ok().flatten()
}

async fn raw_stats(hands: &Hands, record: &TaskRecord, index: usize) -> Option<Stats> {
    let id = record.containers[index].runtime_id.as_ref()?;
    let limit = hands.config.timeouts.inspect;
    Hands::within(limit, hands.runtime.stats(id)).await.ok().flatten()
}

/// Published ports and, in `Ports` of a container that publishes none, nothing.
pub(super) fn ports(record: &TaskRecord, index: usize) -> Vec<Value> {
    let bound = record.containers[index].bound.iter();
    let port = |binding: &crate::record::Binding| {
        json!({
            "ContainerPort": binding.container_port,
            "Protocol": binding.protocol,
            "HostPort": binding.host_port,
            "HostIp": binding.host_ip,
        })
    };
    bound.map(port).collect()
}

/// Networks of a container.
pub(super) fn networks(
    record: &TaskRecord,
    index: usize,
    found: Option<&Inspection>,
) -> Vec<Value> {
    let mode = network_mode(&record.task, &record.task.containers[index]);
    let addresses = found.map(|found| found.networks.as_slice()).unwrap_or_default();
    let network = |address: &crate::runtime::NetworkAddress| {
        let mut network = json!({ "NetworkMode": mode });
        network["IPv4Addresses"] = json!(address.ipv4.iter().collect::<Vec<_>>());
        if let Some(ipv6) = &address.ipv6 {
            network["IPv6Addresses"] = json!([ipv6]);
        }
        network
    };
    if addresses.is_empty() {
        return vec![json!({ "NetworkMode": mode, "IPv4Addresses": [] })];
    }
    addresses.iter().map(network).collect()
}

/// Addresses of all containers of a task; none where they are in the network of the host.
pub(super) async fn addresses(hands: &Hands, record: &TaskRecord) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for index in 0..record.containers.len() {
        let found = look(hands, record, index).await;
        for network in found.iter().flat_map(|found| &found.networks) {
            let texts = network.ipv4.iter().chain(&network.ipv6);
            all.extend(texts.filter_map(|text| text.parse::<IpAddr>().ok()));
        }
    }
    all
}

/// Mounts of a container.
pub(super) fn volumes(found: Option<&Inspection>) -> Vec<Value> {
    let mounts = found.map(|found| found.mounts.as_slice()).unwrap_or_default().iter();
    let volume = |(name, source, destination): &(Option<String>, String, String)| {
        let mut volume = json!({ "Source": source, "Destination": destination });
        if let Some(name) = name {
            volume["DockerName"] = name.as_str().into();
        }
        volume
    };
    mounts.map(volume).collect()
}

fn container_document(
    hands: &Hands,
    record: &TaskRecord,
    index: usize,
    found: Option<&Inspection>,
    version: Version,
) -> Value {
    let (container, state) = (&record.task.containers[index], &record.state.containers[index]);
    let facts = &record.containers[index];
    let own_labels = json!({
        (labels::TASK_ARN): record.task.arn,
        (labels::CONTAINER_NAME): container.name,
        (labels::FAMILY): record.task.family,
        (labels::VERSION): record.task.version,
        (labels::CLUSTER): hands.config.cluster,
    });
    // What is wanted of a container is what is wanted of its task, until it has ended by itself.
    let stopped = state.is_stopped() || record.state.desired == DesiredStatus::Stopped;
    let desired = if stopped { "STOPPED" } else { "RUNNING" };
    let shares = container.cpu.max(limits::CPU_SHARES_MIN);
    let mut document = json!({
        "DockerId": facts.runtime_id,
        "Name": container.name,
        "DockerName": runtime_name(&record.task, container),
        "Image": container.image,
        "ImageID": found.map(|found| found.image_id.clone()).or_else(|| facts.image_id.clone()),
        "Labels": found.map_or(own_labels, |found| json!(found.labels)),
        "DesiredStatus": desired,
        "KnownStatus": container_status(state.status),
        "Limits": { "CPU": shares, "Memory": container.memory },
        "Type": "NORMAL",
        "Networks": networks(record, index, found),
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            document[name] = value;
        }
    };
    let time = |at: Option<Timestamp>| at.map(|at| Value::from(rfc3339(at)));
    let list = |list: Vec<Value>| (!list.is_empty()).then(|| Value::from(list));
    let made = found.and_then(|found| found.created_at).or(state.created_at);
    set("CreatedAt", time(made));
    set("StartedAt", time(state.started_at));
    set("FinishedAt", time(state.finished_at));
    set("ExitCode", state.exit_code.map(Value::from));
    set("Ports", list(ports(record, index)));
    set("Volumes", list(volumes(found)));
    set("ContainerARN", container.container_arn.clone().map(Value::from));
    if container.health_check_type.is_some() {
        set("Health", Some(health(record, index, found)));
    }
    if version == Version::V4 {
        set("LogDriver", found.map(|found| found.log_driver.clone().into()));
        let options = found.map(|found| &found.log_options).filter(|options| !options.is_empty());
        set("LogOptions", options.map(|options| json!(options)));
        if container.restart_policy.as_ref().is_some_and(|policy| policy.enabled) {
            set("RestartCount", Some(state.restarts.into()));
        }
    }
    document
}

fn health(record: &TaskRecord, index: usize, found: Option<&Inspection>) -> Value {
    let state = &record.state.containers[index];
    let mut health = json!({ "status": state.health.as_str() });
    if let Some(since) = state.health_since.or(state.started_at) {
        health["statusSince"] = rfc3339(since).into();
    }
    if let Some(code) = found.and_then(|found| found.health_exit_code) {
        health["exitCode"] = code.into();
    }
    if let Some(output) = found.and_then(|found| found.health_output.as_deref()) {
        health["output"] = output.chars().take(limits::REASON_LEN).collect::<String>().into();
    }
    health
}
