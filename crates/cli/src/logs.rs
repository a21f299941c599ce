//! What the containers of a task have left on this machine: log lines, the OOM flag, and what the
//! last health check wrote.
//!
//! Logs stay with the runtime of the instance, and no API carries them. So they can be shown only
//! where the tools run beside that runtime; elsewhere this says where to look.

use std::time::Duration;

use longshore_agent::labels;
use longshore_agent::runtime::{DockerRuntime, Inspection, Runtime, RuntimeState};

/// Lines that are shown of each container.
const LINES: u32 = 10;
/// Longest line that is shown, in characters.
const LINE_LEN: usize = 500;
/// How long the runtime may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the containers of a task have left, one line each, or why that is not known.
pub(crate) async fn of_task(socket: &str, task_arn: &str) -> Vec<String> {
    let read = tokio::time::timeout(TIMEOUT, read(socket, task_arn)).await;
    let lost = |why: &str| {
        vec![format!(
            "logs: {why}; on the container instance: \
             docker ps -a --filter label={}={task_arn}",
            labels::TASK_ARN
        )]
    };
    match read {
        Err(_) => lost(&format!("Docker at {socket} did not answer in {} s", TIMEOUT.as_secs())),
        Ok(Err(why)) => lost(&why),
        Ok(Ok(lines)) if lines.is_empty() => lost("no container of the task is on this machine"),
        Ok(Ok(lines)) => lines,
    }
}

async fn read(socket: &str, task_arn: &str) -> Result<Vec<String>, String> {
    let docker = DockerRuntime::connect(socket).await;
    let docker = docker.map_err(|error| format!("cannot reach Docker at {socket}: {error}"))?;
    let found = docker.list(labels::TASK_ARN, task_arn).await;
    let found = found.map_err(|error| format!("Docker does not list containers: {error}"))?;
    let mut lines = Vec::new();
    for container in found {
        // Containers of the agent's own have no name in the task.
        let Some(name) = container.labels.get(labels::CONTAINER_NAME) else { continue };
        lines.extend(findings(name, &container));
        match docker.logs(&container.id, LINES).await {
            Ok(output) if output.is_empty() => lines.push(format!("{name} wrote nothing")),
            Ok(output) => {
                lines.push(format!("last lines of {name}:"));
                lines.extend(printable(&output).map(|line| format!("  {line}")));
            }
            Err(error) => lines.push(format!("logs of {name} cannot be read: {error}")),
        }
    }
    Ok(lines)
}

fn findings(name: &str, container: &Inspection) -> Vec<String> {
    let mut lines = Vec::new();
    if let RuntimeState::Exited { out_of_memory: true, .. } = container.state {
        lines.push(format!("{name} was killed: out of memory"));
    }
    if let Some(output) = container.health_output.as_deref().filter(|text| !text.is_empty()) {
        let code = container.health_exit_code.map_or_else(|| "?".to_owned(), |c| c.to_string());
        lines.push(format!("last health check of {name} (exit code {code}):"));
        lines.extend(printable(output.as_bytes()).map(|line| format!("  {line}")));
    }
    lines
}

/// Lines of text that do nothing to a terminal.
fn printable(output: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(output).into_owned();
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let kept = line.chars().filter(|c| *c == '\t' || !c.is_control());
            kept.take(LINE_LEN).collect()
        })
        .collect();
    let from = lines.len().saturating_sub(LINES as usize);
    lines.into_iter().skip(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_nothing_to_a_terminal() {
        let lines: Vec<String> = printable(b"one\x1b[2J\r\ntwo\tx\n").collect();
        assert_eq!(lines, ["one[2J", "two\tx"]);
        let many = "x\n".repeat(50);
        assert_eq!(printable(many.as_bytes()).count(), 10);
    }

    #[tokio::test]
    async fn a_runtime_that_is_not_there_is_told() {
        let lines = of_task("/nonexistent/docker.sock", "arn:aws:ecs:r:1:task/c/t").await;
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("logs: cannot reach Docker at /nonexistent"), "{lines:?}");
        assert!(lines[0].ends_with("task-arn=arn:aws:ecs:r:1:task/c/t"), "{lines:?}");
    }
}
