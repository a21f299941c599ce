//! The engine: one loop that owns every task of an agent.
//!
//! Whatever happens (an order of the control plane, the outcome of a call, something that the
//! runtime saw, a deadline) is one [`Event`]; the loop takes them one by one, lets
//! `domain::task` decide, and gives the effects to `Hands`. The rule: nobody else changes a
//! task, and the loop never waits for the world.

mod clear;
mod orders;
mod outbox;
mod resync;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::record::DesiredStatus;
use longshore_domain::task::{
    ContainerIndex, Doing, Effect, Event as TaskEvent, Exit, TaskSpec, TaskState, step,
};
use longshore_domain::time::Timestamp;
use longshore_wire::agent::RoleCredentials;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::hands::{CreateJob, Hands, PullJob, StartJob, Turn};
use crate::metadata::Routes;
use crate::record::{Binding, InstanceRecord, TaskRecord};
use crate::runtime::{Image, Inspection, RuntimeEvent, What};
use crate::session::acs::Order;
use crate::store::Store;
use crate::{clock, hands, limits};

pub(crate) use outbox::{shortened, submit};

/// ARN of a task, shared.
pub(crate) type TaskKey = Arc<str>;

/// Everything that can happen to an engine.
pub(crate) enum Event {
    /// The control plane said something.
    Order(Order),
    /// A call for a task has ended.
    Outcome {
        /// The task.
        task: TaskKey,
        /// What was learned beside.
        fact: Option<Fact>,
        /// How it ended.
        event: TaskEvent,
    },
    /// The runtime saw something.
    Runtime(RuntimeEvent),
    /// The stream of such events was opened anew; this is how the containers stand.
    Resync(Vec<Inspection>),
    /// The oldest change of a task is done with: acknowledged, or refused for good.
    Reported(TaskKey),
    /// A stopped task's containers are gone.
    Cleared(TaskKey),
    /// Somebody wants to know something.
    Query(Query),
}

impl From<Order> for Event {
    fn from(order: Order) -> Self {
        Self::Order(order)
    }
}

/// What a call taught about a container.
#[derive(Debug)]
pub(crate) enum Fact {
    /// Its image.
    Image(ContainerIndex, Image),
    /// Its id, and the turn in which it was made.
    Made(ContainerIndex, String, Turn),
    /// Its published ports.
    Bound(ContainerIndex, Vec<Binding>),
}

/// A question to the engine.
pub(crate) enum Query {
    /// All tasks.
    Tasks(oneshot::Sender<Vec<TaskRecord>>),
    /// The task and container that an endpoint id belongs to.
    Endpoint(String, oneshot::Sender<Option<(TaskRecord, ContainerIndex)>>),
    /// The task of a container by its id in the runtime.
    Container(String, oneshot::Sender<Option<(TaskRecord, ContainerIndex)>>),
    /// Credentials by their id, and the task that they are for.
    Credentials(String, oneshot::Sender<Option<(TaskRecord, RoleCredentials)>>),
    /// Credentials of a task's role, by the ARN of the task.
    TaskRole(String, oneshot::Sender<Option<RoleCredentials>>),
}

/// A task under the engine's care.
struct Entry {
    record: TaskRecord,
    spec: TaskSpec,
    role: Option<RoleCredentials>,
    execution_role: Option<RoleCredentials>,
    pulls: BTreeMap<ContainerIndex, AbortHandle>,
    outbox: outbox::Outbox,
    /// When changes of single containers are reported, if nothing else is before.
    flush_at: Option<Timestamp>,
    clearing: bool,
    /// Containers of which a process was killed for lack of memory.
    out_of_memory: BTreeSet<ContainerIndex>,
    /// Containers that somebody had the runtime kill.
    killed: BTreeSet<ContainerIndex>,
    /// The turn in which a container was made, until what follows is decided.
    turn: Option<(ContainerIndex, Turn)>,
}

