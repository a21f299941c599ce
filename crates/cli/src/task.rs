//! What the tools say of tasks and services: statuses, addresses, reasons.

use longshore_wire::ecs::Task;

/// The last part of an ARN.
pub(crate) fn short(arn: Option<&str>) -> String {
    arn.and_then(|arn| arn.rsplit('/').next()).unwrap_or("-").to_owned()
}

/// Where the containers of a task answer: `http://ADDRESS:PORT` for each published TCP port.
pub(crate) fn addresses(task: &Task) -> Vec<String> {
    let bindings =
        task.containers.iter().flatten().flat_map(|c| c.network_bindings.iter().flatten());
    bindings
        .filter_map(|binding| {
            let ip =
                binding.bind_ip.as_deref().filter(|ip| *ip != "0.0.0.0").unwrap_or("127.0.0.1");
            Some(format!("http://{ip}:{}", binding.host_port?))
        })
        .collect()
}

/// What a task waits for, or why it ended, in one line.
pub(crate) fn reason(task: &Task) -> String {
    if let Some(reason) = task.stopped_reason.as_deref() {
        let code = task.stop_code.map_or("stopped", |code| code.as_str());
        return format!("{code}: {reason}");
    }
    match (task.last_status.as_deref(), task.desired_status.as_deref()) {
        (Some("PENDING"), Some("RUNNING")) => {
            "waits for its instance to pull the image and start the containers".to_owned()
        }
        (Some("RUNNING"), Some("STOPPED")) => "is being stopped".to_owned(),
        (Some(status), _) => status.to_ascii_lowercase(),
        (None, _) => String::new(),
    }
}

/// What is known of each container of a task, one line each.
pub(crate) fn containers(task: &Task) -> Vec<String> {
    task.containers
        .iter()
        .flatten()
        .map(|container| {
            let status = container.last_status.as_deref().unwrap_or("-");
            let code =
                container.exit_code.map(|code| format!("exit code {code}{}", exit_hint(code)));
            let known = [Some(status.to_owned()), code, container.reason.clone()];
            let known: Vec<String> = known.into_iter().flatten().collect();
            format!("container {}: {}", container.name.as_deref().unwrap_or("-"), known.join(", "))
        })
        .collect()
}

fn exit_hint(code: i32) -> &'static str {
    match code {
        126 => " (the command cannot be executed)",
        127 => " (the command was not found in the image)",
        137 => " (killed: out of memory, or it did not stop in time)",
        139 => " (crashed: segmentation fault)",
        143 => " (stopped by SIGTERM)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_wire::ecs::{Container, NetworkBinding};

    #[test]
    fn addresses_name_every_published_port() {
        let binding = |ip: &str, port| NetworkBinding {
            bind_ip: Some(ip.to_owned()),
            host_port: Some(port),
            ..NetworkBinding::default()
        };
        let container = Container {
            network_bindings: Some(vec![binding("127.0.1.1", 8080), binding("0.0.0.0", 9090)]),
            ..Container::default()
        };
        let task = Task { containers: Some(vec![container]), ..Task::default() };
        assert_eq!(addresses(&task), ["http://127.0.1.1:8080", "http://127.0.0.1:9090"]);
    }
}
