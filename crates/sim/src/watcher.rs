//! Follows the store: tells the story of every transaction and lets the checkers judge it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use longshore_domain::record::{ContainerInstance, DesiredStatus, Service, Task};
use longshore_store::{Batch, Event, Store, StoreRevision, View};
use tokio::sync::Notify;

use crate::check::{self, Checker, End, Step};
use crate::cluster::{Cluster, OFFICE};
use crate::machine::Machine;
use crate::names::Names;
use crate::story::Story;
use crate::world;

/// Transactions after which a run is not making progress but turning in circles.
const STORM: u64 = 60_000;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The checker that found it.
    pub checker: &'static str,
    /// What is wrong.
    pub text: String,
}

/// What a watcher has seen. Clones are the same watcher.
#[derive(Clone, Default)]
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    /// Told at the first violation.
    pub wrong: Arc<Notify>,
}

#[derive(Default)]
struct Seen {
    view: View,
    names: Names,
    steps: u64,
    /// The life of the process that leads.
    leader: Option<String>,
    checkers: Vec<Box<dyn Checker>>,
    violations: Vec<Violation>,
}

impl Watcher {
    /// Follows the store of `cluster` from its beginning.
    pub fn follow(cluster: &Cluster) -> Self {
        let watcher = Self::default();
        watcher.seen().checkers = check::all(&cluster.nodes);
        let mut batches = cluster.store.watch("/", StoreRevision::ZERO);
        let (of_task, cluster) = (watcher.clone(), cluster.clone());
        tokio::spawn(async move {
            while let Some(Ok(batch)) = batches.next().await {
                of_task.step(&cluster, &batch);
            }
        });
        watcher
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All records as they are.
    pub fn view(&self) -> View {
        self.seen().view.clone()
    }

    /// What ids are called in the story.
    pub fn names(&self) -> Names {
        self.seen().names.clone()
    }

    /// How many transactions there were.
    pub fn steps(&self) -> u64 {
        self.seen().steps
    }

    /// What was found wrong.
    pub fn violations(&self) -> Vec<Violation> {
        self.seen().violations.clone()
    }

    /// Reports what somebody else found wrong.
    pub fn report(&self, checker: &'static str, text: String) {
        self.seen().violations.push(Violation { checker, text });
        self.wrong.notify_one();
    }

    fn step(&self, cluster: &Cluster, batch: &Batch) {
        if batch.events.is_empty() {
            return;
        }
        let mut seen = self.seen();
        let Seen { view, names, steps, leader, checkers, violations } = &mut *seen;
        let before = view.clone();
        for event in batch.events.iter() {
            if let Err(error) = view.apply(event) {
                let text = format!("{}: {error}", event.key());
                violations.push(Violation { checker: "records can be read", text });
            }
        }
        view.revision = batch.revision;
        *steps += 1;
        if *steps == STORM {
            let text = format!("{STORM} transactions by {:?}", world::elapsed());
            violations.push(Violation { checker: "no storms", text });
        }
        let tasks = changed_tasks(&before, view);
        name_new(names, view);
        Teller { names, story: &cluster.story, before: &before, after: view }.tell(&tasks);
        let author = cluster.author(batch.revision);
        let office = batch.events.iter().rfind(|event| **event.key() == *OFFICE);
        let takes_office = office.is_some_and(|event| matches!(event, Event::Put(_)));
        let step = Step {
            author: author.as_deref(),
            leader: leader.as_deref(),
            takes_office,
            before: &before,
            after: view,
            tasks,
            now: world::now(),
            machines: &cluster.machines,
        };
        for checker in checkers.iter_mut() {
            let name = checker.name();
            let wrong = checker.step(&step).into_iter();
            violations.extend(wrong.map(|text| Violation { checker: name, text }));
        }
        if !violations.is_empty() {
            self.wrong.notify_one();
        }
        if office.is_some() {
            *leader = author.filter(|_| takes_office);
            if let Some(leader) = leader.as_ref().filter(|_| cluster.servers.len() > 1) {
                cluster.story.tell(format!("{leader} leads"));
            }
        }
    }

    /// Judges the end of the run.
    pub fn end(&self, machines: &[Machine], acknowledged: &[String]) {
        let mut seen = self.seen();
        let Seen { view, checkers, violations, .. } = &mut *seen;
        let end = End { view, now: world::now(), machines, acknowledged };
        for checker in checkers.iter_mut() {
            let name = checker.name();
            let wrong = checker.end(&end).into_iter();
            violations.extend(wrong.map(|text| Violation { checker: name, text }));
        }
    }
}

fn changed_tasks<'v>(before: &'v View, after: &'v View) -> Vec<(Option<&'v Task>, &'v Task)> {
    let new = after.tasks.iter().filter(|row| row.mod_revision == after.revision);
    new.map(|row| {
        let key = longshore_store::Record::key(&row.record);
        (before.tasks.get(&key).map(|row| &row.record), &row.record)
    })
    .collect()
}

