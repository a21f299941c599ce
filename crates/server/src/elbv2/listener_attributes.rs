//! Attributes of listeners: their keys, defaults and values.

use std::collections::BTreeMap;

use longshore_auth::Authorized;
use longshore_domain::record::Listener;
use longshore_domain::route::{ListenerAttributes, Protocol};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::{
    DescribeListenerAttributesInput, DescribeListenerAttributesOutput, ListenerAttribute,
    ModifyListenerAttributesInput, ModifyListenerAttributesOutput,
};

use super::attributes::{Attribute, Kind, set, whole};
use super::{invalid, lookup};
use crate::call::Call;

/// Headers of every answer: key and name. Keys and values are those of the model (ELBv2
/// `ListenerAttribute`).
const RESPONSE_HEADERS: &[(&str, &str)] = &[
    (
        "routing.http.response.access_control_allow_credentials.header_value",
        "Access-Control-Allow-Credentials",
    ),
    (
        "routing.http.response.access_control_allow_headers.header_value",
        "Access-Control-Allow-Headers",
    ),
    (
        "routing.http.response.access_control_allow_methods.header_value",
        "Access-Control-Allow-Methods",
    ),
    (
        "routing.http.response.access_control_allow_origin.header_value",
        "Access-Control-Allow-Origin",
    ),
    (
        "routing.http.response.access_control_expose_headers.header_value",
        "Access-Control-Expose-Headers",
    ),
    ("routing.http.response.access_control_max_age.header_value", "Access-Control-Max-Age"),
    ("routing.http.response.content_security_policy.header_value", "Content-Security-Policy"),
    ("routing.http.response.strict_transport_security.header_value", "Strict-Transport-Security"),
    ("routing.http.response.x_content_type_options.header_value", "X-Content-Type-Options"),
    ("routing.http.response.x_frame_options.header_value", "X-Frame-Options"),
];

const SERVER: &str = "routing.http.response.server.enabled";
const TLS_VERSION: &str = "routing.http.request.x_amzn_tls_version.header_name";
const TLS_CIPHER_SUITE: &str = "routing.http.request.x_amzn_tls_cipher_suite.header_name";
const TCP_IDLE: &str = "tcp.idle_timeout.seconds";

const HTTP: &[Attribute] = &[
    (
        "routing.http.response.access_control_allow_credentials.header_value",
        "",
        Kind::OneOf(&["", "true"]),
    ),
    ("routing.http.response.access_control_allow_headers.header_value", "", Kind::Header),
    ("routing.http.response.access_control_allow_methods.header_value", "", Kind::Header),
    ("routing.http.response.access_control_allow_origin.header_value", "", Kind::Header),
    ("routing.http.response.access_control_expose_headers.header_value", "", Kind::Header),
    ("routing.http.response.access_control_max_age.header_value", "", Kind::NothingOr(0, 86_400)),
    ("routing.http.response.content_security_policy.header_value", "", Kind::Header),
    (SERVER, "true", Kind::Switch),
    ("routing.http.response.strict_transport_security.header_value", "", Kind::Header),
    (
        "routing.http.response.x_content_type_options.header_value",
        "",
        Kind::OneOf(&["", "nosniff"]),
    ),
    (
        "routing.http.response.x_frame_options.header_value",
        "",
        Kind::OneOf(&["", "DENY", "SAMEORIGIN"]),
    ),
];

