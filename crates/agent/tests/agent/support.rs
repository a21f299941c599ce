//! Agents and tasks for tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longshore_agent::runtime::{Behavior, Rule, SimulatedRuntime};
use longshore_agent::{Config, Credentials, PullBehavior, run_with};
use longshore_wire::agent::{Container, DockerConfig, Task};
use tokio::task::JoinHandle;

use crate::control_plane::{CLUSTER, ControlPlane};

/// A control plane and one agent with simulated containers.
pub(crate) struct Bench {
    pub(crate) control_plane: ControlPlane,
    pub(crate) runtime: SimulatedRuntime,
    pub(crate) dir: tempfile::TempDir,
    agent: Option<JoinHandle<()>>,
}

impl Bench {
    /// An agent whose images of the given names behave in the given ways; others are there and
    /// run until they are stopped.
    pub(crate) async fn start(behaviors: Vec<(&str, Behavior)>) -> Self {
        let named = behaviors
            .into_iter()
            .map(|(name, behavior)| Rule { image_prefix: name.to_owned(), behavior });
        let others = Rule {
            image_prefix: String::new(),
            behavior: Behavior { preloaded: true, ..Behavior::default() },
        };
        let runtime = SimulatedRuntime::new(named.chain([others]).collect());
        let control_plane = ControlPlane::start().await;
        let dir = tempfile::tempdir().expect("a directory");
        let mut bench = Self { control_plane, runtime, dir, agent: None };
        bench.start_agent();
        bench
    }

    pub(crate) fn start_agent(&mut self) {
        let config = config(self.control_plane.url(), self.dir.path());
        self.start_agent_with(config);
    }

    pub(crate) fn start_agent_with(&mut self, config: Config) {
        let runtime = Arc::new(self.runtime.clone());
        self.agent = Some(tokio::spawn(async move {
            run_with(config, runtime, std::future::pending()).await.expect("the agent runs");
        }));
    }

    /// Ends the agent as if its process were killed.
    pub(crate) async fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
            drop(agent.await);
        }
    }

    /// Runs one task of one container until a status is reported, and gives the report.
    pub(crate) async fn run_one(&self, image: &str, status: &str) -> serde_json::Value {
        let task = task(image, vec![container("main", image)]);
        let arn = task.arn.clone();
        self.control_plane.send_tasks(vec![task]).await;
        self.control_plane.reported(&arn, status).await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(agent) = &self.agent {
            agent.abort();
        }
    }
}

/// Settings for a test: everything is quick, nothing outside is touched.
pub(crate) fn config(url: &str, dir: &Path) -> Config {
    let credentials = Credentials {
        access_key_id: "AKIATEST".into(),
        secret_access_key: "secret".into(),
        session_token: None,
    };
    let mut config = Config::new(url, "us-east-1", credentials, "default", dir);
    config.pull = PullBehavior::PreferCached;
    config.endpoints = false;
    config.timeouts.stop = Duration::from_secs(1);
    config.timeouts.metrics = Duration::from_millis(200);
    config.timeouts.container_changes = Duration::from_millis(100);
    config
}

pub(crate) fn container(name: &str, image: &str) -> Container {
    Container {
        name: name.into(),
        image: image.into(),
        essential: true,
        cpu: 64,
        memory: 64,
        overrides: Some("{}".into()),
        container_arn: Some(format!("arn:aws:ecs:us-east-1:000000000000:container/{name}")),
        docker_config: DockerConfig {
            version: Some("1.21".into()),
            config: Some("{}".into()),
            host_config: Some(r#"{"NetworkMode":"bridge"}"#.into()),
        },
        ..Container::default()
    }
}

/// A task whose ARN ends with a name made from `name`.
pub(crate) fn task(name: &str, containers: Vec<Container>) -> Task {
    let id: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    Task {
        arn: format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}"),
        task_cluster_arn: Some(CLUSTER.into()),
        family: "test".into(),
        version: "1".into(),
        desired_status: "RUNNING".into(),
        network_mode: Some("bridge".into()),
        launch_type: Some("EC2".into()),
        containers,
        ..Task::default()
    }
}
