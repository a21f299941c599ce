//! Cuts what a plan starts and stops into portions that each fit one transaction, and says what the
//! events of each portion tell.
//!
//! Up to [`limits::SERVICE_CHANGES`] go with the change of the service itself, so a small plan is one
//! transaction. The others go ahead of it, and do not wait for each other.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::buckets::Condition;
use super::events::{Message, Subject};
use super::{Portion, Start, Stop};
use crate::ids::TaskId;
use crate::limits;
use crate::record::ServiceEvent;

/// Tasks that start, and what is told of it.
pub(super) struct Starting {
    pub(super) start: Start,
    /// How many of them take the place of unhealthy ones.
    pub(super) replaced: usize,
    /// The zone that they level, if they do.
    pub(super) zone: Option<String>,
    /// Number of messages of the plan that come before.
    pub(super) after: usize,
}

/// A task that stops, and what is told of it.
pub(super) struct Stopping {
    pub(super) stop: Stop,
    pub(super) condition: Condition,
    /// The zone that it leaves for balance.
    pub(super) moved_from: Option<String>,
}

/// Starts and stops of one transaction.
pub(super) struct Moves {
    starting: Option<Starting>,
    stopping: Vec<Stopping>,
}

/// Portions to go ahead, and the last one, which leaves its transaction no more than `room` fuller.
pub(super) fn cut(
    mut stopping: Vec<Stopping>,
    mut starting: Option<Starting>,
    room: usize,
) -> (Vec<Moves>, Moves) {
    let mut ahead = Vec::new();
    loop {
        let starts = starting.as_ref().map_or(0, |starting| starting.start.assigned.len());
        if stopping.len() + starts <= room {
            return (ahead, Moves { starting, stopping });
        }
        let stops = stopping.len().min(limits::SERVICE_CHANGES);
        let first = stopping.drain(..stops).collect();
        let starts = starts.min(limits::SERVICE_CHANGES - stops);
        let (begun, rest) = match starting {
            Some(starting) if starts > 0 => starting.split_at(starts),
            starting => (None, starting),
        };
        starting = rest;
        ahead.push(Moves { starting: begun, stopping: first });
    }
}

impl Starting {
    /// The first `count` tasks, and the others.
    fn split_at(mut self, count: usize) -> (Option<Self>, Option<Self>) {
        let others = self.start.assigned.split_off(count);
        let replaced = self.replaced.min(count);
        let rest = (!others.is_empty()).then(|| Self {
            start: Start { assigned: others, ..self.start.clone() },
            replaced: self.replaced - replaced,
            zone: self.zone.clone(),
            after: self.after,
        });
        (Some(Self { replaced, ..self }), rest)
    }
}

impl Moves {
    /// What is told of the stops.
    pub(super) fn stopped(&self, subject: &Subject) -> Vec<Message> {
        let mut stopped = Vec::new();
        let mut moved: BTreeMap<&str, Vec<TaskId>> = BTreeMap::new();
        for Stopping { stop, condition, moved_from } in &self.stopping {
            match moved_from {
                Some(zone) => moved.entry(zone).or_default().push(stop.task),
                None => stopped.push((stop.task, *condition)),
            }
        }
        let draining = self.stopping.iter().filter(|s| s.stop.draining_until.is_some()).count();
        let draining = (draining > 0).then(|| subject.draining(draining));
        let mut messages: Vec<Message> =
            draining.into_iter().chain(subject.stopped(&stopped)).collect();
        messages.extend(moved.iter().map(|(zone, tasks)| subject.stopped_in(tasks, zone)));
        messages
    }

    /// What is told of the starts.
    pub(super) fn started(&self, subject: &Subject) -> Option<Message> {
        let Starting { start, replaced, zone, .. } = self.starting.as_ref()?;
        Some(match zone {
            None => subject.started(&start.assigned, *replaced),
            Some(zone) => subject.started_in(&start.assigned, zone),
        })
    }

    /// With its events.
    pub(super) fn with(self, events: Vec<ServiceEvent>) -> Portion {
        Portion {
            start: self.starting.map(|starting| starting.start),
            stop: self.stopping.into_iter().map(|stopping| stopping.stop).collect(),
            events,
        }
    }
}
