//! `ctl loadtest`: a steady rate of requests, and every one of them that failed.
//!
//! Requests are due at fixed times, whether or not earlier ones were answered, and their times count from
//! then: a balancer or service that stalls shows in them. Run it while you deploy, scale or stop
//! something; it exits with 1 if any request failed.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::args::LoadtestOptions;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::shutdown;

/// How often it is said how things are.
const TELL: Duration = Duration::from_secs(1);

/// What came of requests.
#[derive(Debug, Default)]
struct Tally {
    /// Milliseconds of those that were answered.
    times_ms: Vec<f64>,
    /// Failures by what went wrong.
    failures: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, outcome: Result<Duration, String>) {
        match outcome {
            Ok(took) => self.times_ms.push(took.as_secs_f64() * 1000.0),
            Err(why) => *self.failures.entry(why).or_default() += 1,
        }
    }

    fn join(&mut self, other: Self) {
        self.times_ms.extend(other.times_ms);
        for (why, count) in other.failures {
            *self.failures.entry(why).or_default() += count;
        }
    }

    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// The time that this share of the answers came within; the times must be sorted.
    fn within(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place among the answers, of which there are no 2^52"
        )]
        let place = (self.times_ms.len() as f64 * share).ceil() as usize;
        self.times_ms.get(place.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// One of the clients that share the work.
#[derive(Clone)]
struct Asker {
    client: Client<HttpConnector, Empty<Bytes>>,
    uri: Uri,
    patience: Duration,
}

impl Asker {
    /// Asks once; the time counts from when the request was due.
    async fn ask(&self, due: Instant) -> Result<Duration, String> {
        let request =
            Request::get(self.uri.clone()).header(header::USER_AGENT, "longshore-loadtest");
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let asking = async {
            let answer = self
                .client
                .request(request)
                .await
                .map_err(|error| longshore_wire::with_causes(&error))?;
            let status = answer.status();
            answer.into_body().collect().await.map_err(|error| format!("body: {error}"))?;
            if status.is_server_error() || status.is_client_error() {
                return Err(format!("HTTP {}", status.as_u16()));
            }
            Ok(due.elapsed())
        };
        let late = |_| Err(format!("no answer within {} s", self.patience.as_secs()));
        timeout(self.patience, asking).await.unwrap_or_else(late)
    }

    /// Asks at its share of the times until the end.
    async fn run(self, first: Instant, step: Duration, end: Instant) -> Tally {
        let mut tally = Tally::default();
        let mut due = first;
        while due < end {
            sleep_until(due).await;
            tally.add(self.ask(due).await);
            due += step;
        }
        tally
    }
}

/// Loads a URL, and says what came of it.
pub(super) async fn run(options: LoadtestOptions, output: Output) -> Result<(), Failure> {
    let what = || format!("cannot load {}", options.url);
    let uri: Uri = options.url.parse().map_err(|error| Failure::new(what(), error))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err(Failure::new(what(), "it is no URL of the form http://HOST[:PORT]/PATH"));
    }
    let mut builder = Client::builder(TokioExecutor::new());
    if options.new_connections {
        builder.pool_max_idle_per_host(0);
    }
    let asker = Asker {
        client: builder.build(HttpConnector::new()),
        uri,
        patience: Duration::from_secs(options.timeout),
    };
    let step = Duration::from_secs(1) * options.clients / options.rate;
    let first = Instant::now();
    let end = first + options.duration;
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        let begins = first + step * number / options.clients;
        clients.spawn(asker.clone().run(begins, step, end));
    }
    let mut tally = Tally::default();
    let mut tell = tokio::time::interval(TELL);
    let mut stop = std::pin::pin!(shutdown::requested());
    loop {
        tokio::select! {
            joined = clients.join_next() => match joined {
                Some(Ok(part)) => tally.join(part),
                Some(Err(error)) => return Err(Failure::new(what(), error)),
                None => break,
            },
            _ = tell.tick() => {
                let left = end.saturating_duration_since(Instant::now());
                output::same_line(&format!("{} s to go", left.as_secs()));
            }
            () = stop.as_mut() => return Err(Failure::new(what(), "it was interrupted")),
        }
    }
    output::same_line("");
    tally.times_ms.sort_by(f64::total_cmp);
    show(&tally, first.elapsed(), output);
    match tally.failed() {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} requests failed"), "see the table above")),
    }
}

fn show(tally: &Tally, took: Duration, output: Output) {
    let answered = tally.times_ms.len();
    #[expect(clippy::cast_precision_loss, reason = "there are no 2^52 answers")]
    let rate = answered as f64 / took.as_secs_f64();
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| tally.within(share));
    match output {
        Output::Json => output::json(&serde_json::json!({
            "answered": answered,
            "failed": tally.failed(),
            "failures": tally.failures,
            "answersPerSecond": rate,
            "p50Ms": p50,
            "p99Ms": p99,
            "maxMs": max,
        })),
        Output::Table => {
            output::table(
                ["ANSWERED", "FAILED", "PER SECOND", "P50", "P99", "MAX"],
                [[
                    answered.to_string(),
                    tally.failed().to_string(),
                    format!("{rate:.0}"),
                    format!("{p50:.1} ms"),
                    format!("{p99:.1} ms"),
                    format!("{max:.1} ms"),
                ]],
            );
            for (why, count) in &tally.failures {
                output::line(&format!("{count} times: {why}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_answers() {
        let mut tally = Tally::default();
        assert!(tally.within(0.5).abs() < f64::EPSILON);
        for n in 1..=100 {
            tally.add(Ok(Duration::from_millis(n)));
        }
        tally.add(Err("HTTP 502".into()));
        let mut other = Tally::default();
        other.add(Err("HTTP 502".into()));
        tally.join(other);
        let within = [0.5, 0.99, 1.0].map(|share| format!("{:.0}", tally.within(share)));
        assert_eq!(within, ["50", "99", "100"]);
        assert_eq!((tally.failed(), tally.failures.len()), (2, 1));
    }
}
