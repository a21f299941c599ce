//! One server leads at a time, and nobody else decides.

use longshore_domain::record::{DesiredStatus, StopCode, Task};

use super::{Checker, Step};

/// What only a leader decides is decided by the one that leads, and nobody takes an office that
/// another one holds.
pub(super) struct Leaders;

impl Checker for Leaders {
    fn name(&self) -> &'static str {
        "only the leader decides"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        let who = step.author.unwrap_or("nobody");
        let mut wrong = Vec::new();
        if step.takes_office
            && let Some(leader) = step.leader
        {
            wrong.push(format!("{who} takes the office that {leader} holds"));
        }
        let decided = step.tasks.iter().find_map(|(before, after)| decision(*before, after));
        if let Some(decided) = decided.filter(|_| step.author != step.leader) {
            let leader = step.leader.unwrap_or("nobody");
            wrong.push(format!("{who} {decided}, and {leader} leads"));
        }
        wrong
    }
}

/// What a transaction decided about a task that is for the leader to decide.
fn decision(before: Option<&Task>, after: &Task) -> Option<String> {
    let Some(before) = before else {
        return Some(format!("places task {} on {}", after.id, after.instance));
    };
    let stops = before.desired == DesiredStatus::Running && after.desired == DesiredStatus::Stopped;
    let by_scheduler = |code| code == StopCode::ServiceSchedulerInitiated;
    let scheduled = after.stop.as_ref().is_some_and(|stop| by_scheduler(stop.code));
    (stops && scheduled).then(|| format!("stops task {}", after.id))
}
