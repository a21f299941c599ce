//! Orders of the control plane: what each ACS message does, and how it is answered.

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use longshore_domain::task::{Event as TaskEvent, Phase, Reason, TaskState};
use longshore_wire::agent::{
    AckRequest, AcsToAgent, AcsToServer, HeartbeatAckRequest, IamRoleCredentialsAckRequest,
    IamRoleCredentialsMessage, NackRequest, PayloadMessage, RoleCredentials, RoleType, Task,
    TaskIdentifier, TaskManifestMessage, TaskStopVerificationMessage, UnreadableTask,
    UpdateMessage,
};
use longshore_wire::ecs;
use tokio::sync::oneshot;

use super::{Engine, Entry, TaskKey, outbox};
use crate::record::TaskRecord;
use crate::session::acs::Order;
use crate::store;
use crate::{clock, task};

/// Official text for a task that cannot be stopped because there is nothing to stop.
const NOTHING_TO_STOP: &str = "Agent could not progress task's state to stopped";

impl Engine {
    pub(super) fn order(&mut self, Order { message, reply }: Order) {
        let answers = match message {
            AcsToAgent::Heartbeat(heartbeat) => heartbeat
                .message_id
                .map(|message_id| HeartbeatAckRequest { message_id })
                .map(AcsToServer::HeartbeatAck)
                .into_iter()
                .collect(),
            AcsToAgent::Payload(payload) => return self.payload(payload, reply),
            AcsToAgent::TaskManifest(manifest) => self.manifest(&manifest),
            AcsToAgent::TaskStopVerificationAck(verified) => {
                for task in verified.stop_tasks {
                    self.stop_task(&task.task_arn);
                }
                Vec::new()
            }
            AcsToAgent::IamRoleCredentials(message) => self.credentials(message),
            AcsToAgent::StageUpdate(update) | AcsToAgent::PerformUpdate(update) => nack(update),
            AcsToAgent::AttachTaskNetworkInterfaces(message)
            | AcsToAgent::AttachInstanceNetworkInterfaces(message) => {
                tracing::warn!("this machine has no elastic network interfaces to attach");
                nack(UpdateMessage {
                    message_id: message.message_id,
                    cluster_arn: message.cluster_arn,
                    container_instance_arn: message.container_instance_arn,
                    update_info: None,
                })
            }
            AcsToAgent::ConfirmAttachment(message) => {
                tracing::warn!("this machine has no block devices to attach");
                nack(UpdateMessage {
                    message_id: message.message_id,
                    cluster_arn: message.cluster_arn,
                    container_instance_arn: message.container_instance_arn,
                    update_info: None,
                })
            }
            AcsToAgent::Close(close) => {
                tracing::info!(close.message, "the control plane closes the session");
                Vec::new()
            }
            AcsToAgent::Error(error) => {
                tracing::warn!(error.message, "the control plane reports an error");
                Vec::new()
            }
            AcsToAgent::Unknown(name) => {
                tracing::warn!(name, "a message of an unknown type");
                Vec::new()
            }
        };
        // The session may have ended.
        drop(reply.send(answers));
    }

    fn payload(&mut self, payload: PayloadMessage, reply: oneshot::Sender<Vec<AcsToServer>>) {
        let ids = [&payload.message_id, &payload.cluster_arn, &payload.container_instance_arn];
        if ids.iter().any(|id| id.is_empty()) {
            tracing::warn!("a payload without message id, cluster or container instance");
            drop(reply.send(Vec::new()));
            return;
        }
        let mut answers = Vec::new();
        let mut all_good = payload.unreadable.is_empty();
        for bad in &payload.unreadable {
            self.refuse_unreadable(bad);
        }
        let (stops, starts): (Vec<Task>, Vec<Task>) =
            payload.tasks.into_iter().partition(|task| task.desired_status == "STOPPED");
        for task in stops {
            if self.tasks.contains_key(task.arn.as_str()) {
                self.stop_task(&task.arn);
            } else {
                self.refuse_stop(&task);
            }
        }
        let mut files = Vec::new();
        for mut task in starts {
            let roles = [task.role_credentials.take(), task.execution_role_credentials.take()];
            let acks = roles.iter().flatten().map(|role| ack_role(&payload.message_id, role));
            let acks: Vec<AcsToServer> = acks.collect();
            let [role, execution_role] = roles;
            (task.role_credentials, task.execution_role_credentials) =
                (role.clone(), execution_role.clone());
            let key: TaskKey = task.arn.as_str().into();
            if self.tasks.contains_key(&key) {
                self.set_roles(&key, role, execution_role);
            } else {
                match self.accept(&key, task, role, execution_role) {
                    Ok(file) => files.push(file),
                    Err(()) => all_good = false,
                }
            }
            answers.extend(acks);
        }
        self.note_seq_num(payload.seq_num);
        if all_good {
            answers.push(AcsToServer::Ack(AckRequest {
                cluster: payload.cluster_arn,
                container_instance: payload.container_instance_arn,
                message_id: payload.message_id,
            }));
        }
        self.save();
        if files.is_empty() {
            drop(reply.send(answers));
        } else {
            answer_when_kept(self.store.sync(files), answers, reply);
        }
    }

