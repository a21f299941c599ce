//! `ctl events`: events of services, oldest first.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_agent::api::Api;
use longshore_wire::ecs::Service;
use serde_json::json;

use super::status::services;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress;

/// How often new events are looked for.
const POLL: Duration = Duration::from_secs(1);

/// Prints events; with `follow` until the process is stopped.
pub(super) async fn run(
    client: &Api,
    cluster: &str,
    service: Option<&str>,
    follow: bool,
    output: Output,
) -> Result<(), Failure> {
    let mut told = BTreeSet::new();
    loop {
        let found = match service {
            Some(name) => vec![progress::describe(client, cluster, name).await?],
            None => services(client, cluster).await?,
        };
        print(&found, &mut told, output);
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

fn print(services: &[Service], told: &mut BTreeSet<String>, output: Output) {
    let mut events: Vec<_> = services.iter().flat_map(|s| s.events.iter().flatten()).collect();
    let at = |at: Option<longshore_wire::Timestamp>| at.map_or(0.0, |at| at.0);
    events.sort_by(|a, b| at(a.created_at).total_cmp(&at(b.created_at)));
    for event in events {
        if !told.insert(event.id.clone().unwrap_or_default()) {
            continue;
        }
        let message = event.message.as_deref().unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a date")]
        let millis = (at(event.created_at) * 1000.0) as i64;
        let time = longshore_domain::time::Timestamp::from_millis(millis);
        match output {
            Output::Table => output::line(&format!("{time} {message}")),
            Output::Json => output::line(
                &json!({ "id": event.id, "createdAt": time.to_string(), "message": message })
                    .to_string(),
            ),
        }
    }
}
