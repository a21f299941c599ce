//! The awsQuery codec: requests are forms, answers are XML.
//!
//! `A.member.1.B=x` is the member `B` of the first element of the list `A`; `A.entry.1.key` and
//! `A.entry.1.value` are an entry of a map; `A=` is a list without elements. Unknown members are
//! ignored, as in the JSON protocol.

mod form;
mod xml;

pub use form::Form;
pub use xml::{encode, encode_error};

/// Content type of answers.
pub const CONTENT_TYPE: &str = "text/xml";

#[cfg(test)]
mod tests;