    /// Takes a new task into care and gives the file that it is kept in.
    fn accept(
        &mut self,
        key: &TaskKey,
        task: Task,
        role: Option<RoleCredentials>,
        execution_role: Option<RoleCredentials>,
    ) -> Result<String, ()> {
        let spec = match task::spec(&task, &self.hands.config) {
            Ok(spec) => spec,
            Err(reason) => {
                self.report_refused(&task, Some(&reason));
                // A task that was understood and cannot run is no fault of the message.
                return Err(()).or_else(|()| match reason.error.as_str() {
                    "UnrecogniedTaskError" => Err(()),
                    _ => Ok(store::task_file(&task.arn)),
                });
            }
        };
        tracing::info!(task = %key, family = task.family, version = task.version, "accepted");
        let state = TaskState::new(&spec);
        let mut entry = Entry::new(TaskRecord::new(task, state, clock::now()), spec);
        (entry.role, entry.execution_role) = (role, execution_role);
        self.route(&entry.record);
        let file = store::task_file(key);
        self.tasks.insert(Arc::clone(key), entry);
        self.warn_if_full();
        self.advance(key, TaskEvent::Accepted);
        Ok(file)
    }

    fn stop_task(&mut self, arn: &str) {
        let key: TaskKey = arn.into();
        self.advance(&key, TaskEvent::StopRequested);
    }

    fn set_roles(
        &mut self,
        key: &TaskKey,
        role: Option<RoleCredentials>,
        execution_role: Option<RoleCredentials>,
    ) {
        if let Some(entry) =
            self.tasks.get_mut(key).filter(|entry| !entry.record.state.is_stopped())
        {
            entry.role = role.or(entry.role.take());
            entry.execution_role = execution_role.or(entry.execution_role.take());
        }
    }

    fn credentials(&mut self, message: IamRoleCredentialsMessage) -> Vec<AcsToServer> {
        let key: TaskKey = message.task_arn.as_str().into();
        if !self.tasks.contains_key(&key) {
            return Vec::new();
        }
        let ack = ack_role(&message.message_id, &message.role_credentials);
        let fresh = Some(message.role_credentials);
        match message.role_type {
            RoleType::TaskExecution => self.set_roles(&key, None, fresh),
            RoleType::TaskApplication | RoleType::Other(_) => self.set_roles(&key, fresh, None),
        }
        vec![ack]
    }

    /// Compares what should run with what does, and asks before anything is stopped.
    fn manifest(&mut self, manifest: &TaskManifestMessage) -> Vec<AcsToServer> {
        if manifest.timeline <= self.instance.latest_seq_num {
            return Vec::new();
        }
        self.note_seq_num(manifest.timeline);
        let mut answers = vec![AcsToServer::Ack(AckRequest {
            cluster: manifest.cluster_arn.clone(),
            container_instance: manifest.container_instance_arn.clone(),
            message_id: manifest.message_id.clone(),
        })];
        let listed = |arn: &str| {
            manifest
                .tasks
                .iter()
                .any(|task| task.task_arn == arn && task.desired_status == "RUNNING")
        };
        let candidates: Vec<TaskIdentifier> = self
            .tasks
            .iter()
            .filter(|(key, entry)| entry.is_running() && !listed(key))
            .map(|(key, entry)| TaskIdentifier {
                task_arn: key.to_string(),
                task_cluster_arn: entry.record.task.task_cluster_arn.clone().unwrap_or_default(),
                desired_status: "STOPPED".to_owned(),
            })
            .collect();
        // Their ends were told to a control plane that was restored from an older backup since.
        let forgotten = |entry: &Entry| entry.record.sent.phase == Some(Phase::Stopped);
        let ended: Vec<TaskKey> = self
            .tasks
            .iter()
            .filter(|(key, entry)| forgotten(entry) && listed(key))
            .map(|(key, _)| Arc::clone(key))
            .collect();
        for key in &ended {
            self.repeat_end(key);
        }
        if !candidates.is_empty() {
            answers.push(AcsToServer::TaskStopVerification(TaskStopVerificationMessage {
                message_id: manifest.message_id.clone(),
                stop_candidates: candidates,
            }));
        }
        answers
    }

