//! What an operation knows of the request that called it.

use std::sync::Arc;

use longshore_auth::{self as auth, Authorized, Permissions, Principal};
use longshore_domain::ids::{Arn, Resource, Scope};
use longshore_domain::limits;
use longshore_domain::time::Timestamp;
use longshore_wire::codec::json;
use longshore_wire::ecs::ErrorCode;
use longshore_wire::{Operation, ServiceError};

use crate::access::{Access, Asking, Origin, TooMuch};
use crate::audit::{Event, Kept, Reason, Trace};
use crate::members::{self, Term};
use crate::{Server, clock};

/// An authenticated request, before or within its operation.
pub(crate) struct Call {
    /// The server.
    pub(crate) server: Arc<Server>,
    /// Account and region that the request acts in.
    pub(crate) scope: Scope,
    /// Who asks.
    pub(crate) principal: Principal,
    /// What it may do.
    pub(crate) permissions: Permissions,
    /// Where it asks from.
    pub(crate) origin: Origin,
    /// What the audit log will say of it.
    pub(crate) trace: Arc<Trace>,
    /// When the request came.
    pub(crate) now: Timestamp,
    /// How the caller reached us.
    pub(crate) base_url: String,
    /// The term that it is answered in, if this server leads.
    pub(crate) term: Option<Arc<Term>>,
}

/// What a denial is called.
const DENIED: ErrorCode = ErrorCode::AccessDeniedException;

/// The error of [`Call::authorize`] in a service that has another one for denials.
pub(crate) fn refused_as(
    error: ServiceError,
    denied: impl FnOnce(String) -> ServiceError,
) -> ServiceError {
    if error.code == DENIED.as_str() { denied(error.message) } else { error }
}

/// The error for a request that names too much, in the words of its service.
fn too_much(action: &str) -> ServiceError {
    let code = match action.split(':').next() {
        Some("ecs") => "InvalidParameterException",
        Some("acm") => "ValidationException",
        _ => "ValidationError",
    };
    let (number, bytes) = (limits::QUESTIONS, limits::QUESTIONS_BYTES);
    ServiceError::client(
        code,
        format!(
            "The request names too much: no operation takes more than {number} resources and tags, \
             or more than {bytes} bytes of them."
        ),
    )
}

impl Call {
    /// Asks whether the principal may do all that the request does, by the row of its operation in
    /// the table of [`crate::access`].
    ///
    /// # Errors
    /// `AccessDeniedException`, with AWS's text; or a validation error, where the request names more than
    /// policies are asked about, which is more than any operation takes.
    pub(crate) fn authorize<O: Access>(
        &self,
        input: O::Input,
    ) -> Result<Authorized<O::Input>, ServiceError> {
        let principal = self.principal.clone();
        let mut is_whole = true;
        let authorized = auth::authorize(principal, &self.permissions, input, |input| {
            let view = self.server.state.view();
            let keys = self.permissions.context();
            let keys = self.origin.keys(keys, &self.principal, &self.scope.region, self.now);
            let mut asking = Asking::new(&view, &self.scope, O::ENTRY.action, keys);
            O::asks(input, &mut asking);
            let questions = asking.into_questions().unwrap_or_else(|TooMuch { asked }| {
                is_whole = false;
                asked
            });
            if self.server.audit.records(O::INFO.read_only) {
                self.trace.asked(&questions);
            }
            questions
        })
        .map_err(|denied| {
            let error = DENIED.error(denied.to_string());
            self.trace.denied(denied);
            error
        })?;
        if is_whole { Ok(authorized) } else { Err(too_much(O::ENTRY.action)) }
    }

    /// Tells the audit log what a call that changed something is answered, where the answer is no JSON.
    pub(crate) fn answers<O: Operation>(&self, output: &O::Output) {
        if self.server.audit.is_kept() && !O::INFO.read_only {
            self.trace.answered(json::encode(output));
        }
    }

    /// A request that is no operation of a service: of an operator, or an agent's websocket.
    pub(crate) fn of_ours(
        server: &Arc<Server>,
        origin: Origin,
        principal: Principal,
        scope: Scope,
    ) -> Self {
        let trace = Arc::<Trace>::default();
        trace.comes_from(&principal, &scope);
        Self {
            permissions: server.identity.permissions(&principal),
            server: Arc::clone(server),
            scope,
            principal,
            origin,
            trace,
            now: clock::now(),
            base_url: String::new(),
            term: None,
        }
    }

    /// Records it, as CloudTrail would call it; gives the id by which it is found.
    pub(crate) fn note(
        &self,
        service: &'static str,
        name: &'static str,
        read_only: bool,
        error: Option<Reason>,
    ) -> String {
        let request_id = clock::uuid();
        let denied = self.trace.denial().is_some() && self.server.audit.is_kept();
        if !(denied || self.server.audit.records(read_only)) {
            return request_id;
        }
        self.server.audit.record(Event {
            at: self.now,
            request_id: request_id.clone(),
            service,
            name,
            read_only,
            trace: Arc::clone(&self.trace),
            origin: self.origin.clone(),
            body: Kept::nothing(),
            form: false,
            answer: Kept::nothing(),
            error,
        });
        request_id
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
