//! The ACS session: work for one agent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use longshore_domain::ids::{Arn, Resource, TaskId};
use longshore_domain::record::{
    AgentConnection, ContainerInstance, DesiredStatus, InstanceStatus, Task,
};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{TaskIndex, TaskKey};
use longshore_store::{RecordTxn, StateError, View};
use longshore_wire::ServiceError;
use longshore_wire::agent::{
    AcsToAgent, AcsToServer, HeartbeatMessage, IamRoleCredentialsMessage, ManifestTask,
    PayloadMessage, Task as AgentTask, TaskIdentifier, TaskManifestMessage,
    TaskStopVerificationAck, TaskStopVerificationMessage,
};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{self, Message};

use super::delivery::{Delivery, Due, TASKS_PER_MESSAGE};
use super::opener::{Lost, Opener};
use super::roles::{self, Lender, Loans};
use super::{Hello, Socket, expire, payload};
use crate::ecs::Roles;
use crate::{Server, clock};

/// How often we prove to be alive; the agent gives up after 60 to 120 seconds of silence.
const HEARTBEAT: Duration = Duration::from_secs(25);
/// How long an agent may be away before its instance counts as disconnected: reconnects are
/// routine (the official agent does it every half hour) and must not refuse placements.
const RECONNECT_GRACE: Duration = Duration::from_secs(5);
/// How long an agent may be silent: it answers every heartbeat, so three went unanswered.
const SILENCE: Duration = Duration::from_secs(80);
/// How long a write to the agent may take before the session is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a frame to the agent; longer messages have several.
const PART_BYTES: usize = 4 * 1024;

/// Everything that can happen in a session.
enum Event {
    /// A frame from the agent.
    Frame(Option<Result<Message, tungstenite::Error>>),
    /// There may be news for the agent, or the view stopped.
    Changed(Result<(), StateError>),
    /// Time for a sign of life.
    Heartbeat,
    /// A message may have to be sent again.
    Resend,
    /// The server stops.
    Shutdown,
}

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the agent closed the session")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(#[from] tungstenite::Error),
    #[error("the agent has been silent for too long")]
    Silent,
    #[error("the agent did not take a message in time")]
    Stuck,
    #[error("a newer session of the same instance took over")]
    Superseded,
    #[error("the instance was deregistered")]
    Deregistered,
    #[error("the server is stopping")]
    Shutdown,
    #[error("who opened it may not have it any more: {0}")]
    Lost(#[from] Lost),
    #[error("the store failed: {0}")]
    Store(#[from] StateError),
}

/// Runs a session to its end, and keeps the instance's `agentConnected` true to it.
pub(super) async fn run(server: Arc<Server>, hello: Hello, opener: Opener, socket: Socket) {
    let number = server.sessions.enter(hello.key.id);
    server.metrics.agent_sessions.inc();
    server.metrics.sessions_opened.inc();
    let instance = hello.key.id;
    // The session before this one finds that its time is over.
    server.state.wake(instance);
    // What a session does now and then is boxed, so that it takes no memory while the session waits, as
    // thousands do.
    Box::pin(record(&server, &hello)).await;
    let here = format!("{:016x}", hello.server);
    tracing::info!(%instance, cluster = %hello.key.cluster, here, "agent connected");
    let turn = server.sessions.pace.turn(clock::now());
    // An agent that was started again has no credentials any more, and its containers ask for them.
    let renew_at = if hello.wants_credentials { clock::now() } else { turn };
    let mut session = Session {
        server: Arc::clone(&server),
        hello,
        opener,
        socket,
        number,
        delivery: Delivery::new(turn),
        loans: Loans::new(renew_at),
        sequence: 0,
        heard_at: clock::now(),
        resend_at: None,
    };
    let end = session.serve().await;
    server.metrics.agent_sessions.dec();
    tracing::info!(%instance, %end, "agent session ended");
    let Session { hello, socket, .. } = session;
    drop(socket);
    if matches!(end, End::Shutdown | End::Superseded) {
        return server.sessions.leave(instance, number);
    }
    tokio::time::sleep(RECONNECT_GRACE).await;
    if server.sessions.is_current(instance, number) {
        server.sessions.leave(instance, number);
        if let Err(error) = Box::pin(disconnected(&server, &hello)).await {
            tracing::warn!(%instance, %error, "cannot record that the agent disconnected");
        }
    }
}

/// Records the session.
async fn record(server: &Server, hello: &Hello) {
    if let Err(error) = connected(server, hello).await {
        let instance = hello.key.id;
        tracing::warn!(%instance, %error, "cannot record that the agent connected");
    }
}

async fn connected(server: &Server, hello: &Hello) -> Result<(), ServiceError> {
    rewrite(server, hello, |instance| {
        let version = &mut instance.version_info;
        version.agent_version = hello.agent_version.clone().or(version.agent_version.take());
        version.agent_hash = hello.agent_hash.clone().or(version.agent_hash.take());
        version.docker_version = hello.docker_version.clone().or(version.docker_version.take());
        let since =
            if instance.connection.connected { instance.connection.since } else { clock::now() };
        instance.connection = AgentConnection { connected: true, since, server: hello.server };
        instance.address = hello.address.or(instance.address);
    })
    .await
}

async fn disconnected(server: &Server, hello: &Hello) -> Result<(), ServiceError> {
    rewrite(server, hello, |instance| {
        let AgentConnection { connected, server: by, .. } = instance.connection;
        if connected && by == hello.server {
            instance.connection =
                AgentConnection { connected: false, since: clock::now(), server: by };
        }
    })
    .await
}

async fn rewrite(
    server: &Server,
    hello: &Hello,
    change: impl Fn(&mut ContainerInstance),
) -> Result<(), ServiceError> {
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
        let Some(row) = view.container_instances.get(&hello.key) else { return Ok(()) };
        let mut record = row.record.clone();
        change(&mut record);
        if record != row.record {
            record.version += 1;
            txn.update(row, &record);
        }
        Ok(())
    };
    server.decide(decide).await
}

