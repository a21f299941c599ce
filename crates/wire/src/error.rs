//! Errors of decoding, and the error that a service answers with.

use std::fmt;

/// Why a message is not the wanted shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Path of the member, e.g. `containerDefinitions[0].name`; empty for the message itself.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The message is not well-formed, or a value has the wrong type: AWS's SerializationException.
    Malformed(String),
    /// A required member is absent.
    Missing,
    /// A string is none of an enumeration's values.
    UnknownValue {
        /// What was given.
        given: String,
        /// What is allowed.
        allowed: &'static [&'static str],
    },
    /// A length or number is outside its range.
    OutOfRange(String),
}

impl DecodeError {
    /// An error at the message itself; [`DecodeError::within`] adds the path on the way out.
    pub fn new(problem: Problem) -> Self {
        Self { path: String::new(), problem }
    }

    /// A value of the wrong type.
    pub fn wrong_type(expected: &str, found: &str) -> Self {
        Self::new(Problem::Malformed(format!("expected {expected}, found {found}")))
    }

    /// The same error, seen from the structure that holds `member`.
    #[must_use]
    pub fn within(mut self, member: &str) -> Self {
        if !self.path.is_empty() && !self.path.starts_with('[') {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, member);
        self
    }

    /// The same error, seen from the list that holds the element at `index`.
    #[must_use]
    pub fn at_index(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "request" } else { &self.path };
        match &self.problem {
            Problem::Malformed(what) => write!(f, "{path}: {what}"),
            Problem::Missing => write!(f, "{path} should not be null or empty."),
            Problem::UnknownValue { given, allowed } => write!(
                f,
                "Value '{given}' at '{path}' failed to satisfy constraint: Member must satisfy \
                 enum value set: [{}]",
                allowed.join(", ")
            ),
            Problem::OutOfRange(what) => {
                write!(f, "Value at '{path}' failed to satisfy constraint: {what}")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// An error answer of a service: AWS's code, status and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    /// Exception name, e.g. `ClusterNotFoundException`.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Message for the caller.
    pub message: String,
    /// Members beyond the message, e.g. `resourceIds` of ConflictException.
    pub lists: Vec<(&'static str, Vec<String>)>,
}

impl ServiceError {
    /// A client error (400) of `code`.
    pub fn client(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, status: 400, message: message.into(), lists: Vec::new() }
    }

    /// A server error (500) of `code`.
    pub fn server(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, status: 500, message: message.into(), lists: Vec::new() }
    }

    /// The same error with a list member.
    #[must_use]
    pub fn with_list(mut self, name: &'static str, values: Vec<String>) -> Self {
        self.lists.push((name, values));
        self
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ServiceError {}

/// An error and its causes in one line. Libraries for the network say what failed in the first, and why in
/// those behind it; an operator needs both.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
