//! TLS of the control plane: the authority that clients are to trust, the certificates that this server
//! has of it, and how it speaks TLS where it is the client.
//!
//! The rules it keeps. The authority vouches for servers of this control plane alone: whoever may request
//! certificates (`acm`) gets none of it. Its key is in the store only sealed, and a server's certificate
//! and key are nowhere but in its memory. Other servers are trusted by the authority or by the system's
//! roots; everybody else (webhooks, providers of OpenID Connect) by the system's roots alone.

mod authority;
mod leaf;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use longshore_store::State;
use longshore_store::tables::ControlAuthorityKey;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

pub(crate) use authority::{ensured, renewed_if_lost, self_signed, valid};
pub(crate) use leaf::Local;

use crate::front::TlsFiles;
use crate::identity::{InitError, Vault, VaultError};

/// How a server speaks TLS.
#[derive(Clone, Debug)]
pub enum Tls {
    /// Not at all.
    Off,
    /// With a certificate of files.
    Files(TlsFiles),
    /// With certificates of the control plane's own authority, which it makes and renews itself. They are
    /// for where it listens, how it is advertised, this machine's own addresses, and these names.
    Local {
        /// DNS names or addresses.
        names: Vec<String>,
    },
}

/// What a server needs of the control plane's authority.
pub(crate) struct Found {
    /// The certificate of the authority, PEM, if there is one.
    pub(crate) authority: Option<String>,
    /// The server's own certificates, if it speaks TLS by them.
    pub(crate) local: Option<Arc<Local>>,
}

/// Finds the authority, or makes it where this server needs it and an older longshore has made none.
///
/// # Errors
/// The store fails, or there is no key to open the authority's with.
pub(crate) async fn find(
    tls: &Tls,
    (listen, advertise): (IpAddr, Option<&str>),
    state: &State,
    vault: Option<&Vault>,
) -> Result<Found, InitError> {
    let Tls::Local { names } = tls else {
        let view = state.view();
        let authority = view.control_authorities.get(&ControlAuthorityKey);
        return Ok(Found {
            authority: authority.map(|row| row.certificate_pem.clone()),
            local: None,
        });
    };
    let vault = vault.ok_or(VaultError::NoKey)?;
    let now = crate::clock::now();
    let record = state.decide(|view, txn| ensured(view, txn, vault, now)).await??;
    let key = vault.open_authority(&record.key)?;
    let names = leaf::names(listen, advertise, names);
    let local = Local::new(&record.certificate_pem, &key, names, now)?;
    Ok(Found { authority: Some(record.certificate_pem), local: Some(Arc::new(local)) })
}

/// TLS of a client that trusts the system's roots, and an authority besides.
pub(crate) fn client(authority: Option<&str>) -> rustls::ClientConfig {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (known, _) = roots.add_parsable_certificates(found.certs);
    if known == 0 {
        // A machine without certificates can still use plain HTTP.
        tracing::debug!(errors = ?found.errors, "the system trusts no certificates");
    }
    if let Some(pem) = authority {
        roots.add_parsable_certificates(
            CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok),
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
