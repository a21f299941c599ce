//! The awsJson1.1 codec.
//!
//! Timestamps are epoch seconds with milliseconds; absent members are left out; unknown members
//! of the input are ignored.

use crate::error::{DecodeError, Problem, ServiceError};
use crate::node::Node;
use crate::shape::{Context, Limits, Member, Peer, Sink, Timestamp, Value};

/// Content type of requests and answers.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Parses one JSON value; an empty body is an empty object, as AWS reads it.
///
/// # Errors
/// [`Problem::Malformed`] with the position of the first fault.
pub fn parse(body: &[u8]) -> Result<Node<'_>, DecodeError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Node::Map(Vec::new()));
    }
    serde_json::from_slice(body)
        .map_err(|error| DecodeError::new(Problem::Malformed(error.to_string())))
}

/// Reads a value that `peer` sent.
///
/// # Errors
/// When the body is not JSON or not the wanted shape.
pub fn decode<T: Value>(body: &[u8], peer: Peer) -> Result<T, DecodeError> {
    T::read(&parse(body)?, Context { limits: &Limits::NONE, peer })
}

/// Writes a value.
pub fn encode<T: Value>(value: &T) -> Vec<u8> {
    let mut writer = JsonWriter { out: Vec::with_capacity(256), comma: false };
    value.write(&mut writer);
    writer.out
}

/// Writes an error answer: `__type`, `message` and the error's own members.
pub fn encode_error(error: &ServiceError) -> Vec<u8> {
    let mut body = serde_json::Map::new();
    body.insert("__type".into(), error.code.into());
    body.insert("message".into(), error.message.as_str().into());
    for (name, values) in &error.lists {
        body.insert((*name).into(), values.clone().into());
    }
    serde_json::Value::Object(body).to_string().into_bytes()
}

/// Code (without namespace) and message of an error answer.
pub fn decode_error(body: &[u8]) -> Option<(String, String)> {
    let node = parse(body).ok()?;
    let text = |name| match node.get(name) {
        Some(Node::String(text)) => Some(text.clone().into_owned()),
        _ => None,
    };
    let code = text("__type")?;
    let code = code.rsplit('#').next().unwrap_or_default().to_owned();
    Some((code, text("message").or_else(|| text("Message")).unwrap_or_default()))
}

/// Writes JSON text; needs no stack, because a comma is due exactly after a finished value.
struct JsonWriter {
    out: Vec<u8>,
    comma: bool,
}

impl JsonWriter {
    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    fn open(&mut self, bracket: u8) {
        self.separate();
        self.out.push(bracket);
        self.comma = false;
    }

    fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.comma = true;
    }

    fn name(&mut self, name: &str) {
        self.separate();
        self.text(name);
        self.out.push(b':');
        self.comma = false;
    }

    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            let (plain, tail) = rest.split_at(at);
            self.out.extend_from_slice(plain.as_bytes());
            match tail.as_bytes()[0] {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                control => self.out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            }
            rest = &tail[1..];
        }
        self.out.extend_from_slice(rest.as_bytes());
        self.out.push(b'"');
    }
}

impl Sink for JsonWriter {
    fn bool(&mut self, value: bool) {
        self.separate();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn int(&mut self, value: i64) {
        self.separate();
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn float(&mut self, value: f64) {
        self.separate();
        // JSON has no NaN or infinity; no member means one.
        let value = if value.is_finite() { value } else { 0.0 };
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn string(&mut self, value: &str) {
        self.separate();
        self.text(value);
    }

    fn timestamp(&mut self, value: Timestamp) {
        self.float((value.0 * 1000.0).round() / 1000.0);
    }

    fn begin_list(&mut self) {
        self.open(b'[');
    }

    fn end_list(&mut self) {
        self.close(b']');
    }

    fn begin_map(&mut self) {
        self.open(b'{');
    }

    fn key(&mut self, key: &str) {
        self.name(key);
    }

    fn end_map(&mut self) {
        self.close(b'}');
    }

    fn begin_structure(&mut self) {
        self.open(b'{');
    }

    fn member(&mut self, member: &'static Member) {
        self.name(member.name);
    }

    fn end_structure(&mut self) {
        self.close(b'}');
    }
}

#[cfg(test)]
mod tests;
