//! Container instances.

use std::collections::BTreeSet;

use longshore_domain::ids::{Arn, Resource as Named};
use longshore_domain::record::{self, DesiredStatus, Protocol, TaskStatus};
use longshore_store::tables::TaskIndex;
use longshore_store::{Used, View};
use longshore_wire::ecs::enums::ContainerInstanceField;
use longshore_wire::ecs::{ContainerInstance, Resource, VersionInfo};

use super::{attribute, int, tags, time};

/// A container instance with what is left of it.
pub(crate) fn container_instance(
    view: &View,
    record: &record::ContainerInstance,
    include: &[ContainerInstanceField],
) -> ContainerInstance {
    let tasks = || {
        let on_it = view.tasks.by(&TaskIndex::Instance(record.id));
        on_it.filter(|task| task.desired == DesiredStatus::Running)
    };
    let pending = tasks().filter(|task| task.observed.status < TaskStatus::Running).count();
    let used = view.used(record.id).map(|used| Used::clone(used)).unwrap_or_default();
    let arn = Arn::new(&record.scope, Named::ContainerInstance(record.cluster.clone(), record.id));
    ContainerInstance {
        container_instance_arn: Some(arn.to_string()),
        ec2_instance_id: Some(record.ec2_instance_id.clone()),
        capacity_provider_name: record.capacity_provider.clone(),
        version: i64::try_from(record.version).ok(),
        version_info: Some(VersionInfo {
            agent_hash: record.version_info.agent_hash.clone(),
            agent_version: record.version_info.agent_version.clone(),
            docker_version: record.version_info.docker_version.clone(),
        }),
        remaining_resources: Some(resources(&record.registered, &used)),
        registered_resources: Some(resources(&record.registered, &Used::default())),
        status: Some(record.status.as_str().to_owned()),
        status_reason: record.status_reason.clone(),
        agent_connected: Some(record.connection.connected),
        running_tasks_count: Some(int(tasks().count() - pending)),
        pending_tasks_count: Some(int(pending)),
        attributes: Some(
            record.attributes.iter().map(|(name, v)| attribute(name, v.as_deref())).collect(),
        ),
        registered_at: Some(time(record.registered_at)),
        attachments: Some(Vec::new()),
        tags: Some(if include.contains(&ContainerInstanceField::Tags) {
            tags(&record.tags)
        } else {
            Vec::new()
        }),
        ..ContainerInstance::default()
    }
}

fn resources(registered: &record::Resources, used: &Used) -> Vec<Resource> {
    let left = |have: u32, used: u64| int(u64::from(have).saturating_sub(used));
    let number = |name: &str, value: i32| Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(value),
        string_set_value: None,
    };
    let set = |name: &str, values: Vec<String>| Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(0),
        string_set_value: Some(values),
    };
    let ports = |reserved: &BTreeSet<u16>, protocol: Protocol| -> Vec<String> {
        let claimed = used.ports.keys().filter(|claim| claim.protocol == protocol);
        let all = reserved.iter().copied().chain(claimed.map(|claim| claim.port));
        all.map(|port| port.to_string()).collect()
    };
    let mut list = vec![
        number("CPU", left(registered.cpu_units, used.cpu_units)),
        number("MEMORY", left(registered.memory_mib, used.memory_mib)),
        set("PORTS", ports(&registered.reserved_tcp_ports, Protocol::Tcp)),
        set("PORTS_UDP", ports(&registered.reserved_udp_ports, Protocol::Udp)),
    ];
    if !registered.gpus.is_empty() {
        let taken = usize::try_from(used.gpus).unwrap_or(usize::MAX);
        list.push(set("GPU", registered.gpus.iter().skip(taken).cloned().collect()));
    }
    list
}
