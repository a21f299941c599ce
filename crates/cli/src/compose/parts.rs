//! The members of a compose service, one by one.

use longshore_wire::ecs::enums::{NetworkMode, Scope, TransportProtocol};
use longshore_wire::ecs::{
    ContainerDefinition, DeploymentCircuitBreaker, DockerVolumeConfiguration, HealthCheck,
    HostEntry, HostVolumeProperties, KernelCapabilities, KeyValuePair, LinuxParameters, MountPoint,
    PortMapping, SystemControl, Volume,
};
use serde_json::Value;

type Mapped<T> = Result<T, String>;

/// A text; numbers and booleans are taken as written.
fn text(value: &Value) -> Mapped<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => Ok(String::new()),
        _ => Err(format!("expected a text, found {value}")),
    }
}

/// A number.
pub(super) fn int(value: &Value) -> Mapped<i32> {
    let number = text(value)?;
    number.parse().map_err(|_| format!("expected a number, found {number}"))
}

fn list(value: &Value) -> Mapped<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        other => Ok(vec![text(other)?]),
    }
}

/// A command as a list, or as a shell would split it.
fn command(value: &Value) -> Mapped<Vec<String>> {
    match value {
        Value::String(line) => split(line),
        other => list(other),
    }
}

/// Splits a command line at spaces outside quotes.
fn split(line: &str) -> Mapped<Vec<String>> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => (quote, open) = (Some(c), true),
            (None | Some('"'), '\\') => word.extend(chars.next()),
            (None, c) if c.is_whitespace() => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    open = false;
                }
            }
            (_, c) => word.push(c),
        }
    }
    if quote.is_some() {
        return Err(format!("unbalanced quotes in {line}"));
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// Pairs from a map, or from a list of `NAME=VALUE`.
fn pairs(value: &Value) -> Mapped<Vec<(String, String)>> {
    match value {
        Value::Object(map) => map.iter().map(|(k, v)| Ok((k.clone(), text(v)?))).collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                let item = text(item)?;
                let (name, value) = item.split_once('=').unwrap_or((&item, ""));
                Ok((name.to_owned(), value.to_owned()))
            })
            .collect(),
        other => Err(format!("expected a map or a list, found {other}")),
    }
}

/// A size with a unit, in MiB, rounded up.
fn mib(value: &Value) -> Mapped<i32> {
    let size = text(value)?.to_ascii_lowercase();
    let digits = size.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(size.len());
    let (number, unit) = size.split_at(digits);
    let number: f64 = number.parse().map_err(|_| format!("{size} is no size"))?;
    let bytes = number
        * match unit {
            "" | "b" => 1.0,
            "k" | "kb" => 1024.0,
            "m" | "mb" => 1024.0 * 1024.0,
            "g" | "gb" => 1024.0 * 1024.0 * 1024.0,
            _ => return Err(format!("{size} has an unknown unit")),
        };
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    Ok((bytes / 1024.0 / 1024.0).ceil() as i32)
}

