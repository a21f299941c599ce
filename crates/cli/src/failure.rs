//! What an operator is told when a command fails: what, why, and what to do.

use std::error::Error;
use std::fmt;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    why: String,
    fix: Option<String>,
    /// Exit code of the process.
    pub(crate) exit_code: u8,
}

impl Failure {
    /// `what` failed because of `why`.
    pub(crate) fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string(), fix: None, exit_code: 1 }
    }

    /// `what` failed because of `error` and everything behind it.
    pub(crate) fn caused(what: impl Into<String>, error: &dyn Error) -> Self {
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some errors repeat their cause in their own text.
            if !why.contains(&text) {
                why = format!("{why}: {text}");
            }
            source = cause.source();
        }
        Self::new(what, why)
    }

    /// The same with something to do about it.
    #[must_use]
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) fn exit_code(mut self, code: u8) -> Self {
        self.exit_code = code;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        match &self.fix {
            Some(fix) => write!(f, "\n  to fix: {fix}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}
