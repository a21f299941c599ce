//! Short names for long ids, in the order in which they first appear.

use std::collections::BTreeMap;

/// Shortest id that is taken for one: the number of a deployment has up to 19 digits.
const ID_LEN: usize = 15;

/// Names by id.
#[derive(Clone, Debug, Default)]
pub struct Names {
    by_id: BTreeMap<String, String>,
    counts: BTreeMap<String, u32>,
}

impl Names {
    /// Names `id` as the next of its kind, e.g. `web-3`.
    pub fn number(&mut self, id: &str, kind: &str) {
        if !self.by_id.contains_key(id) {
            let count = self.counts.entry(kind.to_owned()).or_insert(0);
            *count += 1;
            self.by_id.insert(id.to_owned(), format!("{kind}-{count}"));
        }
    }

    /// Names `id`.
    pub fn name(&mut self, id: &str, name: &str) {
        self.by_id.insert(id.to_owned(), name.to_owned());
    }

    /// The name of `id`, or `id` itself.
    pub fn of<'a>(&'a self, id: &'a str) -> &'a str {
        self.by_id.get(id).map_or(id, String::as_str)
    }

    /// The id that has the name.
    pub fn id_of(&self, name: &str) -> Option<&str> {
        self.by_id.iter().find(|(_, of)| *of == name).map(|(id, _)| id.as_str())
    }

    /// A text with names for ids.
    pub fn shorten(&self, text: &str) -> String {
        let mut short = String::new();
        let mut word = String::new();
        // The end of the text ends a word, too.
        for c in text.chars().chain(['\0']) {
            if c.is_ascii_alphanumeric() {
                word.push(c);
                continue;
            }
            let known = word.len() >= ID_LEN;
            short.push_str(if known { self.of(&word) } else { &word });
            word.clear();
            if c != '\0' {
                short.push(c);
            }
        }
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_get_names_in_order() {
        let mut names = Names::default();
        names.number("0123456789abcdef", "web");
        names.number("fedcba9876543210", "web");
        names.number("0123456789abcdef", "web");
        names.name("1234567890123456789", "1");
        let text = "(task 0123456789abcdef) of ecs-svc/1234567890123456789: fedcba9876543210";
        assert_eq!(names.shorten(text), "(task web-1) of ecs-svc/1: web-2");
        assert_eq!(names.id_of("web-2"), Some("fedcba9876543210"));
    }
}
