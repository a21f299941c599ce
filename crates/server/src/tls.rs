//! TLS as this server speaks it where it is the client: to webhooks and to other servers.

use hyper_rustls::ConfigBuilderExt;
use std::sync::Arc;

/// With the roots that the system trusts.
pub(crate) fn client() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual protocol versions");
    // A machine without certificates can still use plain HTTP.
    match builder.clone().with_native_roots() {
        Ok(roots) => roots.with_no_client_auth(),
        Err(error) => {
            tracing::debug!(%error, "no trusted certificates; only http:// will work");
            builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    }
}
