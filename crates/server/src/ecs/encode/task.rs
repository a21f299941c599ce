//! Tasks.

use longshore_domain::ids::{Arn, Resource};
use longshore_domain::lifecycle;
use longshore_domain::record::{self, StopCode};
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{
    Connectivity, HealthStatus, LaunchType, TaskField, TaskStopCode, TransportProtocol,
};
use longshore_wire::ecs::{Container, NetworkBinding, Task, TaskOverride};

use super::{attribute, document, tags, time};
use crate::clock;
use crate::ecs::{definition_of, lookup};

/// A task; sizes and images come from its task definition.
pub(crate) fn task(
    view: &View,
    record: &record::Task,
    include: &[TaskField],
) -> Result<Task, ServiceError> {
    let scope = &record.scope;
    let arn = |resource| Arn::new(scope, resource).to_string();
    let task_arn = arn(Resource::Task(record.cluster.clone(), record.id));
    let spec = definition_of(view, record).map(|definition| &definition.spec);
    let instance = lookup::instance(view, scope, &record.cluster, record.instance);
    let attribute_of = |name: &str| instance.and_then(|i| i.attributes.get(name)?.clone());
    let containers = record.observed.containers.iter().map(|state| {
        let spec = spec.and_then(|spec| spec.containers.iter().find(|c| c.name == state.name));
        container(record, state, spec, &task_arn)
    });
    let overrides: TaskOverride =
        record.overrides.as_ref().map(document).transpose()?.unwrap_or_default();
    let overrides = TaskOverride {
        container_overrides: Some(overrides.container_overrides.unwrap_or_default()),
        inference_accelerator_overrides: Some(
            overrides.inference_accelerator_overrides.unwrap_or_default(),
        ),
        ..overrides
    };
    let ended = record.observed.ended.as_ref();
    let stop_code = record.stop.as_ref().map(|s| s.code).or(ended.map(|e| e.0));
    let reason = record.stop.as_ref().map(|s| s.reason.clone()).or(ended.map(|e| e.1.clone()));
    let cpu = overrides.cpu.clone().or(spec.and_then(|s| s.cpu_units).map(|n| n.to_string()));
    let memory =
        overrides.memory.clone().or(spec.and_then(|s| s.memory_mib).map(|n| n.to_string()));
    Ok(Task {
        attachments: Some(Vec::new()),
        attributes: Some(
            attribute_of("ecs.cpu-architecture")
                .map(|value| attribute("ecs.cpu-architecture", Some(&value)))
                .into_iter()
                .collect(),
        ),
        availability_zone: attribute_of("ecs.availability-zone"),
        cluster_arn: Some(arn(Resource::Cluster(record.cluster.clone()))),
        connectivity: record.observed.connectivity_at.map(|_| {
            let connected = instance.is_some_and(|instance| instance.connection.connected);
            if connected { Connectivity::Connected } else { Connectivity::Disconnected }
        }),
        connectivity_at: record.observed.connectivity_at.map(time),
        container_instance_arn: Some(arn(Resource::ContainerInstance(
            record.cluster.clone(),
            record.instance,
        ))),
        containers: Some(containers.collect()),
        cpu: Some(cpu.unwrap_or_else(|| record.demand.cpu_units.to_string())),
        memory: Some(memory.unwrap_or_else(|| record.demand.memory_mib.to_string())),
        created_at: Some(time(record.created_at)),
        desired_status: Some(record.desired.as_str().to_owned()),
        enable_execute_command: Some(record.enable_execute_command),
        execution_stopped_at: record.observed.execution_stopped_at.map(time),
        group: Some(record.group.clone()),
        health_status: Some(health(
            spec.map_or(record::HealthStatus::Unknown, |spec| lifecycle::health(record, spec)),
        )),
        last_status: Some(record.last_status().as_str().to_owned()),
        launch_type: Some(match record.launch_type {
            record::LaunchType::Ec2 => LaunchType::Ec2,
            record::LaunchType::External => LaunchType::External,
        }),
        overrides: Some(overrides),
        pull_started_at: record.observed.pull_started_at.map(time),
        pull_stopped_at: record.observed.pull_stopped_at.map(time),
        started_at: record.observed.started_at.map(time),
        started_by: record.started_by.clone(),
        stop_code: stop_code.map(wire_stop_code),
        stopped_at: record.observed.stopped_at.map(time),
        stopped_reason: reason,
        stopping_at: record
            .stop
            .as_ref()
            .map(|stop| time(stop.at))
            .or(ended.and(record.observed.execution_stopped_at).map(time)),
        tags: Some(if include.contains(&TaskField::Tags) {
            tags(&record.tags)
        } else {
            Vec::new()
        }),
        task_arn: Some(task_arn),
        task_definition_arn: Some(arn(if record.daemon().is_some() {
            Resource::DaemonTaskDefinition(record.family.clone(), record.revision)
        } else {
            Resource::TaskDefinition(record.family.clone(), record.revision)
        })),
        version: i64::try_from(record.version).ok(),
        ..Task::default()
    })
}

