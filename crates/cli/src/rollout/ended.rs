//! What the tasks of a failed deployment say of it: stop code, reasons, exit codes, last log
//! lines.

use longshore_wire::ecs::Task;
use longshore_wire::ecs::enums::{DesiredStatus, TaskStopCode};

use super::{Follow, Rollout};
use crate::failure::Failure;
use crate::{logs, progress, task};

/// Ways to fail that are shown.
const SHOWN: usize = 2;

impl Follow<'_> {
    /// What to print about the tasks of a deployment that failed, line by line.
    pub(super) async fn post_mortem(&self, rollout: &Rollout) -> Result<Vec<String>, Failure> {
        let service = Some(rollout.service.as_str());
        let stopped = DesiredStatus::Stopped;
        let tasks = progress::tasks(self.client, self.cluster, service, stopped).await?;
        let mut lines = Vec::new();
        for (task, alike) in telling(tasks, &rollout.deployment).into_iter().take(SHOWN) {
            lines.extend(describe(&task, alike));
            let arn = task.task_arn.as_deref().unwrap_or_default();
            let left = logs::of_task(self.docker_socket, arn).await;
            lines.extend(left.into_iter().map(|line| format!("  {line}")));
        }
        if lines.is_empty() {
            let text = format!("no task of {} has failed", rollout.deployment);
            lines.push(text);
        }
        Ok(lines)
    }
}

/// The newest task of each way to fail, with the number of those like it; the newest first.
fn telling(mut tasks: Vec<Task>, deployment: &str) -> Vec<(Task, usize)> {
    tasks.retain(|task| task.started_by.as_deref() == Some(deployment) && has_failed(task));
    tasks.sort_by(|a, b| {
        let at = |task: &Task| task.stopped_at.map_or(0.0, |at| at.0);
        at(b).total_cmp(&at(a))
    });
    let mut ways: Vec<(Task, usize)> = Vec::new();
    for task in tasks {
        match ways.iter_mut().find(|(other, _)| way(other) == way(&task)) {
            Some((_, alike)) => *alike += 1,
            None => ways.push((task, 1)),
        }
    }
    ways
}

/// Tasks that the scheduler stopped to make room have not failed.
fn has_failed(task: &Task) -> bool {
    let made_room = |reason: &str| reason.contains("activity initiated by");
    !task.stopped_reason.as_deref().is_some_and(made_room)
}

/// What two tasks have in common that failed in the same way.
fn way(task: &Task) -> (Option<&str>, Option<&str>, Vec<Option<i32>>) {
    let codes = task.containers.iter().flatten().map(|container| container.exit_code);
    (task.stop_code.map(TaskStopCode::as_str), task.stopped_reason.as_deref(), codes.collect())
}

fn describe(found: &Task, alike: usize) -> Vec<String> {
    let others = match alike {
        0 | 1 => String::new(),
        many => format!(" (and {} more in the same way)", many - 1),
    };
    let id = task::short(found.task_arn.as_deref());
    let mut lines = vec![format!("task {id} failed{others}: {}", task::reason(found))];
    lines.extend(task::containers(found).into_iter().map(|line| format!("  {line}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_wire::Timestamp;
    use longshore_wire::ecs::Container;

    fn task(id: &str, deployment: &str, reason: &str, code: i32, at: f64) -> Task {
        let container = Container { exit_code: Some(code), ..Container::default() };
        Task {
            task_arn: Some(format!("arn:aws:ecs:us-east-1:1:task/c/{id}")),
            started_by: Some(deployment.to_owned()),
            stopped_reason: Some(reason.to_owned()),
            stop_code: Some(TaskStopCode::EssentialContainerExited),
            stopped_at: Some(Timestamp(at)),
            containers: Some(vec![container]),
            ..Task::default()
        }
    }

    #[test]
    fn the_newest_of_each_way_to_fail_tells() {
        let tasks = vec![
            task("a", "ecs-svc/1", "exited", 1, 1.0),
            task("b", "ecs-svc/1", "exited", 1, 3.0),
            task("c", "ecs-svc/1", "exited", 2, 2.0),
            task("d", "ecs-svc/2", "exited", 1, 9.0),
            task("e", "ecs-svc/1", "Scaling activity initiated by (deployment x)", 0, 9.0),
        ];
        let found = telling(tasks, "ecs-svc/1");
        let found: Vec<_> =
            found.iter().map(|(t, n)| (task::short(t.task_arn.as_deref()), *n)).collect();
        assert_eq!(found, [("b".to_owned(), 2), ("c".to_owned(), 1)]);
    }

    #[test]
    fn a_task_that_failed_is_described_whole() {
        let lines = describe(&task("a", "ecs-svc/1", "exited", 137, 1.0), 3);
        assert_eq!(
            lines[0],
            "task a failed (and 2 more in the same way): EssentialContainerExited: exited"
        );
        assert!(lines[1].contains("exit code 137 (killed: out of memory"), "{lines:?}");
    }
}
