//! Answers: a shape becomes XML.

use std::fmt::Write as _;

use crate::error::ServiceError;
use crate::shape::{Member, Sink, Timestamp, Value};

/// Writes the answer to an operation.
pub fn encode<T: Value>(value: &T, operation: &str, namespace: &str, request_id: &str) -> Vec<u8> {
    let mut writer = Writer { out: String::with_capacity(512), open: Vec::new(), next: None };
    let _ = write!(writer.out, "<{operation}Response xmlns=\"{namespace}\">");
    writer.next = Some(format!("{operation}Result"));
    value.write(&mut writer);
    writer.out.push_str("<ResponseMetadata>");
    element(&mut writer.out, "RequestId", request_id);
    let _ = write!(writer.out, "</ResponseMetadata></{operation}Response>");
    writer.out.into_bytes()
}

/// Writes an error answer.
pub fn encode_error(error: &ServiceError, namespace: &str, request_id: &str) -> Vec<u8> {
    let mut out = String::with_capacity(256);
    let _ = write!(out, "<ErrorResponse xmlns=\"{namespace}\"><Error>");
    element(&mut out, "Type", if error.status < 500 { "Sender" } else { "Receiver" });
    element(&mut out, "Code", error.code);
    element(&mut out, "Message", &error.message);
    out.push_str("</Error>");
    element(&mut out, "RequestId", request_id);
    out.push_str("</ErrorResponse>");
    out.into_bytes()
}

/// A time in the form of ISO 8601, with milliseconds.
pub(super) fn iso(time: Timestamp) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of any sane date fit")]
    let millis = (time.0 * 1000.0).round() as i64;
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    format!("{time:.3}")
}

fn element(out: &mut String, name: &str, text: &str) {
    let _ = write!(out, "<{name}>");
    escape(out, text);
    let _ = write!(out, "</{name}>");
}

/// Appends text. Characters that XML cannot hold become replacement characters.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// What is open, and the name of the element that closes it.
struct Open {
    kind: Kind,
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Structure,
    List,
    /// With an entry open.
    Map,
}

struct Writer {
    out: String,
    open: Vec<Open>,
    /// Name of the element that the next value stands in.
    next: Option<String>,
}

impl Writer {
    /// Name of the element that a value stands in.
    fn name(&mut self) -> String {
        match self.open.last().map(|open| open.kind) {
            Some(Kind::List) => "member".to_owned(),
            Some(Kind::Map) => "value".to_owned(),
            _ => self.next.take().unwrap_or_default(),
        }
    }

    fn scalar(&mut self, text: &str) {
        let name = self.name();
        element(&mut self.out, &name, text);
        self.after_value();
    }

    fn begin(&mut self, kind: Kind) {
        let name = self.name();
        let _ = write!(self.out, "<{name}>");
        self.open.push(Open { kind, name });
    }

    fn end(&mut self) {
        if let Some(Open { name, .. }) = self.open.pop() {
            let _ = write!(self.out, "</{name}>");
        }
        self.after_value();
    }

    /// An entry of a map ends with its value.
    fn after_value(&mut self) {
        if self.open.last().is_some_and(|open| open.kind == Kind::Map) {
            self.out.push_str("</entry>");
        }
    }
}

impl Sink for Writer {
    fn bool(&mut self, value: bool) {
        self.scalar(if value { "true" } else { "false" });
    }

    fn int(&mut self, value: i64) {
        self.scalar(&value.to_string());
    }

    fn float(&mut self, value: f64) {
        self.scalar(&value.to_string());
    }

    fn string(&mut self, value: &str) {
        self.scalar(value);
    }

    fn timestamp(&mut self, value: Timestamp) {
        self.scalar(&iso(value));
    }

    fn begin_list(&mut self) {
        self.begin(Kind::List);
    }

    fn end_list(&mut self) {
        self.end();
    }

    fn begin_map(&mut self) {
        self.begin(Kind::Map);
    }

    fn key(&mut self, key: &str) {
        self.out.push_str("<entry>");
        element(&mut self.out, "key", key);
    }

    fn end_map(&mut self) {
        self.end();
    }

    fn begin_structure(&mut self) {
        self.begin(Kind::Structure);
    }

    fn member(&mut self, member: &'static Member) {
        self.next = Some(member.name.to_owned());
    }

    fn end_structure(&mut self) {
        self.end();
    }
}
