//! The authority of the control plane, made with its first identities.

use std::time::Duration;

use longshore_domain::ids::IdSource as _;
use longshore_domain::record::ControlAuthority;
use longshore_domain::time::Timestamp;
use longshore_store::tables::ControlAuthorityKey;
use longshore_store::{RecordTxn, View};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SerialNumber,
};

use crate::clock::RandomIds;
use crate::identity::{InitError, Vault};

/// How long an authority is trusted: ten years.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Since when certificates are valid, before they are made: clocks differ.
pub(super) const BACKDATED: Duration = Duration::from_secs(3600);

/// The authority; a new one, if there is none.
pub(crate) fn ensured(
    view: &View,
    txn: &mut RecordTxn,
    vault: &Vault,
    now: Timestamp,
) -> Result<ControlAuthority, InitError> {
    if let Some(known) = view.control_authorities.get(&ControlAuthorityKey) {
        return Ok(known.record.clone());
    }
    let new = new(vault, now)?;
    txn.insert(&new);
    Ok(new)
}

/// The authority; a new one also where the key that it was sealed with is lost.
pub(crate) fn renewed_if_lost(
    view: &View,
    txn: &mut RecordTxn,
    vault: &Vault,
    now: Timestamp,
) -> Result<ControlAuthority, InitError> {
    match view.control_authorities.get(&ControlAuthorityKey) {
        Some(known) if vault.open_authority(&known.record.key).is_err() => {
            let new = new(vault, now)?;
            txn.update(known, &new);
            Ok(new)
        }
        _ => ensured(view, txn, vault, now),
    }
}

fn new(vault: &Vault, now: Timestamp) -> Result<ControlAuthority, InitError> {
    let usages = vec![KeyUsagePurpose::KeyCertSign];
    let (certificate_pem, key) = self_signed("Longshore control plane", usages, now)?;
    let key = vault.seal_authority(&key.serialize_pem())?;
    Ok(ControlAuthority { certificate_pem, key, created_at: now })
}

/// The certificate of a new authority, PEM, which signs no other authorities, and its key.
pub(crate) fn self_signed(
    called: &str,
    usages: Vec<KeyUsagePurpose>,
    now: Timestamp,
) -> Result<(String, KeyPair), rcgen::Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Longshore");
    // Users of several control planes can tell their authorities apart.
    let number = format!("{:032x}", RandomIds.next_id());
    subject.push(DnType::CommonName, format!("{called} {}", &number[..8]));
    params.distinguished_name = subject;
    valid(&mut params, now, LIFE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = usages;
    Ok((params.self_signed(&key)?.pem(), key))
}

/// Gives a certificate a number of its own, and makes it valid from a little before now.
pub(crate) fn valid(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let now = Duration::from_secs(u64::try_from(now.as_millis() / 1000).unwrap_or_default());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + life;
    let serial = RandomIds.next_id() >> 1;
    params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
}
