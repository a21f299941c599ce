//! `longshore sim agents`: many hollow agents against a real control plane.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_agent::hollow::{Fleet, Options, Status};
use serde_json::json;

use crate::args::{HollowOptions, SimCommand};
use crate::ca_file::Trusted;
use crate::failure::Failure;
use crate::output::Output;
use crate::{agent, client, files, output, shutdown};

/// Between two lines of progress where somebody watches, and where it goes to a file.
const PROGRESS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// Connections that an agent has at most: two sessions, and its reports.
const FILES_PER_AGENT: u64 = 12;
/// Files of the process itself.
const OWN_FILES: u64 = 64;

/// Runs a command of `longshore sim`.
pub(crate) async fn run(
    command: SimCommand,
    endpoint: &str,
    region: &str,
    trusted: Trusted,
    output: Output,
) -> Result<(), Failure> {
    let SimCommand::Agents(options) = command;
    let wanted = u64::from(options.count) * FILES_PER_AGENT + OWN_FILES;
    let least = if options.without_telemetry { 2 } else { 3 };
    let needed = u64::from(options.count) * least + OWN_FILES;
    let allowed = files::allow(wanted);
    if allowed < needed {
        let why = format!("they need {needed} open connections, and {allowed} files may be open");
        return Err(Failure::new(format!("cannot run {} agents", options.count), why)
            .fix(format!("raise the limit with `ulimit -n {wanted}`, or run fewer agents")));
    }
    let fleet = Fleet::new(fleet_options(&options, endpoint, region, trusted));
    let fleet = Arc::new(fleet.map_err(|error| agent::failure(&error))?);
    let started = Instant::now();
    let progress = tokio::spawn(progress(Arc::clone(&fleet), options.count));
    let result = fleet.run(shutdown::requested()).await;
    progress.abort();
    if std::io::stderr().is_terminal() {
        output::note("");
    }
    summary(&fleet.status(), started.elapsed(), output);
    result.map_err(|error| agent::failure(&error))
}

fn fleet_options(
    options: &HollowOptions,
    endpoint: &str,
    region: &str,
    trusted: Trusted,
) -> Options {
    Options {
        endpoint: endpoint.to_owned(),
        region: region.to_owned(),
        credentials: client::credentials(),
        cluster: options.cluster.clone(),
        count: options.count,
        cpu_units: options.cpu,
        memory_mib: options.memory,
        zones: options.zones,
        start_delay: options.start_delay,
        failure_rate: options.failure_rate,
        exit_rate: options.exit_rate,
        telemetry: !options.without_telemetry,
        deregister: options.deregister,
        trust: trusted.trust,
    }
}

/// Says how the agents are doing, whenever that has changed.
async fn progress(fleet: Arc<Fleet>, count: u32) {
    let watched = std::io::stderr().is_terminal();
    let mut ticks = tokio::time::interval(if watched { PROGRESS.0 } else { PROGRESS.1 });
    let mut before = None;
    loop {
        ticks.tick().await;
        let status = fleet.status();
        if before == Some(status) {
            continue;
        }
        before = Some(status);
        let Status { registered, connected, starting, running, .. } = status;
        let text = format!(
            "{registered}/{count} registered, {connected} connected, {starting} tasks starting, \
             {running} running"
        );
        if watched { output::same_line(&text) } else { output::note(&text) }
    }
}

fn summary(status: &Status, took: Duration, output: Output) {
    let Status { registered, accepted, started, failed, exited, stopped, reports, .. } = *status;
    if output == Output::Json {
        return output::json(&json!({
            "seconds": took.as_secs_f64(),
            "registered": registered,
            "tasksAccepted": accepted,
            "tasksStarted": started,
            "tasksFailed": failed,
            "tasksExited": exited,
            "tasksStopped": stopped,
            "reports": reports,
        }));
    }
    let rows = [
        ("agents registered", registered),
        ("tasks accepted", accepted),
        ("tasks that came to run", started),
        ("tasks that could not start", failed),
        ("tasks that exited by themselves", exited),
        ("tasks that ended", stopped),
        ("reports acknowledged", reports),
    ];
    output::table(["WHAT", "HOW MANY"], rows.map(|(what, n)| [what.to_owned(), n.to_string()]));
}
