//! What was seen is not taken back.

use super::{Checker, Step};

/// Observed state only moves forward, and a stop is for good.
pub(super) struct Forward;

impl Checker for Forward {
    fn name(&self) -> &'static str {
        "observed state never goes back"
    }

    fn step(&mut self, step: &Step<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (before, after) in &step.tasks {
            let Some(before) = before else { continue };
            let id = after.id;
            let (old, new) = (&before.observed, &after.observed);
            if new.status < old.status {
                wrong.push(format!("task {id} went from {:?} to {:?}", old.status, new.status));
            }
            for (old, new) in old.containers.iter().zip(&new.containers) {
                if new.status < old.status {
                    wrong.push(format!("a container of {id} went back to {:?}", new.status));
                }
            }
            if after.desired < before.desired {
                wrong.push(format!("task {id} is wanted again"));
            }
            if after.version < before.version {
                wrong.push(format!("task {id} went back to version {}", after.version));
            }
        }
        for old in step.before.service_deployments.iter().filter(|row| row.status.is_over()) {
            let new =
                step.after.service_deployments.get(&longshore_store::Record::key(&old.record));
            if new.is_some_and(|new| new.status != old.status) {
                wrong.push(format!("service deployment {} was over and goes on", old.id));
            }
        }
        wrong
    }
}
