//! Which operation of which service a request asks for.

use bytes::Bytes;
use http::{HeaderMap, header};
use longshore_auth as auth;
use longshore_wire::codec::{json, query};
use longshore_wire::{
    OperationInfo, Protocol, ServiceError, ServiceInfo, acm, ecs, elbv2, iam, sts,
};

/// The header that names an operation of a JSON service.
const TARGET: &str = "x-amz-target";
const FORM: &str = "application/x-www-form-urlencoded";

/// All services that are served.
const SERVICES: [&ServiceInfo; 5] =
    [&ecs::SERVICE, &elbv2::SERVICE, &acm::SERVICE, &iam::SERVICE, &sts::SERVICE];

/// An operation of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Acm(acm::OperationName),
    Ecs(ecs::OperationName),
    Elbv2(elbv2::OperationName),
    Iam(iam::OperationName),
    Sts(sts::OperationName),
}

impl Asked {
    /// What the model says of it.
    pub(crate) fn info(self) -> &'static OperationInfo {
        match self {
            Self::Acm(operation) => operation.info(),
            Self::Ecs(operation) => operation.info(),
            Self::Elbv2(operation) => operation.info(),
            Self::Iam(operation) => operation.info(),
            Self::Sts(operation) => operation.info(),
        }
    }

    /// Its service.
    pub(crate) fn service(self) -> &'static ServiceInfo {
        match self {
            Self::Acm(_) => &acm::SERVICE,
            Self::Ecs(_) => &ecs::SERVICE,
            Self::Elbv2(_) => &elbv2::SERVICE,
            Self::Iam(_) => &iam::SERVICE,
            Self::Sts(_) => &sts::SERVICE,
        }
    }

    /// Whether requests are not signed: who makes them is shown otherwise.
    pub(super) fn is_unsigned(self) -> bool {
        self == Self::Sts(sts::OperationName::AssumeRoleWithWebIdentity)
    }

    /// The operation that a request asks for.
    ///
    /// # Errors
    /// The error of its protocol for what is no operation of a service that is served.
    pub(super) fn of(headers: &HeaderMap, body: &Bytes) -> Result<Self, ServiceError> {
        if let Some(target) = headers.get(TARGET).and_then(|value| value.to_str().ok()) {
            return by_target(target);
        }
        if Dialect::of(headers) == Dialect::Query {
            let form = query::Form::parse(body).map_err(|error| elbv2::decode_problem(&error))?;
            return by_action(form.action(), form.version());
        }
        Err(unknown("the request has no X-Amz-Target header"))
    }
}

fn by_target(target: &str) -> Result<Asked, ServiceError> {
    let (prefix, name) = target.split_once('.').unwrap_or_default();
    let found = if prefix == acm::SERVICE.target_prefix {
        acm::OperationName::parse(name).map(Asked::Acm)
    } else if prefix == ecs::SERVICE.target_prefix {
        ecs::OperationName::parse(name).map(Asked::Ecs)
    } else {
        None
    };
    found.ok_or_else(|| unknown(format!("unknown operation: {target}")))
}

/// The services of forms. No two have an API of one version.
fn by_action(action: Option<&str>, version: Option<&str>) -> Result<Asked, ServiceError> {
    let invalid = |message: String| elbv2::ErrorCode::InvalidAction.error(message);
    let action = action.ok_or_else(|| {
        ServiceError::client("MissingAction", "The request must contain the parameter Action.")
    })?;
    let of = |service: &ServiceInfo| version.is_none_or(|version| version == service.api_version);
    let elbv2 = elbv2::OperationName::parse(action).filter(|_| of(&elbv2::SERVICE));
    let iam = iam::OperationName::parse(action).filter(|_| of(&iam::SERVICE));
    let sts = sts::OperationName::parse(action).filter(|_| of(&sts::SERVICE));
    let found = elbv2.map(Asked::Elbv2).or(iam.map(Asked::Iam)).or(sts.map(Asked::Sts));
    found.ok_or_else(|| {
        let version = version.unwrap_or("no version");
        invalid(format!("Could not find operation {action} for version {version}"))
    })
}

fn unknown(message: impl Into<String>) -> ServiceError {
    ecs::ErrorCode::UnknownOperationException.error(message)
}

/// Whether a service, by the name that it is signed for, is served.
pub(super) fn is_served(name: &str) -> bool {
    SERVICES.iter().any(|service| service.signing_name == name)
}

/// The error for a service that is not served.
pub(super) fn not_served(service: &str) -> ServiceError {
    let names: Vec<&str> = SERVICES.iter().map(|service| service.signing_name).collect();
    unknown(format!("Longshore does not serve {service}; it serves: {}", names.join(", ")))
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Json,
    Query,
}

impl Dialect {
    /// The dialect of a request, whatever it asks for.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let form = kind.is_some_and(|kind| kind.starts_with(FORM));
        if form && !headers.contains_key(TARGET) { Self::Query } else { Self::Json }
    }

    /// The same for errors of authentication.
    pub(super) fn auth(self) -> auth::Protocol {
        match self {
            Self::Json => auth::Protocol::Json,
            Self::Query => auth::Protocol::Query,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => json::CONTENT_TYPE,
            Self::Query => query::CONTENT_TYPE,
        }
    }

    /// An error answer; of a query service it is in the namespace of `service`.
    pub(super) fn error(
        self,
        error: &ServiceError,
        service: &ServiceInfo,
        request_id: &str,
    ) -> Vec<u8> {
        match self {
            Self::Json => json::encode_error(error),
            Self::Query => query::encode_error(error, namespace(service), request_id),
        }
    }
}

/// XML namespace of a query service's answers.
pub(crate) fn namespace(service: &ServiceInfo) -> &'static str {
    match service.protocol {
        Protocol::AwsQuery { namespace } => namespace,
        Protocol::AwsJson11 => "",
    }
}
