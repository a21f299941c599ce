//! Pagination: sorted keys, and a token that says after which key to go on.
//!
//! A token carries the operation and its filters' digest, so that a token of another call is
//! refused instead of giving a wrong page. It needs no memory on the server.

use std::cmp::Ordering;

use longshore_domain::limits;
use longshore_wire::ServiceError;
use sha2::{Digest, Sha256};

use super::invalid_parameter;

/// Characters of the checksum that opens a token.
const CHECKSUM_LEN: usize = 16;

/// What a listing was asked for.
#[derive(Debug)]
pub(crate) struct PageRequest {
    size: usize,
    after: Option<String>,
    digest: String,
}

impl PageRequest {
    /// Checks `maxResults` and `nextToken` of a call; `filters` is everything else that decides
    /// what the listing holds.
    pub(crate) fn new(
        filters: &impl std::fmt::Debug,
        max_results: Option<i32>,
        next_token: Option<&str>,
        default_size: usize,
        max_size: usize,
    ) -> Result<Self, ServiceError> {
        let digest = hex::encode(&Sha256::digest(format!("{filters:?}"))[..8]);
        let size = match max_results {
            None => default_size,
            Some(n) => {
                usize::try_from(n).ok().filter(|n| (1..=max_size).contains(n)).ok_or_else(|| {
                    invalid_parameter(format!("maxResults must be between 1 and {max_size}."))
                })?
            }
        };
        let after = match next_token.filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => Some(decode(token, &digest).ok_or_else(|| {
                invalid_parameter("Invalid token: it belongs to another call or is damaged.")
            })?),
        };
        Ok(Self { size, after, digest })
    }

    /// The default page of a List call.
    pub(crate) fn list(
        filters: &impl std::fmt::Debug,
        max_results: Option<i32>,
        next_token: Option<&str>,
    ) -> Result<Self, ServiceError> {
        Self::new(filters, max_results, next_token, limits::PAGE_MAX, limits::PAGE_MAX)
    }

    /// Cuts the page out of `items`, which ascend by `key`, and gives the next token.
    pub(crate) fn cut<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        self.cut_ordered(items, false, key)
    }

    /// The same for items that descend by `key` where `descending`.
    pub(crate) fn cut_ordered<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        descending: bool,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let seen = |item: &T| {
            self.after.as_deref().is_some_and(|after| match key(item).as_str().cmp(after) {
                Ordering::Equal => true,
                Ordering::Less => !descending,
                Ordering::Greater => descending,
            })
        };
        let mut rest = items.into_iter().skip_while(seen);
        let page: Vec<T> = rest.by_ref().take(self.size).collect();
        let more = rest.next().is_some();
        let token = page.last().filter(|_| more).map(|last| encode(&self.digest, &key(last)));
        (page, token)
    }
}

fn encode(digest: &str, after: &str) -> String {
    hex::encode(format!("{}{after}", checksum(digest, after)))
}

fn decode(token: &str, digest: &str) -> Option<String> {
    let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
    let (sum, after) = text.split_at_checked(CHECKSUM_LEN)?;
    (sum == checksum(digest, after)).then(|| after.to_owned())
}

/// Binds the place in a listing to the listing, so that neither can be changed by itself.
fn checksum(digest: &str, after: &str) -> String {
    hex::encode(&Sha256::digest(format!("{digest}{after}"))[..CHECKSUM_LEN / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_chain_without_gap_or_repetition() {
        let items: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let page = PageRequest::list(&"f", Some(10), token.as_deref()).expect("valid");
            let (part, next) = page.cut(items.clone(), Clone::clone);
            seen.extend(part);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, items);
    }

    #[test]
    fn a_token_of_another_call_is_refused() {
        let page = PageRequest::list(&"f", Some(1), None).expect("valid");
        let (_, token) = page.cut(["a", "b"], |s| (*s).to_owned());
        let token = token.expect("more follows");
        assert!(PageRequest::list(&"f", None, Some(&token)).is_ok());
        assert!(PageRequest::list(&"g", None, Some(&token)).is_err());
        assert!(PageRequest::list(&"f", None, Some("zz")).is_err());
        assert!(PageRequest::list(&"f", None, Some(&token[..token.len() - 2])).is_err());
        assert!(PageRequest::list(&"f", None, Some(&token[..10])).is_err());
        assert!(PageRequest::list(&"f", Some(0), None).is_err());
        assert!(PageRequest::list(&"f", Some(101), None).is_err());
    }
}
