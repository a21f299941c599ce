//! The API client of the tools, the same that the agent uses.

use longshore_agent::api::{Api, ApiError};
use longshore_auth::Credentials;

use crate::ca_file::Trusted;
use crate::failure::Failure;

/// Any key will do for a development server.
const DEV_KEY: &str = "longshore";

/// What to do where a server is not trusted.
const UNTRUSTED: &str = "if it is the right server, name the certificate of its authority with --ca-file \
                         FILE or AWS_CA_BUNDLE: that is ca.pem in the data directory of the server, which \
                         `longshore server init` has made (`ctl ca` is of another authority); a name that is \
                         not in its certificate is given to the server with --tls-name NAME";

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
pub(crate) fn connect(endpoint: &str, region: &str, trusted: &Trusted) -> Result<Api, Failure> {
    Api::connect(endpoint, region, credentials(), &trusted.trust)
        .map_err(|error| Failure::caused(format!("cannot use the endpoint {endpoint}"), &error))
}

/// What a failed call means to an operator.
pub(crate) fn failed(what: &str) -> impl Fn(ApiError) -> Failure + '_ {
    move |error| {
        let failure = Failure::caused(what, &error);
        match error {
            ApiError::Transport(_) => {
                failure.fix("start `longshore dev`, or point --endpoint at a running server")
            }
            ApiError::Untrusted { .. } => failure.fix(UNTRUSTED),
            ApiError::Service { .. } | ApiError::Answer(_) => failure,
        }
    }
}
