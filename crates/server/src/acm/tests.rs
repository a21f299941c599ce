//! The API of certificates, on a server in memory.

use std::sync::Arc;

use longshore_auth::{Account, Principal, PrincipalKind};
use longshore_wire::acm::OperationName;
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::test_records::scope;
use crate::{Server, clock, test_server};

async fn ask(server: &Arc<Server>, operation: &str, input: Value) -> Result<Value, ServiceError> {
    let call = Call {
        server: Arc::clone(server),
        scope: scope(),
        principal: Principal::new(Account::default(), PrincipalKind::Root, None),
        permissions: longshore_auth::Permissions::Account,
        origin: crate::access::Origin::default(),
        trace: Arc::default(),
        now: clock::now(),
        base_url: "http://127.0.0.1:4566".to_owned(),
        term: None,
    };
    let name = OperationName::parse(operation).expect("an operation");
    let output = dispatch(&call, name, input.to_string().as_bytes()).await?;
    Ok(serde_json::from_slice(&output).expect("JSON"))
}

async fn refused(server: &Arc<Server>, operation: &str, input: Value) -> String {
    ask(server, operation, input).await.expect_err("it is refused").to_string()
}

fn blob(text: &str) -> Value {
    Value::String(data_encoding::BASE64.encode(text.as_bytes()))
}

/// A certificate and its key.
struct Pair {
    certificate: String,
    key: KeyPair,
    params: CertificateParams,
}

impl Pair {
    fn made(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        params
    }

    fn own(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = Self::made(names, change);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { certificate, key, params }
    }

    fn signed(names: &[&str], by: &Self) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = Self::made(names, |_| {});
        let issuer = Issuer::from_params(&by.params, &by.key);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate").pem();
        Self { certificate, key, params }
    }

    fn input(&self) -> Value {
        let key = self.key.serialize_pem();
        json!({"Certificate": blob(&self.certificate), "PrivateKey": blob(&key)})
    }
}

fn authority(name: &str) -> Pair {
    Pair::own(&[], |params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    })
}

