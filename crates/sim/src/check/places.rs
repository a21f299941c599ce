//! Where tasks are: each on one instance, none forgotten, none left behind.

use std::collections::BTreeMap;

use longshore_domain::ids::{Arn, Resource};
use longshore_domain::record::DesiredStatus;
use longshore_store::tables::TaskKey;

use super::{Checker, End, Step, instance_of};
use crate::machine::TASK_ARN;

/// No task is on two instances, in the records or on the machines.
pub(super) struct OneInstance;

impl Checker for OneInstance {
    fn name(&self) -> &'static str {
        "no task on two instances"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (before, after) in &step.tasks {
            if before.is_some_and(|before| before.instance != after.instance) {
                wrong.push(format!("task {} moved to {}", after.id, after.instance));
            }
        }
        let mut places: BTreeMap<String, &str> = BTreeMap::new();
        for machine in step.machines {
            for task in machine.runtime.running(TASK_ARN) {
                if let Some(other) = places.insert(task.clone(), &machine.name)
                    && other != machine.name
                {
                    wrong.push(format!("{task} runs on {other} and on {}", machine.name));
                }
            }
        }
        wrong
    }
}

/// At the end, machines run what is wanted of them and nothing else.
pub(super) struct NoLeaks;

impl Checker for NoLeaks {
    fn name(&self) -> &'static str {
        "no container left behind"
    }

    fn end(&mut self, end: &End<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        for machine in end.machines {
            // Deregistered by force, it keeps what it had.
            let Some(instance) = instance_of(end.view, machine) else { continue };
            for arn in machine.runtime.running(TASK_ARN) {
                let Ok(Arn { scope, resource: Resource::Task(cluster, id) }) = arn.parse() else {
                    wrong.push(format!("{arn} is no task"));
                    continue;
                };
                let task = end.view.tasks.get(&TaskKey { scope, cluster, id });
                let wanted = task.is_some_and(|task| {
                    task.desired == DesiredStatus::Running && task.instance == instance.id
                });
                // One that was told to stop a moment ago may still be at it.
                let stopping = task.is_some_and(|task| {
                    let since = task.stop.as_ref().map(|stop| stop.at);
                    let grace = std::time::Duration::from_secs(60);
                    !task.is_stopped() && since.is_some_and(|at| end.now < at + grace)
                });
                if !wanted && !stopping {
                    wrong.push(format!("{} still runs {arn}", machine.name));
                }
            }
        }
        wrong
    }
}

/// What was acknowledged is there.
pub(super) struct Kept;

impl Checker for Kept {
    fn name(&self) -> &'static str {
        "no acknowledged task lost"
    }

    fn end(&mut self, end: &End<'_>) -> Vec<String> {
        let lost = |arn: &&String| match arn.parse() {
            Ok(Arn { scope, resource: Resource::Task(cluster, id) }) => {
                end.view.tasks.get(&TaskKey { scope, cluster, id }).is_none()
            }
            _ => true,
        };
        end.acknowledged.iter().filter(lost).map(|arn| format!("{arn} is gone")).collect()
    }
}
