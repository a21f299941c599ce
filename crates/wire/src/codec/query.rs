//! The awsQuery codec, for both sides: requests are forms, answers are XML.
//!
//! `A.member.1.B=x` is the member `B` of the first element of the list `A`; `A.entry.1.key` and
//! `A.entry.1.value` are an entry of a map; `A=` is a list without elements. Unknown members are
//! ignored, as in the JSON protocol.

mod answer;
mod form;
mod request;
mod xml;

pub use answer::{decode, decode_error};
pub use form::Form;
pub use request::encode_request;
pub use xml::{encode, encode_error};

use crate::error::{DecodeError, Problem};

/// How IAM and STS say that a member is not as it should be: its name begins with a small letter.
pub fn validation_message(error: &DecodeError) -> String {
    let mut path = error.path.clone();
    if let Some(first) = path.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let problem = match &error.problem {
        Problem::Missing => {
            format!("Value null at '{path}' failed to satisfy constraint: Member must not be null")
        }
        problem => DecodeError { path, problem: problem.clone() }.to_string(),
    };
    format!("1 validation error detected: {problem}")
}

/// Content type of requests.
pub const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// Content type of answers.
pub const CONTENT_TYPE: &str = "text/xml";

#[cfg(test)]
mod tests;
