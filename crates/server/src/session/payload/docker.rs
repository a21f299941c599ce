//! `dockerConfig`: Docker's `Config` and `HostConfig` as JSON texts. The agent computes memory,
//! CPU shares, mounts and port bindings itself; everything else is here.

use std::collections::BTreeMap;

use longshore_domain::ids::TaskId;
use longshore_domain::record::NetworkMode;
use longshore_wire::agent::DockerConfig;
use longshore_wire::ecs::enums::{IpcMode, LogDriver, PidMode};
use longshore_wire::ecs::{ContainerDefinition, LinuxParameters, TaskDefinition};
use serde_json::{Map, Value, json};

use crate::ecs::placement::narrow_mode;

const MIB: i64 = 1024 * 1024;
const SECOND_NS: i64 = 1_000_000_000;
/// ECS's defaults of a health check: interval and timeout in seconds, retries.
const HEALTH_DEFAULTS: (i32, i32, i32) = (30, 5, 3);

/// The settings of one container.
pub(super) fn config(
    definition: &ContainerDefinition,
    document: &TaskDefinition,
    mode: NetworkMode,
    reservation: Option<i32>,
    task: TaskId,
) -> DockerConfig {
    DockerConfig {
        version: Some("1.21".to_owned()),
        config: Some(Value::Object(container_config(definition)).to_string()),
        host_config: Some(
            Value::Object(host_config(definition, document, mode, reservation, task)).to_string(),
        ),
    }
}

/// Sets a member unless there is nothing to say.
fn set(map: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value);
    }
}

fn some_list(list: Option<&Vec<String>>) -> Option<Value> {
    list.filter(|list| !list.is_empty()).map(|list| json!(list))
}

fn container_config(definition: &ContainerDefinition) -> Map<String, Value> {
    let mut map = Map::new();
    set(&mut map, "User", definition.user.as_ref().map(|v| json!(v)));
    set(&mut map, "WorkingDir", definition.working_directory.as_ref().map(|v| json!(v)));
    set(&mut map, "Hostname", definition.hostname.as_ref().map(|v| json!(v)));
    set(&mut map, "Tty", definition.pseudo_terminal.map(|v| json!(v)));
    set(&mut map, "OpenStdin", definition.interactive.map(|v| json!(v)));
    set(&mut map, "NetworkDisabled", definition.disable_networking.map(|v| json!(v)));
    set(&mut map, "Labels", definition.docker_labels.as_ref().map(|v| json!(v)));
    if let Some(check) = &definition.health_check {
        let (interval, timeout, retries) = HEALTH_DEFAULTS;
        let ns = |seconds: i32| i64::from(seconds) * SECOND_NS;
        map.insert(
            "Healthcheck".to_owned(),
            json!({
                "Test": check.command,
                "Interval": ns(check.interval.unwrap_or(interval)),
                "Timeout": ns(check.timeout.unwrap_or(timeout)),
                "Retries": check.retries.unwrap_or(retries),
                "StartPeriod": ns(check.start_period.unwrap_or(0)),
            }),
        );
    }
    map
}

