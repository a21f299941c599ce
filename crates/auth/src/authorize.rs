//! Whether a principal may do what it asks, and the witness that it was asked.

use core::fmt;
use std::sync::Arc;

use crate::identity::Principal;
use crate::policy::{Ask, Case, Context, Evaluation, Layer, Permissions, Reason, Standing};

/// A request that its principal may make. Only [`authorize`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized<T> {
    principal: Principal,
    request: T,
}

impl<T> Authorized<T> {
    /// Who asked.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What was asked.
    pub fn request(&self) -> &T {
        &self.request
    }

    /// Both, for a handler that takes the request apart.
    pub fn into_parts(self) -> (Principal, T) {
        (self.principal, self.request)
    }
}

/// One thing that a request does, which must be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// E.g. `ecs:RunTask`.
    pub action: &'static str,
    /// ARN, or `*` for actions without resources.
    pub resource: String,
    /// Condition keys; questions of one request mostly share them.
    pub context: Arc<Context>,
}

/// A known principal that may not do what it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// ARN of the principal.
    pub principal_arn: String,
    /// What is refused, with the condition keys under which it was asked.
    pub question: Question,
    /// Which policies refuse it.
    pub reason: Reason,
    /// How they were evaluated; nothing where policies were not asked.
    pub evaluation: Option<Box<Evaluation>>,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal_arn, question: Question { action, resource, .. }, .. } = self;
        write!(
            f,
            "User: {principal_arn} is not authorized to perform: {action} on resource: {resource} {}",
            self.reason.clause(action)
        )
    }
}

impl core::error::Error for Denied {}

/// Lets `principal` make `request`, which does what `questions` says of it.
///
/// Who may do everything within its account is not asked anything: an operation finds what is in
/// the account of its caller, and nothing else. Of everybody else each question must be allowed by
/// its policies, and be about its own account: a resource is `*` or an ARN, and an ARN without
/// account (as in S3) counts as the principal's own.
///
/// # Errors
/// [`Denied`] names the first thing that is refused.
pub fn authorize<T>(
    principal: Principal,
    permissions: &Permissions,
    request: T,
    questions: impl FnOnce(&T) -> Vec<Question>,
) -> Result<Authorized<T>, Box<Denied>> {
    if let Permissions::By(standing) = permissions {
        let mut asking = Asking { principal: &principal, standing, case: None };
        for question in questions(&request) {
            asking.ask(question)?;
        }
    }
    Ok(Authorized { principal, request })
}

/// Whether a principal may do one thing; for what is no request of a client.
///
/// # Errors
/// [`Denied`].
pub fn allowed(
    principal: &Principal,
    permissions: &Permissions,
    question: Question,
) -> Result<(), Box<Denied>> {
    match permissions {
        Permissions::By(standing) => Asking { principal, standing, case: None }.ask(question),
        Permissions::Account => Ok(()),
    }
}

/// The questions of one request, one after the other.
struct Asking<'a> {
    principal: &'a Principal,
    standing: &'a Standing,
    /// That of the last question: a hundred tasks differ in nothing else than their ARNs.
    case: Option<(&'static str, Arc<Context>, Case)>,
}

impl Asking<'_> {
    fn ask(&mut self, question: Question) -> Result<(), Box<Denied>> {
        let Question { action, resource, context } = &question;
        let (reason, evaluation) = if within(resource, self.principal.account.as_str()) {
            let standing = self.standing;
            match standing.allows(&Ask { action, resource, context }, self.case(&question)) {
                Ok(()) => return Ok(()),
                Err(evaluation) => (evaluation.reason, Some(evaluation)),
            }
        } else {
            // None of our resources has a policy that could let in somebody of another account.
            (Reason::NoAllow(Layer::Resource), None)
        };
        let principal_arn = self.principal.arn.clone();
        Err(Box::new(Denied { principal_arn, question, reason, evaluation }))
    }

    fn case(&mut self, Question { action, context, .. }: &Question) -> &Case {
        let same = |(last, known, _): &(&str, Arc<Context>, Case)| {
            last == action && Arc::ptr_eq(known, context)
        };
        let case =
            self.case.take().filter(same).unwrap_or_else(|| {
                (action, Arc::clone(context), self.standing.case(action, context))
            });
        &self.case.insert(case).2
    }
}

fn within(resource: &str, account: &str) -> bool {
    if resource == "*" {
        return true;
    }
    let mut parts = resource.splitn(6, ':');
    let owner = parts.nth(4);
    resource.starts_with("arn:")
        && parts.next().is_some()
        // AWS's own managed policies are everybody's.
        && owner.is_some_and(|owner| owner.is_empty() || owner == account || owner == "aws")
}

#[cfg(test)]
mod tests;
