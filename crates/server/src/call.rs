//! What an operation knows of the request that called it.

use std::sync::Arc;

use longshore_auth::{self as auth, Authorized, Principal};
use longshore_domain::ids::{Arn, Resource, Scope};
use longshore_domain::time::Timestamp;
use longshore_wire::ServiceError;
use longshore_wire::ecs::ErrorCode;

use crate::Server;
use crate::members::{self, Term};

/// An authenticated request, before or within its operation.
pub(crate) struct Call {
    /// The server.
    pub(crate) server: Arc<Server>,
    /// Account and region that the request acts in.
    pub(crate) scope: Scope,
    /// Who asks.
    pub(crate) principal: Principal,
    /// When the request came.
    pub(crate) now: Timestamp,
    /// How the caller reached us.
    pub(crate) base_url: String,
    /// The term that it is answered in, if this server leads.
    pub(crate) term: Option<Arc<Term>>,
}

impl Call {
    /// Asks `auth` whether the principal may do `action` (e.g. `ecs:RunTask`).
    pub(crate) fn authorize<T>(
        &self,
        action: &str,
        request: T,
    ) -> Result<Authorized<T>, ServiceError> {
        auth::authorize(self.principal.clone(), action, &["*"], request)
            .map_err(|denied| ErrorCode::AccessDeniedException.error(denied.to_string()))
    }

    /// The term that tasks are placed in.
    ///
    /// # Errors
    /// This server does not lead.
    pub(crate) fn term(&self) -> Result<&Term, ServiceError> {
        self.term.as_deref().ok_or_else(members::moved)
    }

    /// The ARN of `resource` in the caller's scope.
    pub(crate) fn arn(&self, resource: Resource) -> String {
        Arn::new(&self.scope, resource).to_string()
    }
}
