//! The TCS session: telemetry of one agent. Metrics are acknowledged and go nowhere yet; health goes
//! to the store when it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use longshore_domain::ids::{Arn, Resource};
use longshore_domain::lifecycle;
use longshore_domain::record::HealthStatus;
use longshore_store::tables::{ContainerInstanceKey, TaskKey};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::agent::{
    AckMessage, HeartbeatMessage, PublishHealthRequest, TaskHealth, TcsToAgent, TcsToServer,
    split_signed_frame,
};
use tokio_tungstenite::tungstenite::Message;

use super::opener::Opener;
use super::{Hello, Socket, expire};
use crate::{Server, clock};

/// How often we prove to be alive; the agent gives up after 60 to 120 seconds of silence.
const HEARTBEAT: Duration = Duration::from_secs(25);

/// Type of the frames that carry metrics.
const METRICS: &str = "PublishMetricsRequest";

/// Runs a telemetry session to its end.
pub(super) async fn run(server: Arc<Server>, hello: Hello, mut opener: Opener, mut socket: Socket) {
    let mut shutdown = server.members.closing();
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    server.metrics.telemetry_sessions.inc();
    loop {
        let frame = tokio::select! {
            biased;
            () = crate::stopped(&mut shutdown) => break,
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => Some(text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => continue,
            },
            _ = heartbeat.tick() => None,
        };
        if let Err(lost) = opener.check(&server, &hello.key, clock::now()) {
            tracing::info!(instance = %hello.key.id, %lost, "telemetry is not taken any more");
            Box::pin(expire(&mut socket)).await;
            break;
        }
        let answer = if let Some(text) = frame {
            // Boxed, so that a session that waits is small.
            Box::pin(received(&server, &hello.key, text.as_str())).await
        } else {
            let message_id = Some(clock::uuid());
            Some(TcsToAgent::Heartbeat(HeartbeatMessage { healthy: true, message_id }))
        };
        if let Some(answer) = answer
            && socket.send(Message::text(answer.encode())).await.is_err()
        {
            break;
        }
    }
    server.metrics.telemetry_sessions.dec();
    tracing::debug!(instance = %hello.key.id, "telemetry session ended");
}

async fn received(
    server: &Server,
    instance: &ContainerInstanceKey,
    frame: &str,
) -> Option<TcsToAgent> {
    server.metrics.telemetry_frames.inc();
    let ack = AckMessage { message: "ok".to_owned() };
    let (_, envelope) = split_signed_frame(frame);
    // Most frames are metrics, which nobody here reads.
    if TcsToServer::type_of(envelope).is_ok_and(|kind| kind == METRICS) {
        return Some(TcsToAgent::AckPublishMetric(ack));
    }
    match TcsToServer::decode(envelope) {
        Ok(TcsToServer::PublishMetrics(_)) => Some(TcsToAgent::AckPublishMetric(ack)),
        Ok(TcsToServer::PublishHealth(health)) => {
            if let Err(error) = keep_health(server, instance, health).await {
                tracing::warn!(%error, "cannot record the health of containers");
            }
            Some(TcsToAgent::AckPublishHealth(ack))
        }
        Ok(TcsToServer::PublishInstanceStatus(_)) => {
            Some(TcsToAgent::AckPublishInstanceStatus(ack))
        }
        Ok(TcsToServer::Unknown(kind)) => {
            tracing::debug!(kind, "unknown telemetry");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "unreadable telemetry");
            None
        }
    }
}

/// Keeps what an agent says of the health of its own tasks; of those of others it has nothing to say.
async fn keep_health(
    server: &Server,
    instance: &ContainerInstanceKey,
    report: PublishHealthRequest,
) -> Result<(), ServiceError> {
    let tasks: BTreeMap<String, Vec<(String, HealthStatus)>> =
        report.tasks.into_iter().map(health_of).collect();
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
        for (arn, health) in &tasks {
            let Ok(Arn { scope, resource: Resource::Task(cluster, id) }) = arn.parse() else {
                continue;
            };
            let within = scope == instance.scope && cluster == instance.cluster;
            let row = view.tasks.get(&TaskKey { scope, cluster, id });
            let own = row.filter(|row| within && row.instance == instance.id);
            let Some(row) = own else { continue };
            if let Some(next) = lifecycle::measured(row, health) {
                txn.update(row, &next);
            }
        }
        Ok(())
    };
    // Health comes time and again; what this server has not seen yet comes with the next report.
    server.decide_as_seen(decide).await
}

fn health_of(task: TaskHealth) -> (String, Vec<(String, HealthStatus)>) {
    let containers = task.containers.into_iter().map(|container| {
        let health = match container.health_status.as_str() {
            "HEALTHY" => HealthStatus::Healthy,
            "UNHEALTHY" => HealthStatus::Unhealthy,
            _ => HealthStatus::Unknown,
        };
        (container.container_name, health)
    });
    (task.task_arn, containers.collect())
}

#[cfg(test)]
mod tests {
    use longshore_wire::agent::ContainerHealth;
    use serde_json::json;

    use super::*;
    use crate::test_server;

    fn arn_of(text: &str) -> Arn {
        text.parse().expect("an ARN")
    }

    #[tokio::test]
    async fn an_agent_tells_the_health_of_its_own_tasks_only() {
        let server = test_server::server().await;
        let own = test_server::add_instance(&server, 1024).await;
        let other = test_server::add_instance(&server, 1024).await;
        let input = json!({"taskDefinition": "web", "containerInstances": [own]});
        let started = test_server::ask(&server, "StartTask", input).await.expect("a task");
        let task = started["tasks"][0]["taskArn"].as_str().expect("an ARN").to_owned();
        let health = || {
            let Arn { scope, resource: Resource::Task(cluster, id) } = arn_of(&task) else {
                panic!("{task}")
            };
            let view = server.state.view();
            let row = view.tasks.get(&TaskKey { scope, cluster, id }).expect("the task");
            row.observed.containers[0].health
        };
        for (instance, expected) in [(other, HealthStatus::Unknown), (own, HealthStatus::Unhealthy)]
        {
            let Arn { scope, resource: Resource::ContainerInstance(cluster, id) } =
                arn_of(&instance)
            else {
                panic!("{instance}")
            };
            let key = ContainerInstanceKey { scope, cluster, id };
            let container = ContainerHealth {
                container_name: "main".to_owned(),
                health_status: "UNHEALTHY".to_owned(),
                status_since: None,
            };
            let told = TaskHealth {
                task_arn: task.clone(),
                containers: vec![container],
                ..TaskHealth::default()
            };
            let report =
                PublishHealthRequest { tasks: vec![told], ..PublishHealthRequest::default() };
            keep_health(&server, &key, report).await.expect("the store works");
            assert_eq!(health(), expected);
        }
    }
}
