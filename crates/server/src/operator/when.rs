//! Times as operators write them.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;
use longshore_domain::time::Timestamp;

/// Reads `2026-11-23T03:12:00Z`, `2026-11-23T03:12` (UTC), `03:12` (UTC, the last time it was), or
/// `90s`, `10m`, `3h`, `2d` ago.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(time) = text.parse::<jiff::Timestamp>().ok().map(from_jiff) {
        return Ok(time);
    }
    if let Some(ago) = duration(text) {
        return Ok(now - ago);
    }
    let utc =
        |at: civil::DateTime| at.to_zoned(TimeZone::UTC).ok().map(|at| from_jiff(at.timestamp()));
    if let Some(time) = text.parse::<civil::DateTime>().ok().and_then(utc) {
        return Ok(time);
    }
    if let Some(time) = text.parse::<civil::Time>().ok().filter(|_| text.contains(':')) {
        let today = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
        let today = today.to_zoned(TimeZone::UTC).date();
        let at = utc(today.to_datetime(time)).filter(|at| *at <= now);
        let yesterday = || utc(today.yesterday().ok()?.to_datetime(time));
        if let Some(time) = at.or_else(yesterday) {
            return Ok(time);
        }
    }
    Err(format!(
        "'{text}' is no time; write 2026-11-23T03:12:00Z, 2026-11-23T03:12 or 03:12 (UTC), or 10m for \
         ten minutes ago"
    ))
}

fn from_jiff(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millisecond())
}

/// A number of seconds, minutes, hours or days.
fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    let number: u64 = text.get(..text.len() - 1)?.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        // 2026-11-23T08:00:00Z.
        let now = Timestamp::from_millis(1_795_420_800_000);
        for (text, read) in [
            ("2026-11-23T03:12:00Z", "2026-11-23T03:12:00Z"),
            ("2026-11-23T03:12:00+01:00", "2026-11-23T02:12:00Z"),
            ("2026-11-23T03:12", "2026-11-23T03:12:00Z"),
            ("2026-11-22", "2026-11-22T00:00:00Z"),
            ("03:12", "2026-11-23T03:12:00Z"),
            ("09:12:30", "2026-11-22T09:12:30Z"),
            ("90s", "2026-11-23T07:58:30Z"),
            ("2d", "2026-11-21T08:00:00Z"),
        ] {
            assert_eq!(parse(text, now).map(|at| at.to_string()).as_deref(), Ok(read), "{text}");
        }
        for wrong in ["", "noon", "25:00", "10", "m", "-5m", "99999999999999999999d", "é"] {
            let error = parse(wrong, now).expect_err(wrong);
            assert!(error.contains("is no time"), "{error}");
        }
    }
}
