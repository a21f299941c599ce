//! Orders to a hollow agent: what each ACS message does, and how it is answered, as the engine of a
//! real agent does it.

use std::sync::Arc;

use longshore_wire::agent::{
    AckRequest, AcsToAgent, AcsToServer, HeartbeatAckRequest, IamRoleCredentialsAckRequest,
    NackRequest, PayloadMessage, RoleCredentials, TaskIdentifier, TaskManifestMessage,
    TaskStopVerificationMessage, UnreadableTask,
};
use tokio::task::JoinSet;

use super::instance::Instance;
use super::task::{self, Task};

/// Official text for a task that cannot be stopped because there is nothing to stop.
const NOTHING_TO_STOP: &str = "TaskStateError: Agent could not progress task's state to stopped";

/// What an agent remembers of the orders so far.
pub(super) struct Orders {
    instance: Arc<Instance>,
    latest_seq_num: i64,
}

impl Orders {
    pub(super) fn new(instance: Arc<Instance>) -> Self {
        Self { instance, latest_seq_num: 0 }
    }

    /// Obeys a message and answers it; the lives of new tasks go to `lives`.
    pub(super) fn answer(
        &mut self,
        message: AcsToAgent,
        lives: &mut JoinSet<()>,
    ) -> Vec<AcsToServer> {
        match message {
            AcsToAgent::Heartbeat(heartbeat) => {
                let id = heartbeat.message_id.into_iter();
                let ack =
                    |message_id| AcsToServer::HeartbeatAck(HeartbeatAckRequest { message_id });
                id.map(ack).collect()
            }
            AcsToAgent::Payload(payload) => self.payload(payload, lives),
            AcsToAgent::TaskManifest(manifest) => self.manifest(manifest),
            AcsToAgent::TaskStopVerificationAck(verified) => {
                for task in verified.stop_tasks {
                    self.instance.stop(&task.task_arn);
                }
                Vec::new()
            }
            AcsToAgent::IamRoleCredentials(message) if self.instance.knows(&message.task_arn) => {
                vec![ack_role(&message.message_id, &message.role_credentials)]
            }
            AcsToAgent::StageUpdate(update) | AcsToAgent::PerformUpdate(update) => {
                nack(update.message_id, update.cluster_arn, update.container_instance_arn)
            }
            AcsToAgent::AttachTaskNetworkInterfaces(message)
            | AcsToAgent::AttachInstanceNetworkInterfaces(message) => {
                nack(message.message_id, message.cluster_arn, message.container_instance_arn)
            }
            AcsToAgent::ConfirmAttachment(message) => {
                nack(message.message_id, message.cluster_arn, message.container_instance_arn)
            }
            AcsToAgent::IamRoleCredentials(_)
            | AcsToAgent::Close(_)
            | AcsToAgent::Error(_)
            | AcsToAgent::Unknown(_) => Vec::new(),
        }
    }

    fn payload(&mut self, payload: PayloadMessage, lives: &mut JoinSet<()>) -> Vec<AcsToServer> {
        let ids = [&payload.message_id, &payload.cluster_arn, &payload.container_instance_arn];
        if ids.iter().any(|id| id.is_empty()) {
            return Vec::new();
        }
        let mut answers = Vec::new();
        let all_good = payload.unreadable.is_empty();
        for UnreadableTask { arn, error } in payload.unreadable {
            let reason = format!("UnrecogniedTaskError: Error loading task - {error}");
            if let Some(arn) = arn {
                lives.spawn(task::refuse(Arc::clone(&self.instance), arn, reason));
            }
        }
        let (stops, starts): (Vec<_>, Vec<_>) =
            payload.tasks.into_iter().partition(|task| task.desired_status == "STOPPED");
        for order in stops {
            if !self.instance.stop(&order.arn) {
                let reason = NOTHING_TO_STOP.to_owned();
                lives.spawn(task::refuse(Arc::clone(&self.instance), order.arn, reason));
            }
        }
        for mut order in starts {
            let roles = [order.role_credentials.take(), order.execution_role_credentials.take()];
            answers.extend(roles.iter().flatten().map(|role| ack_role(&payload.message_id, role)));
            let task = Arc::new(Task::new(order));
            if self.instance.accept(&task) {
                lives.spawn(task::live(Arc::clone(&self.instance), task));
            }
        }
        self.latest_seq_num = self.latest_seq_num.max(payload.seq_num);
        // One that cannot be read leaves the whole message without acknowledgement.
        if all_good {
            answers.push(AcsToServer::Ack(AckRequest {
                cluster: payload.cluster_arn,
                container_instance: payload.container_instance_arn,
                message_id: payload.message_id,
            }));
        }
        answers
    }

    /// Asks about the tasks that should not run.
    fn manifest(&mut self, manifest: TaskManifestMessage) -> Vec<AcsToServer> {
        if manifest.timeline <= self.latest_seq_num {
            return Vec::new();
        }
        self.latest_seq_num = manifest.timeline;
        let listed = |arn: &str| {
            let mut tasks = manifest.tasks.iter();
            tasks.any(|task| task.task_arn == arn && task.desired_status == "RUNNING")
        };
        let live = self.instance.live().into_iter().filter(|live| !live.stopping);
        let stop_candidates: Vec<TaskIdentifier> = live
            .filter(|live| !listed(&live.task.arn))
            .map(|live| TaskIdentifier {
                task_arn: live.task.arn.to_string(),
                task_cluster_arn: live.task.cluster_arn.clone().unwrap_or_default(),
                desired_status: "STOPPED".to_owned(),
            })
            .collect();
        let message_id = manifest.message_id;
        let mut answers = vec![AcsToServer::Ack(AckRequest {
            cluster: manifest.cluster_arn,
            container_instance: manifest.container_instance_arn,
            message_id: message_id.clone(),
        })];
        if !stop_candidates.is_empty() {
            let question = TaskStopVerificationMessage { message_id, stop_candidates };
            answers.push(AcsToServer::TaskStopVerification(question));
        }
        answers
    }
}

fn ack_role(message_id: &str, role: &RoleCredentials) -> AcsToServer {
    AcsToServer::IamRoleCredentialsAck(IamRoleCredentialsAckRequest {
        message_id: message_id.to_owned(),
        expiration: role.expiration.clone(),
        credentials_id: role.credentials_id.clone(),
    })
}

fn nack(message_id: String, cluster: String, container_instance: String) -> Vec<AcsToServer> {
    let reason = "Updates are disabled".to_owned();
    vec![AcsToServer::Nack(NackRequest { cluster, container_instance, message_id, reason })]
}
