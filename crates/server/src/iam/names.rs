//! What names, paths and ARNs may look like, and AWS's errors where they do not.

use longshore_domain::ids::IamArn;
use longshore_wire::ServiceError;
use longshore_wire::iam::ErrorCode;

/// `ValidationError`.
pub(super) fn invalid(message: impl Into<String>) -> ServiceError {
    ErrorCode::ValidationError.error(message)
}

/// Checks a name of an entity or of a policy; `member` is the request's word for it.
///
/// # Errors
/// `ValidationError`.
pub(super) fn name(text: &str, member: &str) -> Result<(), ServiceError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(());
    }
    Err(invalid(format!(
        "The specified value for {member} is invalid. It must contain only alphanumeric \
         characters and/or the following: +=,.@_-"
    )))
}

/// The path that is given, `/` where none is.
///
/// # Errors
/// `ValidationError`.
pub(super) fn path(given: Option<String>) -> Result<String, ServiceError> {
    let path = given.unwrap_or_else(|| "/".to_owned());
    let plain = path.chars().all(|c| ('\u{21}'..='\u{7e}').contains(&c));
    if path.starts_with('/') && path.ends_with('/') && plain && !path.contains("//") {
        return Ok(path);
    }
    Err(invalid(
        "The specified value for path is invalid. It must begin and end with / and contain only \
         alphanumeric characters and/or / characters.",
    ))
}

/// The beginning of paths that is given, `/` where none is.
///
/// # Errors
/// `ValidationError`.
pub(super) fn path_prefix(given: Option<String>) -> Result<String, ServiceError> {
    let prefix = given.unwrap_or_else(|| "/".to_owned());
    if prefix.starts_with('/') {
        return Ok(prefix);
    }
    Err(invalid(
        "The specified value for pathPrefix is invalid. It must begin with / and contain only \
         alphanumeric characters and/or / characters.",
    ))
}

/// Reads an ARN of IAM.
///
/// # Errors
/// `ValidationError`.
pub(super) fn arn(text: &str) -> Result<IamArn, ServiceError> {
    text.parse().map_err(|_| invalid(format!("ARN {text} is not valid.")))
}

/// Checks a description.
///
/// # Errors
/// `ValidationError`.
pub(super) fn description(given: Option<&String>) -> Result<(), ServiceError> {
    let fits = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    if given.is_none_or(|text| text.chars().all(fits)) {
        return Ok(());
    }
    Err(invalid(
        "1 validation error detected: Value at 'description' failed to satisfy constraint: Member \
         must satisfy regular expression pattern: \
         [\\u0009\\u000A\\u000D\\u0020-\\u007E\\u00A1-\\u00FF]*",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_those_of_iam() {
        for (text, fits) in
            [("ann", true), ("a+=,.@_-1", true), ("", false), ("a b", false), ("a/b", false)]
        {
            assert_eq!(name(text, "userName").is_ok(), fits, "{text}");
        }
        for (text, fits) in
            [("/", true), ("/a/b/", true), ("a/", false), ("/a", false), ("//", false), ("", false)]
        {
            assert_eq!(path(Some(text.to_owned())).is_ok(), fits, "{text}");
        }
        assert_eq!(path(None).as_deref(), Ok("/"));
        assert!(path(Some("/ä/".to_owned())).is_err());
        assert!(path_prefix(Some("a".to_owned())).is_err());
    }
}
