//! What users do: calls of the API, at random.

mod balancing;
mod daemons;
mod sets;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_agent::ApiError;
use longshore_agent::api::Api;
use longshore_wire::Operation;
use longshore_wire::codec::json as codec;
use longshore_wire::ecs::op;
use serde_json::{Value, json};

pub use balancing::DELAY;

use crate::cluster::Cluster;
use crate::images;
use crate::watcher::Watcher;
use crate::world;

/// Names that services may have.
const SERVICES: &[&str] = &["web", "api", "jobs", "log"];
/// Minimum and maximum percent of services: AWS's default, in place, in halves, and one that
/// allows no progress.
const BOUNDS: &[(u32, u32)] = &[(100, 200), (100, 200), (50, 100), (50, 150), (0, 100), (75, 125)];

/// A user of the API.
#[derive(Clone)]
pub struct User {
    api: Api,
    cluster: Cluster,
    watcher: Watcher,
    acknowledged: Arc<Mutex<Vec<String>>>,
    /// Target groups of services, where there is a balancer.
    groups: Arc<Mutex<BTreeMap<String, String>>>,
}

impl User {
    /// A user of `cluster`.
    pub fn new(cluster: &Cluster, watcher: &Watcher) -> Self {
        Self {
            api: cluster.client(),
            cluster: cluster.clone(),
            watcher: watcher.clone(),
            acknowledged: Arc::default(),
            groups: Arc::default(),
        }
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// ARNs of the tasks that RunTask has given out.
    pub fn acknowledged(&self) -> Vec<String> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls an operation. A refusal is part of the story; an answer that no user should see is
    /// a violation.
    pub async fn call<O: Operation>(&self, input: Value) -> Result<Value, ApiError> {
        let shown = shown(&input);
        let decoded = codec::decode(input.to_string().as_bytes(), longshore_wire::Peer::Client);
        let input: O::Input = decoded.expect("the input of a call has the operation's shape");
        let name = O::INFO.name;
        self.cluster.story.tell(format!("> {name} {shown}"));
        let result = self.api.call::<O>(&input).await;
        match result {
            Ok(output) => Ok(serde_json::from_slice(&codec::encode(&output)).unwrap_or_default()),
            Err(error) => {
                // One of several servers may be cut off from the store, or from the leader.
                let excused = self.cluster.servers.len() > 1 && error.is("ServerException");
                if let ApiError::Service { status: 500.., message, .. } = &error
                    && !excused
                {
                    self.watcher.report("no internal errors", format!("{name}: {message}"));
                }
                self.cluster.story.tell(format!("< {error}"));
                Err(error)
            }
        }
    }

    /// Calls an operation until it gets an answer.
    pub async fn insist<O: Operation>(&self, input: &Value) -> Value {
        loop {
            match self.call::<O>(input.clone()).await {
                Ok(output) => return output,
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// Registers every task definition.
    pub async fn prepare(&self) {
        for image in images::ALL {
            let mut definition = images::definition(image);
            if !self.cluster.balancers.is_empty() {
                images::publish(&mut definition);
            }
            self.insist::<op::RegisterTaskDefinition>(&definition).await;
        }
        self.prepare_balancer().await;
        self.prepare_daemons().await;
    }

    /// Does things until the run's faults are over.
    pub async fn work(&self) {
        loop {
            tokio::time::sleep(world::millis(50..5_000)).await;
            // Whatever a user is told, he goes on.
            let _ = self.act().await;
        }
    }

    async fn act(&self) -> Result<Value, ApiError> {
        let service = *world::one_of(SERVICES);
        match world::pick(0..25) {
            0..5 => self.create(service).await,
            5..8 => {
                let count = world::pick(0..5);
                let input = json!({"service": service, "desiredCount": count});
                self.call::<op::UpdateService>(input).await
            }
            8..11 => {
                let input = json!({"service": service, "taskDefinition": some_image()});
                self.call::<op::UpdateService>(input).await
            }
            11 => {
                let input = json!({"service": service, "forceNewDeployment": true});
                self.call::<op::UpdateService>(input).await
            }
            12 => {
                let input = json!({"service": service, "force": true});
                self.call::<op::DeleteService>(input).await
            }
            13 => self.stop_deployment(service).await,
            14..16 => self.run_task().await,
            16 => self.stop_task().await,
            17 => self.protect(service).await,
            18..20 => self.act_on_daemon().await,
            20..22 => self.act_on_sets().await,
            _ => self.drain_or_activate().await,
        }
    }

    async fn create(&self, service: &str) -> Result<Value, ApiError> {
        let mut input = json!({"serviceName": service, "taskDefinition": some_image()});
        if service == "log" {
            input["schedulingStrategy"] = json!("DAEMON");
            return self.call::<op::CreateService>(input).await;
        }
        let (min, max) = *world::one_of(BOUNDS);
        let breaker = json!({"enable": world::chance(2, 3), "rollback": world::chance(1, 2)});
        input["desiredCount"] = json!(world::pick(1..5));
        self.behind(service, &mut input);
        input["availabilityZoneRebalancing"] = json!("DISABLED");
        input["deploymentConfiguration"] = json!({
            "minimumHealthyPercent": min,
            "maximumPercent": max,
            "deploymentCircuitBreaker": breaker,
        });
        if max > 100 && world::chance(1, 2) {
            input["availabilityZoneRebalancing"] = json!("ENABLED");
        }
        self.call::<op::CreateService>(input).await
    }

    async fn run_task(&self) -> Result<Value, ApiError> {
        let token = format!("{:032x}", world::bits());
        let input = json!({"taskDefinition": some_image(), "count": world::pick(1..4),
            "clientToken": token});
        let output = self.call::<op::RunTask>(input).await?;
        let tasks = output["tasks"].as_array().into_iter().flatten();
        let arns = tasks.filter_map(|task| task["taskArn"].as_str().map(str::to_owned));
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).extend(arns);
        Ok(output)
    }

    async fn stop_task(&self) -> Result<Value, ApiError> {
        let Some(task) = self.some_task(|_| true) else { return Ok(Value::Null) };
        self.call::<op::StopTask>(json!({"task": task})).await
    }

    async fn protect(&self, service: &str) -> Result<Value, ApiError> {
        let Some(task) = self.some_task(|of| of == Some(service)) else { return Ok(Value::Null) };
        let on = world::chance(1, 2);
        let mut input = json!({"cluster": "default", "tasks": [task], "protectionEnabled": on});
        if on {
            input["expiresInMinutes"] = json!(world::pick(1..4));
        }
        self.call::<op::UpdateTaskProtection>(input).await
    }

    /// A task that should run.
    fn some_task(&self, of: impl Fn(Option<&str>) -> bool) -> Option<String> {
        let view = self.watcher.view();
        let tasks: Vec<String> = view
            .tasks
            .iter()
            .filter(|task| !task.is_stopped() && of(task.service()))
            .map(|task| task.id.to_string())
            .collect();
        (!tasks.is_empty()).then(|| world::one_of(&tasks).clone())
    }

    async fn stop_deployment(&self, service: &str) -> Result<Value, ApiError> {
        let input = json!({"service": service, "status": ["IN_PROGRESS", "PENDING"]});
        let listed = self.call::<op::ListServiceDeployments>(input).await?;
        let Some(arn) = listed["serviceDeployments"][0]["serviceDeploymentArn"].as_str() else {
            return Ok(Value::Null);
        };
        let input = json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"});
        self.call::<op::StopServiceDeployment>(input).await
    }

    async fn drain_or_activate(&self) -> Result<Value, ApiError> {
        let view = self.watcher.view();
        let rows = view.container_instances.iter().filter(|row| row.deregistered_at.is_none());
        let instances: Vec<String> = rows.map(|row| row.id.to_string()).collect();
        if instances.is_empty() {
            return Ok(Value::Null);
        }
        let instance = world::one_of(&instances).clone();
        if world::chance(1, 8) {
            let input = json!({"containerInstance": instance, "force": true});
            return self.call::<op::DeregisterContainerInstance>(input).await;
        }
        let status = if world::chance(1, 3) { "DRAINING" } else { "ACTIVE" };
        let input = json!({"containerInstances": [instance], "status": status});
        self.call::<op::UpdateContainerInstancesState>(input).await
    }

    /// Ends what only a user would end: drained instances take tasks again.
    pub async fn tidy(&self) {
        let view = self.watcher.view();
        for row in view.container_instances.iter().filter(|row| row.deregistered_at.is_none()) {
            let input = json!({"containerInstances": [row.id.to_string()], "status": "ACTIVE"});
            self.insist::<op::UpdateContainerInstancesState>(&input).await;
        }
    }
}

/// Mostly an image that works.
fn some_image() -> &'static str {
    let any: &&str = world::one_of(images::ALL);
    if world::chance(1, 2) { images::GOOD } else { any }
}

/// An input on one line, without the quotes of JSON.
fn shown(input: &Value) -> String {
    let members = input.as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    members.map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
}
