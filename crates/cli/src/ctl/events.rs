//! `ctl events`: the journal's events, oldest first; with `--follow` as they happen.
//!
//! A follower that loses the server comes back to it after the last line that it has, so it misses
//! nothing and repeats nothing.

use std::time::Duration;

use longshore_agent::api::{Api, ApiError};
use serde_json::Value;

use crate::args::EventsOptions;
use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Pause before a follower looks for the server again.
const PAUSE: Duration = Duration::from_secs(1);
/// How far back events are shown unless asked otherwise.
const SINCE: &str = "1h";

/// Prints events; with `follow` until the process is stopped.
pub(super) async fn run(
    client: &Api,
    options: &EventsOptions,
    output: Output,
) -> Result<(), Failure> {
    let what = "cannot read events";
    let mut after = options.after;
    let mut lines = client.operator_lines(&path(options, after)).await.map_err(failed(what))?;
    loop {
        let ended = read(&mut lines, &mut after, output).await;
        if !options.follow {
            return ended.map_err(failed(what));
        }
        output::note("the server ended the stream; waiting for it to come back");
        lines = loop {
            tokio::time::sleep(PAUSE).await;
            match client.operator_lines(&path(options, after)).await {
                Ok(lines) => break lines,
                Err(error) if error.is_temporary() => {}
                Err(error) => return Err(failed(what)(error)),
            }
        };
    }
}

/// Prints lines until there are no more, and notes how far it got.
async fn read(
    lines: &mut longshore_agent::api::Lines,
    after: &mut Option<u64>,
    output: Output,
) -> Result<(), ApiError> {
    while let Some(line) = lines.next().await? {
        let event: Value =
            serde_json::from_str(&line).map_err(|error| ApiError::Answer(error.to_string()))?;
        *after = event["sequence"].as_u64().or(*after);
        match output {
            Output::Table => output::line(&text(&event)),
            Output::Json => output::line(&line),
        }
    }
    Ok(())
}

/// An event as a line for people.
pub(super) fn text(event: &Value) -> String {
    let part = |name: &str| event[name].as_str().unwrap_or_default();
    let detail = &event["event"]["detail"];
    // The list of a service's events speaks for itself; its actions have a name besides.
    let text = part("text");
    match detail["eventType"].as_str().filter(|kind| *kind != "INFO") {
        Some(kind) => format!("{} {kind} {text}", part("time")),
        None => format!("{} {text}", part("time")),
    }
}

fn path(options: &EventsOptions, after: Option<u64>) -> String {
    let mut path = format!("events?cluster={}", escaped(&options.cluster));
    let types = options.types.join(",");
    let since = options.since.as_deref().or(after.is_none().then_some(SINCE));
    let after = after.map(|after| after.to_string());
    let given = [
        ("service", options.service.as_deref()),
        ("task", options.task.as_deref()),
        ("instance", options.instance.as_deref()),
        ("type", Some(types.as_str()).filter(|types| !types.is_empty())),
        ("since", since.filter(|_| after.is_none())),
        ("until", options.until.as_deref()),
        ("after", after.as_deref()),
        ("follow", options.follow.then_some("true")),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            path = format!("{path}&{name}={}", escaped(value));
        }
    }
    path
}

/// A value of a query.
pub(super) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_what_was_asked() {
        let mut options = EventsOptions {
            cluster: "default".into(),
            service: Some("web".into()),
            task: None,
            instance: None,
            types: vec!["task".into(), "ECS Service Action".into()],
            since: None,
            until: None,
            after: None,
            follow: true,
        };
        let expected = "events?cluster=default&service=web&type=task%2CECS%20Service%20Action";
        assert_eq!(path(&options, None), format!("{expected}&since=1h&follow=true"));
        options.since = Some("2026-11-23T03:12:00+01:00".into());
        let since = "2026-11-23T03%3A12%3A00%2B01%3A00";
        assert_eq!(path(&options, None), format!("{expected}&since={since}&follow=true"));
        // Once something was read, it goes on from there.
        assert_eq!(path(&options, Some(7)), format!("{expected}&after=7&follow=true"));
    }
}