/// Gives names to what appears.
fn name_new(names: &mut Names, after: &View) {
    for row in after.container_instances.iter() {
        if row.mod_revision == after.revision {
            let machine = row.attributes.get("machine").cloned().flatten().unwrap_or_default();
            names.name(&row.id.to_string(), &machine);
        }
    }
    for row in after.services.iter().filter(|row| row.mod_revision == after.revision) {
        for deployment in row.deployments.iter().rev() {
            names.number(&deployment.id.to_string(), &format!("{}-deployment", row.name));
        }
    }
    for row in after.tasks.iter().filter(|row| row.create_revision == after.revision) {
        names.number(&row.id.to_string(), row.service().unwrap_or(row.family.as_str()));
    }
}

/// Tells what a transaction changed.
struct Teller<'a> {
    names: &'a Names,
    story: &'a Story,
    before: &'a View,
    after: &'a View,
}

impl Teller<'_> {
    fn tell(&self, tasks: &[(Option<&Task>, &Task)]) {
        let (before, after) = (self.before, self.after);
        let tell = |text: String| self.story.tell(self.names.shorten(&text));
        for row in after.services.iter().filter(|row| row.mod_revision == after.revision) {
            let key = longshore_store::Record::key(&row.record);
            let old = before.services.get(&key).map(|row| &row.record);
            service_changes(old, &row.record).into_iter().for_each(tell);
        }
        for row in after.service_deployments.iter() {
            if row.mod_revision == after.revision && row.shift.is_some() {
                let key = longshore_store::Record::key(&row.record);
                let old = before.service_deployments.get(&key).map(|row| row.stage);
                if old != Some(row.stage) {
                    let stage = row.stage.as_str();
                    tell(format!("service {}: its deployment is in {stage}", row.service));
                }
            }
        }
        for (old, new) in tasks {
            task_changes(*old, new).into_iter().for_each(tell);
        }
        for row in after.service_events.iter().filter(|row| row.mod_revision == after.revision) {
            tell(format!("event: {}", row.message));
        }
        for row in after.container_instances.iter() {
            if row.mod_revision == after.revision {
                let key = longshore_store::Record::key(&row.record);
                let old = before.container_instances.get(&key).map(|row| &row.record);
                instance_changes(old, &row.record).into_iter().for_each(tell);
            }
        }
    }
}

fn service_changes(old: Option<&Service>, new: &Service) -> Vec<String> {
    let name = &new.name;
    let Some(old) = old else {
        let family = new.deployments.first().map(|d| d.family.to_string()).unwrap_or_default();
        return vec![format!("service {name} is made: {} of {family}", new.desired_count)];
    };
    let mut texts = Vec::new();
    if old.status != new.status {
        texts.push(format!("service {name} is {}", new.status.as_str()));
    }
    if old.desired_count != new.desired_count {
        let (old, new) = (old.desired_count, new.desired_count);
        texts.push(format!("service {name} wants {new} tasks instead of {old}"));
    }
    for deployment in &new.deployments {
        let known = old.deployments.iter().find(|d| d.id == deployment.id);
        if known.is_none() {
            let (label, family) = (deployment.label(), &deployment.family);
            texts.push(format!("service {name}: {label} begins, of {family}"));
        } else if known.is_some_and(|known| known.rollout_reason != deployment.rollout_reason) {
            texts.push(format!("service {name}: {}", deployment.rollout_reason));
        }
    }
    texts
}

fn task_changes(old: Option<&Task>, new: &Task) -> Vec<String> {
    let id = new.id;
    let mut texts = Vec::new();
    let Some(old) = old else {
        return vec![format!("task {id} of {} is placed on {}", new.family, new.instance)];
    };
    let stopped = new.observed.status != old.observed.status && new.is_stopped();
    if new.desired == DesiredStatus::Stopped && old.desired == DesiredStatus::Running && !stopped {
        let reason = new.stop.as_ref().map(|stop| stop.reason.clone()).unwrap_or_default();
        texts.push(format!("task {id} is to stop: {reason}"));
    }
    if new.observed.status != old.observed.status {
        let ended = new.observed.ended.as_ref().map(|(_, reason)| format!(": {reason}"));
        let ended = ended.filter(|_| stopped).unwrap_or_default();
        texts.push(format!("task {id} is {}{ended}", new.observed.status.as_str()));
    }
    for (old, new) in old.observed.containers.iter().zip(&new.observed.containers) {
        if old.health != new.health {
            texts.push(format!("task {id} is {}", new.health.as_str()));
        }
    }
    texts
}

fn instance_changes(old: Option<&ContainerInstance>, new: &ContainerInstance) -> Vec<String> {
    let id = new.id;
    let Some(old) = old else { return vec![format!("{id} is registered")] };
    let mut texts = Vec::new();
    if old.status != new.status {
        texts.push(format!("{id} is {}", new.status.as_str()));
    }
    if old.connection.connected != new.connection.connected {
        let how = if new.connection.connected { "has a session" } else { "has no session" };
        texts.push(format!("{id} {how}"));
    }
    texts
}