fn container(
    task: &record::Task,
    state: &record::ContainerState,
    spec: Option<&record::ContainerSpec>,
    task_arn: &str,
) -> Container {
    let id =
        clock::format_uuid(u128::from_str_radix(&state.id.to_string(), 16).unwrap_or_default());
    let arn =
        Arn::new(&task.scope, Resource::Container(task.cluster.clone(), task.id, id)).to_string();
    let bindings = state.bindings.iter().map(|binding| NetworkBinding {
        bind_ip: Some(binding.bind_ip.clone()),
        container_port: binding.container_port.map(i32::from),
        host_port: binding.host_port.map(i32::from),
        container_port_range: binding.container_port_range.clone(),
        host_port_range: binding.host_port_range.clone(),
        protocol: Some(match binding.protocol {
            record::Protocol::Tcp => TransportProtocol::Tcp,
            record::Protocol::Udp => TransportProtocol::Udp,
        }),
    });
    Container {
        container_arn: Some(arn),
        task_arn: Some(task_arn.to_owned()),
        name: Some(state.name.clone()),
        image: spec.map(|spec| spec.image.clone()),
        image_digest: state.image_digest.clone(),
        runtime_id: state.runtime_id.clone(),
        last_status: Some(state.status.as_str().to_owned()),
        exit_code: state.exit_code,
        reason: state.reason.clone(),
        network_bindings: Some(bindings.collect()),
        network_interfaces: Some(Vec::new()),
        health_status: Some(health(state.health)),
        cpu: spec.map(|spec| spec.cpu_units.to_string()),
        memory: spec.and_then(|spec| spec.memory_mib).map(|mib| mib.to_string()),
        memory_reservation: spec
            .and_then(|spec| spec.memory_reservation_mib)
            .map(|mib| mib.to_string()),
        gpu_ids: (!state.gpus.is_empty()).then(|| state.gpus.clone()),
        ..Container::default()
    }
}

fn health(health: record::HealthStatus) -> HealthStatus {
    match health {
        record::HealthStatus::Healthy => HealthStatus::Healthy,
        record::HealthStatus::Unhealthy => HealthStatus::Unhealthy,
        record::HealthStatus::Unknown => HealthStatus::Unknown,
    }
}

fn wire_stop_code(code: StopCode) -> TaskStopCode {
    match code {
        StopCode::TaskFailedToStart => TaskStopCode::TaskFailedToStart,
        StopCode::EssentialContainerExited => TaskStopCode::EssentialContainerExited,
        StopCode::UserInitiated => TaskStopCode::UserInitiated,
        StopCode::ServiceSchedulerInitiated => TaskStopCode::ServiceSchedulerInitiated,
        StopCode::SpotInterruption => TaskStopCode::SpotInterruption,
        StopCode::TerminationNotice => TaskStopCode::TerminationNotice,
        StopCode::InfrastructureHealth => TaskStopCode::InfrastructureHealth,
    }
}
