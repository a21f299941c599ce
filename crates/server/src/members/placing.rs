//! Where a call that places tasks is answered: here, if this server leads, else by the one that
//! does; the answer is then given when this server's view shows it.
//!
//! While nobody leads, a call waits a while. It is tried again only as long as nothing was done; of
//! a call that got lost on its way nobody knows, and its caller is told so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use longshore_auth::Permissions;
use longshore_store::StoreRevision;
use longshore_wire::ServiceError;
use longshore_wire::codec::json;
use longshore_wire::ecs::{self, ErrorCode, OperationName};
use tokio::time::Instant;

use super::hop::What;
use super::network::PeerError;
use super::term::has_moved;
use super::{Member, NOT_LEADER, REVISION, Term, moved};
use crate::audit::Reason;
use crate::call::Call;

/// How long a call waits for a leader: twice the time in which one is elected.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the leader may take to answer.
const ANSWER: Duration = Duration::from_secs(15);
/// How long the leader may take to show something.
const LOOK: Duration = Duration::from_secs(3);
/// How long the answer may take to show here; it is given all the same then.
const SHOWN: Duration = Duration::from_secs(10);
/// How long an answer of a leader may be on its way when another one leads already.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Pause before a leader that said it does not lead is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// An answer of the leader, as it came.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) status: StatusCode,
    /// Value of the header that names the error.
    pub(crate) error: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

impl Passed {
    /// Why the call failed, if it did.
    pub(crate) fn reason(&self) -> Option<Reason> {
        let code = self.error.as_ref()?.to_str().ok()?.to_owned();
        let (_, message) = json::decode_error(&self.body).unwrap_or_default();
        Some(Reason { code, message })
    }
}

/// How a call that places tasks was answered.
#[derive(Debug)]
pub(crate) enum Placed {
    /// Here.
    Here(Result<Bytes, ServiceError>),
    /// By the leader.
    There(Passed),
}

/// Who leads, as this server knows.
enum Leads {
    This(Arc<Term>),
    Other(Member),
    Nobody,
}

/// Whether an operation places tasks, so that only the leader may do it.
pub(crate) fn places(operation: OperationName) -> bool {
    matches!(operation, OperationName::RunTask | OperationName::StartTask)
}

/// Answers a call that places tasks.
pub(crate) async fn place(mut call: Call, operation: OperationName, body: &Bytes) -> Placed {
    let server = Arc::clone(&call.server);
    if let Permissions::By(_) = call.permissions {
        // Here, whoever leads: the leader believes this server, and nothing is asked twice.
        if let Err(error) = crate::ecs::admit(&call, operation, body) {
            return Placed::Here(Err(error));
        }
        call.permissions = Permissions::Account;
    }
    let members = &server.members;
    let deadline = Instant::now() + PATIENCE;
    let (mut terms, mut roster) = (members.term.subscribe(), members.roster_changes());
    loop {
        // What changes from here on is not missed.
        terms.mark_unchanged();
        roster.mark_unchanged();
        let pause = match leads(&call) {
            Leads::This(term) => {
                call.term = Some(term);
                match crate::ecs::dispatch(&call, operation, body).await {
                    Err(error) if has_moved(&error) => AGAIN,
                    other => return Placed::Here(other.map(Bytes::from)),
                }
            }
            Leads::Other(leader) => match ask(&call, &leader, operation, body).await {
                Ok(Some(passed)) => return Placed::There(passed),
                Ok(None) => AGAIN,
                Err(error) => return Placed::Here(Err(error)),
            },
            Leads::Nobody => PATIENCE,
        };
        let next = deadline.min(Instant::now() + pause);
        tokio::select! {
            biased;
            _ = terms.changed() => {}
            _ = roster.changed() => {}
            () = tokio::time::sleep_until(next) => {}
        }
        if Instant::now() >= deadline {
            return Placed::Here(Err(moved()));
        }
    }
}

fn leads(call: &Call) -> Leads {
    let members = &call.server.members;
    if let Some(term) = members.term() {
        return Leads::This(term);
    }
    match members.roster().leader().filter(|leader| leader.id != members.id()) {
        Some(leader) => Leads::Other(leader.clone()),
        None => Leads::Nobody,
    }
}

/// What the leader shows at one of the control plane's own endpoints; `None` where this server leads,
/// or the leader does not answer: then what this one knows must do.
pub(crate) async fn look(call: &Call, path: &str) -> Option<(StatusCode, Bytes)> {
    let Leads::Other(leader) = leads(call) else { return None };
    let members = &call.server.members;
    let request = members.request(&leader, call, What::Look { path }).ok()?;
    match members.peers.ask(request, LOOK).await {
        Ok(answer) if answer.status() != NOT_LEADER => Some((answer.status(), answer.into_body())),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(leader = leader.name, url = leader.url, %error, "no answer of the leader");
            None
        }
    }
}

/// Completes when another server leads, and the old leader has had its time to say what it did.
async fn replaced(call: &Call, leader: &Member) {
    let mut roster = call.server.members.roster_changes();
    let other = |roster: &Arc<super::Roster>| roster.leader.is_some_and(|leads| leads != leader.id);
    // The sender lives as long as the server.
    let _ = roster.wait_for(other).await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// Asks the leader; without an answer when nothing was done.
async fn ask(
    call: &Call,
    leader: &Member,
    operation: OperationName,
    body: &Bytes,
) -> Result<Option<Passed>, ServiceError> {
    let server = &call.server;
    let target = format!("{}.{}", ecs::SERVICE.target_prefix, operation.info().name);
    let what = What::Call { target: &target, body };
    let request = server.members.request(leader, call, what).map_err(|error| {
        tracing::error!(leader = leader.name, url = leader.url, %error, "no URL of a server");
        moved()
    })?;
    let asked = server.members.peers.ask(request, ANSWER);
    let answer = tokio::select! {
        biased;
        answer = asked => answer,
        () = replaced(call, leader) => {
            Err(PeerError::Silent("another server leads now".to_owned()))
        }
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ PeerError::Unreachable(_)) => {
            tracing::warn!(leader = leader.name, url = leader.url, %error, "no way to the leader");
            return Ok(None);
        }
        Err(error @ PeerError::Silent(_)) => {
            tracing::warn!(leader = leader.name, url = leader.url, %error, "no answer of the leader");
            return Err(ErrorCode::ServerException.error(
                "The leader of the control plane did not answer, so it is not known whether tasks \
                 were started. List the tasks before you try again, or use a client token.",
            ));
        }
    };
    if answer.status() == NOT_LEADER {
        return Ok(None);
    }
    let revision = answer.headers().get(REVISION).and_then(|value| value.to_str().ok());
    if let Some(revision) = revision.and_then(|text| text.parse().ok()) {
        let shown = server.state.reached(StoreRevision(revision));
        if !matches!(tokio::time::timeout(SHOWN, shown).await, Ok(Ok(_))) {
            tracing::warn!(revision, "an answer of the leader does not show here yet");
        }
    }
    let error = answer.headers().get(crate::front::ERROR_TYPE).cloned();
    let status = answer.status();
    Ok(Some(Passed { status, error, body: answer.into_body() }))
}
