//! The one place where the agent reads the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use longshore_domain::time::Timestamp;

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "the agent's one clock")]
pub(crate) fn now() -> Timestamp {
    #[cfg(feature = "simulation")]
    if let Some(now) = crate::simulation::now() {
        return now;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// RFC 3339 with nanoseconds' places left out, as the metadata endpoint writes times.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.to_string()
}
