//! The certificate that a server shows, of the control plane's own authority. It is made in memory, and
//! made anew when it is old or when a client has reached the server by an address that is not in it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use longshore_domain::time::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, ServerName};

use super::authority::{BACKDATED, valid};

/// How long a certificate is valid.
const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Addresses of this machine that a certificate takes up as clients use them. A machine that answers for
/// whole networks is none of those that this is for.
const ADDRESSES: usize = 64;

/// Certificates of one server.
pub(crate) struct Local {
    authority_pem: String,
    issuer: Issuer<'static, KeyPair>,
    names: Vec<String>,
    leaf: RwLock<Leaf>,
}

struct Leaf {
    key: Arc<CertifiedKey>,
    made_at: Timestamp,
    /// Addresses that clients have used.
    addresses: BTreeSet<IpAddr>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Local {
    /// A server's certificates of an authority with this certificate and key, PEM.
    ///
    /// # Errors
    /// The authority is damaged.
    pub(super) fn new(
        authority_pem: &str,
        key_pem: &str,
        names: Vec<String>,
        now: Timestamp,
    ) -> Result<Self, rcgen::Error> {
        let issuer = Issuer::from_ca_cert_pem(authority_pem, KeyPair::from_pem(key_pem)?)?;
        let addresses = BTreeSet::new();
        let key = issue(&issuer, &names, &addresses, now)?;
        let leaf = RwLock::new(Leaf { key, made_at: now, addresses });
        Ok(Self { authority_pem: authority_pem.to_owned(), issuer, names, leaf })
    }

    /// The certificate and its key.
    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.leaf.read().unwrap_or_else(PoisonError::into_inner).key)
    }

    /// The certificate of the authority, PEM.
    pub(crate) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// Sees to it that the certificate is young, and is for the address by which a client has come.
    pub(crate) fn prepare(&self, reached_by: IpAddr, now: Timestamp) {
        let reached_by = reached_by.to_canonical();
        let named = self.names.contains(&reached_by.to_string());
        let is_good = |leaf: &Leaf| {
            let is_for =
                named || leaf.addresses.contains(&reached_by) || leaf.addresses.len() >= ADDRESSES;
            is_for && !is_due(leaf.made_at, now)
        };
        if is_good(&self.leaf.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut leaf = self.leaf.write().unwrap_or_else(PoisonError::into_inner);
        if is_good(&leaf) {
            return;
        }
        let mut addresses = leaf.addresses.clone();
        if !named && addresses.len() < ADDRESSES {
            addresses.insert(reached_by);
        }
        match issue(&self.issuer, &self.names, &addresses, now) {
            Ok(key) => *leaf = Leaf { key, made_at: now, addresses },
            Err(error) => tracing::error!(%error, "this server's certificate cannot be renewed"),
        }
    }
}

impl ResolvesServerCert for Local {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// Whether a certificate is to give way to another: two thirds of its life are over, or the clock was set
/// back to a time before it.
fn is_due(made_at: Timestamp, now: Timestamp) -> bool {
    now.saturating_since(made_at) >= LIFE * 2 / 3 || made_at.saturating_since(now) >= BACKDATED
}

/// Names of the certificate of a server that listens there and is advertised so, and more that somebody
/// gave; what is no name of a host is left out.
pub(super) fn names(listen: IpAddr, advertise: Option<&str>, more: &[String]) -> Vec<String> {
    let listen = Some(listen).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_canonical());
    let advertise = advertise.and_then(|url| url.parse::<http::Uri>().ok());
    let advertise = advertise.as_ref().and_then(http::Uri::host);
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let all = listen
        .map(|ip| ip.to_string())
        .into_iter()
        .chain(advertise.map(|host| host.trim_matches(['[', ']']).to_owned()))
        .chain(more.iter().cloned())
        .chain(own);
    let mut names: Vec<String> = Vec::new();
    for name in all {
        // An address has one form, by which it is found again.
        let address = name.parse::<IpAddr>().map(|ip| ip.to_canonical().to_string());
        let name = address.unwrap_or_else(|_| name.to_ascii_lowercase());
        if ServerName::try_from(name.as_str()).is_ok() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn issue(
    issuer: &Issuer<'static, KeyPair>,
    names: &[String],
    addresses: &BTreeSet<IpAddr>,
    now: Timestamp,
) -> Result<Arc<CertifiedKey>, rcgen::Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let addresses = addresses.iter().map(ToString::to_string);
    let all: Vec<String> = names.iter().cloned().chain(addresses).collect();
    let mut params = CertificateParams::new(all)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "Longshore server");
    params.distinguished_name = subject;
    valid(&mut params, now, LIFE);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, issuer)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .expect("the library that made the key knows its kind");
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_every_way_to_the_server() {
        let listen = "10.0.0.1".parse().expect("an address");
        let more = ["control.example", "192.0.2.7", "box"].map(str::to_owned);
        let found = names(listen, Some("https://api.example:4566"), &more);
        let own = ["localhost", "127.0.0.1", "::1"];
        assert_eq!(found[..5], ["10.0.0.1", "api.example", "control.example", "192.0.2.7", "box"]);
        assert_eq!(found[5..], own);
        let all = "::".parse().expect("an address");
        assert_eq!(names(all, None, &[]), own, "no address is all of them");
        let twice = ["LOCALHOST", "::ffff:10.0.0.9", "not a name", "*", ""].map(str::to_owned);
        let found = names(all, Some("https://[fd00::1]:1"), &twice);
        assert_eq!(found, ["fd00::1", "localhost", "10.0.0.9", "127.0.0.1", "::1"]);
    }

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
        let made = Timestamp::from_millis(1_800_000_000_000);
        let day = Duration::from_secs(24 * 3600);
        assert!(!is_due(made, made));
        assert!(!is_due(made, made + day * 60 - Duration::from_secs(1)));
        assert!(is_due(made, made + day * 60));
        // A clock that ran ahead, and was set right.
        assert!(!is_due(made + BACKDATED / 2, made));
        assert!(is_due(made + day, made));
    }
}
