//! The servers of a control plane, as one client sees them: it talks to one, and goes to the next
//! when that one fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;

use crate::{AgentError, limits};

/// Base URLs of a control plane's servers, any of which does.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// Never empty.
    all: Vec<Uri>,
    /// Index of the one in use, before the remainder is taken.
    current: AtomicUsize,
}

impl Endpoints {
    /// Takes one or more `http` or `https` URLs, with commas between them.
    ///
    /// # Errors
    /// When one of them is no such URL.
    pub(crate) fn parse(text: &str) -> Result<Self, AgentError> {
        let url = |url: &str| {
            let uri: Option<Uri> = url.trim().trim_end_matches('/').parse().ok();
            uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
                .ok_or_else(|| AgentError::Endpoint(text.to_owned()))
        };
        let all = text.split(',').map(url).collect::<Result<_, _>>()?;
        Ok(Self { all, current: AtomicUsize::new(0) })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The one in use, and its number for [`Endpoints::leave`].
    pub(crate) fn current(&self) -> (usize, &Uri) {
        let number = self.current.load(Ordering::Relaxed);
        // The remainder is within the list, which is not empty.
        (number, &self.all[number % self.all.len()])
    }

    /// Uses the next one, unless somebody else has left this one already.
    pub(crate) fn leave(&self, number: usize) {
        // Whoever was faster did the same.
        let _ = self.current.compare_exchange(
            number,
            number.wrapping_add(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// `usual`, or less where another server may be quicker.
    pub(crate) fn patience(&self, usual: Duration) -> Duration {
        if self.len() > 1 { usual.min(limits::OF_SEVERAL) } else { usual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_left_for_the_next() {
        let endpoints = Endpoints::parse("http://a:1/, https://b").expect("two URLs");
        let (first, uri) = endpoints.current();
        assert_eq!(uri.host(), Some("a"));
        endpoints.leave(first);
        endpoints.leave(first);
        let (second, uri) = endpoints.current();
        assert_eq!(uri.host(), Some("b"), "left once, whoever else noticed");
        endpoints.leave(second);
        assert_eq!(endpoints.current().1.host(), Some("a"));
        assert_eq!(endpoints.patience(Duration::from_secs(180)), limits::OF_SEVERAL);
        let one = Endpoints::parse("http://a").expect("a URL");
        assert_eq!(one.patience(Duration::from_secs(180)), Duration::from_secs(180));
        for wrong in ["", "a", "http://a,", "http://a,ftp://b"] {
            assert!(Endpoints::parse(wrong).is_err(), "{wrong}");
        }
    }
}
