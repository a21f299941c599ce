//! Places in the journal that values tell: numbers made of revisions, which mean nothing in another
//! store. An archive says instead how many entries come before.

use serde_json::{Map, Value};

use super::PlaceLine;
use crate::contract::StoreRevision;
use crate::journal::Sequence;

/// Keys whose values tell a place, and the member that does.
const TELLING: &[(&str, &str)] = &[("/longshore/event-webhook", "sequence")];

/// A place of some store.
pub(super) struct Place {
    key: &'static str,
    /// The value with a zero in its stead.
    value: Map<String, Value>,
    sequence: Sequence,
    /// Entries up to there, so far.
    entries: u64,
    /// Whether the last of them is the one that it names.
    exact: bool,
}

impl Place {
    /// The place that the value of a key tells.
    pub(super) fn of(key: &str, value: &[u8]) -> Option<Self> {
        let (key, member) = TELLING.iter().find(|(telling, _)| *telling == key)?;
        let mut value: Map<String, Value> = serde_json::from_slice(value).ok()?;
        let sequence = value.insert((*member).to_owned(), 0.into())?.as_u64()?;
        Some(Self { key, value, sequence: sequence.into(), entries: 0, exact: false })
    }

    /// Takes note of an entry of the journal.
    pub(super) fn pass(&mut self, created: StoreRevision) {
        if created <= self.sequence.revision() {
            self.entries += 1;
            self.exact = created == self.sequence.revision();
        }
    }

    pub(super) fn line(self) -> PlaceLine {
        let end = Sequence::end_of(StoreRevision::ZERO).number();
        let index = if self.exact { self.sequence.number() & end } else { end };
        let value = Value::Object(self.value).to_string();
        PlaceLine { key: self.key.into(), value, entries: self.entries, index }
    }
}

/// The value that tells the place of `line` in a store whose entry before it has this revision.
pub(super) fn told(line: &PlaceLine, created: StoreRevision) -> Option<String> {
    let (_, member) = TELLING.iter().find(|(telling, _)| *telling == line.key)?;
    let mut value: Map<String, Value> = serde_json::from_str(&line.value).ok()?;
    let number = match line.entries {
        0 => 0,
        _ => {
            Sequence::end_of(created).number() - Sequence::end_of(StoreRevision::ZERO).number()
                + line.index
        }
    };
    value.insert((*member).to_owned(), number.into());
    Some(Value::Object(value).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64) -> Place {
        let value = format!(r#"{{"url":"http://h/","sequence":{sequence},"failures":2}}"#);
        Place::of("/longshore/event-webhook", value.as_bytes()).expect("it tells a place")
    }

    #[test]
    fn a_place_is_told_by_the_entries_before_it() {
        for (sequence, entries, index) in [
            ((7 << 10) + 3, 2, 3),
            ((8 << 10) + 3, 2, 1023),
            ((9 << 10) + 1023, 3, 1023),
            (1, 0, 1023),
        ] {
            let mut place = place(sequence);
            for created in [5, 7, 9, 11] {
                place.pass(StoreRevision(created));
            }
            let line = place.line();
            assert_eq!((line.entries, line.index), (entries, index), "{sequence}");
            assert_eq!(line.value, r#"{"failures":2,"sequence":0,"url":"http://h/"}"#);
        }
    }

    #[test]
    fn a_place_is_the_same_one_in_another_store() {
        let mut moved = place((7 << 10) + 3);
        moved.pass(StoreRevision(7));
        let told = told(&moved.line(), StoreRevision(4000)).expect("a value");
        assert!(told.contains(&format!("\"sequence\":{}", (4000 << 10) + 3)), "{told}");
        let mut again = Place::of("/longshore/event-webhook", told.as_bytes()).expect("a place");
        again.pass(StoreRevision(4000));
        assert_eq!((again.entries, again.line().index), (1, 3));
        assert!(Place::of("/longshore/other", b"{}").is_none());
        assert!(Place::of("/longshore/event-webhook", b"no JSON").is_none());
    }
}
