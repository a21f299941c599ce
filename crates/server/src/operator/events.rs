//! `GET /_longshore/events`: the journal as events, one JSON value a line.
//!
//! `after=SEQUENCE` begins after a line that was read before, so that a reader that was cut off
//! misses nothing; `since=TIME` and `until=TIME` bound it; `follow=true` waits for more. `cluster`,
//! `service`, `task`, `instance` and `type` (a word or a detail type; may have several, with commas)
//! choose.
//! A line is read from the store when the reader takes it, so a slow reader costs nothing.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use longshore_domain::ids::{Arn, Scope};
use longshore_domain::time::Timestamp;
use longshore_store::{Changes, Sequence, StateError};
use serde_json::json;
use tokio::sync::watch;

use super::{json as answer_json, when};
use crate::events::{self, DetailType, TOLD, Told};
use crate::front::Reply;
use crate::{Server, clock};

/// Transactions of the journal that are read at once.
const PAGE: usize = 100;
/// The words of `type`.
const WORDS: [DetailType; 6] = [
    DetailType::Task,
    DetailType::ContainerInstance,
    DetailType::ServiceAction,
    DetailType::Deployment,
    DetailType::Hook,
    DetailType::Refusal,
];

/// A body that comes line by line.
pub(crate) type Lines = UnsyncBoxBody<Bytes, Infallible>;

/// Which events somebody wants.
#[derive(Debug)]
pub(super) struct Filter {
    scope: Scope,
    cluster: Option<String>,
    service: Option<String>,
    task: Option<String>,
    instance: Option<String>,
    types: Vec<String>,
}

impl Filter {
    fn of(scope: &Scope, query: &BTreeMap<String, String>) -> Result<Self, String> {
        // An ARN stands for its last part.
        let name = |name: &str| {
            let text = query.get(name).filter(|text| !text.is_empty())?;
            let last = text.rsplit('/').next().filter(|_| Arn::looks_like(text));
            Some(last.unwrap_or(text).to_owned())
        };
        let types = query.get("type").map(String::as_str).unwrap_or_default();
        let types: Vec<String> =
            types.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let known = |word: &String| {
            WORDS.iter().any(|kind| kind.word() == word || kind.as_str() == word)
                || DetailType::ServiceEvent.as_str() == word
        };
        if let Some(unknown) = types.iter().find(|word| !known(word)) {
            let words: Vec<&str> = WORDS.iter().map(|kind| kind.word()).collect();
            return Err(format!("there is no type '{unknown}'; there are: {}", words.join(", ")));
        }
        Ok(Self {
            scope: scope.clone(),
            cluster: name("cluster"),
            service: name("service"),
            task: name("task"),
            instance: name("instance"),
            types,
        })
    }

    /// Everything in a cluster.
    pub(super) fn cluster(scope: &Scope, cluster: &str) -> Self {
        let (service, task, instance) = (None, None, None);
        let cluster = Some(cluster.to_owned());
        Self { scope: scope.clone(), cluster, service, task, instance, types: Vec::new() }
    }

    pub(super) fn takes(&self, told: &Told) -> bool {
        let same = |wanted: &Option<String>, is: Option<String>| {
            wanted.as_ref().is_none_or(|wanted| is.as_ref() == Some(wanted))
        };
        let kind = |word: &String| word == told.kind.word() || word == told.kind.as_str();
        told.scope == self.scope
            && same(&self.cluster, Some(told.cluster.to_string()))
            && same(&self.service, told.service.clone())
            && same(&self.task, told.task.map(|id| id.to_string()))
            && same(&self.instance, told.instance.map(|id| id.to_string()))
            && (self.types.is_empty() || self.types.iter().any(kind))
    }
}

/// Answers with a stream, or with what is wrong with the request.
pub(crate) async fn answer(
    server: &Arc<Server>,
    scope: &Scope,
    query: &BTreeMap<String, String>,
) -> Result<Response<Lines>, Reply> {
    let bad = |error: String| answer_json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    let filter = Filter::of(scope, query).map_err(bad)?;
    let follow = query.get("follow").is_some_and(|text| text == "true" || text == "1");
    let time = |name: &str| query.get(name).map(|text| when::parse(text, clock::now())).transpose();
    let (since, until) = (time("since").map_err(bad)?, time("until").map_err(bad)?);
    let mut after = Sequence::ZERO;
    if let Some(text) = query.get("after") {
        after = text.parse().map_err(|_| bad(format!("'{text}' is no sequence")))?;
    }
    let state = &server.state;
    // Before anything is read, so that nothing is missed in between.
    let (changes, shutdown) = (state.changes(), server.shutdown.subscribe());
    if let Some(since) = since {
        after = after.max(state.journal().before(since).await.map_err(|e| failed(&e))?);
    }
    let end = Sequence::end_of(state.view().revision);
    let lines = Stream {
        server: Arc::clone(server),
        filter,
        after,
        until,
        end: (!follow).then_some(end),
        ready: VecDeque::new(),
        changes,
        shutdown,
    };
    let body = StreamBody::new(stream::unfold(lines, Stream::next));
    let mut reply = Response::new(body.boxed_unsync());
    let kind = HeaderValue::from_static("application/x-ndjson");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(reply)
}

/// What a reader is told when the store fails.
pub(super) fn failed(error: &StateError) -> Reply {
    let message = crate::server_exception(error).message;
    answer_json(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": message }))
}

/// A reader, somewhere in the journal.
struct Stream {
    server: Arc<Server>,
    filter: Filter,
    /// Everything up to here has been read.
    after: Sequence,
    /// Nothing after this is told.
    until: Option<Timestamp>,
    /// Where it ends; a follower's goes on.
    end: Option<Sequence>,
    /// What was read and not taken.
    ready: VecDeque<Bytes>,
    changes: Changes,
    shutdown: watch::Receiver<bool>,
}

impl Stream {
    /// The next lines. A stream that is cut off by a failing store just ends; the reader knows the
    /// last line that it has.
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some((Ok(Frame::data(line)), self));
            }
            if self.end.is_some_and(|end| self.after >= end) {
                return None;
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) => {
                    self.end?;
                    return None;
                }
                Err(error) => {
                    tracing::warn!(%error, "a stream of events ends");
                    return None;
                }
            }
        }
    }

    /// Reads a page, or waits for one; says whether to go on.
    async fn read(&mut self) -> Result<bool, StateError> {
        let page = self.server.state.journal().read(self.after, PAGE).await?;
        let view = self.server.state.reached(page.reached.revision()).await?;
        let store = self.server.state.store().id();
        for entry in &page.entries {
            if self.until.is_some_and(|until| entry.at > until) {
                self.end = Some(self.after);
                return Ok(true);
            }
            if let Some(told) = events::tell(&view, entry).filter(|told| self.filter.takes(told)) {
                self.ready.push_back(format!("{}\n", told.line(store)).into());
            }
        }
        self.after = page.reached;
        if !self.ready.is_empty() || page.more {
            return Ok(true);
        }
        if self.end.is_some() {
            return Ok(false);
        }
        tokio::select! {
            biased;
            () = crate::stopped(&mut self.shutdown) => Ok(false),
            changed = self.changes.changed(TOLD) => changed.map(|_| true),
        }
    }
}
