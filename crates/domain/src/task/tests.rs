use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use std::format;

use super::*;
use crate::record::HealthStatus;
use crate::time::Timestamp;

const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(super) fn container(name: &str, depends_on: &[(&str, Condition)]) -> ContainerSpec {
    ContainerSpec {
        name: name.to_string(),
        essential: true,
        depends_on: depends_on.iter().map(|(on, c)| ((*on).to_string(), *c)).collect(),
        start_timeout: None,
        stop_timeout: Duration::from_secs(30),
        restart: None,
    }
}

fn sidecar(name: &str, depends_on: &[(&str, Condition)]) -> ContainerSpec {
    ContainerSpec { essential: false, ..container(name, depends_on) }
}

fn exit(code: i32, at: Timestamp) -> Exit {
    Exit { code: Some(code), reason: None, at }
}

/// A task under test: events go in, effects come out as text.
struct Bench {
    spec: TaskSpec,
    state: TaskState,
    now: Timestamp,
}

impl Bench {
    fn new(containers: Vec<ContainerSpec>) -> Self {
        Self::with_pull(containers, PullBehavior::Default)
    }

    fn with_pull(containers: Vec<ContainerSpec>, pull: PullBehavior) -> Self {
        let spec = TaskSpec::new(containers, pull).expect("a sound specification");
        let state = TaskState::new(&spec);
        Self { spec, state, now: T0 }
    }

    #[track_caller]
    fn check(&mut self, event: Event, expected: &str) {
        let (state, effects) = step(&self.spec, self.state.clone(), event, self.now);
        self.state = state;
        assert_eq!(self.text(&effects), expected);
    }

    fn text(&self, effects: &[Effect]) -> String {
        let name = |index: &usize| self.spec.containers()[*index].name.as_str();
        let words: Vec<String> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Pull(i) => format!("pull {}", name(i)),
                Effect::CancelPull(i) => format!("cancel {}", name(i)),
                Effect::Create(i) => format!("create {}", name(i)),
                Effect::Start(i) => format!("start {}", name(i)),
                Effect::Stop(i, after) => format!("stop {} {}s", name(i), after.as_secs()),
                Effect::Kill(i) => format!("kill {}", name(i)),
                Effect::Discard(i) => format!("discard {}", name(i)),
                Effect::Announce(phase) => format!("{phase:?}").to_uppercase(),
                Effect::Changed(i) => format!("~{}", name(i)),
            })
            .collect();
        words.join(", ")
    }

    /// Brings containers up to running without looking at the effects.
    fn run(&mut self, containers: &[usize]) {
        let mut events = vec![Event::Accepted];
        for i in containers {
            events.extend([Event::Pulled(*i, None), Event::Created(*i), Event::Started(*i)]);
        }
        for event in events {
            self.state = step(&self.spec, self.state.clone(), event, self.now).0;
        }
    }
}

#[test]
fn a_container_is_pulled_made_started_and_ends_its_task() {
    let mut bench = Bench::new(vec![container("a", &[])]);
    bench.check(Event::Accepted, "pull a");
    bench.check(Event::Pulled(0, Some(T0)), "create a, PENDING");
    bench.check(Event::Created(0), "start a");
    bench.check(Event::Started(0), "~a, RUNNING");
    bench.now = T0 + Duration::from_secs(5);
    bench.check(Event::Exited(0, exit(7, bench.now)), "~a, STOPPED");
    assert_eq!(bench.state.containers[0].exit_code, Some(7));
    assert_eq!(bench.state.execution_stopped_at, Some(bench.now));
    bench.check(Event::Exited(0, exit(9, bench.now)), "");
    assert_eq!(bench.state.containers[0].exit_code, Some(7), "an exit is told once");
}

#[test]
fn an_exit_seen_before_the_start_returned_is_kept() {
    let mut bench = Bench::new(vec![container("a", &[])]);
    bench.check(Event::Accepted, "pull a");
    bench.check(Event::Pulled(0, None), "create a, PENDING");
    bench.check(Event::Created(0), "start a");
    bench.check(Event::Exited(0, exit(0, T0)), "");
    bench.check(Event::Started(0), "~a, RUNNING, ~a, STOPPED");
    assert_eq!(bench.state.containers[0].exit_code, Some(0));
}

