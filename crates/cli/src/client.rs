//! The API client of the tools, the same that the agent uses.

use longshore_agent::api::{Api, ApiError};
use longshore_auth::Credentials;

use crate::failure::Failure;

/// Any key will do for a development server.
const DEV_KEY: &str = "longshore";

/// Credentials from the environment, else those of development.
pub(crate) fn credentials() -> Credentials {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Credentials {
        access_key_id: variable("AWS_ACCESS_KEY_ID").unwrap_or_else(|| DEV_KEY.to_owned()),
        secret_access_key: variable("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| DEV_KEY.to_owned()),
        session_token: variable("AWS_SESSION_TOKEN"),
    }
}

/// A client of the control plane at `endpoint`.
pub(crate) fn connect(endpoint: &str, region: &str) -> Result<Api, Failure> {
    Api::connect(endpoint, region, credentials())
        .map_err(|error| Failure::caused(format!("cannot use the endpoint {endpoint}"), &error))
}

/// What a failed call means to an operator.
pub(crate) fn failed(what: &str) -> impl Fn(ApiError) -> Failure + '_ {
    move |error| {
        let no_answer = matches!(error, ApiError::Transport(_));
        let failure = Failure::caused(what, &error);
        if no_answer {
            failure.fix("start `longshore dev`, or point --endpoint at a running server")
        } else {
            failure
        }
    }
}
