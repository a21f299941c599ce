//! `ctl join-token`: a token by which one machine joins.

use std::time::Duration;

use longshore_agent::JoinToken;
use longshore_agent::api::Api;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Makes the token, and prints it alone on its line.
pub(super) async fn run(
    client: &Api,
    endpoint: &str,
    ttl: Duration,
    role: &str,
    output: Output,
) -> Result<(), Failure> {
    let role = utf8_percent_encode(role, NON_ALPHANUMERIC);
    let path = format!("join-token?role={role}&ttl={}", ttl.as_secs());
    let told = client.operator("POST", &path).await;
    let told = told.map_err(failed("cannot make a join token"))?;
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    // What a server says of itself leads to that one alone; who named several meant all of them.
    let advertised = told["endpoint"].as_str().filter(|_| !endpoint.contains(','));
    let token = JoinToken {
        endpoint: advertised.unwrap_or(endpoint).to_owned(),
        id: text("id"),
        secret: text("secret"),
        ca: told["certificateAuthority"].as_str().map(str::to_owned),
    };
    match output {
        Output::Json => output::json(&json!({
            "token": token.to_string(),
            "id": token.id,
            "endpoint": token.endpoint,
            "expiresAt": told["expiresAt"],
            "certificateAuthority": token.ca,
        })),
        Output::Table => {
            output::line(&token.to_string());
            output::note(&hint(&token, &told["expiresAt"]));
        }
    }
    Ok(())
}

fn hint(token: &JoinToken, expires_at: &Value) -> String {
    let mut hint = format!(
        "It is good for one machine, until {}, and is not shown again. There: \
         LONGSHORE_JOIN_TOKEN=TOKEN longshore agent",
        expires_at.as_str().unwrap_or_default()
    );
    let is_here = |url: &str| {
        let host = url.split("//").nth(1).unwrap_or_default();
        host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
    };
    if is_here(&token.endpoint) {
        hint.push_str(
            ". It leads to this machine only: for others, run the server with --advertise URL, or give \
             agents --endpoint URL",
        );
    }
    if token.endpoint.split(',').any(|url| url.starts_with("http://") && !is_here(url)) {
        hint.push_str(
            ". It leads over plain HTTP: whoever is on the way can read the token and the keys that it \
             yields; run the server without --tls off",
        );
    }
    hint
}