#[test]
fn containers_start_in_order_and_stop_in_reverse() {
    let mut bench = Bench::new(vec![
        container("app", &[("db", Condition::Healthy), ("init", Condition::Success)]),
        container("db", &[]),
        sidecar("init", &[]),
    ]);
    bench.check(Event::Accepted, "pull app, pull db, pull init");
    bench.check(Event::Pulled(0, None), "");
    bench.check(Event::Pulled(1, None), "create db");
    bench.check(Event::Pulled(2, None), "create init, PENDING");
    bench.check(Event::Created(1), "start db");
    bench.check(Event::Created(2), "start init");
    bench.check(Event::Started(1), "~db");
    bench.check(Event::Started(2), "~init");
    bench.check(Event::Exited(2, exit(0, T0)), "~init");
    bench.check(Event::Health(1, HealthStatus::Unhealthy), "");
    bench.check(Event::Health(1, HealthStatus::Healthy), "create app");
    bench.check(Event::Created(0), "start app");
    bench.check(Event::Started(0), "~app, RUNNING");
    bench.check(Event::StopRequested, "stop app 30s");
    bench.check(Event::Exited(0, exit(143, T0)), "~app, stop db 30s");
    bench.check(Event::Exited(1, exit(137, T0)), "~db, STOPPED");
}

#[test]
fn a_dependency_that_cannot_be_met_stops_its_dependant() {
    let mut bench =
        Bench::new(vec![sidecar("init", &[]), container("app", &[("init", Condition::Success)])]);
    bench.run(&[0]);
    bench.check(Event::Pulled(1, None), "PENDING");
    bench.check(Event::Exited(0, exit(3, T0)), "~init, ~app, STOPPED");
    let app = &bench.state.containers[1];
    assert_eq!(app.exit_code, Some(143));
    assert_eq!(
        app.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
        "CannotStartContainerError: dependency graph: failed to resolve container ordering \
         dependency: init stopped with exit code 3, SUCCESS can no longer be met"
    );
}

#[test]
fn a_start_timeout_bounds_the_wait_of_dependants() {
    let slow = ContainerSpec {
        start_timeout: Some(Duration::from_secs(10)),
        essential: false,
        ..container("slow", &[])
    };
    let mut bench = Bench::new(vec![slow, container("app", &[("slow", Condition::Complete)])]);
    bench.run(&[0]);
    assert_eq!(bench.state.next_deadline(&bench.spec), None, "app is not waiting yet");
    bench.check(Event::Pulled(1, None), "PENDING");
    let deadline = T0 + Duration::from_secs(10);
    assert_eq!(bench.state.next_deadline(&bench.spec), Some(deadline));
    bench.check(Event::Tick, "");
    bench.now = deadline;
    bench.check(Event::Tick, "~app, stop slow 30s");
    assert_eq!(bench.state.next_deadline(&bench.spec), None);
    bench.check(Event::Exited(0, exit(143, bench.now)), "~slow, STOPPED");
}

#[test]
fn a_failed_pull_is_final_only_where_the_behavior_says_so() {
    let reason = || Reason::new("CannotPullContainerError", "no route");
    let mut bench = Bench::new(vec![container("a", &[])]);
    bench.check(Event::Accepted, "pull a");
    bench.check(Event::PullFailed(0, reason()), "create a, PENDING");
    bench.check(
        Event::CreateFailed(0, Reason::new("CannotCreateContainerError", "no such image")),
        "~a, STOPPED",
    );
    assert_eq!(bench.state.containers[0].reason, Some(reason()), "the first failure is told");

    for pull in [PullBehavior::Always, PullBehavior::Once] {
        let mut bench = Bench::with_pull(vec![container("a", &[]), sidecar("b", &[])], pull);
        bench.check(Event::Accepted, "pull a, pull b");
        bench.check(Event::PullFailed(1, reason()), "~b, cancel a, ~a, STOPPED");
    }
}

#[test]
fn a_restart_policy_restarts_until_the_task_is_to_stop() {
    let policy =
        RestartPolicy { ignored_exit_codes: vec![0], attempt_period: Duration::from_secs(60) };
    let a = ContainerSpec { restart: Some(policy), ..container("a", &[]) };
    let mut bench = Bench::new(vec![a]);
    bench.run(&[0]);
    bench.now = T0 + Duration::from_secs(60);
    bench.check(Event::Exited(0, exit(1, bench.now)), "start a");
    bench.check(Event::StopRequested, "");
    bench.check(Event::Started(0), "stop a 30s");
    bench.check(Event::Exited(0, exit(143, bench.now)), "~a, STOPPED");

    let mut bench = Bench { state: TaskState::new(&bench.spec), now: T0, ..bench };
    bench.run(&[0]);
    bench.check(Event::Exited(0, exit(1, T0)), "~a, STOPPED");

    let mut bench = Bench { state: TaskState::new(&bench.spec), now: T0, ..bench };
    bench.run(&[0]);
    bench.now = T0 + Duration::from_secs(100);
    bench.check(Event::Exited(0, exit(0, bench.now)), "~a, STOPPED");
    assert_eq!(bench.state.containers[0].restarts, 0);
}

