//! Joining by a token, and keys that rotate.
//!
//! An agent that has no keys joins by a token, which is good once. What it gets stays in its data
//! directory, and is renewed while it runs: everything that signs takes the newest. Keys that have ended cannot be
//! renewed, and the machine has to join again; it proves with the old ones that it is the same
//! one, so that its instance and its tasks stay.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use longshore_auth::prove_former;
use longshore_domain::time::Timestamp;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::{Api, ApiError};
use crate::backoff::Backoff;
use crate::config::Credentials;
use crate::disk::Disk;
use crate::keys::Keys;
use crate::{AgentError, Config, Trust, clock};

/// File of the keys. Its name says that others may not read it.
const FILE: &str = "keys.secret";
/// What every token begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "lsj_";

/// A token by which a machine joins. `Debug` shows its id only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// URL of the control plane; of several servers, with commas between them.
    pub endpoint: String,
    /// Id.
    pub id: String,
    /// Secret.
    pub secret: String,
    /// Certificate of the authority by which the machine is to know the control plane, and by no other:
    /// PEM. None where the system's roots do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&text))
    }
}

impl std::str::FromStr for JoinToken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let bytes = BASE64URL_NOPAD.decode(text.trim().strip_prefix(PREFIX)?.as_bytes());
            let token: Self = serde_json::from_slice(&bytes.ok()?).ok()?;
            let is_whole = token.ca.as_ref().is_none_or(|ca| Trust::only(ca.as_bytes()).is_ok());
            is_whole.then_some(token)
        };
        // The text stays out of the message: it is a secret, or nearly one.
        read().ok_or_else(|| {
            "it is no join token: copy the whole line that `longshore ctl join-token` printed"
                .to_owned()
        })
    }
}

/// Keys as they are kept.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    endpoint: String,
    /// The token by which the machine joined.
    token_id: String,
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    /// When the agent got them, by its clock.
    got_at: Timestamp,
    /// The authority that the token named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
}

/// What a server gives.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

impl Kept {
    fn by(token: &JoinToken, given: Given) -> Self {
        Self::new(token.endpoint.clone(), token.id.clone(), token.ca.clone(), given)
    }

    /// The same machine with other keys.
    fn with(&self, given: Given) -> Self {
        Self::new(self.endpoint.clone(), self.token_id.clone(), self.ca.clone(), given)
    }

    /// Whether a token is of the control plane that gave these keys. No other is told of them.
    fn is_known_by(&self, token: &JoinToken) -> bool {
        self.ca == token.ca && (self.ca.is_some() || self.endpoint == token.endpoint)
    }

    /// What shows the control plane of a token that this is the machine which had these keys. Their secret
    /// stays here.
    fn shown_to(&self, token: &JoinToken) -> Value {
        let proof = prove_former(&self.secret_access_key, &token.id);
        json!({"sessionToken": self.session_token, "proof": proof})
    }

    fn new(endpoint: String, token_id: String, ca: Option<String>, given: Given) -> Self {
        Self {
            endpoint,
            token_id,
            ca,
            access_key_id: given.access_key_id,
            secret_access_key: given.secret_access_key,
            session_token: given.session_token,
            got_at: clock::now(),
        }
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: Some(self.session_token.clone()),
        }
    }
}

/// Keys of a machine that joined.
pub(crate) struct Membership {
    kept: Kept,
    disk: Arc<dyn Disk>,
    renew_after: Duration,
}