/// The engine of one agent.
pub(crate) struct Engine {
    hands: Arc<Hands>,
    store: Store,
    instance: InstanceRecord,
    tasks: BTreeMap<TaskKey, Entry>,
    by_runtime_id: BTreeMap<String, (TaskKey, ContainerIndex)>,
    /// Tasks whose record is to be written.
    dirty: BTreeSet<TaskKey>,
    routes: Option<Routes>,
    events: mpsc::Receiver<Event>,
    next_image_cleanup: Timestamp,
}

impl Engine {
    pub(crate) fn new(
        hands: Arc<Hands>,
        store: Store,
        instance: InstanceRecord,
        routes: Option<Routes>,
        events: mpsc::Receiver<Event>,
    ) -> Self {
        let next_image_cleanup = clock::now() + hands.config.cleanup.image_interval;
        Self {
            hands,
            store,
            instance,
            tasks: BTreeMap::new(),
            by_runtime_id: BTreeMap::new(),
            dirty: BTreeSet::new(),
            routes,
            events,
            next_image_cleanup,
        }
    }

    /// Runs until every sender of events is gone.
    pub(crate) async fn run(mut self) {
        loop {
            let deadline = self.next_deadline();
            let event = tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => Some(event),
                    None => return,
                },
                () = until(deadline) => None,
            };
            match event {
                Some(event) => {
                    self.handle(event);
                    // What has gathered meanwhile is handled before anything is written.
                    for _ in 0..limits::EVENTS {
                        let Ok(event) = self.events.try_recv() else { break };
                        self.handle(event);
                    }
                }
                None => self.on_time(clock::now()),
            }
            self.save();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Order(order) => self.order(order),
            Event::Outcome { task, fact, event } => {
                if let Some(fact) = fact {
                    self.learn(&task, fact);
                }
                self.advance(&task, event);
            }
            Event::Runtime(event) => self.seen(event),
            Event::Resync(found) => self.resync(&found),
            Event::Reported(task) => self.reported(&task),
            Event::Cleared(task) => self.forget(&task),
            Event::Query(query) => self.answer(query),
        }
    }

    /// Lets the state machine decide about an event, and does what it says.
    fn advance(&mut self, key: &TaskKey, event: TaskEvent) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        let before = entry.record.state.clone();
        let (state, effects) = step(&entry.spec, before, event, clock::now());
        if state.desired != entry.record.state.desired {
            tracing::info!(task = %key, from = entry.record.state.desired.as_str(), to = state.desired.as_str(), "desired status");
        }
        let told =
            |state: &TaskState| state.containers.iter().map(|c| c.health).collect::<Vec<_>>();
        if told(&state) != told(&entry.record.state) {
            self.hands.health_changed.notify_one();
        }
        entry.record.state = state;
        self.dirty.insert(Arc::clone(key));
        self.carry_out(key, &effects);
    }

    fn carry_out(&mut self, key: &TaskKey, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Pull(index) => self.pull(key, *index),
                Effect::CancelPull(index) => self.cancel_pull(key, *index),
                Effect::Create(index) => self.create(key, *index),
                Effect::Start(index) => self.start(key, *index),
                Effect::Stop(index, patience) => self.stop(key, *index, Some(*patience)),
                Effect::Kill(index) => self.stop(key, *index, None),
                Effect::Discard(index) => {
                    if let Some(id) = self.runtime_id(key, *index) {
                        self.hands.discard(id);
                    }
                }
                Effect::Announce(phase) => self.announce(key, *phase),
                Effect::Changed(index) => self.changed(key, *index),
            }
        }
        if let Some(entry) = self.tasks.get_mut(key) {
            entry.turn = None;
        }
        self.dispatch(key);
    }

    fn pull(&mut self, key: &TaskKey, index: ContainerIndex) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        let container = &entry.record.task.containers[index];
        let job = PullJob {
            image: container.image.clone(),
            auth: container.registry_authentication.clone(),
            execution_role: entry.execution_role.clone(),
        };
        let handle = self.hands.pull(Arc::clone(key), index, job);
        entry.pulls.insert(index, handle);
    }

    fn cancel_pull(&mut self, key: &TaskKey, index: ContainerIndex) {
        if let Some(pull) = self.tasks.get_mut(key).and_then(|entry| entry.pulls.remove(&index)) {
            pull.abort();
        }
    }

    fn create(&self, key: &TaskKey, index: ContainerIndex) {
        let Some(entry) = self.tasks.get(key) else { return };
        let job = CreateJob {
            task: entry.record.task.clone(),
            facts: entry.record.containers[index].clone(),
            execution_role: entry.execution_role.clone(),
        };
        self.hands.create(Arc::clone(key), index, job);
    }

    fn start(&mut self, key: &TaskKey, index: ContainerIndex) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        let turn = entry.turn.take_if(|(made, _)| *made == index).map(|(_, turn)| turn);
        entry.out_of_memory.remove(&index);
        entry.killed.remove(&index);
        let Some(id) = entry.record.containers[index].runtime_id.clone() else { return };
        let task = &entry.record.task;
        let job = StartJob::new(id, task, &task.containers[index], &self.hands.surroundings, turn);
        self.hands.start(Arc::clone(key), index, job);
    }

    fn stop(&self, key: &TaskKey, index: ContainerIndex, patience: Option<Duration>) {
        let Some(id) = self.runtime_id(key, index) else { return };
        match patience {
            Some(patience) => self.hands.stop(Arc::clone(key), index, id, patience),
            None => self.hands.kill(Arc::clone(key), index, id),
        }
    }

    fn runtime_id(&self, key: &TaskKey, index: ContainerIndex) -> Option<String> {
        self.tasks.get(key)?.record.containers[index].runtime_id.clone()
    }

    fn learn(&mut self, key: &TaskKey, fact: Fact) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        match fact {
            Fact::Image(index, image) => {
                entry.pulls.remove(&index);
                let facts = &mut entry.record.containers[index];
                let regions = ["AWS_REGION", "AWS_DEFAULT_REGION"];
                facts.image_sets_region =
                    image.environment.iter().any(|name| regions.contains(&name.as_str()));
                facts.image_digest = image.digest;
                facts.image_id = Some(image.id).filter(|id| !id.is_empty());
            }
            Fact::Made(index, id, turn) => {
                entry.turn = Some((index, turn));
                entry.record.containers[index].runtime_id = Some(id.clone());
                self.by_runtime_id.insert(id, (Arc::clone(key), index));
            }
            Fact::Bound(index, bound) => entry.record.containers[index].bound = bound,
        }
    }

    /// Something that the runtime saw by itself.
    fn seen(&mut self, event: RuntimeEvent) {
        let Some((key, index)) = self.by_runtime_id.get(&event.id).cloned() else { return };
        let Some(entry) = self.tasks.get_mut(&key) else { return };
        let asked = entry.record.state.containers[index].doing == Some(Doing::Stopping);
        let outcome = match event.what {
            // The call that started it tells.
            What::Started => return,
            What::OutOfMemory => {
                entry.out_of_memory.insert(index);
                return;
            }
            What::Killed => {
                entry.killed.insert(index);
                return;
            }
            What::Exited { code: code @ Some(137) } => {
                let told = asked || entry.killed.contains(&index);
                let reason = if entry.out_of_memory.contains(&index) {
                    Some(hands::out_of_memory())
                } else if told {
                    // The runtime was told to, which explains it. A look would wait until the
                    // runtime has cleaned up.
                    None
                } else {
                    // Killed by somebody, or for lack of memory. Only a look can tell.
                    return self.hands.examine(key, index, event.id, code);
                };
                TaskEvent::Exited(index, Exit { code, reason, at: event.at })
            }
            What::Exited { code } => {
                TaskEvent::Exited(index, Exit { code, reason: None, at: event.at })
            }
            What::Health(health) => TaskEvent::Health(index, health),
            What::Removed => TaskEvent::Vanished(index),
        };
        self.advance(&key, outcome);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let tasks = self.tasks.values().flat_map(|entry| {
            let state = entry.record.state.next_deadline(&entry.spec);
            [state, entry.flush_at, self.clear_at(entry)]
        });
        let images = self.hands.config.cleanup.images.then_some(self.next_image_cleanup);
        tasks.chain([images]).flatten().min()
    }

    fn on_time(&mut self, now: Timestamp) {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let keys: Vec<TaskKey> = self.tasks.keys().map(Arc::clone).collect();
        for key in keys {
            let Some(entry) = self.tasks.get(&key) else { continue };
            if due(entry.record.state.next_deadline(&entry.spec)) {
                self.advance(&key, TaskEvent::Tick);
            }
            if self.tasks.get(&key).is_some_and(|entry| due(entry.flush_at)) {
                self.flush(&key);
            }
            if self.tasks.get(&key).is_some_and(|entry| due(self.clear_at(entry))) {
                self.clear(&key);
            }
        }
        if self.hands.config.cleanup.images && self.next_image_cleanup <= now {
            self.next_image_cleanup = now + self.hands.config.cleanup.image_interval;
            self.clear_images();
        }
    }

    /// Writes what has changed. A failure is told and the task goes on: it runs, and what is on
    /// disk is older, not wrong.
    fn save(&mut self) {
        for key in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.tasks.get(&key) else { continue };
            if let Err(error) = self.store.save_task(&entry.record) {
                tracing::error!(task = %key, %error, "cannot keep a task on disk");
            }
        }
    }

    fn answer(&self, query: Query) {
        let by_place = |key: &TaskKey, index: ContainerIndex| {
            self.tasks.get(key).map(|entry| (entry.record.clone(), index))
        };
        // Whoever asked may have gone.
        match query {
            Query::Tasks(reply) => {
                let all = self.tasks.values().map(|entry| entry.record.clone()).collect();
                drop(reply.send(all));
            }
            Query::Endpoint(id, reply) => {
                let found = self.tasks.values().find_map(|entry| {
                    let containers = &entry.record.containers;
                    let index = containers.iter().position(|facts| facts.endpoint_id == id)?;
                    Some((entry.record.clone(), index))
                });
                drop(reply.send(found));
            }
            Query::Container(id, reply) => {
                let place = self.by_runtime_id.get(&id);
                drop(reply.send(place.and_then(|(key, index)| by_place(key, *index))));
            }
            Query::Credentials(id, reply) => {
                let found = self.tasks.values().find_map(|entry| {
                    let roles = [&entry.role, &entry.execution_role];
                    let role =
                        roles.into_iter().flatten().find(|role| role.credentials_id == id)?;
                    Some((entry.record.clone(), role.clone()))
                });
                drop(reply.send(found));
            }
            Query::TaskRole(arn, reply) => {
                let entry = self.tasks.get(arn.as_str());
                drop(reply.send(entry.and_then(|entry| entry.role.clone())));
            }
        }
    }
}

impl Entry {
    fn new(record: TaskRecord, spec: TaskSpec) -> Self {
        let outbox = outbox::Outbox::new(&record.sent);
        Self {
            record,
            spec,
            role: None,
            execution_role: None,
            pulls: BTreeMap::new(),
            outbox,
            flush_at: None,
            clearing: false,
            out_of_memory: BTreeSet::new(),
            killed: BTreeSet::new(),
            turn: None,
        }
    }

    fn is_running(&self) -> bool {
        self.record.state.desired == DesiredStatus::Running
    }
}

async fn until(at: Option<Timestamp>) {
    match at {
        Some(at) => tokio::time::sleep(at.saturating_since(clock::now())).await,
        None => pending().await,
    }
}