    fn note_seq_num(&mut self, number: i64) {
        if number > self.instance.latest_seq_num {
            self.instance.latest_seq_num = number;
            if let Err(error) = self.store.save_instance(&self.instance) {
                tracing::error!(%error, "cannot keep the number of the newest message on disk");
            }
        }
    }

    fn refuse_unreadable(&self, bad: &UnreadableTask) {
        tracing::warn!(task = bad.arn, bad.error, "a task cannot be read");
        let Some(arn) = bad.arn.clone() else { return };
        let text = format!("Error loading task - {}", bad.error);
        let task = Task { arn, ..Task::default() };
        self.report_refused(&task, Some(&Reason::new("UnrecogniedTaskError", text)));
    }

    /// Answers an order to stop a task that is not here.
    fn refuse_stop(&self, task: &Task) {
        let nothing = Reason::new("TaskStateError", NOTHING_TO_STOP);
        self.report_refused(task, task.containers.is_empty().then_some(&nothing));
    }

    fn report_refused(&self, task: &Task, reason: Option<&Reason>) {
        let text = reason.map(|reason| outbox::shortened(&reason.to_string()));
        if let Some(reason) = reason {
            tracing::warn!(task = task.arn, %reason, "refused");
        }
        let stopped = |container: &longshore_wire::agent::Container| ecs::ContainerStateChange {
            container_name: Some(container.name.clone()),
            status: Some("STOPPED".to_owned()),
            ..Default::default()
        };
        self.report_stray(ecs::SubmitTaskStateChangeRequest {
            cluster: Some(self.hands.config.cluster.clone()),
            task: Some(task.arn.clone()),
            status: Some("STOPPED".to_owned()),
            reason: text,
            containers: Some(task.containers.iter().map(stopped).collect()),
            ..Default::default()
        });
    }

    /// Says so when tasks ask for more than the machine has; the control plane does the counting.
    fn warn_if_full(&self) {
        let running = self.tasks.values().filter(|entry| !entry.record.state.is_stopped());
        let asked: u64 = running.map(|entry| memory_mib(&entry.record.task)).sum();
        if asked > self.hands.memory_mib {
            let has = self.hands.memory_mib;
            tracing::warn!(asked, has, "tasks reserve more memory (MiB) than was registered");
        }
    }
}

/// Memory that a task reserves, in MiB.
fn memory_mib(task: &Task) -> u64 {
    let containers = || task.containers.iter().map(|container| u64::from(container.memory)).sum();
    task.memory.unwrap_or_else(containers)
}

/// Answers once the files would survive the end of the machine: what is acknowledged is kept.
fn answer_when_kept(
    kept: BoxFuture<'static, io::Result<()>>,
    answers: Vec<AcsToServer>,
    reply: oneshot::Sender<Vec<AcsToServer>>,
) {
    drop(tokio::spawn(async move {
        if let Err(error) = kept.await {
            tracing::error!(%error, "a task may not survive a power cut");
        }
        drop(reply.send(answers));
    }));
}

fn ack_role(message_id: &str, role: &RoleCredentials) -> AcsToServer {
    AcsToServer::IamRoleCredentialsAck(IamRoleCredentialsAckRequest {
        message_id: message_id.to_owned(),
        expiration: role.expiration.clone(),
        credentials_id: role.credentials_id.clone(),
    })
}

fn nack(update: UpdateMessage) -> Vec<AcsToServer> {
    vec![AcsToServer::Nack(NackRequest {
        cluster: update.cluster_arn,
        container_instance: update.container_instance_arn,
        message_id: update.message_id,
        reason: "Updates are disabled".to_owned(),
    })]
}
