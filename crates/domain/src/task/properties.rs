//! Safety ("never") and liveness ("eventually") of tasks against a runtime that fails at random.
//! The rules are stated anew here and share no code with the state machine.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use std::format;

use proptest::prelude::*;

use super::tests::container;
use super::*;
use crate::record::{DesiredStatus, HealthStatus};
use crate::time::Timestamp;

/// How the runtime treats one container.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one throw of the dice")]
struct Fate {
    pull: bool,
    create: bool,
    start: bool,
    early: bool,
    exits: Option<i32>,
    failed_stops: u8,
    healthy: bool,
}

#[derive(Clone, Debug)]
struct World {
    specs: Vec<ContainerSpec>,
    fates: Vec<Fate>,
    pull: PullBehavior,
    /// Steps after which the task is asked to stop.
    stop_after: usize,
    /// Steps after which the agent is restarted.
    restart_after: usize,
    /// Which of the pending outcomes comes next.
    picks: Vec<usize>,
}

fn fate() -> impl Strategy<Value = Fate> {
    let often = || prop::bool::weighted(0.85);
    let exits = prop::option::of(prop_oneof![Just(0), Just(1)]);
    (often(), often(), often(), any::<bool>(), exits, 0..5_u8, any::<bool>()).prop_map(
        |(pull, create, start, early, exits, failed_stops, healthy)| Fate {
            pull,
            create,
            start,
            early,
            exits,
            failed_stops,
            healthy,
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::Create),
        Just(Condition::Start),
        Just(Condition::Complete),
        Just(Condition::Success),
        Just(Condition::Healthy),
    ]
}

fn world() -> impl Strategy<Value = World> {
    (1..6_usize).prop_flat_map(|count| {
        let edges = prop::collection::vec((0..count, 0..count, condition()), 0..8);
        let shape = prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), count);
        let fates = prop::collection::vec(fate(), count);
        let pull = prop_oneof![Just(PullBehavior::Default), Just(PullBehavior::Always)];
        let picks = prop::collection::vec(any::<prop::sample::Index>(), 64);
        (edges, shape, fates, pull, 0..40_usize, 0..40_usize, picks).prop_map(
            move |(edges, shape, fates, pull, stop_after, restart_after, picks)| {
                let mut specs: Vec<ContainerSpec> =
                    (0..count).map(|i| container(&format!("c{i}"), &[])).collect();
                for (i, (essential, timeout, restart)) in shape.into_iter().enumerate() {
                    specs[i].essential = essential || i == 0;
                    specs[i].start_timeout = timeout.then_some(Duration::from_secs(10));
                    let attempt_period = Duration::from_secs(60);
                    let policy = RestartPolicy { ignored_exit_codes: Vec::new(), attempt_period };
                    specs[i].restart = restart.then_some(policy);
                }
                for (a, b, condition) in edges {
                    if a != b {
                        specs[a.max(b)].depends_on.push((format!("c{}", a.min(b)), condition));
                    }
                }
                let picks = picks.iter().map(|pick| pick.index(1 << 16)).collect();
                World { specs, fates, pull, stop_after, restart_after, picks }
            },
        )
    })
}

/// The runtime, and what it has seen.
#[derive(Default)]
struct Runtime {
    pending: Vec<Event>,
    created: Vec<u32>,
    running: Vec<bool>,
    exited: Vec<Option<i32>>,
    ran: Vec<bool>,
    stops: Vec<u8>,
    log: Vec<String>,
}

impl Runtime {
    fn new(count: usize) -> Self {
        Self {
            created: alloc::vec![0; count],
            running: alloc::vec![false; count],
            exited: alloc::vec![None; count],
            ran: alloc::vec![false; count],
            stops: alloc::vec![0; count],
            ..Self::default()
        }
    }

    fn exit(&mut self, i: usize, code: i32, now: Timestamp) {
        if self.running[i] {
            self.running[i] = false;
            self.exited[i] = Some(code);
            self.pending.push(Event::Exited(i, Exit { code: Some(code), reason: None, at: now }));
        }
    }

    fn found(&self, i: usize, now: Timestamp) -> Found {
        match (self.created[i], self.running[i], self.exited[i]) {
            (0, ..) => Found::Nothing,
            (_, true, _) => Found::Running { since: now, health: HealthStatus::Unknown },
            (_, false, Some(code)) => {
                Found::Exited { since: now, exit: Exit { code: Some(code), reason: None, at: now } }
            }
            _ => Found::Created,
        }
    }

