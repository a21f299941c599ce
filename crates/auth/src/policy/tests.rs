//! Cases from AWS's public rules, refused documents, and bounds.

mod cases;
mod layers;
mod refused;

use std::sync::Arc;

use super::{Attached, Context, Policy, PolicyKind};

/// A policy under a name.
fn attached(source: &str, text: &str) -> Attached {
    attached_as(source, text, PolicyKind::Identity)
}

fn attached_as(source: &str, text: &str, kind: PolicyKind) -> Attached {
    let policy = Policy::parse_as(text, kind);
    let policy = policy.unwrap_or_else(|error| panic!("{error}: {} in {text}", error.detail));
    Attached { source: source.to_owned(), policy: Arc::new(policy) }
}

/// A document of these statements.
fn document(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)
}

fn context(pairs: &[(&str, &str)]) -> Context {
    let mut context = Context::default();
    for (key, value) in pairs {
        context.add(key, *value);
    }
    context
}
