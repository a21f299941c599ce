//! The attributes that a task definition requires of an instance (AWS's `requiresAttributes`).
//!
//! Derived from the registered document once, when it is registered. ECS does not document the
//! list; these rules agree with answers of DescribeTaskDefinition that people have published
//! (`attributes/tests.rs`). Where a rule speaks of a member being set, an empty list or object
//! counts as set, as it does for ECS. Amounts (CPU, memory, GPUs) are resources, not attributes.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::record::Document;

/// Member that counts by being there.
type Set = Option<IgnoredAny>;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TaskView {
    container_definitions: Option<Vec<ContainerView>>,
    volumes: Option<Vec<VolumeView>>,
    network_mode: Option<String>,
    task_role_arn: Option<String>,
    execution_role_arn: Option<String>,
    pid_mode: Option<String>,
    ipc_mode: Option<String>,
    proxy_configuration: Set,
    inference_accelerators: Option<Vec<IgnoredAny>>,
    enable_fault_injection: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerView {
    image: Option<String>,
    port_mappings: Option<Vec<PortView>>,
    memory_reservation: Set,
    links: Set,
    hostname: Set,
    user: Set,
    working_directory: Set,
    disable_networking: Set,
    privileged: Option<bool>,
    readonly_root_filesystem: Set,
    dns_servers: Set,
    dns_search_domains: Set,
    extra_hosts: Set,
    docker_labels: Set,
    ulimits: Set,
    docker_security_options: Option<Vec<String>>,
    linux_parameters: Option<LinuxView>,
    system_controls: Option<Vec<IgnoredAny>>,
    log_configuration: Option<LogView>,
    secrets: Option<Vec<SecretView>>,
    repository_credentials: Set,
    health_check: Option<HealthView>,
    environment_files: Option<Vec<IgnoredAny>>,
    depends_on: Option<Vec<IgnoredAny>>,
    start_timeout: Set,
    stop_timeout: Set,
    firelens_configuration: Option<FirelensView>,
    restart_policy: Option<RestartView>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PortView {
    container_port_range: Set,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LinuxView {
    init_process_enabled: Option<bool>,
    shared_memory_size: Set,
    tmpfs: Option<Vec<IgnoredAny>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogView {
    log_driver: String,
    options: Option<BTreeMap<String, String>>,
    secret_options: Option<Vec<SecretView>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretView {
    value_from: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HealthView {
    start_period: Set,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FirelensView {
    r#type: String,
    options: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RestartView {
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeView {
    efs_volume_configuration: Set,
    docker_volume_configuration: Option<DockerVolumeView>,
    configured_at_launch: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerVolumeView {
    driver: Option<String>,
}

/// Names in two families, collected without repeats.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    /// `com.amazonaws.ecs.capability.NAME`
    fn agent(&mut self, name: &str) {
        self.0.insert(format!("com.amazonaws.ecs.capability.{name}"));
    }

    /// `ecs.capability.NAME`
    fn capability(&mut self, name: &str) {
        self.0.insert(format!("ecs.capability.{name}"));
    }

    /// Docker's API in at least version `1.MINOR`.
    fn docker(&mut self, minor: u8) {
        self.agent(&format!("docker-remote-api.1.{minor}"));
    }
}

/// The attributes that tasks of a registered definition require, sorted by name.
///
/// # Errors
/// The parser's message, when the document is not a task definition.
pub fn required_attributes(
    document: &Document,
) -> Result<Vec<(String, Option<String>)>, serde_json::Error> {
    let task: TaskView = serde_json::from_str(document.as_str())?;
    let mut names = Names::default();
    task_level(&task, &mut names);
    for container in task.container_definitions.iter().flatten() {
        docker_levels(container, &mut names);
        images_and_logs(&task, container, &mut names);
        capabilities(container, &mut names);
    }
    Ok(names.0.into_iter().map(|name| (name, None)).collect())
}

fn task_level(task: &TaskView, names: &mut Names) {
    let network_mode = task.network_mode.as_deref();
    if network_mode == Some("awsvpc") {
        names.capability("task-eni");
        names.docker(18);
    }
    if task.task_role_arn.is_some() {
        let host = network_mode == Some("host");
        names.agent(if host { "task-iam-role-network-host" } else { "task-iam-role" });
    }
    if task.pid_mode.is_some() || task.ipc_mode.is_some() {
        names.capability("pid-ipc-namespace-sharing");
    }
    if task.ipc_mode.as_deref() == Some("none") {
        names.docker(32);
    }
    if task.proxy_configuration.is_some() {
        names.capability("aws-appmesh");
    }
    if task.inference_accelerators.iter().flatten().next().is_some() {
        names.capability("task-eia");
    }
    if task.enable_fault_injection == Some(true) {
        names.capability("fault-injection");
    }
    for volume in task.volumes.iter().flatten() {
        if volume.efs_volume_configuration.is_some() {
            names.capability("efs");
            names.capability("efsAuth");
            names.docker(25);
        }
        if let Some(docker) = &volume.docker_volume_configuration {
            let driver = docker.driver.as_deref().unwrap_or("local");
            names.capability(&format!("docker-plugin.{driver}"));
            names.docker(25);
        }
        if volume.configured_at_launch == Some(true) {
            names.capability("storage.ebs-task-volume-attach");
        }
    }
}

/// Members by the version of Docker's API that brought them.
fn docker_levels(container: &ContainerView, names: &mut Names) {
    let launch_day = [
        &container.links,
        &container.hostname,
        &container.user,
        &container.working_directory,
        &container.disable_networking,
        &container.readonly_root_filesystem,
        &container.dns_servers,
        &container.dns_search_domains,
        &container.extra_hosts,
    ];
    if launch_day.iter().any(|member| member.is_some()) || container.privileged.is_some() {
        names.docker(17);
    }
    if container.docker_labels.is_some() || container.ulimits.is_some() {
        names.docker(18);
    }
    if container.memory_reservation.is_some() {
        names.docker(21);
    }
    if let Some(linux) = &container.linux_parameters {
        if linux.shared_memory_size.is_some() || linux.tmpfs.is_some() {
            names.docker(22);
        }
        if linux.init_process_enabled == Some(true) {
            names.docker(25);
        }
    }
    for option in container.docker_security_options.iter().flatten() {
        match option.split(':').next() {
            Some("label") => names.agent("selinux"),
            Some("apparmor") => names.agent("apparmor"),
            Some("no-new-privileges") => names.docker(23),
            _ => {}
        }
    }
    if container.system_controls.iter().flatten().next().is_some() {
        names.docker(24);
    }
    if let Some(check) = &container.health_check {
        names.capability("container-health-check");
        names.docker(24);
        if check.start_period.is_some() {
            names.docker(29);
        }
    }
}

fn images_and_logs(task: &TaskView, container: &ContainerView, names: &mut Names) {
    if container.image.as_deref().is_some_and(is_ecr) {
        names.agent("ecr-auth");
        if task.execution_role_arn.is_some() {
            names.capability("execution-role-ecr-pull");
        }
    }
    if container.repository_credentials.is_some() {
        names.capability("private-registry-authentication.secretsmanager");
    }
    let Some(log) = &container.log_configuration else { return };
    names.agent(&format!("logging-driver.{}", log.log_driver));
    match log.log_driver.as_str() {
        "json-file" | "syslog" => names.docker(18),
        "awslogs" | "awsfirelens" | "journald" => names.docker(19),
        "gelf" | "fluentd" => names.docker(20),
        "splunk" => names.docker(22),
        _ => {}
    }
    let option = |name: &str| log.options.as_ref().is_some_and(|o| o.contains_key(name));
    if option("mode") || option("max-buffer-size") {
        names.docker(28);
    }
    if log.log_driver == "awslogs" {
        if task.execution_role_arn.is_some() {
            names.capability("execution-role-awslogs");
        }
        if option("awslogs-create-group") {
            names.docker(29);
        }
    }
    for secret in log.secret_options.iter().flatten() {
        names.capability(&format!("secrets.{}.bootstrap.log-driver", secret.store()));
    }
}

fn capabilities(container: &ContainerView, names: &mut Names) {
    if container.privileged == Some(true) {
        names.agent("privileged-container");
    }
    for secret in container.secrets.iter().flatten() {
        names.capability(&format!("secrets.{}.environment-variables", secret.store()));
    }
    if container.environment_files.iter().flatten().next().is_some() {
        names.capability("env-files.s3");
    }
    let waits = container.depends_on.iter().flatten().next().is_some();
    if waits || container.start_timeout.is_some() || container.stop_timeout.is_some() {
        names.capability("container-ordering");
    }
    if let Some(firelens) = &container.firelens_configuration {
        names.capability(&format!("firelens.{}", firelens.r#type));
        let file = firelens.options.as_ref().and_then(|o| o.get("config-file-type"));
        if let Some(kind) = file {
            names.capability(&format!("firelens.options.config.{kind}"));
        }
    }
    if container.restart_policy.as_ref().is_some_and(|policy| policy.enabled == Some(true)) {
        names.capability("container-restart-policy");
    }
    if container.port_mappings.iter().flatten().any(|port| port.container_port_range.is_some()) {
        names.capability("network.container-port-range");
    }
}

impl SecretView {
    /// Where the value comes from: Secrets Manager by its ARN, else Systems Manager.
    fn store(&self) -> &'static str {
        let service = self.value_from.split(':').nth(2);
        if service == Some("secretsmanager") { "asm" } else { "ssm" }
    }
}

/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME`, with the domains of other partitions.
fn is_ecr(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    let account = host.split('.').next().unwrap_or_default();
    account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && (host.contains(".dkr.ecr.") || host.contains(".dkr-ecr."))
}
