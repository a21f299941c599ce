//! `X-Amzn-Oidc-Data`: the claims, signed (ES256), so that a target can tell that the balancer says
//! so. The key is the process's own; its public half can be asked of the balancer.

use std::sync::OnceLock;

use data_encoding::{BASE64, BASE64URL};
use longshore_domain::route::AuthenticateOidc;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value, json};

/// Seconds that a signature is good for (ALB: two minutes).
const LASTS_S: i64 = 120;
/// What comes before the point in the public key of P-256 (SubjectPublicKeyInfo, DER).
const HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The key of this process.
struct Signer {
    id: String,
    key: EcdsaKeyPair,
    public_pem: String,
}

fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random)
            .ok()
            .and_then(|made| EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).ok())
            .expect("the operating system has a random source");
        let der = [&HEAD[..], key.public_key().as_ref()].concat();
        let id = hex::encode(&digest(&SHA256, &der).as_ref()[..16]);
        let (a, b) = (&id[..8], &id[8..12]);
        let id = format!("{a}-{b}-{}-{}-{}", &id[12..16], &id[16..20], &id[20..]);
        let text = BASE64.encode(&der);
        let (first, second) = text.split_at(64);
        let public_pem =
            format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n");
        Signer { id, key, public_pem }
    })
}

/// The public key with an id, PEM.
pub(super) fn public_key(id: &str) -> Option<String> {
    let signer = signer();
    (signer.id == id).then(|| signer.public_pem.clone())
}

/// The claims, signed. Like ALB's it is padded.
pub(super) fn token(
    claims: &Map<String, Value>,
    oidc: &AuthenticateOidc,
    balancer: &str,
    now_s: i64,
) -> String {
    let signer = signer();
    let until = now_s + LASTS_S;
    let header = json!({
        "typ": "JWT", "kid": signer.id, "alg": "ES256", "iss": oidc.issuer, "client": oidc.client_id,
        "signer": balancer, "exp": until,
    });
    let mut claims = claims.clone();
    claims.insert("exp".to_owned(), until.into());
    claims.insert("iss".to_owned(), oidc.issuer.as_str().into());
    let part = |value: Value| BASE64URL.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(Value::Object(claims)));
    // Signing fails only without chance; then the target sees a signature that is none.
    let signature = signer.key.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = signature.map(|one| BASE64URL.encode(one.as_ref())).unwrap_or_default();
    format!("{signed}.{signature}")
}