struct Session {
    server: Arc<Server>,
    hello: Hello,
    opener: Opener,
    socket: Socket,
    number: u64,
    delivery: Delivery,
    loans: Loans,
    /// Orders payloads and manifests; grows over all sessions of an instance, because it starts
    /// from the clock.
    sequence: i64,
    /// When the agent was last heard of.
    heard_at: Timestamp,
    /// When to look for messages to send again.
    resend_at: Option<Timestamp>,
}

impl Session {
    async fn serve(&mut self) -> End {
        let changes = self.server.state.changes_for(self.hello.key.id);
        let mut shutdown = self.server.members.closing();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        if let Err(end) = Box::pin(self.send_manifest()).await {
            return end;
        }
        if let Err(end) = Box::pin(self.deliver()).await {
            return end;
        }
        loop {
            let event = tokio::select! {
                biased;
                () = crate::stopped(&mut shutdown) => Event::Shutdown,
                frame = self.socket.next() => Event::Frame(frame),
                woken = changes.changed() => Event::Changed(woken),
                () = sleep_until(self.resend_at) => Event::Resend,
                _ = heartbeat.tick() => Event::Heartbeat,
            };
            if let Err(end) = Box::pin(self.handle(event)).await {
                return end;
            }
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Shutdown => {
                let _ = self.socket.close(None).await;
                return Err(End::Shutdown);
            }
            Event::Frame(None) => return Err(End::Closed),
            Event::Frame(Some(frame)) => {
                let frame = frame?;
                self.heard_at = clock::now();
                match frame {
                    Message::Text(text) => self.received(text.as_str()).await?,
                    Message::Close(_) => return Err(End::Closed),
                    _ => {}
                }
                // Nothing that an agent says makes more due to it.
                return Ok(());
            }
            Event::Heartbeat => {
                if clock::now().saturating_since(self.heard_at) > SILENCE {
                    return Err(End::Silent);
                }
                let message_id = Some(clock::uuid());
                let beat = HeartbeatMessage { healthy: true, message_id };
                self.send(&AcsToAgent::Heartbeat(beat)).await?;
            }
            Event::Changed(result) => result?,
            Event::Resend => {}
        }
        self.deliver().await
    }

    async fn received(&mut self, text: &str) -> Result<(), End> {
        match AcsToServer::decode(text) {
            Ok(AcsToServer::Ack(ack)) => {
                if let Ok(number) = ack.message_id.parse() {
                    self.delivery.acknowledged(number);
                }
            }
            Ok(AcsToServer::TaskStopVerification(question)) => self.verify_stops(question).await?,
            Ok(AcsToServer::Nack(nack)) => {
                tracing::warn!(instance = %self.hello.key.id, reason = nack.reason, "agent refused");
            }
            Ok(AcsToServer::HeartbeatAck(_) | AcsToServer::IamRoleCredentialsAck(_)) => {}
            Ok(AcsToServer::Unknown(kind)) => tracing::debug!(kind, "unknown message from agent"),
            Err(error) => tracing::warn!(%error, "unreadable message from agent"),
        }
        Ok(())
    }

