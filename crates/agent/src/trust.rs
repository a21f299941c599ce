//! Whom a client of a control plane believes to be one, and what it says where it does not.
//!
//! The rule it keeps: where authorities are given, nobody else is trusted, and nothing is sent to a server
//! before it has proved itself. What is asked elsewhere (registries, logs) goes by the system's roots.

use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::AgentError;

/// Whom a client of a control plane believes to be one.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Whoever a root of the system vouches for.
    #[default]
    System,
    /// Whoever one of these vouches for, and nobody else.
    Only(Authorities),
}

/// Certificates of authorities; never none.
#[derive(Clone, Debug)]
pub struct Authorities(RootCertStore);

/// Why certificates cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It is no PEM.
    #[error("it is no PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// There is none.
    #[error("it has no certificate")]
    Empty,
    /// One of them is no authority's.
    #[error("a certificate of it cannot be used: {0}")]
    Unusable(rustls::Error),
}

impl Trust {
    /// Trust in the certificates of a PEM alone.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn only(pem: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(TrustError::Pem)?).map_err(TrustError::Unusable)?;
        }
        if roots.is_empty() { Err(TrustError::Empty) } else { Ok(Self::Only(Authorities(roots))) }
    }

    /// How TLS is spoken by it.
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, AgentError> {
        match self {
            Self::System => system(),
            Self::Only(Authorities(roots)) => {
                let roots = roots.clone();
                Ok(Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth()))
            }
        }
    }
}

/// How TLS is spoken with the roots that the system trusts; they are read once in the life of a process.
pub(crate) fn system() -> Result<Arc<ClientConfig>, AgentError> {
    static TLS: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(tls) = TLS.get() {
        return Ok(Arc::clone(tls));
    }
    let builder = builder()?;
    // A machine without certificates can still use plain HTTP.
    let config = match builder.clone().with_native_roots() {
        Ok(roots) => roots.with_no_client_auth(),
        Err(error) => {
            tracing::debug!(%error, "no trusted certificates; only http:// will work");
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    };
    Ok(Arc::clone(TLS.get_or_init(|| Arc::new(config))))
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, AgentError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| AgentError::Tls(io::Error::other(error)))
}

/// Why no TLS is spoken with a server, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Distrust {
    /// It is not whom this client trusts.
    Stranger(String),
    /// Something else is wrong, which may pass.
    Other(String),
}

impl Distrust {
    /// What is behind an error, if it is one of TLS.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        Some(match tls_error(error)? {
            rustls::Error::InvalidCertificate(wrong) => match wrong {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    Self::Stranger(format!(
                        "its certificate is not of an authority that is trusted here ({wrong:?})"
                    ))
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => {
                    Self::Stranger(format!("its certificate is for other names: {wrong}"))
                }
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Other(format!(
                    "its certificate is not valid at this time; is the clock of this machine right? \
                     ({wrong})"
                )),
                _ => Self::Stranger(format!("its certificate cannot be used: {wrong}")),
            },
            rustls::Error::InvalidMessage(_) => {
                let why = "it does not speak TLS; is it a plain http:// URL?";
                Self::Other(why.to_owned())
            }
            _ => return None,
        })
    }

    /// The text.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Stranger(text) | Self::Other(text) => text,
        }
    }
}

/// The error of TLS behind another.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>() {
            // Its source is that of the error within, not that error.
            Some(outer) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of an authority, P-256.
    const AUTHORITY: &str = include_str!("trust/authority.pem");

    #[test]
    fn authorities_are_of_a_pem() {
        assert!(matches!(Trust::only(AUTHORITY.as_bytes()), Ok(Trust::Only(_))));
        let two = format!("{AUTHORITY}\n{AUTHORITY}");
        assert!(Trust::only(two.as_bytes()).is_ok());
        for wrong in ["", "no PEM at all", &AUTHORITY[..AUTHORITY.len() / 2]] {
            assert!(Trust::only(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Trust::only(empty.as_bytes()), Err(TrustError::Unusable(_))));
    }

    #[test]
    fn what_is_wrong_with_tls_is_told() {
        let wrapped = |error: rustls::Error| io::Error::other(io::Error::other(error));
        let unknown = wrapped(CertificateError::UnknownIssuer.into());
        let told = Distrust::of(&unknown).expect("an error of TLS");
        assert!(matches!(&told, Distrust::Stranger(text) if text.contains("UnknownIssuer")));
        let late = wrapped(CertificateError::Expired.into());
        assert!(matches!(Distrust::of(&late), Some(Distrust::Other(_))));
        let plain = rustls::InvalidMessage::InvalidContentType;
        let plain = Distrust::of(&wrapped(plain.into())).expect("an error of TLS");
        assert!(plain.into_text().contains("http://"));
        assert_eq!(Distrust::of(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }
}