#[test]
fn a_stop_that_fails_is_tried_again_and_then_given_up() {
    let hang = || Reason::new("DockerTimeoutError", "no answer in 2m");
    let mut bench = Bench::new(vec![container("a", &[])]);
    bench.run(&[0]);
    bench.check(Event::StopRequested, "stop a 30s");
    bench.check(Event::StopFailed(0, hang()), "");
    bench.now = bench.state.next_deadline(&bench.spec).expect("a retry");
    bench.check(Event::Tick, "kill a");
    bench.check(Event::StopFailed(0, hang()), "");
    bench.now = bench.state.next_deadline(&bench.spec).expect("a retry");
    bench.check(Event::Tick, "kill a");
    bench.check(Event::StopFailed(0, hang()), "~a, STOPPED");
    assert_eq!(bench.state.containers[0].reason, Some(hang()));
}

#[test]
fn a_stop_during_preparation_starts_nothing_more() {
    let mut bench = Bench::new(vec![container("a", &[]), container("b", &[])]);
    bench.check(Event::Accepted, "pull a, pull b");
    bench.check(Event::Pulled(0, None), "create a");
    bench.check(Event::StopRequested, "cancel b, ~b");
    bench.check(Event::Created(0), "~a, STOPPED");
    bench.check(Event::Pulled(1, None), "");
}

#[test]
fn a_start_that_failed_is_cleared_away() {
    let mut bench = Bench::new(vec![container("a", &[])]);
    bench.check(Event::Accepted, "pull a");
    bench.check(Event::Pulled(0, None), "create a, PENDING");
    bench.check(Event::Created(0), "start a");
    bench.check(
        Event::StartFailed(0, Reason::new("CannotStartContainerError", "exec: not found")),
        "discard a, ~a, STOPPED",
    );
}

#[test]
fn specifications_that_make_no_sense_are_refused() {
    let check = |containers: Vec<ContainerSpec>, expected: &str| {
        let error = TaskSpec::new(containers, PullBehavior::Default).expect_err("refused");
        assert_eq!(error.to_string(), expected);
    };
    check(vec![], "the task has no containers");
    check(vec![container("a", &[]), container("a", &[])], "two containers are named a");
    check(
        vec![container("a", &[("b", Condition::Start)])],
        "container a depends on b, which is not part of the task",
    );
    check(
        vec![
            container("a", &[("b", Condition::Start)]),
            container("b", &[("a", Condition::Healthy)]),
            container("c", &[]),
        ],
        "containers wait for each other: a, b",
    );
    check(vec![container("a", &[("a", Condition::Start)])], "containers wait for each other: a");
}

#[test]
fn a_restarted_agent_takes_up_what_it_finds() {
    let spec = TaskSpec::new(
        vec![container("a", &[]), container("b", &[]), container("c", &[])],
        PullBehavior::Default,
    )
    .expect("a sound specification");
    let mut bench = Bench { state: TaskState::new(&spec), spec, now: T0 };
    bench.run(&[0]);
    bench.check(Event::Pulled(1, None), "create b");
    bench.check(Event::Pulled(2, None), "create c, PENDING");
    let running = |health| Found::Running { since: T0, health };
    let cases = [
        // b was made without the agent learning of it; c was not.
        (vec![running(HealthStatus::Unknown), Found::Created, Found::Nothing], "start b, create c"),
        (
            vec![running(HealthStatus::Unknown), running(HealthStatus::Healthy), Found::Created],
            "~b, start c",
        ),
        (
            vec![Found::Exited { since: T0, exit: exit(0, T0) }, Found::Nothing, Found::Nothing],
            "~a, ~b, ~c, STOPPED",
        ),
        (vec![Found::Nothing, Found::Created, Found::Nothing], "~a, ~b, ~c, STOPPED"),
    ];
    for (found, expected) in cases {
        let (_, effects) = restore(&bench.spec, bench.state.clone(), &found, T0);
        assert_eq!(bench.text(&effects), expected, "{found:?}");
    }
}