    /// Sends what the view has and the agent was not told.
    async fn deliver(&mut self) -> Result<(), End> {
        if let Err(lost) = self.opener.check(&self.server, &self.hello.key, clock::now()) {
            expire(&mut self.socket).await;
            return Err(lost.into());
        }
        let view = self.server.state.view();
        if !self.server.sessions.is_current(self.hello.key.id, self.number) {
            return Err(End::Superseded);
        }
        let row = match view.container_instances.get(&self.hello.key) {
            Some(row) if row.status != InstanceStatus::Inactive => row,
            _ => return Err(End::Deregistered),
        };
        let AgentConnection { connected, server, .. } = row.connection;
        if connected && server != self.hello.server {
            // The agent has found another server since this session was recorded.
            return Err(End::Superseded);
        }
        if !connected && server == self.hello.server {
            // This server was thought dead, and the session with it.
            record(&self.server, &self.hello).await;
        }
        let fence = row.fence.clone();
        let now = clock::now();
        let (fenced, fence_at) = self.delivery.fenced(&fence, now);
        let tasks = view.tasks.by(&TaskIndex::Instance(self.hello.key.id)).map(|row| &row.record);
        let Due { tasks: mut due, gone, next } = self.delivery.due(tasks, now);
        let gone: Vec<TaskId> = fenced.into_iter().chain(gone).collect();
        for batch in gone.chunks(TASKS_PER_MESSAGE) {
            let sequence = self.next_sequence(now);
            let payload = self.payload(batch.iter().map(|id| self.forgotten(*id)), sequence, now);
            self.send(&AcsToAgent::Payload(payload)).await?;
        }
        // What was just sent, or taken back, comes up for a look after its own wait.
        let after = (!due.is_empty()).then(|| now + HEARTBEAT);
        let refused = roles::refused(&self.server, &view, &due);
        if !refused.is_empty() {
            due.retain(|task| !refused.contains_key(&task.id));
            Box::pin(roles::take_back(&self.server, &self.hello.key, refused, now)).await;
        }
        for batch in due.chunks(TASKS_PER_MESSAGE) {
            let sequence = self.next_sequence(now);
            let described: Vec<AgentTask> = self.described(&view, batch, now).collect();
            let payload = self.payload(described.into_iter(), sequence, now);
            self.send(&AcsToAgent::Payload(payload)).await?;
            let number = u64::try_from(sequence).unwrap_or_default();
            self.delivery.sent(batch.iter().copied(), number, now);
        }
        let renewal = Box::pin(self.renew_roles(&view, now)).await?;
        self.resend_at = next.into_iter().chain(after).chain(fence_at).chain(renewal).min();
        Ok(())
    }

    /// Sends fresh credentials to tasks whose roles are due; gives the time of the next ones.
    async fn renew_roles(&mut self, view: &View, now: Timestamp) -> Result<Option<Timestamp>, End> {
        let tasks = view.tasks.by(&TaskIndex::Instance(self.hello.key.id)).map(|row| &row.record);
        let has_roles = |task: &Task| !Roles::of(view, task).is_empty();
        let (due, next) = self.loans.due(tasks, has_roles, now);
        for task in &due {
            for (role_type, arn) in Roles::of(view, task).each() {
                let Some(role_credentials) = self.lender(now).lend(task, &role_type, arn) else {
                    continue;
                };
                let message = IamRoleCredentialsMessage {
                    message_id: clock::uuid(),
                    task_arn: task_arn(task),
                    task_cluster_arn: Some(self.cluster_arn()),
                    role_type,
                    role_credentials,
                };
                self.send(&AcsToAgent::IamRoleCredentials(message)).await?;
            }
            self.loans.given(task.id, self.server.role_life, now);
        }
        let again = (!due.is_empty()).then(|| now + self.server.role_life / 2);
        Ok(next.into_iter().chain(again).min())
    }

