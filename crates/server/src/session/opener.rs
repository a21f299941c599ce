//! Who opened a session, and whether it may have it still.
//!
//! A websocket outlives the request that opened it by far. What was asked then is asked again whenever a record of
//! identities has changed, so that a session ends with its keys, its role, or what its policies allow.
//! Where nothing has changed that costs a look at the state of a few tables: there are thousands of sessions.

use std::sync::Arc;

use longshore_auth::{AuthError, Denied, Permissions};
use longshore_domain::ids::Scope;
use longshore_domain::time::Timestamp;
use longshore_store::tables::ContainerInstanceKey;
use longshore_wire::ServiceError;

use super::note_denied;
use crate::Server;
use crate::access::{Entry, Origin, agents};
use crate::call::Call;
use crate::identity::LastChange;

/// Why who opened a session may not have it any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("its keys are not good any more: {0}")]
    Keys(AuthError),
    #[error("{0}")]
    Denied(Box<Denied>),
    #[error("{0}")]
    NotIts(Box<ServiceError>),
}

/// By what a session was opened, and what followed from it when that was last looked at.
#[derive(Debug)]
pub(super) struct Opener {
    entry: &'static Entry,
    scope: Scope,
    origin: Origin,
    access_key_id: Option<String>,
    session_token: Option<String>,
    /// When its keys end, in seconds since the Unix epoch.
    expires_at_s: Option<i64>,
    seen: LastChange,
    /// Whether it may change without a change of identities.
    varies: bool,
}

impl Opener {
    /// The caller of a request that was allowed; `seen` is from before it was asked.
    pub(super) fn new(
        call: &Call,
        entry: &'static Entry,
        session_token: Option<String>,
        seen: LastChange,
    ) -> Self {
        Self {
            entry,
            scope: call.scope.clone(),
            origin: call.origin.clone(),
            access_key_id: call.principal.access_key_id.clone(),
            session_token,
            expires_at_s: call.principal.session.as_ref().map(|session| session.expires_at_s),
            seen,
            varies: varies(call),
        }
    }

    /// Whether it may have the session of an instance still.
    ///
    /// # Errors
    /// Why not; a denial is noted for the audit log.
    pub(super) fn check(
        &mut self,
        server: &Arc<Server>,
        instance: &ContainerInstanceKey,
        now: Timestamp,
    ) -> Result<(), Lost> {
        let now_s = now.as_millis() / 1000;
        if self.expires_at_s.is_some_and(|end_s| end_s <= now_s) {
            return Err(Lost::Keys(AuthError::ExpiredToken));
        }
        let seen = LastChange::of(&server.state.view());
        if seen == self.seen && !self.varies {
            return Ok(());
        }
        let (key, token) = (self.access_key_id.as_deref(), self.session_token.as_deref());
        let principal = server.identity.holder(key, token, now_s).map_err(Lost::Keys)?;
        let origin = self.origin.clone();
        let call = Call { now, ..Call::of_ours(server, origin, principal, self.scope.clone()) };
        if let Err(denied) = call.may_connect(self.entry, instance) {
            note_denied(&call, self.entry.action, &denied);
            return Err(Lost::Denied(denied));
        }
        // Whether there is such an instance is up to the session.
        if let Some(row) = server.state.view().container_instances.get(instance) {
            agents::speaks_for(&call.principal, row, self.entry.action)
                .map_err(|error| Lost::NotIts(Box::new(error)))?;
        }
        (self.seen, self.varies) = (seen, varies(&call));
        Ok(())
    }
}

/// Whether what a caller may hangs on the time, on a task, or on tags of resources.
fn varies(call: &Call) -> bool {
    let of_task = call.principal.session.as_ref().is_some_and(|session| session.task_arn.is_some());
    let Permissions::By(_) = &call.permissions else { return of_task };
    let keys = call.permissions.context();
    of_task
        || ["aws:CurrentTime", "aws:EpochTime"].iter().any(|key| keys.wants(key))
        || keys.wants_any(":resourcetag/")
}

#[cfg(test)]
mod tests;
