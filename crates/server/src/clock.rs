//! The one place of the server that reads the clock and draws random ids.

use std::time::{SystemTime, UNIX_EPOCH};

use longshore_domain::ids::IdSource;
use longshore_domain::time::Timestamp;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "the server's clock")]
pub(crate) fn now() -> Timestamp {
    #[cfg(feature = "simulation")]
    if let Some(now) = crate::simulation::now() {
        return now;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Ids from the operating system's random source.
#[derive(Debug, Default)]
pub(crate) struct RandomIds;

impl IdSource for RandomIds {
    fn next_id(&mut self) -> u128 {
        #[cfg(feature = "simulation")]
        if let Some(bits) = crate::simulation::bits() {
            return bits;
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system has a random source");
        u128::from_be_bytes(bytes)
    }
}

/// 128 random bits in the form of a UUID, as AWS prints request ids.
pub(crate) fn uuid() -> String {
    format_uuid(RandomIds.next_id())
}

/// `id` in the form of a UUID.
pub(crate) fn format_uuid(id: u128) -> String {
    let text = format!("{id:032x}");
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}
