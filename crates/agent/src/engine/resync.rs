//! Finding containers again: after a restart of the agent, and after the stream of events broke.

use std::sync::Arc;

use longshore_domain::task::{
    ContainerIndex, Doing, Effect, Event as TaskEvent, Found, Status, restore,
};

use super::{Engine, Entry, TaskKey};
use crate::record::{Binding, TaskRecord};
use crate::runtime::{Inspection, RuntimeState};
use crate::{clock, hands, labels, task};

impl Engine {
    /// Takes up the tasks of a run before this one, with the containers that were found.
    pub(crate) fn restore(&mut self, records: Vec<TaskRecord>, found: &[Inspection]) {
        for mut record in records {
            let spec = match task::spec(&record.task, &self.hands.config) {
                Ok(spec) => spec,
                Err(reason) => {
                    tracing::error!(task = record.task.arn, %reason, "a kept task cannot be read");
                    continue;
                }
            };
            let key: TaskKey = record.task.arn.as_str().into();
            let mut findings = Vec::with_capacity(record.containers.len());
            for index in 0..record.containers.len() {
                let own = find(&record, index, found);
                if let Some(inspection) = own {
                    adopt(&mut record, index, inspection);
                    let place = (Arc::clone(&key), index);
                    self.by_runtime_id.insert(inspection.id.clone(), place);
                }
                findings.push(own.map_or(Found::Nothing, as_found));
            }
            let entry = Entry::new(record, spec);
            self.route(&entry.record);
            self.tasks.insert(Arc::clone(&key), entry);
            self.take_up(&key, &findings);
        }
        self.save();
    }

    fn take_up(&mut self, key: &TaskKey, findings: &[Found]) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        let before = entry.record.state.clone();
        let (state, effects) = restore(&entry.spec, before, findings, clock::now());
        entry.record.state = state;
        tracing::info!(task = %key, "taken up");
        self.dirty.insert(Arc::clone(key));
        self.carry_out(key, &effects);
        if !effects.iter().any(|effect| matches!(effect, Effect::Announce(_))) {
            self.repeat_unsent(key);
        }
    }

    /// The stream of events was interrupted: whatever was missed is in how containers stand.
    pub(super) fn resync(&mut self, found: &[Inspection]) {
        let places: Vec<_> = self.by_runtime_id.clone().into_iter().collect();
        for (id, (key, index)) in places {
            let Some(entry) = self.tasks.get(&key) else { continue };
            let container = &entry.record.state.containers[index];
            // One that is being stopped is looked after by the call that stops it. One that is
            // started for the first time and has exited already can only have exited from that.
            let runs = container.status == Status::Running && container.doing.is_none();
            let starts = container.status == Status::Created
                && container.doing == Some(Doing::Starting)
                && found.iter().any(|f| f.id == id && hands::exit(f).is_some());
            if !runs && !starts {
                continue;
            }
            let Some(inspection) = found.iter().find(|inspection| inspection.id == id) else {
                self.advance(&key, TaskEvent::Vanished(index));
                continue;
            };
            match hands::exit(inspection) {
                Some(exit) => self.advance(&key, TaskEvent::Exited(index, exit)),
                None if inspection.health != container.health => {
                    self.advance(&key, TaskEvent::Health(index, inspection.health));
                }
                None => {}
            }
        }
    }
}

/// The container of a task: by its id, or by its labels when the agent ended before it knew the id.
fn find<'a>(
    record: &TaskRecord,
    index: ContainerIndex,
    found: &'a [Inspection],
) -> Option<&'a Inspection> {
    let name = &record.task.containers[index].name;
    found.iter().find(|inspection| {
        let label = |label: &str| inspection.labels.get(label).map(String::as_str);
        record.containers[index].runtime_id.as_deref() == Some(inspection.id.as_str())
            || (label(labels::TASK_ARN) == Some(&record.task.arn)
                && label(labels::CONTAINER_NAME) == Some(name))
    })
}

fn adopt(record: &mut TaskRecord, index: ContainerIndex, inspection: &Inspection) {
    let facts = &mut record.containers[index];
    facts.runtime_id = Some(inspection.id.clone());
    if facts.bound.is_empty() {
        facts.bound = inspection.ports.iter().cloned().map(Binding::from).collect();
    }
}

fn as_found(inspection: &Inspection) -> Found {
    match &inspection.state {
        RuntimeState::Created => Found::Created,
        RuntimeState::Running { since } => {
            Found::Running { since: *since, health: inspection.health }
        }
        RuntimeState::Exited { since, at, .. } => Found::Exited {
            since: *since,
            exit: hands::exit(inspection).unwrap_or(longshore_domain::task::Exit {
                code: None,
                reason: None,
                at: *at,
            }),
        },
    }
}
