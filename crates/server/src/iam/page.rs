//! Lists in pages, by `Marker` and `MaxItems`.

use data_encoding::BASE64URL_NOPAD;
use longshore_wire::ServiceError;

use super::names::invalid;

/// Entries of a page unless the caller wants another number.
const DEFAULT: usize = 100;

/// Which page is wanted: what follows a key, and how much of it.
#[derive(Debug)]
pub(super) struct Page {
    after: Option<String>,
    size: usize,
}

/// A page, and where the next one begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut<T> {
    pub(super) items: Vec<T>,
    pub(super) is_truncated: Option<bool>,
    pub(super) marker: Option<String>,
}

impl Page {
    /// The page that a request asks for.
    ///
    /// # Errors
    /// `ValidationError`.
    pub(super) fn of(
        marker: Option<&String>,
        max_items: Option<i32>,
    ) -> Result<Self, ServiceError> {
        let key = |marker: &String| {
            let bytes = BASE64URL_NOPAD.decode(marker.as_bytes()).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| invalid("The specified value for marker is invalid."))
        };
        let size = max_items.and_then(|items| usize::try_from(items).ok());
        Ok(Self { after: marker.map(key).transpose()?, size: size.unwrap_or(DEFAULT) })
    }

    /// The page of `all`, which are in the order of their keys.
    pub(super) fn cut<T>(&self, all: impl IntoIterator<Item = (String, T)>) -> Cut<T> {
        let after = self.after.as_deref();
        let mut rest = all.into_iter().filter(|(key, _)| after.is_none_or(|after| **key > *after));
        let mut items = Vec::new();
        let mut last = String::new();
        for (key, item) in rest.by_ref().take(self.size) {
            items.push(item);
            last = key;
        }
        let more = !items.is_empty() && rest.next().is_some();
        let marker = more.then(|| BASE64URL_NOPAD.encode(last.as_bytes()));
        Cut { items, is_truncated: Some(more), marker }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let all = || ["a", "b", "c", "d", "e"].map(|key| (key.to_owned(), key));
        let (mut marker, mut seen, mut pages) = (None, Vec::new(), 0);
        loop {
            let page = Page::of(marker.as_ref(), Some(2)).expect("a page");
            let cut = page.cut(all());
            seen.extend(cut.items);
            pages += 1;
            assert_eq!(cut.is_truncated, Some(cut.marker.is_some()));
            marker = cut.marker;
            if marker.is_none() {
                break;
            }
        }
        assert_eq!((seen.concat(), pages), ("abcde".to_owned(), 3));
        assert!(Page::of(Some(&"%".to_owned()), None).is_err());
    }
}
