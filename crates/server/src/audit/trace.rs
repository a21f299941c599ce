//! What is learnt of a call on its way, for its record.

use std::sync::OnceLock;

use longshore_auth::{Denied, Principal, Question};
use longshore_domain::ids::Scope;

use super::event::Kept;

/// One thing that was asked of the policies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) action: &'static str,
    pub(super) resource: String,
    /// The service that a role is handed to.
    pub(super) passed_to: Option<String>,
}

/// Things asked by one call that are kept: as many as any operation takes.
const ASKED: usize = 100;
/// Bytes of their resources.
const ASKED_BYTES: usize = 64 * 1024;

/// What is learnt of a call.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    caller: OnceLock<(Principal, Scope)>,
    asked: OnceLock<(Vec<Asked>, usize)>,
    /// What was asked later, when it was known what the call is about.
    asked_more: OnceLock<(Vec<Asked>, usize)>,
    denied: OnceLock<Box<Denied>>,
    answer: OnceLock<Kept>,
}

impl Trace {
    /// Who calls.
    pub(crate) fn comes_from(&self, principal: &Principal, scope: &Scope) {
        let _ = self.caller.set((principal.clone(), scope.clone()));
    }

    /// What it asks of the policies.
    pub(crate) fn asked(&self, questions: &[Question]) {
        let mut bytes = 0;
        let fits = |question: &&Question| {
            bytes += question.resource.len();
            bytes <= ASKED_BYTES
        };
        let asked = questions.iter().take(ASKED).take_while(fits).map(|question| Asked {
            action: question.action,
            resource: question.resource.clone(),
            passed_to: passed_to(question),
        });
        let asked: Vec<Asked> = asked.collect();
        let left_out = questions.len() - asked.len();
        // A call that is tried again asks the same.
        if let Err(again) = self.asked.set((asked, left_out))
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
        let _ = self.answer.set(Kept::answer(answer.into()));
    }

    /// What it was answered, if that was told.
    pub(super) fn answer(&self) -> Option<&Kept> {
        self.answer.get()
    }

    /// Who called, if that is known.
    pub(crate) fn caller(&self) -> Option<&(Principal, Scope)> {
        self.caller.get()
    }

    /// What was asked of the policies.
    pub(super) fn all_asked(&self) -> impl Iterator<Item = &Asked> {
        let both = self.asked.get().into_iter().chain(self.asked_more.get());
        both.flat_map(|(asked, _)| asked)
    }

    /// How many things were asked besides.
    pub(super) fn left_out(&self) -> usize {
        let both = self.asked.get().into_iter().chain(self.asked_more.get());
        both.map(|(_, left_out)| left_out).sum()
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
