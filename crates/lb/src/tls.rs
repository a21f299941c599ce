//! TLS: certificates by name for clients, and none checked of targets, as in ALB.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use longshore_domain::route::{Certificate, Listener, Protocol};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

/// Certificates of a listener by name, the default one apart.
#[derive(Debug)]
struct ByName {
    names: BTreeMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = hello.server_name().and_then(|name| by_name(&self.names, name));
        Some(Arc::clone(chosen.unwrap_or(&self.default)))
    }
}

/// What stands under a name: exactly, or under `*.` and what follows its first label.
pub(crate) fn by_name<'a, T>(names: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
    let name = name.to_ascii_lowercase();
    names.get(&name).or_else(|| {
        let (_, parent) = name.split_once('.')?;
        names.get(&format!("*.{parent}"))
    })
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// How a listener speaks TLS.
///
/// # Errors
/// Why it cannot, for the operator.
pub(crate) fn server(
    listener: &Listener,
    http2: bool,
    certificates: &BTreeMap<String, Certificate>,
) -> Result<Arc<ServerConfig>, String> {
    let mut names = BTreeMap::new();
    let mut default = None;
    for arn in &listener.certificates {
        let record = certificates.get(arn);
        let record = record.ok_or_else(|| format!("certificate {arn} is not known"))?;
        let key = Arc::new(certified(record)?);
        for name in &record.names {
            names.entry(name.to_ascii_lowercase()).or_insert_with(|| Arc::clone(&key));
        }
        default.get_or_insert(key);
    }
    let default = default.ok_or("it has no certificate")?;
    let policy = listener.ssl_policy.as_deref().unwrap_or_default();
    let versions: &[&rustls::SupportedProtocolVersion] = if policy.contains("TLS13-1-3") {
        &[&rustls::version::TLS13]
    } else {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    };
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(versions).map_err(|e| e.to_string())?;
    let resolver = Arc::new(ByName { names, default });
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = alpn(listener, http2);
    if let Some(tickets) = tickets() {
        config.ticketer = tickets;
    }
    // A ticket per connection is enough, and halves what a handshake costs beyond the signature.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// Tickets of this process: they outlive a reload of certificates.
fn tickets() -> Option<Arc<dyn rustls::server::ProducesTickets>> {
    static TICKETS: OnceLock<Option<Arc<dyn rustls::server::ProducesTickets>>> = OnceLock::new();
    TICKETS.get_or_init(|| rustls::crypto::ring::Ticketer::new().ok()).clone()
}

/// The names of protocols that a listener offers.
fn alpn(listener: &Listener, http2: bool) -> Vec<Vec<u8>> {
    let names: &[&[u8]] = match (listener.protocol, listener.alpn_policy.as_deref()) {
        (Protocol::Https, _) if http2 => &[b"h2", b"http/1.1"],
        (Protocol::Https, _) | (_, Some("HTTP1Only")) => &[b"http/1.1"],
        (_, Some("HTTP2Only")) => &[b"h2"],
        (_, Some("HTTP2Optional")) => &[b"http/1.1", b"h2"],
        (_, Some("HTTP2Preferred")) => &[b"h2", b"http/1.1"],
        _ => &[],
    };
    names.iter().map(|name| name.to_vec()).collect()
}

fn certified(record: &Certificate) -> Result<CertifiedKey, String> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| {
        format!("certificate {}: {what}: {error}", record.arn)
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(record.chain_pem.as_bytes()).collect();
    let chain = chain.map_err(|e| wrong("chain", &e))?;
    let key = PrivateKeyDer::from_pem_slice(record.key_pem.as_bytes());
    let key = key.map_err(|e| wrong("key", &e))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|e| wrong("key", &e))
}

/// How targets are spoken to; `http2` is what is offered.
pub(crate) fn client(http2: bool) -> Arc<ClientConfig> {
    static CONFIGS: OnceLock<[Arc<ClientConfig>; 2]> = OnceLock::new();
    let configs = CONFIGS.get_or_init(|| {
        let make = |alpn: &[u8]| {
            let mut config = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(rustls::DEFAULT_VERSIONS)
                .unwrap_or_else(|_| unreachable!("ring has suites for both versions"))
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
                .with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            Arc::new(config)
        };
        [make(b"http/1.1"), make(b"h2")]
    });
    Arc::clone(&configs[usize::from(http2)])
}

/// How a server is spoken to that is known by the certificates of a PEM, and by no other.
///
/// # Errors
/// Why they cannot be used.
pub(crate) fn client_of(pem: &[u8]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate of an authority".to_owned());
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Takes any certificate: ALB encrypts to its targets, and does not ask who they are.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_are_trusted() {
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for wrong in ["", "no PEM", empty] {
            assert!(client_of(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("signed");
        assert!(client_of(certificate.pem().as_bytes()).is_ok());
    }

    #[test]
    fn a_name_is_found_exactly_or_under_a_star_for_one_label() {
        let names: BTreeMap<String, u8> =
            [("example.com", 1), ("*.example.com", 2), ("a.example.com", 3)]
                .map(|(name, n)| (name.to_owned(), n))
                .into();
        let find = |name| by_name(&names, name).copied();
        assert_eq!(find("EXAMPLE.com"), Some(1));
        assert_eq!(find("b.example.com"), Some(2));
        assert_eq!(find("a.example.com"), Some(3));
        assert_eq!(find("c.b.example.com"), None);
        assert_eq!(find("com"), None);
    }
}
