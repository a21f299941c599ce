//! `GET /_longshore/members`: which servers are there, which leads, and how far each is behind the
//! store. `GET /_longshore/health/live` and `…/ready`: whether this process lives, and whether it is
//! of use; they need no signature, for probes make none.
//!
//! A server answers for the others by asking each whether it is ready.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::Full;
use longshore_store::Range;
use serde_json::{Value, json};

use super::json as answer_json;
use crate::Server;
use crate::front::{Reply, text};
use crate::members::Member;

/// Path of the question whether a process lives.
pub(crate) const LIVE: &str = "/_longshore/health/live";
/// Path of the question whether a server is of use.
pub(crate) const READY: &str = "/_longshore/health/ready";
/// How long another server, or the store, may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// It lives, since it answers.
pub(crate) fn live() -> Reply {
    text(StatusCode::OK, "text/plain", "ok\n")
}

/// Whether clients and agents should come here: the view follows the store, a leader is known, and
/// the server is not about to stop.
pub(crate) fn ready(server: &Server) -> Reply {
    let readiness = readiness(server);
    let ready = readiness["ready"] == true;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer_json(status, &readiness)
}

fn readiness(server: &Server) -> Value {
    let members = &server.members;
    let (roster, pulse) = (members.roster(), members.pulse());
    let leads = members.term().is_some();
    let leader = roster.leader().map(|leader| leader.name.clone());
    let mut why = Vec::new();
    if !pulse.is_some_and(|pulse| pulse.is_fresh()) {
        why.push("the view does not follow the store");
    }
    // One that leads may not have heard of itself yet: callers ask for the leader once it is ready.
    if leader.is_none() {
        why.push("no leader is known");
    }
    if members.is_resigned() {
        why.push("the server is about to stop");
    }
    json!({
        "ready": why.is_empty(),
        "why": why,
        "id": format!("{:016x}", members.id()),
        "leads": leads,
        "leader": leader,
        "revision": server.state.view().revision.0,
        "followMs": pulse.map(|pulse| u64::try_from(pulse.behind.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// All servers.
pub(super) async fn answer(server: &Arc<Server>) -> Reply {
    let roster = server.members.roster();
    let newest = tokio::time::timeout(
        PATIENCE,
        server.state.store().range(Range::prefix("/longshore/server/").limit(1)),
    );
    let newest = match newest.await {
        Ok(Ok(page)) => Some(page.revision.0),
        Ok(Err(_)) | Err(_) => None,
    };
    let asked = roster.members.values().map(|member| row(server, member, newest));
    let rows = join_all(asked).await;
    let leader = roster.leader().map(|leader| leader.name.clone());
    let store = json!({ "id": server.state.store().id().to_string(), "revision": newest });
    answer_json(StatusCode::OK, &json!({ "leader": leader, "store": store, "members": rows }))
}

async fn row(server: &Server, member: &Member, newest: Option<u64>) -> Value {
    let own = member.id == server.members.id();
    let found = if own { Ok(readiness(server)) } else { ask(server, member).await };
    let (found, unreachable) = match found {
        Ok(found) => (found, None),
        Err(why) => (Value::Null, Some(why)),
    };
    let revision = found["revision"].as_u64();
    json!({
        "id": format!("{:016x}", member.id),
        "name": member.name,
        "url": member.url,
        "version": member.version,
        "startedAt": member.started_at.to_string(),
        "leads": server.members.roster().leader == Some(member.id),
        "ready": found["ready"] == true,
        "why": unreachable.map_or_else(|| found["why"].clone(), |why| json!([why])),
        "revision": revision,
        "behind": newest.zip(revision).map(|(newest, here)| newest.saturating_sub(here)),
        "followMs": found["followMs"],
        "answersThis": own,
    })
}

async fn ask(server: &Server, member: &Member) -> Result<Value, String> {
    let url = format!("{}{READY}", member.url.trim_end_matches('/'));
    let request = Request::get(url).body(Full::default()).map_err(|error| error.to_string())?;
    let answer = server.members.ask(request, PATIENCE).await?;
    serde_json::from_slice(answer.body()).map_err(|error| error.to_string())
}