impl Membership {
    /// Reads the keys of this machine, or joins by the token of the configuration; `None` where it has
    /// neither, and goes by the keys of the configuration.
    ///
    /// # Errors
    /// The token is refused, or the keys cannot be read or kept.
    pub(crate) async fn find(
        config: &Config,
        disk: &Arc<dyn Disk>,
        connect: impl Fn(&str, Keys, &Arc<ClientConfig>) -> Result<Api, AgentError>,
    ) -> Result<Option<Self>, AgentError> {
        let unkept = |source| AgentError::DataDir { path: config.data_dir.clone(), source };
        let kept = disk.read(FILE).map_err(unkept)?;
        let kept: Option<Kept> = kept.and_then(|bytes| {
            let read = serde_json::from_slice(&bytes);
            read.inspect_err(|error| tracing::error!(%error, FILE, "cannot be read")).ok()
        });
        let (disk, renew_after) = (Arc::clone(disk), config.renew_after);
        let (token, former) = match (&config.join, kept) {
            // A token that stays in a unit file was used by this very machine.
            (Some(token), Some(kept)) if kept.token_id == token.id => {
                return Ok(Some(Self { kept, disk, renew_after }));
            }
            (None, Some(kept)) => return Ok(Some(Self { kept, disk, renew_after })),
            (None, None) => return Ok(None),
            (Some(token), former) => (token, former.filter(|kept| kept.is_known_by(token))),
        };
        let endpoint = config.chosen_endpoint(&token.endpoint);
        config.check(endpoint, token.ca.as_deref())?;
        // Nobody signs: the token stands in place of it.
        let api = connect(
            endpoint,
            Keys::new(Credentials {
                access_key_id: String::new(),
                secret_access_key: String::new(),
                session_token: None,
            }),
            &config.chosen_trust(token.ca.as_deref())?.tls()?,
        )?;
        let given = join(&api, token, former.as_ref()).await?;
        let kept = Kept::by(token, given);
        let joined = Self { kept, disk, renew_after };
        joined.keep().await.map_err(unkept)?;
        tracing::info!("joined the control plane");
        Ok(Some(joined))
    }

    /// The control plane that it joined.
    pub(crate) fn endpoint(&self) -> &str {
        &self.kept.endpoint
    }

    /// The authority by which it is known, if the token named one.
    pub(crate) fn authority(&self) -> Option<&str> {
        self.kept.ca.as_deref()
    }

    /// What to sign with.
    pub(crate) fn credentials(&self) -> Credentials {
        self.kept.credentials()
    }

    async fn keep(&self) -> std::io::Result<()> {
        let text = serde_json::to_vec(&self.kept).map_err(std::io::Error::other)?;
        self.disk.write_secret(FILE, &text)?;
        self.disk.sync(vec![FILE.to_owned()]).await
    }

    /// Renews the keys whenever they are old enough.
    ///
    /// # Errors
    /// They have ended.
    pub(crate) async fn renew(mut self, api: Api, keys: Keys) -> AgentError {
        let mut backoff = Backoff::renew();
        loop {
            let age = clock::now().saturating_since(self.kept.got_at);
            tokio::time::sleep(self.renew_after.saturating_sub(age)).await;
            let error = match api.operator("POST", "renew").await.map(serde_json::from_value) {
                Ok(Ok(given)) => {
                    self.kept = self.kept.with(given);
                    // Kept first: what is used and not kept is lost with the process.
                    if let Err(error) = self.keep().await {
                        tracing::error!(%error, "new keys are not kept, and are good until the agent ends");
                    }
                    keys.replace(self.kept.credentials());
                    tracing::info!(key = self.kept.access_key_id, "the keys were renewed");
                    backoff.reset();
                    continue;
                }
                Ok(Err(error)) => ApiError::Answer(error.to_string()),
                Err(error) if is_end(&error) => return AgentError::KeysEnded(error),
                Err(error) => error,
            };
            let wait = backoff.wait();
            tracing::warn!(%error, ?wait, "the keys are not renewed yet");
            tokio::time::sleep(wait).await;
        }
    }
}

/// Whether these keys will never do again.
pub(crate) fn is_end(error: &ApiError) -> bool {
    ["ExpiredTokenException", "UnrecognizedClientException"].iter().any(|code| error.is(code))
}

