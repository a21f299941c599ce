//! The two date forms of SigV4: `20150830T123600Z` and its first eight characters.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

const FORM: &str = "%Y%m%dT%H%M%SZ";

/// `now_s` as `YYYYMMDDTHHMMSSZ`; times outside 1970 to 9999 become the nearest one inside.
pub(crate) fn format(now_s: i64) -> String {
    let time = Timestamp::from_second(now_s.max(0)).unwrap_or(Timestamp::MAX);
    time.strftime(FORM).to_string()
}

/// Parses `YYYYMMDDTHHMMSSZ`, strictly.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let digits = |range: &str| range.bytes().all(|b| b.is_ascii_digit());
    if text.len() != 16 || !text.is_ascii() || !digits(&text[..8]) || !digits(&text[9..15]) {
        return None;
    }
    let time = jiff::civil::DateTime::strptime(FORM, text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// Parses a `Date` header: the form of HTTP, or that of `X-Amz-Date`.
pub(crate) fn parse_header(text: &str) -> Option<i64> {
    parse(text).or_else(|| Some(rfc2822::parse(text).ok()?.timestamp().as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_round_trip() {
        assert_eq!(format(1_440_938_160), "20150830T123600Z");
        assert_eq!(parse("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(parse_header("Sun, 30 Aug 2015 12:36:00 GMT"), Some(1_440_938_160));
        for bad in
            ["", "20150830T123600", "20151330T123600Z", "2015083éT12360Z", "+2150830T123600Z"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(format(i64::MAX), "99991230T220000Z");
    }
}
