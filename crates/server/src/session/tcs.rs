//! The TCS session: telemetry of one agent. Metrics are acknowledged and go nowhere yet; health goes
//! to the store when it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use longshore_domain::ids::{Arn, Resource};
use longshore_domain::lifecycle;
use longshore_domain::record::HealthStatus;
use longshore_store::tables::TaskKey;
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
            Box::pin(received(&server, text.as_str())).await
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

async fn received(server: &Server, frame: &str) -> Option<TcsToAgent> {
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
            if let Err(error) = keep_health(server, health).await {
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

async fn keep_health(server: &Server, report: PublishHealthRequest) -> Result<(), ServiceError> {
    let tasks: BTreeMap<String, Vec<(String, HealthStatus)>> =
        report.tasks.into_iter().map(health_of).collect();
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
        for (arn, health) in &tasks {
            let Ok(Arn { scope, resource: Resource::Task(cluster, id) }) = arn.parse() else {
                continue;
            };
            let Some(row) = view.tasks.get(&TaskKey { scope, cluster, id }) else { continue };
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