/// Seconds of a duration such as `1m30s`, rounded up.
fn seconds(value: &Value) -> Mapped<i32> {
    let duration = text(value)?;
    let (mut total, mut number) = (0.0, String::new());
    let mut rest = duration.as_str();
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
            rest = &rest[1..];
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let factor = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" => 0.000_001,
            unit => return Err(format!("{duration} has the unknown unit {unit}")),
        };
        total +=
            factor * number.parse::<f64>().map_err(|_| format!("{duration} is no duration"))?;
        number.clear();
        rest = &rest[end..];
    }
    if !number.is_empty() {
        return Err(format!("{duration} has no unit"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    Ok(total.ceil() as i32)
}

fn port(spec: &str) -> Mapped<PortMapping> {
    let wrong = || format!("port {spec} is not [HOST:]CONTAINER[/tcp|udp]");
    let (ports, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
    let protocol = match protocol {
        "tcp" => TransportProtocol::Tcp,
        "udp" => TransportProtocol::Udp,
        _ => return Err(wrong()),
    };
    let mut numbers = ports.rsplit(':');
    let number = |text: &str| text.parse::<u16>().map(i32::from).map_err(|_| wrong());
    let container = number(numbers.next().ok_or_else(wrong)?)?;
    let host = numbers.next().filter(|host| !host.is_empty()).map(number).transpose()?;
    Ok(PortMapping {
        container_port: Some(container),
        host_port: host,
        protocol: Some(protocol),
        ..PortMapping::default()
    })
}

fn port_of(value: &Value) -> Mapped<PortMapping> {
    let Value::Object(long) = value else { return port(&text(value)?) };
    let part = |name: &str| long.get(name).map(text).transpose();
    let host = part("published")?.map(|host| format!("{host}:")).unwrap_or_default();
    let target = part("target")?.ok_or("a port has no target")?;
    let protocol = part("protocol")?.unwrap_or_else(|| "tcp".to_owned());
    port(&format!("{host}{target}/{protocol}"))
}

/// `network_mode`.
pub(super) fn network_mode(value: &Value) -> Mapped<NetworkMode> {
    match text(value)?.as_str() {
        "bridge" => Ok(NetworkMode::Bridge),
        "host" => Ok(NetworkMode::Host),
        "none" => Ok(NetworkMode::None),
        other => Err(format!("network_mode {other} has no counterpart in ECS")),
    }
}

/// What a failed update does, as a circuit breaker. Nothing said leaves the service as it is.
pub(super) fn breaker(update_config: &Value) -> Mapped<Option<DeploymentCircuitBreaker>> {
    let (enable, rollback) = match &update_config["failure_action"] {
        Value::Null => return Ok(None),
        Value::String(action) if action == "rollback" => (true, true),
        Value::String(action) if action == "pause" => (true, false),
        Value::String(action) if action == "continue" => (false, false),
        other => return Err(format!("deploy.update_config.failure_action {other} is unknown")),
    };
    let (reset_on_healthy_task, threshold_configuration) = (None, None);
    Ok(Some(DeploymentCircuitBreaker {
        enable,
        rollback,
        reset_on_healthy_task,
        threshold_configuration,
    }))
}

/// `deploy`: replicas and resources.
pub(super) fn deploy(
    value: &Value,
    container: &mut ContainerDefinition,
    count: &mut i32,
    not_mapped: &mut Vec<String>,
    service: &str,
) -> Mapped<()> {
    let Value::Object(members) = value else { return Err("deploy is no map".to_owned()) };
    for (member, value) in members {
        match member.as_str() {
            "replicas" => *count = int(value)?,
            "resources" => {
                let limits = &value["limits"];
                let reservations = &value["reservations"];
                if !limits["memory"].is_null() {
                    container.memory = Some(mib(&limits["memory"])?);
                }
                if !reservations["memory"].is_null() {
                    container.memory_reservation = Some(mib(&reservations["memory"])?);
                }
                let cpus = [&limits["cpus"], &reservations["cpus"]];
                if let Some(cpus) = cpus.into_iter().find(|cpus| !cpus.is_null()) {
                    container.cpu = Some(cpu_units(cpus)?);
                }
            }
            "update_config" => {
                let others = value.as_object().into_iter().flat_map(|members| members.keys());
                for other in others.filter(|member| *member != "failure_action") {
                    not_mapped.push(format!("services.{service}.deploy.update_config.{other}"));
                }
            }
            other => not_mapped.push(format!("services.{service}.deploy.{other}")),
        }
    }
    Ok(())
}

fn cpu_units(value: &Value) -> Mapped<i32> {
    let text = text(value)?;
    let cores: f64 = text.parse().map_err(|_| format!("{text} is no number of CPUs"))?;
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    Ok((cores * 1024.0).round() as i32)
}

/// `volumes`: paths of the host are bind mounts, names are Docker volumes that persist.
pub(super) fn volumes(
    value: &Value,
    container: &mut ContainerDefinition,
    volumes: &mut Vec<Volume>,
) -> Mapped<()> {
    let Value::Array(items) = value else { return Err("volumes is no list".to_owned()) };
    for (index, item) in items.iter().enumerate() {
        let (source, target, read_only) = mount(item)?;
        let is_path = source.starts_with(['/', '.', '~']);
        let name = if is_path { format!("bind-{index}") } else { source.clone() };
        if !volumes.iter().any(|v| v.name.as_ref() == Some(&name)) {
            let docker = DockerVolumeConfiguration {
                scope: Some(Scope::Shared),
                autoprovision: Some(true),
                ..DockerVolumeConfiguration::default()
            };
            volumes.push(Volume {
                name: Some(name.clone()),
                host: is_path.then(|| HostVolumeProperties { source_path: Some(source.clone()) }),
                docker_volume_configuration: (!is_path).then_some(docker),
                ..Volume::default()
            });
        }
        container.mount_points.get_or_insert_default().push(MountPoint {
            source_volume: Some(name),
            container_path: Some(target),
            read_only: Some(read_only),
        });
    }
    Ok(())
}

fn mount(value: &Value) -> Mapped<(String, String, bool)> {
    if let Value::Object(long) = value {
        let part = |name: &str| long.get(name).map(text).transpose();
        let source = part("source")?.ok_or("a volume has no source")?;
        let target = part("target")?.ok_or("a volume has no target")?;
        return Ok((source, target, part("read_only")?.as_deref() == Some("true")));
    }
    let spec = text(value)?;
    let mut parts = spec.split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(source), Some(target), mode) => {
            Ok((source.to_owned(), target.to_owned(), mode == Some("ro")))
        }
        _ => Err(format!("volume {spec} is not SOURCE:TARGET[:ro]")),
    }
}

/// Any other member; `false` when ECS has no place for it.
pub(super) fn member(
    name: &str,
    value: &Value,
    container: &mut ContainerDefinition,
) -> Mapped<bool> {
    let linux = |container: &mut ContainerDefinition| -> LinuxParameters {
        container.linux_parameters.take().unwrap_or_default()
    };
    match name {
        "image" => container.image = Some(text(value)?),
        "command" => container.command = Some(command(value)?),
        "entrypoint" => container.entry_point = Some(command(value)?),
        "environment" => {
            let pair = |(name, value)| KeyValuePair { name: Some(name), value: Some(value) };
            container.environment = Some(pairs(value)?.into_iter().map(pair).collect());
        }
        "ports" => {
            let Value::Array(items) = value else { return Err("ports is no list".to_owned()) };
            container.port_mappings = Some(items.iter().map(port_of).collect::<Mapped<_>>()?);
        }
        "user" => container.user = Some(text(value)?),
        "working_dir" => container.working_directory = Some(text(value)?),
        "hostname" => container.hostname = Some(text(value)?),
        "privileged" => container.privileged = Some(text(value)? == "true"),
        "read_only" => container.readonly_root_filesystem = Some(text(value)? == "true"),
        "tty" => container.pseudo_terminal = Some(text(value)? == "true"),
        "stdin_open" => container.interactive = Some(text(value)? == "true"),
        "labels" => container.docker_labels = Some(pairs(value)?.into_iter().collect()),
        "dns" => container.dns_servers = Some(list(value)?),
        "dns_search" => container.dns_search_domains = Some(list(value)?),
        "mem_limit" => container.memory = Some(mib(value)?),
        "mem_reservation" => container.memory_reservation = Some(mib(value)?),
        "cpus" => container.cpu = Some(cpu_units(value)?),
        "cpu_shares" => container.cpu = Some(int(value)?),
        "stop_grace_period" => container.stop_timeout = Some(seconds(value)?),
        "init" => {
            let mut parameters = linux(container);
            parameters.init_process_enabled = Some(text(value)? == "true");
            container.linux_parameters = Some(parameters);
        }
        "cap_add" | "cap_drop" => {
            let mut parameters = linux(container);
            let capabilities =
                parameters.capabilities.get_or_insert_with(KernelCapabilities::default);
            let names = Some(list(value)?);
            if name == "cap_add" {
                capabilities.add = names;
            } else {
                capabilities.drop = names;
            }
            container.linux_parameters = Some(parameters);
        }
        "shm_size" => {
            let mut parameters = linux(container);
            parameters.shared_memory_size = Some(mib(value)?);
            container.linux_parameters = Some(parameters);
        }
        "sysctls" => {
            let control =
                |(name, value)| SystemControl { namespace: Some(name), value: Some(value) };
            container.system_controls = Some(pairs(value)?.into_iter().map(control).collect());
        }
        "extra_hosts" => container.extra_hosts = Some(extra_hosts(value)?),
        "healthcheck" => container.health_check = health_check(value)?,
        // ECS restarts tasks by itself.
        "restart" | "container_name" => return Ok(name == "restart"),
        _ => return Ok(false),
    }
    Ok(true)
}

fn extra_hosts(value: &Value) -> Mapped<Vec<HostEntry>> {
    let entry = |hostname: String, ip_address: String| HostEntry { hostname, ip_address };
    match value {
        Value::Object(_) => Ok(pairs(value)?.into_iter().map(|(h, ip)| entry(h, ip)).collect()),
        _ => list(value)?
            .into_iter()
            .map(|item| {
                let split = item.split_once(['=', ':']).map(|(h, ip)| entry(h.into(), ip.into()));
                split.ok_or_else(|| format!("extra_hosts entry {item} is not HOST:ADDRESS"))
            })
            .collect(),
    }
}

fn health_check(value: &Value) -> Mapped<Option<HealthCheck>> {
    if value["disable"] == true {
        return Ok(None);
    }
    let test = match &value["test"] {
        Value::String(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
        other => list(other)?,
    };
    if test.first().map(String::as_str) == Some("NONE") {
        return Ok(None);
    }
    let duration = |name: &str| {
        let value = &value[name];
        (!value.is_null()).then(|| seconds(value)).transpose()
    };
    let retries = &value["retries"];
    Ok(Some(HealthCheck {
        command: test,
        interval: duration("interval")?.map(|s| s.clamp(5, 300)),
        timeout: duration("timeout")?.map(|s| s.clamp(2, 60)),
        start_period: duration("start_period")?.map(|s| s.clamp(0, 300)),
        retries: (!retries.is_null()).then(|| int(retries)).transpose()?,
    }))
}