fn with(mut input: Value, member: &str, value: Value) -> Value {
    input[member] = value;
    input
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused() {
    let server = &test_server::server().await;
    let good = Pair::own(&["www.example.com"], |_| {});
    let other = Pair::own(&["www.example.com"], |_| {});
    let (ca, stranger) = (authority("One"), authority("Two"));
    let signed = Pair::signed(&["www.example.com"], &ca);
    let old = Pair::own(&["a.example.com"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let early = Pair::own(&["a.example.com"], |params| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        params.not_after = rcgen::date_time_ymd(2091, 1, 1);
    });
    let cases = [
        (with(good.input(), "Certificate", blob("nonsense")), "Unable to parse certificate"),
        (
            with(good.input(), "Certificate", blob(&good.certificate.repeat(2))),
            "contains more than one certificate",
        ),
        (with(good.input(), "PrivateKey", blob("nonsense")), "not PEM-encoded"),
        (
            with(
                good.input(),
                "PrivateKey",
                blob(
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                ),
            ),
            "The private key is not supported.",
        ),
        (
            with(good.input(), "PrivateKey", blob(&other.key.serialize_pem())),
            "The private key does not match the certificate.",
        ),
        (old.input(), "The certificate has expired, is not valid."),
        (early.input(), "The certificate is not in effect yet, is not valid."),
        (signed.input(), "Provided certificate is not a valid self signed."),
        (
            with(signed.input(), "CertificateChain", blob(&stranger.certificate)),
            "Could not validate the certificate with the certificate chain.",
        ),
        (
            with(
                signed.input(),
                "CertificateChain",
                blob(&format!("{}{}", ca.certificate, stranger.certificate)),
            ),
            "The index within the chain of the invalid certificate is: 1",
        ),
        (with(signed.input(), "CertificateChain", blob("nonsense")), "not in a valid PEM format"),
    ];
    for (input, text) in cases {
        let error = refused(server, "ImportCertificate", input).await;
        assert!(error.starts_with("ValidationException: ") && error.contains(text), "{error}");
    }
    let chained = with(signed.input(), "CertificateChain", blob(&ca.certificate));
    ask(server, "ImportCertificate", chained).await.expect("it is taken");
    let bad = with(good.input(), "Certificate", json!("?"));
    let error = refused(server, "ImportCertificate", bad).await;
    assert!(error.starts_with("SerializationException: Certificate: expected base64"), "{error}");
}

#[tokio::test]
async fn a_certificate_is_imported_again_under_its_arn() {
    let server = &test_server::server().await;
    let first = Pair::own(&["www.example.com"], |_| {});
    let tags = json!([{"Key": "team", "Value": "a"}]);
    let made = ask(server, "ImportCertificate", with(first.input(), "Tags", tags.clone())).await;
    let arn = made.expect("it is taken")["CertificateArn"].clone();
    let second = Pair::own(&["api.example.com", "127.0.0.1"], |_| {});
    let again = with(second.input(), "CertificateArn", arn.clone());
    let error = refused(server, "ImportCertificate", with(again.clone(), "Tags", tags)).await;
    assert_eq!(error, "ValidationException: Tagging is not permitted on re-import.");
    let made = ask(server, "ImportCertificate", again).await.expect("it is taken");
    assert_eq!(made["CertificateArn"], arn);
    let shown = ask(server, "DescribeCertificate", json!({"CertificateArn": arn})).await;
    let shown = &shown.expect("it is there")["Certificate"];
    assert_eq!(shown["DomainName"], "api.example.com");
    assert_eq!(shown["SubjectAlternativeNames"], json!(["api.example.com", "127.0.0.1"]));
    assert_eq!((&shown["Type"], &shown["Status"]), (&json!("IMPORTED"), &json!("ISSUED")));
    let tags = ask(server, "ListTagsForCertificate", json!({"CertificateArn": arn})).await;
    assert_eq!(tags.expect("tags")["Tags"][0]["Key"], "team");
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
    let params = Pair::made(&["www.example.com"], |_| {});
    let certificate = params.self_signed(&p384).expect("a certificate").pem();
    let key = p384.serialize_pem();
    let input =
        json!({"Certificate": blob(&certificate), "PrivateKey": blob(&key), "CertificateArn": arn});
    let error = refused(server, "ImportCertificate", input).await;
    assert!(error.contains("key type and size"), "{error}");
}

#[tokio::test]
async fn a_requested_certificate_is_issued_by_the_local_authority() {
    let server = &test_server::server().await;
    let input = json!({
        "DomainName": "Example.com",
        "SubjectAlternativeNames": ["*.example.com", "example.com", "127.0.2.1"],
        "ValidationMethod": "DNS",
        "IdempotencyToken": "once",
    });
    let arn = ask(server, "RequestCertificate", input.clone()).await.expect("issued");
    let again = ask(server, "RequestCertificate", input.clone()).await.expect("issued");
    assert_eq!(arn, again, "the token makes it the same");
    let other = ask(server, "RequestCertificate", with(input, "IdempotencyToken", json!("two")));
    assert_ne!(arn, other.await.expect("issued"));
    let shown = ask(server, "DescribeCertificate", arn.clone()).await.expect("it is there");
    let shown = &shown["Certificate"];
    let names = json!(["example.com", "*.example.com", "127.0.2.1"]);
    assert_eq!(shown["SubjectAlternativeNames"], names);
    assert_eq!(shown["Subject"], "CN=example.com");
    assert_eq!(shown["Issuer"], "Longshore");
    assert_eq!(shown["KeyAlgorithm"], "EC_prime256v1");
    assert_eq!(shown["SignatureAlgorithm"], "SHA256WITHECDSA");
    assert_eq!(shown["KeyUsages"], json!([{"Name": "DIGITAL_SIGNATURE"}]));
    let proofs = shown["DomainValidationOptions"].as_array().expect("proofs");
    assert_eq!(proofs[0]["ResourceRecord"], proofs[1]["ResourceRecord"], "the wildcard's is its");
    let name = proofs[0]["ResourceRecord"]["Name"].as_str().expect("a name");
    assert!(name.starts_with('_') && name.ends_with(".example.com."), "{name}");
    let given = ask(server, "GetCertificate", arn).await.expect("it is there");
    let trusted = authority_certificate(server).await.expect("an authority");
    assert_eq!(given["CertificateChain"], json!(trusted));
    assert!(!given.to_string().contains("PRIVATE"));
    let certificate = given["Certificate"].as_str().expect("PEM").as_bytes();
    let view = server.state.view();
    let row = view.certificates.iter().next().expect("a record");
    assert!(!format!("{:?}", row.record).contains("PRIVATE"), "the key is not shown");
    let other = refused(
        server,
        "RequestCertificate",
        json!({"DomainName": "a.example.com", "KeyAlgorithm": "RSA_2048"}),
    );
    assert!(other.await.contains("EC_prime256v1"));
    let key = view.certificates.iter().find(|row| row.certificate_pem.as_bytes() == certificate);
    let key = key.expect("its record").record.key.0.clone();
    let chain = trusted.as_bytes();
    let checked = x509::checked(certificate, key.as_bytes(), Some(chain), clock::now());
    assert!(checked.is_ok(), "{checked:?}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = &test_server::server().await;
    let arn = |text: &str| json!({"CertificateArn": text});
    for (text, code) in [
        ("not an ARN at all, not one", "ValidationException"),
        ("arn:aws:ecs:us-east-1:000000000000:cluster/c", "ValidationException"),
        (
            "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-0000-0000-000000000001",
            "ResourceNotFoundException",
        ),
        ("arn:aws:acm:us-east-1:000000000000:certificate/none", "ResourceNotFoundException"),
        (
            "arn:aws:acm:us-east-1:111111111111:certificate/00000000-0000-0000-0000-000000000001",
            "ResourceNotFoundException",
        ),
    ] {
        for operation in ["DescribeCertificate", "GetCertificate", "DeleteCertificate"] {
            let error = refused(server, operation, arn(text)).await;
            assert!(error.starts_with(code), "{operation} {text}: {error}");
        }
    }
    let error = refused(server, "RevokeCertificate", json!({})).await;
    assert!(error.starts_with("UnknownOperationException: RevokeCertificate is not"), "{error}");
}
