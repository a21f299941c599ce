//! The body of a container to make: what the agent computed, then the task's own Docker settings
//! over it.

use bollard::models::{ContainerCreateBody, DeviceRequest, HostConfig, PortBinding};
use serde_json::Value;

use crate::runtime::types::{Bind, ContainerRequest};

const MIB: i64 = 1 << 20;

/// Builds the body.
///
/// # Errors
/// With `DockerClientConfigError` or `HostConfigError` text when a setting is no JSON or has not
/// the shape of Docker's API.
pub(super) fn body(request: &ContainerRequest) -> Result<ContainerCreateBody, String> {
    let computed = ContainerCreateBody {
        image: Some(request.image.clone()),
        cmd: (!request.command.is_empty()).then(|| request.command.clone()),
        entrypoint: request.entry_point.clone(),
        env: Some(request.environment.iter().map(|(k, v)| format!("{k}={v}")).collect()),
        labels: Some(request.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
        exposed_ports: Some(request.ports.iter().map(port_key).collect()),
        ..ContainerCreateBody::default()
    };
    let mut body: ContainerCreateBody =
        overlay(&computed, request.engine_config.as_deref(), "DockerClientConfigError")?;
    body.host_config = Some(overlay(
        &host_config(request),
        request.engine_host_config.as_deref(),
        "HostConfigError",
    )?);
    Ok(body)
}

fn port_key(port: &crate::runtime::types::PortRequest) -> String {
    format!("{}/{}", port.container_port, port.protocol)
}

fn host_config(request: &ContainerRequest) -> HostConfig {
    let mut bindings = std::collections::BTreeMap::<String, Vec<PortBinding>>::new();
    for port in &request.ports {
        bindings.entry(port_key(port)).or_default().push(PortBinding {
            host_ip: request.bind_address.clone(),
            host_port: Some(match port.host_port {
                0 => String::new(),
                fixed => fixed.to_string(),
            }),
        });
    }
    let volumes_from = request.volumes_from.iter();
    let gpus = DeviceRequest {
        driver: Some("nvidia".to_owned()),
        device_ids: Some(request.gpus.clone()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    };
    HostConfig {
        cpu_shares: Some(i64::from(request.cpu_shares)),
        memory: (request.memory_mib > 0).then(|| i64::from(request.memory_mib) * MIB),
        links: (!request.links.is_empty()).then(|| request.links.clone()),
        volumes_from: (!request.volumes_from.is_empty())
            .then(|| volumes_from.map(|(name, ro)| format!("{name}:{}", mode(*ro))).collect()),
        binds: (!request.binds.is_empty()).then(|| request.binds.iter().map(bind).collect()),
        port_bindings: (!bindings.is_empty())
            .then(|| bindings.into_iter().map(|(key, list)| (key, Some(list))).collect()),
        cgroup_parent: request.cgroup_parent.clone(),
        pid_mode: request.pid_mode.clone(),
        ipc_mode: request.ipc_mode.clone(),
        network_mode: request.network_mode.clone(),
        device_requests: (!request.gpus.is_empty()).then(|| vec![gpus]),
        ..HostConfig::default()
    }
}

fn mode(read_only: bool) -> &'static str {
    if read_only { "ro" } else { "rw" }
}

fn bind(bind: &Bind) -> String {
    format!("{}:{}:{}", bind.source, bind.target, mode(bind.read_only))
}

/// Lays the members of a JSON text over a value: objects merge, everything else is replaced, names
/// match in any case.
fn overlay<T>(computed: &T, text: Option<&str>, error: &str) -> Result<T, String>
where
    T: serde::Serialize + serde::de::DeserializeOwned + Clone,
{
    let Some(text) = text.filter(|text| !matches!(text.trim(), "" | "{}" | "null")) else {
        return Ok(computed.clone());
    };
    let fail =
        |source: serde_json::Error| format!("{error}: Unable to decode the settings: {source}");
    let mut value = serde_json::to_value(computed).map_err(fail)?;
    let over: Value = serde_json::from_str(text).map_err(fail)?;
    if !over.is_object() {
        return Err(format!("{error}: the settings are not a JSON object"));
    }
    merge(&mut value, over, canonical);
    serde_json::from_value(value).map_err(fail)
}

/// Lays `over` over `base`. A name that `base` does not have is spelled by `spell`: only the
/// outermost names are Docker's, deeper ones (labels) are the user's.
fn merge(base: &mut Value, over: Value, spell: fn(String) -> String) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                let same = base.keys().find(|key| key.eq_ignore_ascii_case(&name)).cloned();
                let name = same.unwrap_or_else(|| spell(name));
                match base.get_mut(&name) {
                    Some(slot) => merge(slot, value, |name| name),
                    None => {
                        base.insert(name, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// Docker's members begin with a capital; `networkMode` is read as `NetworkMode`.
fn canonical(name: String) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) if first.is_ascii_lowercase() && !name.contains(['/', '.', '-']) => {
            first.to_ascii_uppercase().to_string() + chars.as_str()
        }
        _ => name,
    }
}

/// Name and tag (or digest) of an image reference; the tag is `latest` when there is none.
pub(super) fn split_reference(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::types::PortRequest;

    fn request() -> ContainerRequest {
        ContainerRequest {
            image: "bb:latest".into(),
            labels: [("com.amazonaws.ecs.task-arn".into(), "arn".into())].into(),
            environment: [("A".into(), "b".into())].into(),
            cpu_shares: 2,
            memory_mib: 64,
            ports: vec![PortRequest { container_port: 80, host_port: 0, protocol: "tcp".into() }],
            bind_address: Some("127.0.1.1".into()),
            binds: vec![Bind { source: "v".into(), target: "/d".into(), read_only: true }],
            ..ContainerRequest::default()
        }
    }

    #[test]
    fn docker_settings_lie_over_what_the_agent_computed() {
        let request = ContainerRequest {
            engine_config: Some(r#"{"User":"1000","Labels":{"mine":"1"}}"#.into()),
            engine_host_config: Some(
                r#"{"networkMode":"host","CapAdd":["NET_ADMIN"],"CapDrop":null,"ShmSize":1048576,
                    "Tmpfs":{"/tmp/a":"size=1m"},"Sysctls":{"net.core.somaxconn":"10"},
                    "LogConfig":{"Type":"none"},"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}]}"#
                    .into(),
            ),
            ..request()
        };
        let body = body(&request).expect("a body");
        assert_eq!(body.user.as_deref(), Some("1000"));
        let labels = body.labels.expect("labels");
        assert_eq!((labels.len(), labels["mine"].as_str()), (2, "1"), "labels merge as they are");
        let host = body.host_config.expect("a host config");
        assert_eq!(host.network_mode.as_deref(), Some("host"));
        assert_eq!(host.memory, Some(64 * MIB));
        assert_eq!(host.binds, Some(vec!["v:/d:ro".into()]));
        assert_eq!(host.cap_add, Some(vec!["NET_ADMIN".into()]));
        assert!(host.tmpfs.is_some_and(|tmpfs| tmpfs.contains_key("/tmp/a")));
        assert!(host.sysctls.is_some_and(|s| s.contains_key("net.core.somaxconn")));
    }

    #[test]
    fn a_dynamic_port_is_left_to_docker_on_the_instances_address() {
        let body = body(&request()).expect("a body");
        let bindings = body.host_config.and_then(|h| h.port_bindings).expect("bindings");
        let list = bindings["80/tcp"].as_ref().expect("one binding");
        assert_eq!(list[0].host_ip.as_deref(), Some("127.0.1.1"));
        assert_eq!(list[0].host_port.as_deref(), Some(""));
    }

    #[test]
    fn settings_that_are_no_settings_are_named() {
        let check = |config: &str, host: &str, expected: &str| {
            let request = ContainerRequest {
                engine_config: Some(config.into()),
                engine_host_config: Some(host.into()),
                ..request()
            };
            let error = body(&request).expect_err("refused");
            assert!(error.starts_with(expected), "{error}");
        };
        check("{", "{}", "DockerClientConfigError: ");
        check("{}", "[]", "HostConfigError: ");
        check("{}", r#"{"CapAdd":"ALL"}"#, "HostConfigError: ");
    }

    #[test]
    fn references_split_into_name_and_tag() {
        for (image, expected) in [
            ("busybox", ("busybox", "latest")),
            ("busybox:1", ("busybox", "1")),
            ("host:5000/a/b", ("host:5000/a/b", "latest")),
            ("host:5000/a/b:2", ("host:5000/a/b", "2")),
            ("a@sha256:00", ("a", "sha256:00")),
        ] {
            assert_eq!(split_reference(image), expected);
        }
    }
}
