//! Names of Certificate Manager: ids and ARNs of certificates.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ArnError, IdSource, Scope, arn, text};

/// Id of a certificate: a UUID, the last part of its ARN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId(u128);

/// Digits before each dash of a UUID, and after the last.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

impl CertificateId {
    /// An id from 128 bits.
    #[must_use]
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// A fresh id.
    #[must_use]
    pub fn fresh(ids: &mut dyn IdSource) -> Self {
        Self(ids.next_id())
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shift = 128;
        for (index, digits) in GROUPS.into_iter().enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            shift -= 4 * digits;
            let group = (self.0 >> shift) & ((1 << (4 * digits)) - 1);
            write!(f, "{group:0digits$x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CertificateId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bits = 0;
        let mut parts = text.split('-');
        for digits in GROUPS {
            let part = parts.next().filter(|part| part.len() == digits).ok_or(())?;
            let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if !part.bytes().all(lower) {
                return Err(());
            }
            bits = bits << (4 * digits) | u128::from_str_radix(part, 16).map_err(|_| ())?;
        }
        parts.next().is_none().then_some(Self(bits)).ok_or(())
    }
}

impl Serialize for CertificateId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CertificateId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::read(deserializer, "a UUID")
    }
}

/// ARN of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateArn {
    /// Account and region.
    pub scope: Scope,
    /// Its id.
    pub id: CertificateId,
}

impl fmt::Display for CertificateArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { account, region } = &self.scope;
        write!(f, "arn:aws:acm:{region}:{account}:certificate/{}", self.id)
    }
}

impl FromStr for CertificateArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let (scope, resource) = arn::split(text, "acm")?;
        let id = resource.strip_prefix("certificate/").and_then(|id| id.parse().ok());
        Ok(Self { scope, id: id.ok_or(ArnError::Resource)? })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn arns_are_printed_and_read() {
        let text = "arn:aws:acm:us-east-1:000000000000:certificate/\
                    01234567-89ab-cdef-0000-000000000001";
        assert_eq!(text.parse::<CertificateArn>().map(|arn| arn.to_string()), Ok(text.into()));
        assert_eq!(CertificateId::new(1).to_string(), "00000000-0000-0000-0000-000000000001");
    }

    #[test]
    fn what_is_no_arn_is_refused() {
        for (text, error) in [
            ("web", ArnError::Form),
            ("arn:aws:ecs:us-east-1:000000000000:cluster/c", ArnError::Service),
            ("arn:aws:acm:us-east-1:1:certificate/a", ArnError::Scope),
            ("arn:aws:acm:us-east-1:000000000000:certificate/1", ArnError::Resource),
            (
                "arn:aws:acm:us-east-1:000000000000:certificate/01234567-89AB-cdef-0000-000000000001",
                ArnError::Resource,
            ),
            (
                "arn:aws:acm:us-east-1:000000000000:certificate/01234567-89ab-cdef-0000-000000000001-1",
                ArnError::Resource,
            ),
        ] {
            assert_eq!(text.parse::<CertificateArn>(), Err(error), "{text}");
        }
    }
}
