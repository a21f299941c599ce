//! What is learnt of a call on its way, for its record.

use std::sync::OnceLock;

use bytes::Bytes;
use longshore_auth::{Denied, Principal, Question};
use longshore_domain::ids::Scope;

/// One thing that was asked of the policies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) action: &'static str,
    pub(super) resource: String,
    /// The service that a role is handed to.
    pub(super) passed_to: Option<String>,
}

/// What is learnt of a call.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    caller: OnceLock<(Principal, Scope)>,
    asked: OnceLock<Vec<Asked>>,
    /// What was asked later, when it was known what the call is about.
    asked_more: OnceLock<Vec<Asked>>,
    denied: OnceLock<Box<Denied>>,
    answer: OnceLock<Bytes>,
}

impl Trace {
    /// Who calls.
    pub(crate) fn comes_from(&self, principal: &Principal, scope: &Scope) {
        let _ = self.caller.set((principal.clone(), scope.clone()));
    }

    /// What it asks of the policies.
    pub(crate) fn asked(&self, questions: &[Question]) {
        let asked = questions.iter().map(|question| Asked {
            action: question.action,
            resource: question.resource.clone(),
            passed_to: passed_to(question),
        });
        // A call that is tried again asks the same.
        if let Err(again) = self.asked.set(asked.collect())
            && Some(&again) != self.asked.get()
        {
            let _ = self.asked_more.set(again);
        }
    }

    /// Why it is denied.
    pub(crate) fn denied(&self, denied: Box<Denied>) {
        let _ = self.denied.set(denied);
    }

    /// What it is answered, as JSON, where the answer itself is none.
    pub(crate) fn answered(&self, answer: Vec<u8>) {
        let _ = self.answer.set(answer.into());
    }

    /// What it was answered, if that was told.
    pub(super) fn answer(&self) -> Option<&Bytes> {
        self.answer.get()
    }

    /// Who called, if that is known.
    pub(crate) fn caller(&self) -> Option<&(Principal, Scope)> {
        self.caller.get()
    }

    /// What was asked of the policies.
    pub(super) fn all_asked(&self) -> impl Iterator<Item = &Asked> {
        self.asked.get().into_iter().chain(self.asked_more.get()).flatten()
    }

    /// Why it was denied, if it was.
    pub(crate) fn denial(&self) -> Option<&Denied> {
        self.denied.get().map(AsRef::as_ref)
    }
}

fn passed_to(question: &Question) -> Option<String> {
    let services = question.context.get("iam:PassedToService")?;
    services.first().filter(|_| question.action == "iam:PassRole").cloned()
}