/// Names of headers that targets are told of TLS by. Those about certificates of clients are kept, and
/// have no effect as long as clients are not asked for certificates.
const HTTPS: &[Attribute] = &[
    (
        "routing.http.request.x_amzn_mtls_clientcert.header_name",
        "X-Amzn-Mtls-Clientcert",
        Kind::HeaderName,
    ),
    (
        "routing.http.request.x_amzn_mtls_clientcert_issuer.header_name",
        "X-Amzn-Mtls-Clientcert-Issuer",
        Kind::HeaderName,
    ),
    (
        "routing.http.request.x_amzn_mtls_clientcert_leaf.header_name",
        "X-Amzn-Mtls-Clientcert-Leaf",
        Kind::HeaderName,
    ),
    (
        "routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name",
        "X-Amzn-Mtls-Clientcert-Serial-Number",
        Kind::HeaderName,
    ),
    (
        "routing.http.request.x_amzn_mtls_clientcert_subject.header_name",
        "X-Amzn-Mtls-Clientcert-Subject",
        Kind::HeaderName,
    ),
    (
        "routing.http.request.x_amzn_mtls_clientcert_validity.header_name",
        "X-Amzn-Mtls-Clientcert-Validity",
        Kind::HeaderName,
    ),
    (TLS_CIPHER_SUITE, "X-Amzn-Tls-Cipher-Suite", Kind::HeaderName),
    (TLS_VERSION, "X-Amzn-Tls-Version", Kind::HeaderName),
];

const TCP: &[Attribute] = &[(TCP_IDLE, "350", Kind::Number(60, 6000))];

fn of(protocol: Protocol) -> impl Iterator<Item = &'static Attribute> {
    let parts: [&[Attribute]; 2] = match protocol {
        Protocol::Http => [HTTP, &[]],
        Protocol::Https => [HTTP, HTTPS],
        Protocol::Tcp | Protocol::Tls | Protocol::TcpUdp => [TCP, &[]],
        Protocol::Udp => [&[], &[]],
    };
    parts.into_iter().flatten()
}

/// What nodes act by.
pub(crate) fn listener_attributes(record: &Listener) -> ListenerAttributes {
    let all = whole(of(record.protocol), &record.attributes);
    let defaults = ListenerAttributes::default();
    let text = |key: &str| all.get(key).filter(|value| !value.is_empty()).cloned();
    let header = |(key, name): &(&str, &str)| Some(((*name).to_owned(), text(key)?));
    ListenerAttributes {
        response_headers: RESPONSE_HEADERS.iter().filter_map(header).collect(),
        server_header: text(SERVER).is_none_or(|value| value == "true"),
        tls_version_header: text(TLS_VERSION).unwrap_or(defaults.tls_version_header),
        tls_cipher_suite_header: text(TLS_CIPHER_SUITE).unwrap_or(defaults.tls_cipher_suite_header),
        tcp_idle_s: text(TCP_IDLE).and_then(|s| s.parse().ok()).unwrap_or(defaults.tcp_idle_s),
    }
}

fn shown(record: &Listener) -> Vec<ListenerAttribute> {
    let all = whole(of(record.protocol), &record.attributes).into_iter();
    all.map(|(key, value)| ListenerAttribute { key: Some(key.to_owned()), value: Some(value) })
        .collect()
}

/// DescribeListenerAttributes.
pub(super) async fn describe(
    call: &Call,
    request: Authorized<DescribeListenerAttributesInput>,
) -> Result<DescribeListenerAttributesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::listener(&view, &call.scope, &request.listener_arn)?;
    Ok(DescribeListenerAttributesOutput { attributes: Some(shown(row)) })
}

/// ModifyListenerAttributes: all of them, or none.
pub(super) async fn modify(
    call: &Call,
    request: Authorized<ModifyListenerAttributesInput>,
) -> Result<ModifyListenerAttributesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::listener(view, &call.scope, &request.listener_arn)?;
        let known: Vec<_> = of(row.protocol).collect();
        let mut new = BTreeMap::new();
        let given = request.attributes.iter();
        set(&known, &mut new, given.map(|given| (given.key.as_ref(), given.value.as_ref())))?;
        let mut next = row.record.clone();
        next.attributes.extend(new);
        let names: Vec<String> = whole(HTTPS.iter(), &next.attributes)
            .into_values()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() != names.len() {
            return Err(invalid("The names of two headers for targets are the same"));
        }
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(next)
    };
    let record = call.server.decide(decide).await?;
    Ok(ModifyListenerAttributesOutput { attributes: Some(shown(&record)) })
}
