//! Codes that count as well: `200`, `200,202`, `200-299`.

/// Ranges of codes, both ends in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matcher(Vec<(u16, u16)>);

impl Matcher {
    /// Reads a matcher; what cannot be read matches nothing, since the control plane refuses it.
    pub(crate) fn parse(text: &str) -> Self {
        let range = |part: &str| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
        };
        Self(text.split(',').filter_map(range).collect())
    }

    /// Whether a code counts as well.
    pub(crate) fn accepts(&self, code: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_lists_are_read() {
        let matcher = Matcher::parse("200,202, 300-302");
        let accepted: Vec<u16> = (199..400).filter(|code| matcher.accepts(*code)).collect();
        assert_eq!(accepted, [200, 202, 300, 301, 302]);
        assert!(!Matcher::parse("x,200-").accepts(200));
        assert!(Matcher::parse("0").accepts(0), "gRPC's OK");
        assert!(Matcher::parse("0-99").accepts(12));
    }
}