async fn join(api: &Api, token: &JoinToken, former: Option<&Kept>) -> Result<Given, AgentError> {
    let former = former.map(|kept| kept.shown_to(token));
    let body = json!({"id": token.id, "secret": token.secret, "former": former}).to_string();
    let mut backoff = Backoff::register();
    loop {
        match api.operator_with("POST", "join", body.clone().into_bytes()).await {
            Ok(answer) => {
                let given = serde_json::from_slice(&answer);
                let wrong = |error: serde_json::Error| ApiError::Answer(error.to_string());
                return given.map_err(wrong).map_err(AgentError::Join);
            }
            // A token that leads elsewhere leads there the next time.
            Err(error @ ApiError::Untrusted { .. }) => return Err(AgentError::Stranger(error)),
            Err(error) if error.is_temporary() => {
                let wait = backoff.wait();
                tracing::warn!(%error, ?wait, "cannot join yet");
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(AgentError::Join(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_and_is_not_shown() {
        let token = JoinToken {
            endpoint: "http://10.0.0.1:4566".into(),
            id: "1".into(),
            secret: "hush".into(),
            ca: None,
        };
        let line = token.to_string();
        assert!(line.starts_with(PREFIX) && !line.contains(char::is_whitespace), "{line}");
        assert_eq!(format!("{line}\n").parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains("hush"));
        for wrong in ["", PREFIX, &line[4..], &line[..line.len() - 3], "lsj_e30"] {
            let error = wrong.parse::<JoinToken>().expect_err(wrong);
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_token_carries_the_authority_if_there_is_one() {
        let ca = include_str!("trust/authority.pem").to_owned();
        let token = JoinToken {
            endpoint: "https://10.0.0.1:4566".into(),
            id: "1".into(),
            secret: "hush".into(),
            ca: Some(ca),
        };
        let line = token.to_string();
        assert!(!line.contains(char::is_whitespace), "{line}");
        assert_eq!(line.parse(), Ok(token.clone()));
        // A certificate that was cut off is found at once, and not taken for none.
        let wrong = JoinToken { ca: Some("-----BEGIN".into()), ..token };
        assert!(wrong.to_string().parse::<JoinToken>().is_err());
    }

    #[test]
    fn keys_of_before_name_no_authority() {
        let older = r#"{"endpoint":"http://a","token_id":"1","access_key_id":"A","secret_access_key":"B",
            "session_token":"C","got_at":5}"#;
        let kept: Kept = serde_json::from_str(older).expect("it is readable");
        assert_eq!(kept.ca, None);
        assert!(!serde_json::to_string(&kept).expect("JSON").contains("\"ca\""));
        let given = |n: &str| Given {
            access_key_id: n.to_owned(),
            secret_access_key: n.to_owned(),
            session_token: n.to_owned(),
        };
        let kept = Kept { ca: Some("PEM".into()), ..kept }.with(given("2"));
        assert_eq!((kept.ca.as_deref(), &*kept.access_key_id), (Some("PEM"), "2"), "it stays");
    }

    #[test]
    fn another_control_plane_is_not_told_of_former_keys_and_none_of_their_secret() {
        let token = |endpoint: &str, ca: Option<&str>| JoinToken {
            endpoint: endpoint.to_owned(),
            id: "2".into(),
            secret: "hush".into(),
            ca: ca.map(str::to_owned),
        };
        let given = || Given {
            access_key_id: "ASIA".into(),
            secret_access_key: "whisper".into(),
            session_token: "TOKEN".into(),
        };
        let (here, there) = ("https://10.0.0.1:4566", "https://10.9.9.9:4566");
        for (kept, other, known) in [
            (token(here, None), token(here, None), true),
            (token(here, None), token(there, None), false),
            (token(here, Some("A")), token(there, Some("A")), true),
            (token(here, Some("A")), token(here, Some("B")), false),
            (token(here, Some("A")), token(here, None), false),
            (token(here, None), token(here, Some("A")), false),
        ] {
            let former = Kept::by(&kept, given());
            assert_eq!(former.is_known_by(&other), known, "{kept:?} {other:?}");
        }
        let shown = Kept::by(&token(here, None), given()).shown_to(&token(here, None)).to_string();
        assert!(shown.contains("TOKEN") && !shown.contains("whisper"), "{shown}");
    }

    #[test]
    fn keys_that_ended_are_told_from_what_passes() {
        let service = |code: &str| ApiError::Service {
            code: code.to_owned(),
            message: String::new(),
            status: 403,
        };
        assert!(is_end(&service("ExpiredTokenException")));
        assert!(is_end(&service("UnrecognizedClientException")));
        assert!(!is_end(&service("AccessDenied")));
        assert!(!is_end(&ApiError::Transport("gone".into())));
    }
}
