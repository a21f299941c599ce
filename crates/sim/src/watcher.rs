//! Follows the store: tells the story of every transaction and lets the checkers judge it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use longshore_domain::record::{ContainerInstance, DesiredStatus, Service, Task};
use longshore_store::{Batch, Store, StoreRevision, View};
use tokio::sync::Notify;

use crate::check::{self, Checker, End, Step};
use crate::cluster::Cluster;
use crate::machine::Machine;
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
    steps: u64,
    checkers: Vec<Box<dyn Checker>>,
    violations: Vec<Violation>,
}

impl Watcher {
    /// Follows the store of `cluster` from its beginning.
    pub fn follow(cluster: &Cluster) -> Self {
        let watcher = Self::default();
        watcher.seen().checkers = check::all();
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
        let Seen { view, steps, checkers, violations } = &mut *seen;
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
        tell(cluster, &before, view, &tasks);
        let step = Step {
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

fn tell(cluster: &Cluster, before: &View, after: &View, tasks: &[(Option<&Task>, &Task)]) {
    let story = &cluster.story;
    for row in after.services.iter().filter(|row| row.mod_revision == after.revision) {
        let key = longshore_store::Record::key(&row.record);
        let old = before.services.get(&key).map(|row| &row.record);
        service_changes(old, &row.record).into_iter().for_each(|text| story.tell(text));
    }
    for (old, new) in tasks {
        task_changes(after, *old, new).into_iter().for_each(|text| story.tell(text));
    }
    for row in after.service_events.iter().filter(|row| row.mod_revision == after.revision) {
        story.tell(format!("event: {}", shorten(&row.message)));
    }
    for row in after.container_instances.iter() {
        if row.mod_revision == after.revision {
            let key = longshore_store::Record::key(&row.record);
            let old = before.container_instances.get(&key).map(|row| &row.record);
            instance_changes(old, &row.record).into_iter().for_each(|text| story.tell(text));
        }
    }
}

/// Leaves of long ids what a reader needs to tell them apart.
fn shorten(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let long = bare.len() >= 19 && bare.chars().all(|c| c.is_ascii_hexdigit());
        if long { word.replace(bare, &bare[..4]) } else { word.to_owned() }
    };
    let parts = text.split(' ').map(|part| {
        let pieces: Vec<String> = part.split('/').map(word).collect();
        pieces.join("/")
    });
    parts.collect::<Vec<_>>().join(" ")
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
        let label = shorten(&deployment.label());
        if known.is_none() {
            texts.push(format!("service {name}: {label} begins, of {}", deployment.family));
        } else if known.is_some_and(|known| known.rollout_reason != deployment.rollout_reason) {
            texts.push(format!("service {name}: {}", shorten(&deployment.rollout_reason)));
        }
    }
    texts
}

/// A task in the story: its service or family, and the beginning of its id.
pub fn task_name(task: &Task) -> String {
    let of = task.service().unwrap_or(task.family.as_str());
    format!("{of}/{}", &task.id.to_string()[..4])
}

fn task_changes(view: &View, old: Option<&Task>, new: &Task) -> Vec<String> {
    let name = task_name(new);
    let mut texts = Vec::new();
    let machine = || {
        let instance = view.container_instances.iter().find(|row| row.id == new.instance);
        let name = instance.and_then(|row| row.attributes.get("machine")?.clone());
        name.unwrap_or_else(|| new.instance.to_string())
    };
    let Some(old) = old else {
        return vec![format!("task {name} of {} is placed on {}", new.family, machine())];
    };
    if new.desired == DesiredStatus::Stopped && old.desired == DesiredStatus::Running {
        let reason = new.stop.as_ref().map(|stop| shorten(&stop.reason)).unwrap_or_default();
        texts.push(format!("task {name} is to stop: {reason}"));
    }
    if new.observed.status != old.observed.status {
        let ended = new.observed.ended.as_ref().map(|(_, reason)| format!(": {reason}"));
        let ended = ended.filter(|_| new.is_stopped()).unwrap_or_default();
        texts.push(format!("task {name} is {}{ended}", new.observed.status.as_str()));
    }
    for (old, new) in old.observed.containers.iter().zip(&new.observed.containers) {
        if old.health != new.health {
            texts.push(format!("task {name} is {}", new.health.as_str()));
        }
    }
    texts
}

fn instance_changes(old: Option<&ContainerInstance>, new: &ContainerInstance) -> Vec<String> {
    let machine = new.attributes.get("machine").cloned().flatten().unwrap_or_default();
    let Some(old) = old else { return vec![format!("{machine} is registered")] };
    let mut texts = Vec::new();
    if old.status != new.status {
        texts.push(format!("{machine} is {}", new.status.as_str()));
    }
    if old.connection.connected != new.connection.connected {
        let how = if new.connection.connected { "has a session" } else { "has no session" };
        texts.push(format!("{machine} {how}"));
    }
    texts
}
