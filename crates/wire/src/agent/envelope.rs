//! The envelope `{"type":…,"message":…}` and the unframed errors of a refused session.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not a JSON object with a `type`.
    #[error("the frame is not an envelope with type and message")]
    Frame(#[source] serde_json::Error),
    /// The message does not have the shape of its type.
    #[error("the message does not fit its type {type_name}")]
    Message {
        /// Type that the envelope names.
        type_name: String,
        /// What is wrong with the message.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
pub(super) struct Received<'a> {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
}

#[derive(Serialize)]
pub(super) struct Sent<'a, T> {
    #[serde(rename = "type")]
    pub(super) type_name: &'a str,
    pub(super) message: &'a T,
}

/// Defines one direction of a session as an enum of its messages.
macro_rules! envelope {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident($message:ty) = $type_name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$vdoc])* $variant($message),)+
            /// A type that this version does not know, by its name.
            Unknown(String),
        }

        impl $name {
            /// Name of the message's type on the wire.
            pub fn type_name(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $type_name,)+
                    Self::Unknown(name) => name,
                }
            }

            /// Name of the type of a text frame, without a look into its message.
            ///
            /// # Errors
            /// When it is not an envelope.
            pub fn type_of(frame: &str) -> Result<String, crate::agent::EnvelopeError> {
                use crate::agent::envelope::Received;
                let received: Received<'_> =
                    serde_json::from_str(frame).map_err(crate::agent::EnvelopeError::Frame)?;
                Ok(received.type_name)
            }

            /// Reads a text frame.
            ///
            /// # Errors
            /// When it is not an envelope, or the message does not have its type's shape.
            pub fn decode(frame: &str) -> Result<Self, crate::agent::EnvelopeError> {
                use crate::agent::envelope::Received;
                let received: Received<'_> =
                    serde_json::from_str(frame).map_err(crate::agent::EnvelopeError::Frame)?;
                let body = received.message.map_or("{}", |raw| raw.get());
                let fail = |source| crate::agent::EnvelopeError::Message {
                    type_name: received.type_name.clone(),
                    source,
                };
                Ok(match received.type_name.as_str() {
                    $($type_name => Self::$variant(serde_json::from_str(body).map_err(fail)?),)+
                    _ => Self::Unknown(received.type_name),
                })
            }

            /// Writes a text frame. An unknown message is written with an empty body.
            pub fn encode(&self) -> String {
                use crate::agent::envelope::{Sent, write};
                match self {
                    $(Self::$variant(message) => write(&Sent { type_name: $type_name, message }),)+
                    Self::Unknown(name) => write(&Sent {
                        type_name: name,
                        message: &serde_json::Map::new(),
                    }),
                }
            }
        }
    };
}

pub(super) use envelope;

pub(super) fn write<T: Serialize>(sent: &Sent<'_, T>) -> String {
    serde_json::to_string(sent).expect("messages have string keys and finite shapes")
}

/// A refusal as the body of a failed upgrade or an unframed text: `{"InactiveInstanceException":"text"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the exception, e.g. `InactiveInstanceException`.
    pub code: String,
    /// Text for the agent's log.
    pub message: String,
}

impl Rejection {
    /// The exception that makes an agent wait an hour before it tries again.
    pub const INACTIVE_INSTANCE: &'static str = "InactiveInstanceException";

    /// Reads either form: the single-key object, or an envelope whose message has a `message`.
    pub fn decode(body: &str) -> Option<Self> {
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body).ok()?;
        if let Some(code) = value.get("type").and_then(|v| v.as_str()) {
            let message = value.get("message").and_then(|m| m.get("message").unwrap_or(m).as_str());
            let (code, message) = (code.to_owned(), message.unwrap_or_default().to_owned());
            return Some(Self { code, message });
        }
        let (code, message) = value.into_iter().next()?;
        let message = message.as_str()?.to_owned();
        Some(Self { code, message })
    }

    /// Writes the single-key object.
    pub fn encode(&self) -> String {
        let mut body = serde_json::Map::new();
        body.insert(self.code.clone(), self.message.clone().into());
        serde_json::Value::Object(body).to_string()
    }
}