fn host_config(
    definition: &ContainerDefinition,
    document: &TaskDefinition,
    mode: NetworkMode,
    reservation: Option<i32>,
    task: TaskId,
) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("NetworkMode".to_owned(), json!(narrow_mode(mode)));
    map.insert("CapAdd".to_owned(), json!([]));
    map.insert("CapDrop".to_owned(), json!([]));
    set(&mut map, "Privileged", definition.privileged.filter(|v| *v).map(|v| json!(v)));
    set(
        &mut map,
        "ReadonlyRootfs",
        definition.readonly_root_filesystem.filter(|v| *v).map(|v| json!(v)),
    );
    set(&mut map, "MemoryReservation", reservation.map(|mib| json!(i64::from(mib) * MIB)));
    set(&mut map, "Dns", some_list(definition.dns_servers.as_ref()));
    set(&mut map, "DnsSearch", some_list(definition.dns_search_domains.as_ref()));
    set(&mut map, "SecurityOpt", some_list(definition.docker_security_options.as_ref()));
    let hosts: Vec<String> = definition
        .extra_hosts
        .iter()
        .flatten()
        .map(|host| format!("{}:{}", host.hostname, host.ip_address))
        .collect();
    set(&mut map, "ExtraHosts", some_list(Some(&hosts)));
    let ulimits: Vec<Value> = definition
        .ulimits
        .iter()
        .flatten()
        .map(|u| json!({ "Name": u.name.as_str(), "Soft": u.soft_limit, "Hard": u.hard_limit }))
        .collect();
    set(&mut map, "Ulimits", (!ulimits.is_empty()).then(|| json!(ulimits)));
    let sysctls: Map<String, Value> = definition
        .system_controls
        .iter()
        .flatten()
        .filter_map(|control| Some((control.namespace.clone()?, json!(control.value.clone()?))))
        .collect();
    set(&mut map, "Sysctls", (!sysctls.is_empty()).then(|| json!(sysctls)));
    if let Some(log) = &definition.log_configuration {
        let mut options = log.options.clone().unwrap_or_default();
        if log.log_driver == LogDriver::Awslogs {
            name_stream(&mut options, definition, task);
        }
        map.insert(
            "LogConfig".to_owned(),
            json!({ "Type": log.log_driver.as_str(), "Config": options }),
        );
    }
    for (name, mode) in [
        ("PidMode", document.pid_mode.map(PidMode::as_str)),
        ("IpcMode", document.ipc_mode.map(IpcMode::as_str)),
    ] {
        // `task` needs a container to share with, which the agent arranges.
        set(&mut map, name, mode.filter(|mode| *mode != "task").map(|mode| json!(mode)));
    }
    if let Some(linux) = &definition.linux_parameters {
        linux_parameters(linux, definition, &mut map);
    }
    map
}

/// The log stream of a container is named by the control plane: Docker's driver does not know
/// `awslogs-stream-prefix`.
fn name_stream(
    options: &mut BTreeMap<String, String>,
    definition: &ContainerDefinition,
    task: TaskId,
) {
    if let Some(prefix) = options.remove("awslogs-stream-prefix") {
        let container = definition.name.as_deref().unwrap_or_default();
        options.insert("awslogs-stream".to_owned(), format!("{prefix}/{container}/{task}"));
    }
}

fn linux_parameters(
    linux: &LinuxParameters,
    definition: &ContainerDefinition,
    map: &mut Map<String, Value>,
) {
    if let Some(capabilities) = &linux.capabilities {
        set(map, "CapAdd", some_list(capabilities.add.as_ref()));
        set(map, "CapDrop", some_list(capabilities.drop.as_ref()));
    }
    let devices: Vec<Value> = linux
        .devices
        .iter()
        .flatten()
        .map(|device| {
            let permissions: String = device
                .permissions
                .iter()
                .flatten()
                .filter_map(|permission| permission.as_str().chars().next())
                .collect();
            json!({
                "PathOnHost": device.host_path,
                "PathInContainer": device.container_path.as_ref().unwrap_or(&device.host_path),
                "CgroupPermissions": if permissions.is_empty() { "rwm".to_owned() } else { permissions },
            })
        })
        .collect();
    set(map, "Devices", (!devices.is_empty()).then(|| json!(devices)));
    set(map, "Init", linux.init_process_enabled.map(|v| json!(v)));
    set(map, "ShmSize", linux.shared_memory_size.map(|mib| json!(i64::from(mib) * MIB)));
    let tmpfs: Map<String, Value> = linux
        .tmpfs
        .iter()
        .flatten()
        .map(|tmpfs| {
            let mut options = tmpfs.mount_options.clone().unwrap_or_default();
            options.push(format!("size={}m", tmpfs.size));
            (tmpfs.container_path.clone(), json!(options.join(",")))
        })
        .collect();
    set(map, "Tmpfs", (!tmpfs.is_empty()).then(|| json!(tmpfs)));
    set(map, "MemorySwappiness", linux.swappiness.map(|v| json!(v)));
    if let (Some(swap), Some(memory)) = (linux.max_swap, definition.memory) {
        // Docker counts memory and swap together.
        map.insert("MemorySwap".to_owned(), json!((i64::from(swap) + i64::from(memory)) * MIB));
    }
}