    /// Carries out an effect, and judges whether it was allowed.
    fn carry_out(&mut self, world: &World, state: &TaskState, effect: Effect, now: Timestamp) {
        let reason = || Reason::new("Failed", "by fate");
        let stopping = state.desired == DesiredStatus::Stopped;
        self.log.push(format!("{effect:?}"));
        match effect {
            Effect::Pull(i) => self.pending.push(if world.fates[i].pull {
                Event::Pulled(i, Some(now))
            } else {
                Event::PullFailed(i, reason())
            }),
            Effect::Create(i) => {
                assert!(!stopping, "made a container of a task that stops");
                assert!(self.order_allows(world, state, i), "made c{i} before its dependencies");
                assert_eq!(self.created[i], 0, "made c{i} twice");
                if world.fates[i].create {
                    self.created[i] += 1;
                    self.pending.push(Event::Created(i));
                } else {
                    self.pending.push(Event::CreateFailed(i, reason()));
                }
            }
            Effect::Start(i) => {
                assert!(!stopping, "started a container of a task that stops");
                assert!(!self.running[i], "started c{i} while it runs");
                assert!(
                    !self.ran[i] || world.specs[i].restart.is_some(),
                    "restarted c{i} without a policy"
                );
                if world.fates[i].start {
                    self.running[i] = true;
                    self.ran[i] = true;
                    self.exited[i] = None;
                    if world.fates[i].early {
                        self.exit(i, world.fates[i].exits.unwrap_or(0), now);
                        self.pending.push(Event::Started(i));
                    } else {
                        self.pending.push(Event::Started(i));
                        if world.fates[i].healthy {
                            self.pending.push(Event::Health(i, HealthStatus::Healthy));
                        }
                        if let Some(code) = world.fates[i].exits {
                            self.exit(i, code, now);
                        }
                    }
                } else {
                    self.pending.push(Event::StartFailed(i, reason()));
                }
            }
            Effect::Stop(i, _) | Effect::Kill(i) => {
                for (other, spec) in world.specs.iter().enumerate() {
                    let depends = spec.depends_on.iter().any(|(on, _)| *on == world.specs[i].name);
                    let given_up = self.stops[other] >= 3;
                    let early = depends && self.running[other] && !given_up;
                    assert!(!early, "stopped c{i} before c{other}");
                }
                self.stops[i] += 1;
                if self.stops[i] <= world.fates[i].failed_stops {
                    self.pending.push(Event::StopFailed(i, reason()));
                } else {
                    self.exit(i, 143, now);
                }
            }
            Effect::Discard(i) => self.running[i] = false,
            Effect::CancelPull(_) | Effect::Announce(_) | Effect::Changed(_) => {}
        }
    }

    fn order_allows(&self, world: &World, state: &TaskState, i: usize) -> bool {
        world.specs[i].depends_on.iter().all(|(on, condition)| {
            let on = world.specs.iter().position(|spec| spec.name == *on).expect("a container");
            match condition {
                Condition::Create => self.created[on] > 0,
                Condition::Start => self.ran[on],
                Condition::Complete => self.exited[on].is_some(),
                Condition::Success => self.exited[on] == Some(0),
                Condition::Healthy => state.containers[on].health == HealthStatus::Healthy,
            }
        })
    }
}

fn live(world: &World) -> Runtime {
    let spec = TaskSpec::new(world.specs.clone(), world.pull).expect("edges point backwards");
    let mut state = TaskState::new(&spec);
    let mut runtime = Runtime::new(world.specs.len());
    let mut now = Timestamp::from_millis(1_700_000_000_000);
    let mut event = Event::Accepted;
    let mut announced: Option<Phase> = None;
    for round in 0..2_000 {
        let before = state.clone();
        let effects;
        if round == world.restart_after && round > 0 {
            let found: Vec<Found> = (0..world.specs.len()).map(|i| runtime.found(i, now)).collect();
            runtime.pending.clear();
            (state, effects) = restore(&spec, state, &found, now);
        } else {
            (state, effects) = step(&spec, state, event, now);
        }
        for (old, new) in before.containers.iter().zip(&state.containers) {
            assert!(old.status <= new.status, "a container went back");
            assert!(!old.is_stopped() || old.exit_code == new.exit_code, "an exit changed");
        }
        assert!(before.desired <= state.desired, "a stop was taken back");
        for effect in effects {
            if let Effect::Announce(phase) = effect {
                assert!(announced < Some(phase), "announced {phase:?} after {announced:?}");
                announced = Some(phase);
            }
            runtime.carry_out(world, &state, effect, now);
        }
        if state.is_stopped() {
            assert_eq!(announced, Some(Phase::Stopped), "ended without a word");
            return runtime;
        }
        now = now + Duration::from_millis(100);
        event = if round == world.stop_after {
            Event::StopRequested
        } else if runtime.pending.is_empty() {
            let next = state.next_deadline(&spec);
            now = next.map_or(now, |next| next.max(now));
            // Nothing to come and nothing to wait for: a healthy service, which is asked to stop.
            if next.is_some() { Event::Tick } else { Event::StopRequested }
        } else {
            let pick = world.picks[round % world.picks.len()] % runtime.pending.len();
            next_of_its_container(&mut runtime.pending, pick)
        };
    }
    panic!("did not end: {state:?}\n{}", runtime.log.join("\n"));
}

/// Takes one pending outcome; outcomes of one container keep their order.
fn next_of_its_container(pending: &mut Vec<Event>, pick: usize) -> Event {
    let of = |event: &Event| match event {
        Event::Pulled(i, _)
        | Event::PullFailed(i, _)
        | Event::Created(i)
        | Event::CreateFailed(i, _)
        | Event::Started(i)
        | Event::StartFailed(i, _)
        | Event::Exited(i, _)
        | Event::StopFailed(i, _)
        | Event::Vanished(i)
        | Event::Health(i, _) => Some(*i),
        Event::Accepted | Event::StopRequested | Event::Failed(_) | Event::Tick => None,
    };
    let container = of(&pending[pick]);
    let first = pending.iter().position(|event| of(event) == container).unwrap_or(pick);
    pending.remove(first)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_task_keeps_its_rules_and_ends(world in world()) {
        live(&world);
    }

    #[test]
    fn a_persisted_state_reads_back(world in world()) {
        let spec = TaskSpec::new(world.specs, world.pull).expect("edges point backwards");
        let (state, _) = step(&spec, TaskState::new(&spec), Event::Accepted, Timestamp::default());
        let text = serde_json::to_string(&state).expect("a state can be written");
        let back: TaskState = serde_json::from_str(&text).expect("a state can be read");
        prop_assert_eq!(back, state);
    }
}
