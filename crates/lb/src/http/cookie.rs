//! Cookies by which clients stay: ALB's names, values that tell nothing. Pure.

use longshore_domain::time::Timestamp;

/// Stays with a target.
pub(crate) const TARGET: &str = "AWSALB";
/// Stays with a target that an application's cookie is for.
pub(crate) const APPLICATION: &str = "AWSALBAPP-0";
/// Stays with a target group.
pub(crate) const GROUP: &str = "AWSALBTG";

/// The value of a cookie in a `Cookie` header.
pub(crate) fn value<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// The name of the cookie that a `Set-Cookie` header sets.
pub(crate) fn set_name(header: &str) -> Option<&str> {
    header.split_once('=').map(|(name, _)| name.trim())
}

/// The `Set-Cookie` headers of a cookie: one for the site itself, one for requests from others.
pub(crate) fn set(name: &str, value: &str, duration_s: u32, now: Timestamp) -> [String; 2] {
    let until = date(now + std::time::Duration::from_secs(duration_s.into()));
    [
        format!("{name}={value}; Expires={until}; Path=/"),
        format!("{name}CORS={value}; Expires={until}; Path=/; SameSite=None; Secure"),
    ]
}

/// A time as HTTP writes it.
pub(crate) fn date(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let header = "XAWSALB=0; AWSALB=1;AWSALBTG=2; a";
        assert_eq!(value(header, TARGET), Some("1"));
        assert_eq!(value(header, GROUP), Some("2"));
        assert_eq!(value(header, "a"), None);
        assert_eq!(set_name("session=1; Path=/"), Some("session"));
    }

    #[test]
    fn a_cookie_is_set_twice() {
        let [own, others] = set(TARGET, "t", 60, Timestamp::from_millis(784_111_777_000));
        assert_eq!(own, "AWSALB=t; Expires=Sun, 06 Nov 1994 08:50:37 GMT; Path=/");
        assert!(
            others.starts_with("AWSALBCORS=t; ") && others.ends_with("; SameSite=None; Secure")
        );
    }
}
