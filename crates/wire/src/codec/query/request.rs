//! Requests, as a client writes them.

use form_urlencoded::Serializer;

use crate::shape::{Member, Sink, Timestamp, Value};

/// Writes the request for an operation.
pub fn encode_request<T: Value>(value: &T, operation: &str, version: &str) -> Vec<u8> {
    let mut out = Serializer::new(String::new());
    out.append_pair("Action", operation).append_pair("Version", version);
    let mut writer = Writer { out, open: Vec::new(), path: Vec::new(), key: None };
    value.write(&mut writer);
    writer.out.finish().into_bytes()
}

/// What is open: a structure, or a list or map with the number of its elements so far.
enum Open {
    Structure,
    List(usize),
    Map(usize),
}

struct Writer<'a> {
    out: Serializer<'a, String>,
    open: Vec<Open>,
    path: Vec<String>,
    /// The key of the map entry whose value comes next.
    key: Option<String>,
}

impl Writer<'_> {
    /// Steps to the place of a value.
    fn enter(&mut self) {
        match self.open.last_mut() {
            Some(Open::List(count)) => {
                *count += 1;
                let place = format!("member.{count}");
                self.path.push(place);
            }
            Some(Open::Map(count)) => {
                *count += 1;
                let entry = format!("entry.{count}");
                self.path.push(format!("{entry}.key"));
                let name = self.path.join(".");
                let key = self.key.take().unwrap_or_default();
                self.out.append_pair(&name, &key);
                self.path.pop();
                self.path.push(format!("{entry}.value"));
            }
            Some(Open::Structure) | None => {}
        }
    }

    /// Steps back from it.
    fn leave(&mut self) {
        // A structure's members stand directly under it, so the place is the member's.
        if !self.open.is_empty() {
            self.path.pop();
        }
    }

    fn scalar(&mut self, text: &str) {
        self.enter();
        let name = self.path.join(".");
        self.out.append_pair(&name, text);
        self.leave();
    }

    fn begin(&mut self, kind: Open) {
        self.enter();
        self.open.push(kind);
    }

    fn end(&mut self) {
        if let Some(Open::List(0)) = self.open.pop() {
            let name = self.path.join(".");
            self.out.append_pair(&name, "");
        }
        self.leave();
    }
}

impl Sink for Writer<'_> {
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
        let text = super::xml::iso(value);
        self.scalar(&text);
    }

    fn begin_list(&mut self) {
        self.begin(Open::List(0));
    }

    fn end_list(&mut self) {
        self.end();
    }

    fn begin_map(&mut self) {
        self.begin(Open::Map(0));
    }

    fn key(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    fn end_map(&mut self) {
        self.end();
    }

    fn begin_structure(&mut self) {
        self.begin(Open::Structure);
    }

    fn member(&mut self, member: &'static Member) {
        self.path.push(member.name.to_owned());
    }

    fn end_structure(&mut self) {
        self.end();
    }
}
