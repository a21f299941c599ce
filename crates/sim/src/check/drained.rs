//! No request is lost because a service stops a task.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_domain::ids::{ElbArn, ElbResource, TaskId};
use longshore_domain::record::{DesiredStatus, StopCode, Task, TaskStatus};
use longshore_domain::time::Timestamp;
use longshore_store::View;

use super::{Checker, End, Step};
use crate::balancer::{Flow, Nodes, SILENCE};
use crate::world;

/// How long a target of a task that has stopped may be there: a pass that was put off, and some.
const LINGERS: Duration = Duration::from_secs(30);

/// A task that a service stops is told so only when no node of balancers that is there sends it
/// anything, or has anything under way to it, or when its time is over.
pub(super) struct Drained {
    nodes: Nodes,
    /// The targets that each task was, since the run began.
    targets: BTreeMap<TaskId, BTreeSet<(String, u16)>>,
}

impl Drained {
    pub(super) fn new(nodes: &Nodes) -> Self {
        Self { nodes: nodes.clone(), targets: BTreeMap::new() }
    }
}

/// Whether a task was to go on, as its agent knows.
fn goes_on(task: &Task, now: Timestamp) -> bool {
    let drains = task.draining_until.is_some_and(|until| until > now);
    task.desired == DesiredStatus::Running || drains
}

impl Checker for Drained {
    fn name(&self) -> &'static str {
        "no task is told to stop while balancers use it"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        for row in step.after.targets.iter().filter(|r| r.mod_revision == step.after.revision) {
            if let Some(task) = &row.task {
                let own = self.targets.entry(task.task).or_default();
                own.insert((row.id.clone(), row.port));
            }
        }
        let mut wrong = Vec::new();
        for (before, after) in &step.tasks {
            let Some(before) = before else { continue };
            let by_service = after
                .stop
                .as_ref()
                .is_some_and(|stop| stop.code == StopCode::ServiceSchedulerInitiated);
            let told = goes_on(before, step.now) && !goes_on(after, step.now);
            let runs = after.observed.status == TaskStatus::Running;
            if !told || !by_service || !runs || world::jumped_within(2 * SILENCE) {
                continue;
            }
            let Some(own) = self.targets.get(&after.id) else { continue };
            for (name, node) in self.nodes.all() {
                // Nobody can know of one that has not said anything (any more).
                let Some(told_at) = node.told_at else { continue };
                if world::elapsed() >= told_at + SILENCE {
                    continue;
                }
                for ((group, id, port), flow) in &node.targets {
                    let uses = !flow.leaves || flow.in_flight > 0;
                    if uses
                        && own.contains(&(id.clone(), *port))
                        && !is_over(step, group, id, *port)
                    {
                        let Flow { leaves, in_flight, .. } = flow;
                        wrong.push(format!(
                            "task {} is told to stop; {name} has {in_flight} requests under way to it, \
                             and {} that it leaves",
                            after.id,
                            if *leaves { "knows" } else { "does not know" }
                        ));
                    }
                }
            }
        }
        wrong
    }

    fn end(&mut self, end: &End<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        for row in end.view.targets.iter() {
            let Some(target) = &row.task else { continue };
            let task = end.view.tasks.iter().find(|task| task.id == target.task);
            let over = task.is_none_or(|task| {
                let long = |at: Timestamp| end.now.saturating_since(at) > LINGERS;
                task.is_stopped() && task.observed.stopped_at.is_none_or(long)
            });
            if over {
                wrong.push(format!(
                    "{}:{} is a target of a task that has stopped",
                    row.id, row.port
                ));
            }
        }
        wrong
    }
}

/// Whether the time is over that a target had for what was under way.
fn is_over(step: &Step<'_>, group: &str, id: &str, port: u16) -> bool {
    let Some(group) = group_id(group) else { return false };
    let found = |view: &View| {
        let mut rows = view.targets.iter();
        rows.find(|row| row.group.to_string() == group && row.id == id && row.port == port).cloned()
    };
    let since = found(step.before).and_then(|row| row.deregistered_at);
    since.is_some_and(|since| since + crate::workload::DELAY <= step.now)
}

fn group_id(arn: &str) -> Option<String> {
    let ElbResource::TargetGroup(_, id) = arn.parse::<ElbArn>().ok()?.resource else { return None };
    Some(id.to_string())
}
