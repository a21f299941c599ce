//! `ctl audit`: whether anybody has changed the audit log.

use std::path::PathBuf;

use clap::Subcommand;
use longshore_agent::api::Api;
use serde_json::Value;

use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Commands of `ctl audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Look at every line of the log: whether any was altered, removed or moved.
    Verify {
        /// A copy of a log on this machine, in place of the server's own. Whether the newest lines are
        /// missing only the server knows.
        #[arg(long, value_name = "DIRECTORY")]
        dir: Option<PathBuf>,
    },
}

/// Runs one command.
pub(super) async fn run(
    command: AuditCommand,
    client: &Api,
    output: Output,
) -> Result<(), Failure> {
    let AuditCommand::Verify { dir } = command;
    let report = if let Some(dir) = dir {
        let what = format!("cannot read the audit log in {}", dir.display());
        let report = longshore_server::audit::verify(&dir);
        let report = report.map_err(|error| Failure::new(what, error))?;
        serde_json::to_value(report).unwrap_or_default()
    } else {
        let what = "cannot verify the audit log";
        client.operator("GET", "audit/verify").await.map_err(failed(what))?
    };
    match output {
        Output::Json => output::json(&report),
        Output::Table => {
            for line in lines(&report) {
                output::line(&line);
            }
        }
    }
    match report["faults"].as_array().map(Vec::len) {
        Some(0) => Ok(()),
        faults => Err(Failure::new(
            "the audit log is not as it was written",
            format!("{} places do not fit", faults.unwrap_or_default()),
        )
        .fix("keep the files as they are, and look who could write to them")),
    }
}

fn lines(report: &Value) -> Vec<String> {
    let mut lines: Vec<String> = report["faults"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|fault| {
            let (day, what) = (fault["day"].as_str(), fault["what"].as_str().unwrap_or_default());
            match day.filter(|day| !day.is_empty()) {
                Some(day) => format!("{day}, line {}: {what}", fault["line"]),
                None => format!("at the end: {what}"),
            }
        })
        .collect();
    lines.push(format!(
        "{} records in {} files, from record {} to {}",
        report["records"], report["files"], report["first"], report["head"]["sequence"]
    ));
    let digest = report["head"]["digest"].as_str().unwrap_or_default();
    lines.push(format!("digest of the last line: {digest}"));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_come_first() {
        let report = json!({
            "files": 2, "records": 5, "first": 1, "head": {"sequence": 5, "digest": "ab"},
            "faults": [{"day": "2026-11-27", "line": 3, "what": "the line before it was altered"},
                {"day": "", "line": 0, "what": "the newest 2 records are missing"}],
        });
        assert_eq!(
            lines(&report),
            [
                "2026-11-27, line 3: the line before it was altered",
                "at the end: the newest 2 records are missing",
                "5 records in 2 files, from record 1 to 5",
                "digest of the last line: ab",
            ]
        );
    }
}
