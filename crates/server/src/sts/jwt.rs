//! Tokens of OpenID Connect: read, and checked against the keys of their provider.
//!
//! RS256 and ES256 alone: a token chooses neither `none` nor a key that is public as if it were a secret.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

/// Clocks of providers may differ by this much, in seconds.
const SKEW_S: i64 = 60;

/// A token that was read, and not yet believed.
#[derive(Debug)]
pub(super) struct Token<'t> {
    algorithm: Algorithm,
    /// Which key has signed it.
    pub(super) key_id: Option<String>,
    /// What the signature covers.
    signed: &'t str,
    signature: Vec<u8>,
    /// What it says.
    pub(super) claims: Claims,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<Value>,
}

/// What a token says.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    /// URL of the provider.
    pub(super) iss: String,
    /// Whom it is about.
    pub(super) sub: String,
    /// Whom it is for: one, or several.
    aud: Value,
    /// Who it was made out to, where `aud` has several.
    azp: Option<String>,
    /// When it ends.
    pub(super) exp: f64,
    /// When it begins.
    nbf: Option<f64>,
    /// How its owner was recognized.
    #[serde(default)]
    pub(super) amr: Vec<String>,
}

impl Claims {
    /// Whom it is for.
    pub(super) fn audiences(&self) -> Vec<&str> {
        match &self.aud {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The audience that counts: `azp` where there is one, as in AWS.
    pub(super) fn audience(&self) -> &str {
        self.azp.as_deref().or(self.audiences().first().copied()).unwrap_or_default()
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self, now_s: i64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "seconds of any sane date are exact")]
        let now = now_s as f64;
        // JSON has no number that is none.
        self.exp <= now
    }

    /// Whether it has begun.
    pub(super) fn has_begun(&self, now_s: i64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "seconds of any sane date are exact")]
        let now = now_s.saturating_add(SKEW_S) as f64;
        self.nbf.is_none_or(|begins| begins <= now)
    }
}

impl<'t> Token<'t> {
    /// Reads a token; `None` where it is none that we take.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "ES256" => Algorithm::Es256,
            _ => return None,
        };
        if header.crit.is_some() {
            return None;
        }
        let claims = serde_json::from_slice(&decode(claims)?).ok()?;
        let signature = decode(signature)?;
        Some(Self { algorithm, key_id: header.kid, signed, signature, claims })
    }

    /// Whether one of these keys has signed it.
    pub(super) fn is_signed_by(&self, keys: &[Key]) -> bool {
        keys.iter().filter(|key| self.may_be_by(key)).any(|key| self.verify(key))
    }

    /// Whether a key is the one that it names.
    pub(super) fn may_be_by(&self, key: &Key) -> bool {
        let kind = match self.algorithm {
            Algorithm::Rs256 => "RSA",
            Algorithm::Es256 => "EC",
        };
        key.kty == kind
            && key.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
            && self.key_id.as_ref().is_none_or(|id| key.kid.as_ref() == Some(id))
    }

    fn verify(&self, key: &Key) -> bool {
        let part = |text: &Option<String>| {
            BASE64URL_NOPAD.decode(text.as_deref()?.trim_end_matches('=').as_bytes()).ok()
        };
        let message = self.signed.as_bytes();
        match self.algorithm {
            Algorithm::Rs256 => {
                let Some((n, e)) = part(&key.n).zip(part(&key.e)) else { return false };
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, &self.signature).is_ok()
            }
            Algorithm::Es256 => {
                let Some((x, y)) = part(&key.x).zip(part(&key.y)) else { return false };
                if key.crv.as_deref() != Some("P-256") || x.len() != 32 || y.len() != 32 {
                    return false;
                }
                let point = [&[4][..], &x, &y].concat();
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, &self.signature).is_ok()
            }
        }
    }
}

/// A public key, as providers publish it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Key {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    /// RFC 7515, appendix A.2. Its claims are no ID token's, so they are completed.
    const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

    fn key(value: Value) -> Key {
        serde_json::from_value(value).expect("a key")
    }

    fn claims() -> Value {
        json!({"iss": "https://token.example.com", "sub": "s", "aud": ["a", "b"], "exp": 100, "nbf": 10})
    }

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("made");
            Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key"))
        }

        fn key(&self) -> Key {
            let point = &self.0.public_key().as_ref()[1..];
            let (x, y) = point.split_at(32);
            let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
            key(json!({"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "x": x, "y": y}))
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
            let signed = format!("{}.{}", encode(header), encode(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("signs");
            format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
        }
    }

    #[test]
    fn the_example_of_the_standard_verifies() {
        let token = Token {
            algorithm: Algorithm::Rs256,
            key_id: None,
            signed: SIGNED,
            signature: BASE64URL_NOPAD.decode(SIGNATURE.as_bytes()).expect("base 64"),
            claims: serde_json::from_value(claims()).expect("claims"),
        };
        let good = key(json!({"kty": "RSA", "n": N, "e": "AQAB"}));
        assert!(token.is_signed_by(&[good]));
        let other = key(json!({"kty": "RSA", "n": N, "e": "AQAD"}));
        assert!(!token.is_signed_by(&[other]));
        let kind = key(json!({"kty": "EC", "n": N, "e": "AQAB"}));
        assert!(!token.is_signed_by(&[kind]));
    }

    #[test]
    fn a_token_is_believed_with_the_right_key_alone() {
        let (signer, other) = (Signer::new(), Signer::new());
        let header = json!({"alg": "ES256", "kid": "k"});
        let text = signer.sign(&header, &claims());
        let token = Token::read(&text).expect("a token");
        assert!(token.is_signed_by(&[other.key(), signer.key()]));
        assert!(!token.is_signed_by(&[other.key()]) && !token.is_signed_by(&[]));
        assert_eq!(token.claims.audiences(), ["a", "b"]);
        assert!(!token.claims.has_ended(99) && token.claims.has_ended(100));
        assert!(token.claims.has_begun(10) && !token.claims.has_begun(-51));
        let (signed, signature) = text.rsplit_once('.').expect("three parts");
        let forged =
            json!({"iss": "https://token.example.com", "sub": "t", "aud": "a", "exp": 100});
        let header_part = signed.split_once('.').expect("two").0;
        let claims = BASE64URL_NOPAD.encode(forged.to_string().as_bytes());
        let text = format!("{header_part}.{claims}.{signature}");
        assert!(!Token::read(&text).expect("a token").is_signed_by(&[signer.key()]));
    }

    #[test]
    fn other_algorithms_and_shapes_are_none() {
        let signer = Signer::new();
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS256"}),
            json!({"alg": "es256"}),
            json!({"alg": "ES256", "crit": ["x"]}),
            json!({}),
        ] {
            assert!(Token::read(&signer.sign(&header, &claims())).is_none(), "{header}");
        }
        for text in ["", "a.b", "a.b.c", "..", "e30.e30.e30"] {
            assert!(Token::read(text).is_none(), "{text}");
        }
        let other_kid = signer.sign(&json!({"alg": "ES256", "kid": "other"}), &claims());
        assert!(!Token::read(&other_kid).expect("a token").is_signed_by(&[signer.key()]));
    }
}
