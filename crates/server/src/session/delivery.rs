//! What a session has told its agent, and what is to be told next. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_domain::ids::TaskId;
use longshore_domain::record::{DesiredStatus, Task, TaskStatus};
use longshore_domain::time::Timestamp;

/// How long a message may stay unacknowledged, or a stop unanswered, before it is sent again.
/// The agent's handlers are idempotent.
const RESEND: Duration = Duration::from_secs(30);
/// Tasks in one message. The agent acknowledges a message as a whole.
pub(super) const TASKS_PER_MESSAGE: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    desired: DesiredStatus,
    at: Timestamp,
    message: u64,
    acknowledged: bool,
}

/// What is to be said now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due<'a> {
    /// Tasks to tell the agent of, oldest first.
    pub(super) tasks: Vec<&'a Task>,
    /// Tasks to stop that have no record any more.
    pub(super) gone: Vec<TaskId>,
    /// When to look again at the latest.
    pub(super) next: Option<Timestamp>,
}

/// What the agent was told in this session.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    sent: BTreeMap<TaskId, Sent>,
    /// When it is told again of what it has reported on in an earlier session.
    repeat_at: Timestamp,
    /// When the agent was last told to stop tasks that were given up.
    fenced_at: Option<Timestamp>,
}

impl Delivery {
    /// Nothing was told yet; what the agent knows for sure is repeated from `repeat_at` on.
    pub(super) fn new(repeat_at: Timestamp) -> Self {
        Self { repeat_at, ..Self::default() }
    }

    /// The tasks to tell the agent of now, oldest first; and when to look again at the latest.
    ///
    /// A task that was sent and has no record any more was taken away (by a reset): the agent is
    /// told once to stop it, and its manifest says so again when it reconnects.
    pub(super) fn due<'a>(
        &mut self,
        tasks: impl Iterator<Item = &'a Task>,
        now: Timestamp,
    ) -> Due<'a> {
        let (mut due, mut next) = (Vec::new(), None::<Timestamp>);
        let (mut alive, mut known) = (BTreeSet::new(), BTreeSet::new());
        for task in tasks {
            known.insert(task.id);
            if task.is_stopped() {
                continue;
            }
            alive.insert(task.id);
            let told = task.told(now);
            if let Some(until) = task.draining_until.filter(|until| *until > now) {
                next = Some(next.map_or(until, |next| next.min(until)));
            }
            let wait_until = match self.sent.get(&task.id) {
                Some(sent) if sent.desired == told => {
                    let answered = sent.acknowledged && told == DesiredStatus::Running;
                    if answered {
                        continue;
                    }
                    sent.at + RESEND
                }
                None if is_known(task, told) => self.repeat_at,
                _ => now,
            };
            if wait_until <= now {
                due.push(task);
            } else {
                next = Some(next.map_or(wait_until, |next| next.min(wait_until)));
            }
        }
        let gone = self.sent.keys().filter(|id| !known.contains(id)).copied().collect();
        self.sent.retain(|id, _| alive.contains(id));
        due.sort_by_key(|task| (task.created_at, task.id));
        Due { tasks: due, gone, next }
    }

    /// The given-up tasks to tell the agent now to stop; and when to look again at the latest.
    ///
    /// They are told with the first messages of a session, before anything new, and again until the
    /// agent has reported the end of each.
    pub(super) fn fenced(
        &mut self,
        fence: &BTreeSet<TaskId>,
        now: Timestamp,
    ) -> (Vec<TaskId>, Option<Timestamp>) {
        if fence.is_empty() {
            self.fenced_at = None;
            return (Vec::new(), None);
        }
        if let Some(again) = self.fenced_at.map(|at| at + RESEND).filter(|again| now < *again) {
            return (Vec::new(), Some(again));
        }
        self.fenced_at = Some(now);
        (fence.iter().copied().collect(), Some(now + RESEND))
    }

    /// These tasks went out in `message`.
    pub(super) fn sent<'a>(
        &mut self,
        tasks: impl Iterator<Item = &'a Task>,
        message: u64,
        now: Timestamp,
    ) {
        for task in tasks {
            let sent = Sent { desired: task.told(now), at: now, message, acknowledged: false };
            self.sent.insert(task.id, sent);
        }
    }

    /// The agent has accepted `message`.
    pub(super) fn acknowledged(&mut self, message: u64) {
        for sent in self.sent.values_mut().filter(|sent| sent.message == message) {
            sent.acknowledged = true;
        }
    }
}

