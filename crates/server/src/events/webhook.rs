//! Delivery of events to a webhook: AWS's events, each posted as EventBridge would deliver it, in
//! the order of the journal.
//!
//! The rules it keeps: an event is posted until the webhook answers with success, and only then the
//! next; how far it got, and when it tries again, is in the store, so that a restart neither loses
//! events nor starts over. An event may come twice, with the same id. A webhook that is down costs
//! a retry now and then, and nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use longshore_domain::time::Timestamp;
use longshore_store::{Sequence, StateError, Txn, TxnOutcome};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::Told;
use crate::members::Term;
use crate::{Server, clock, tls};

/// Where the cursor is.
const KEY: &str = "/longshore/event-webhook";
/// Transactions of the journal that are read at once; so many events may come twice after a crash.
const PAGE: usize = 64;
/// How long the webhook may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read, so that the connection can be used again.
const ANSWER_BYTES: usize = 64 * 1024;
/// First and longest pause before the next attempt; it doubles in between.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Name of the header that tells an event's place in the journal.
const SEQUENCE: &str = "longshore-sequence";

/// A URL that events are posted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook(Uri);

impl Webhook {
    /// Takes an absolute `http` or `https` URL.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("'{url}' is no URL: {error}"))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(_)) => Ok(Self(uri)),
            _ => Err(format!("'{url}' is no http:// or https:// URL")),
        }
    }
}

/// How far the delivery has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// Where events go; another webhook starts afresh.
    url: String,
    /// The last event that arrived.
    sequence: u64,
    /// Attempts in a row that failed.
    failures: u32,
    /// When to try again.
    retry_at: Option<Timestamp>,
}

impl Cursor {
    fn failed(&mut self, now: Timestamp) {
        let doublings = self.failures.min(16);
        let pause = (PAUSE.0 * 2_u32.pow(doublings)).min(PAUSE.1);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + pause);
    }

    fn arrived(&mut self, sequence: Sequence) {
        self.sequence = sequence.number();
        self.failures = 0;
        self.retry_at = None;
    }
}

/// Delivers events, as one of the `parts` of a term.
pub(crate) fn spawn(
    server: &Arc<Server>,
    term: &Arc<Term>,
    webhook: &Webhook,
    parts: &mut JoinSet<()>,
) {
    let (server, term, webhook) = (Arc::clone(server), Arc::clone(term), webhook.clone());
    parts.spawn(async move { run(&server, &term, &webhook, &client()).await });
}

/// Posts.
pub(crate) type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

async fn run(server: &Server, term: &Term, webhook: &Webhook, client: &Http) {
    let mut changes = server.state.changes();
    let mut known = None;
    loop {
        let cursor = match &mut known {
            Some(cursor) => cursor,
            None => match load(server, term, webhook).await {
                Ok(cursor) => known.insert(cursor),
                Err(error) => {
                    tracing::error!(%error, "cannot read how far events were delivered");
                    tokio::time::sleep(PAUSE.1).await;
                    continue;
                }
            },
        };
        let now = clock::now();
        if let Some(at) = cursor.retry_at.filter(|at| *at > now) {
            tokio::time::sleep(at.saturating_since(now)).await;
        }
        match deliver(server, term, webhook, client, cursor).await {
            Ok(true) => {}
            Ok(false) => {
                if let Err(error) = changes.changed(super::TOLD).await {
                    return tracing::error!(%error, "events are delivered no more");
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot deliver events; the store failed");
                tokio::time::sleep(PAUSE.1).await;
            }
        }
    }
}

/// Delivers a page; says whether there is more to do at once (or to try again).
async fn deliver(
    server: &Server,
    term: &Term,
    webhook: &Webhook,
    client: &Http,
    cursor: &mut Cursor,
) -> Result<bool, StateError> {
    let before = cursor.clone();
    let page = server.state.journal().read(cursor.sequence.into(), PAGE).await?;
    let view = server.state.reached(page.reached.revision()).await?;
    for entry in &page.entries {
        let Some(told) = super::tell(&view, entry).filter(|told| told.kind.is_aws()) else {
            continue;
        };
        match post(server, webhook, client, &told).await {
            Ok(()) => cursor.arrived(entry.sequence),
            Err(why) => {
                cursor.failed(clock::now());
                let Cursor { failures, .. } = cursor;
                tracing::warn!(url = %webhook.0, failures, why, "the event webhook took no event");
                save(server, term, cursor).await?;
                return Ok(true);
            }
        }
    }
    // What makes no event need not be read again; that is worth no write by itself.
    let told = *cursor != before;
    cursor.sequence = page.reached.number();
    if told {
        save(server, term, cursor).await?;
    }
    Ok(page.more)
}

async fn post(
    server: &Server,
    webhook: &Webhook,
    client: &Http,
    told: &Told,
) -> Result<(), String> {
    let body = told.envelope(server.state.store().id()).to_string();
    let request = Request::post(webhook.0.clone())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .header(SEQUENCE, told.sequence.number())
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = client.request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        // Only so that the connection can be used again.
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    };
    let late = |_| format!("no answer within {}s", ANSWER.as_secs());
    tokio::time::timeout(ANSWER, exchange).await.map_err(late)?
}

/// The cursor of this webhook; a new one gets what happens from now on.
async fn load(server: &Server, term: &Term, webhook: &Webhook) -> Result<Cursor, StateError> {
    let url = webhook.0.to_string();
    let found = server.state.store().get(KEY).await?;
    let found = found.and_then(|kv| serde_json::from_slice::<Cursor>(&kv.value).ok());
    if let Some(cursor) = found.filter(|cursor| cursor.url == url) {
        return Ok(cursor);
    }
    let sequence = Sequence::end_of(server.state.view().revision).number();
    let cursor = Cursor { url, sequence, failures: 0, retry_at: None };
    save(server, term, &cursor).await?;
    Ok(cursor)
}

async fn save(server: &Server, term: &Term, cursor: &Cursor) -> Result<(), StateError> {
    let value = serde_json::to_vec(cursor).expect("a cursor is a structure with text keys");
    let mut txn = Txn::default().put(KEY, value);
    txn.compares.push(term.fence());
    if matches!(server.state.store().txn(txn).await?, TxnOutcome::Conflict { .. }) {
        // Another leader delivers; this one's part ends with its term.
        term.end();
    }
    Ok(())
}

/// A client that speaks HTTP/1.1, with TLS or without.
pub(crate) fn client() -> Http {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls::client(None))
        .https_or_http()
        .enable_http1()
        .build();
    Client::builder(TokioExecutor::new()).build(connector)
}

#[cfg(test)]
mod tests;