    fn lender(&self, now: Timestamp) -> Lender<'_> {
        Lender { identity: &*self.server.identity, life: self.server.role_life, now }
    }

    /// What the agent is told of these tasks, with credentials of their roles.
    fn described(
        &mut self,
        view: &View,
        tasks: &[&Task],
        now: Timestamp,
    ) -> impl Iterator<Item = AgentTask> {
        let lender = Lender { identity: &*self.server.identity, life: self.server.role_life, now };
        let loans = &mut self.loans;
        let life = self.server.role_life;
        tasks.iter().filter_map(move |task| {
            let told = task.told(now);
            match payload::task(view, task, told) {
                Ok(mut described) => {
                    if told == DesiredStatus::Running {
                        lender.lend_all(view, task, &mut described);
                        loans.described(task.id, &described, life, now);
                    }
                    Some(described)
                }
                Err(error) => {
                    tracing::error!(task = %task.id, %error, "cannot describe the task to the agent");
                    None
                }
            }
        })
    }

    /// The order to stop a task that has no record any more.
    fn forgotten(&self, id: TaskId) -> AgentTask {
        let Hello { key, .. } = &self.hello;
        let arn = Arn::new(&key.scope, Resource::Task(key.cluster.clone(), id));
        AgentTask {
            arn: arn.to_string(),
            task_cluster_arn: Some(self.cluster_arn()),
            desired_status: DesiredStatus::Stopped.as_str().to_owned(),
            ..AgentTask::default()
        }
    }

    fn payload(
        &self,
        tasks: impl Iterator<Item = AgentTask>,
        sequence: i64,
        now: Timestamp,
    ) -> PayloadMessage {
        PayloadMessage {
            message_id: sequence.to_string(),
            cluster_arn: self.cluster_arn(),
            container_instance_arn: self.instance_arn(),
            seq_num: sequence,
            generated_at: now.as_millis(),
            tasks: tasks.collect(),
            ..PayloadMessage::default()
        }
    }

    /// Tells the agent which tasks should run, so that it can ask about the others.
    async fn send_manifest(&mut self) -> Result<(), End> {
        let view = self.server.state.view();
        let now = clock::now();
        let sequence = self.next_sequence(now);
        let tasks = view.tasks.by(&TaskIndex::Instance(self.hello.key.id));
        let tasks = tasks.filter(|task| !task.is_stopped()).map(|task| ManifestTask {
            task_arn: task_arn(task),
            task_cluster_arn: self.cluster_arn(),
            desired_status: task.told(now).as_str().to_owned(),
        });
        let manifest = TaskManifestMessage {
            message_id: sequence.to_string(),
            cluster_arn: self.cluster_arn(),
            container_instance_arn: self.instance_arn(),
            generated_at: now.as_millis(),
            timeline: sequence,
            tasks: tasks.collect(),
        };
        self.send(&AcsToAgent::TaskManifest(manifest)).await
    }

    /// Confirms the candidates that nobody wants to run.
    async fn verify_stops(&mut self, question: TaskStopVerificationMessage) -> Result<(), End> {
        // What another server has placed is not to be stopped because this one has not heard of it.
        let view = self.server.state.current().await?;
        let now = clock::now();
        let unwanted = |candidate: &TaskIdentifier| {
            let Ok(Arn { scope, resource: Resource::Task(cluster, id) }) =
                candidate.task_arn.parse()
            else {
                return true;
            };
            view.tasks
                .get(&TaskKey { scope, cluster, id })
                .is_none_or(|task| task.told(now) == DesiredStatus::Stopped)
        };
        let stop_tasks: Vec<_> = question.stop_candidates.into_iter().filter(unwanted).collect();
        if stop_tasks.is_empty() {
            return Ok(());
        }
        let answer = TaskStopVerificationAck {
            message_id: question.message_id,
            generated_at: now.as_millis(),
            stop_tasks,
        };
        self.send(&AcsToAgent::TaskStopVerificationAck(answer)).await
    }

    fn next_sequence(&mut self, now: Timestamp) -> i64 {
        self.sequence = now.as_millis().max(self.sequence + 1);
        self.sequence
    }

    async fn send(&mut self, message: &AcsToAgent) -> Result<(), End> {
        self.server.metrics.message(kind(message));
        let send = send_in_parts(&mut self.socket, message.encode().into());
        match tokio::time::timeout(SEND_TIMEOUT, send).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(End::Stuck),
        }
    }

    fn cluster_arn(&self) -> String {
        let key = &self.hello.key;
        Arn::new(&key.scope, Resource::Cluster(key.cluster.clone())).to_string()
    }

    fn instance_arn(&self) -> String {
        let key = &self.hello.key;
        let resource = Resource::ContainerInstance(key.cluster.clone(), key.id);
        Arn::new(&key.scope, resource).to_string()
    }
}

/// Sends a text in frames of bounded size: the socket keeps a buffer as large as its largest frame, and
/// there are thousands of sockets.
async fn send_in_parts(socket: &mut Socket, mut text: Bytes) -> Result<(), tungstenite::Error> {
    let mut kind = Data::Text;
    loop {
        let part = text.split_to(text.len().min(PART_BYTES));
        let last = text.is_empty();
        let frame = Frame::message(part, OpCode::Data(kind), last);
        socket.send(Message::Frame(frame)).await?;
        if last {
            return Ok(());
        }
        kind = Data::Continue;
    }
}

/// Name of a message in metrics.
fn kind(message: &AcsToAgent) -> &'static str {
    match message {
        AcsToAgent::Heartbeat(_) => "heartbeat",
        AcsToAgent::Payload(_) => "payload",
        AcsToAgent::TaskManifest(_) => "manifest",
        AcsToAgent::TaskStopVerificationAck(_) => "stop-verification",
        AcsToAgent::IamRoleCredentials(_) => "credentials",
        _ => "other",
    }
}

fn task_arn(task: &Task) -> String {
    Arn::new(&task.scope, Resource::Task(task.cluster.clone(), task.id)).to_string()
}

async fn sleep_until(at: Option<Timestamp>) {
    match at {
        Some(at) => tokio::time::sleep(at.saturating_since(clock::now())).await,
        None => std::future::pending().await,
    }
}