/// Whether the agent is to run a task that it has reported on. It may still have lost it with the power,
/// so it is told again, in time.
pub(super) fn is_known(task: &Task, told: DesiredStatus) -> bool {
    let seen = &task.observed;
    told == DesiredStatus::Running
        && (seen.status > TaskStatus::Pending || seen.pull_started_at.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_records::task;

    const NOTHING: Due<'static> = Due { tasks: Vec::new(), gone: Vec::new(), next: None };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_task_is_sent_once_and_again_only_without_acknowledgement() {
        let (mut delivery, task) = (Delivery::default(), task(1));
        let due = delivery.due([&task].into_iter(), at(0));
        assert_eq!(due.tasks.len(), 1);
        delivery.sent(due.tasks.into_iter(), 7, at(0));
        let due = delivery.due([&task].into_iter(), at(1));
        assert_eq!((due.tasks.len(), due.next), (0, Some(at(30))));
        assert_eq!(delivery.due([&task].into_iter(), at(30)).tasks.len(), 1, "no acknowledgement");
        delivery.acknowledged(7);
        assert_eq!(delivery.due([&task].into_iter(), at(60)), NOTHING);
    }

    #[test]
    fn a_stop_is_repeated_until_the_task_has_stopped() {
        let (mut delivery, mut task) = (Delivery::default(), task(1));
        delivery.sent([&task].into_iter(), 1, at(0));
        delivery.acknowledged(1);
        task.desired = DesiredStatus::Stopped;
        assert_eq!(delivery.due([&task].into_iter(), at(1)).tasks.len(), 1);
        delivery.sent([&task].into_iter(), 2, at(1));
        delivery.acknowledged(2);
        assert_eq!(delivery.due([&task].into_iter(), at(2)).next, Some(at(31)));
        assert_eq!(delivery.due([&task].into_iter(), at(31)).tasks.len(), 1);
        task.observed.status = TaskStatus::Stopped;
        assert_eq!(delivery.due([&task].into_iter(), at(90)), NOTHING);
    }

    #[test]
    fn a_task_that_drains_is_stopped_when_it_has_or_when_its_time_is_over() {
        let (mut delivery, mut task) = (Delivery::default(), task(1));
        delivery.sent([&task].into_iter(), 1, at(0));
        delivery.acknowledged(1);
        task.desired = DesiredStatus::Stopped;
        task.draining_until = Some(at(60));
        let due = delivery.due([&task].into_iter(), at(1));
        assert_eq!((due.tasks.len(), due.next), (0, Some(at(60))), "it goes on");
        let mut drained = task.clone();
        drained.draining_until = None;
        assert_eq!(delivery.due([&drained].into_iter(), at(2)).tasks, [&drained]);
        assert_eq!(delivery.due([&task].into_iter(), at(60)).tasks, [&task], "time is over");
    }

    #[test]
    fn what_the_agent_has_reported_on_is_repeated_in_its_turn() {
        let (mut delivery, fresh, mut known) = (Delivery::new(at(20)), task(1), task(2));
        known.observed.status = TaskStatus::Running;
        let due = delivery.due([&fresh, &known].into_iter(), at(10));
        assert_eq!(
            (due.tasks, due.next),
            (vec![&fresh], Some(at(20))),
            "new work goes out at once"
        );
        let mut stopping = known.clone();
        stopping.desired = DesiredStatus::Stopped;
        assert_eq!(delivery.due([&stopping].into_iter(), at(10)).tasks, [&stopping]);
        assert_eq!(delivery.due([&known].into_iter(), at(20)).tasks, [&known]);
    }

    #[test]
    fn a_fence_is_told_until_it_falls() {
        let mut delivery = Delivery::default();
        let fence = BTreeSet::from([task(1).id, task(2).id]);
        assert_eq!(delivery.fenced(&BTreeSet::new(), at(0)), (vec![], None));
        let both = vec![task(1).id, task(2).id];
        assert_eq!(delivery.fenced(&fence, at(1)), (both, Some(at(31))));
        assert_eq!(delivery.fenced(&fence, at(2)), (vec![], Some(at(31))));
        let rest = BTreeSet::from([task(2).id]);
        assert_eq!(delivery.fenced(&rest, at(31)), (vec![task(2).id], Some(at(61))));
        assert_eq!(delivery.fenced(&BTreeSet::new(), at(32)), (vec![], None));
    }

    #[test]
    fn a_task_without_record_is_stopped_once() {
        let (mut delivery, mut task) = (Delivery::default(), task(1));
        delivery.sent([&task].into_iter(), 1, at(0));
        assert_eq!(delivery.due([].into_iter(), at(1)).gone, [task.id]);
        assert_eq!(delivery.due([].into_iter(), at(2)), NOTHING);

        delivery.sent([&task].into_iter(), 2, at(3));
        task.observed.status = TaskStatus::Stopped;
        assert_eq!(delivery.due([&task].into_iter(), at(4)), NOTHING);
        assert_eq!(delivery.due([].into_iter(), at(5)), NOTHING, "forgotten by retention");
    }
}
