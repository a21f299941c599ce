//! What balancers serve, at one version.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rule;
use crate::time::Timestamp;

/// Everything that a node of balancers needs to know. Immutable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows with each change; a revision of the store.
    pub version: u64,
    /// The balancers.
    pub balancers: Vec<Balancer>,
    /// The target groups that their rules name.
    pub groups: Vec<TargetGroup>,
    /// The certificates that their listeners name.
    pub certificates: Vec<Certificate>,
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balancer {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Layer 7 or 4.
    pub kind: BalancerKind,
    /// Where it listens.
    pub addresses: Vec<IpAddr>,
    /// What its owner chose, with AWS's defaults.
    pub attributes: BalancerAttributes,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// Kind of a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalancerKind {
    /// HTTP.
    Application,
    /// TCP and UDP.
    Network,
}

/// Attributes of a load balancer that its nodes act by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of AWS's, with a name of its own"
)]
pub struct BalancerAttributes {
    /// `idle_timeout.timeout_seconds`: 1 to 4,000.
    pub idle_timeout_s: u32,
    /// `client_keep_alive.seconds`: how long a connection of a client may live, 60 to 604,800.
    pub client_keep_alive_s: u32,
    /// `routing.http2.enabled`.
    pub http2: bool,
    /// `routing.http.drop_invalid_header_fields.enabled`.
    pub drop_invalid_header_fields: bool,
    /// `routing.http.preserve_host_header.enabled`.
    pub preserve_host_header: bool,
    /// `routing.http.xff_header_processing.mode`.
    pub forwarded_for: ForwardedFor,
    /// `routing.http.xff_client_port.enabled`.
    pub forwarded_for_port: bool,
    /// `routing.http.x_amzn_tls_version_and_cipher_suite.enabled`.
    pub tls_headers: bool,
    /// Folder of access logs under the node's own, from `access_logs.s3.bucket` and `prefix`, when
    /// `access_logs.s3.enabled`.
    pub access_logs: Option<String>,
}

impl Default for BalancerAttributes {
    /// AWS's defaults (ELBv2 `LoadBalancerAttribute`).
    fn default() -> Self {
        Self {
            idle_timeout_s: 60,
            client_keep_alive_s: 3600,
            http2: true,
            drop_invalid_header_fields: false,
            preserve_host_header: false,
            forwarded_for: ForwardedFor::Append,
            forwarded_for_port: false,
            tls_headers: false,
            access_logs: None,
        }
    }
}

/// What becomes of `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedFor {
    /// The client's address is appended.
    #[default]
    Append,
    /// It stays as it came.
    Preserve,
    /// It is taken away.
    Remove,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its ARN.
    pub arn: String,
    /// 1 to 65,535.
    pub port: u16,
    /// What it speaks with clients.
    pub protocol: Protocol,
    /// ARNs of its certificates, the default one first.
    pub certificates: Vec<String>,
    /// Name of its TLS policy, for HTTPS and TLS.
    pub ssl_policy: Option<String>,
    /// ALPN policy of TLS listeners.
    pub alpn_policy: Option<String>,
    /// What its owner chose, with AWS's defaults.
    #[serde(default)]
    pub attributes: ListenerAttributes,
    /// Rules by priority; the default one, without conditions, is last.
    pub rules: Vec<Rule>,
}

/// Attributes of a listener that its nodes act by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerAttributes {
    /// `routing.http.response.*.header_value`: headers of every answer, in place of the target's.
    pub response_headers: Vec<(String, String)>,
    /// `routing.http.response.server.enabled`: whether own answers say who gives them.
    pub server_header: bool,
    /// `routing.http.request.x_amzn_tls_version.header_name`.
    pub tls_version_header: String,
    /// `routing.http.request.x_amzn_tls_cipher_suite.header_name`.
    pub tls_cipher_suite_header: String,
    /// `tcp.idle_timeout.seconds`: 60 to 6,000.
    pub tcp_idle_s: u32,
}

impl Default for ListenerAttributes {
    /// AWS's defaults (ELBv2 `ListenerAttribute`).
    fn default() -> Self {
        Self {
            response_headers: Vec::new(),
            server_header: true,
            tls_version_header: "X-Amzn-Tls-Version".into(),
            tls_cipher_suite_header: "X-Amzn-Tls-Cipher-Suite".into(),
            tcp_idle_s: 350,
        }
    }
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// UDP.
    Udp,
    /// Both on one port.
    TcpUdp,
}

/// Version of HTTP that targets are spoken to with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtocolVersion {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "HTTP1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "HTTP2")]
    Http2,
    /// gRPC over HTTP/2.
    #[serde(rename = "GRPC")]
    Grpc,
}

/// A target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// What its targets speak.
    pub protocol: Protocol,
    /// Version of HTTP.
    pub version: ProtocolVersion,
    /// How targets are asked whether they are well; `None` when they are not asked.
    pub health_check: Option<HealthCheck>,
    /// What its owner chose, with AWS's defaults.
    pub attributes: TargetGroupAttributes,
    /// The targets.
    pub targets: Vec<Target>,
    /// Set where a request may come before there is a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemand>,
}

/// How a target is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// HTTP, HTTPS or TCP.
    pub protocol: Protocol,
    /// Where.
    pub port: ProbePort,
    /// Path, for HTTP and HTTPS.
    pub path: String,
    /// Seconds between two probes of a target.
    pub interval_s: u32,
    /// Seconds until a probe has failed.
    pub timeout_s: u32,
    /// Probes in a row that make it healthy.
    pub healthy_threshold: u32,
    /// Probes in a row that make it unhealthy.
    pub unhealthy_threshold: u32,
    /// Codes that count as well: HTTP or gRPC codes, `200`, `200,202` or `200-299`.
    pub matcher: String,
}

/// Port of probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbePort {
    /// The target's own.
    #[default]
    TrafficPort,
    /// Another one.
    Port(u16),
}

/// Attributes of a target group that nodes act by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroupAttributes {
    /// `deregistration_delay.timeout_seconds`: 0 to 3,600.
    pub deregistration_delay_s: u32,
    /// `slow_start.duration_seconds`: 0, or 30 to 900.
    pub slow_start_s: u32,
    /// `load_balancing.algorithm.type`.
    pub algorithm: Algorithm,
    /// Whether and how clients stay with a target.
    pub stickiness: Option<Stickiness>,
    /// `proxy_protocol_v2.enabled`.
    pub proxy_protocol_v2: bool,
    /// `deregistration_delay.connection_termination.enabled`.
    pub terminate_on_deregistration: bool,
}

impl Default for TargetGroupAttributes {
    /// AWS's defaults (ELBv2 `TargetGroupAttribute`).
    fn default() -> Self {
        Self {
            deregistration_delay_s: 300,
            slow_start_s: 0,
            algorithm: Algorithm::RoundRobin,
            stickiness: None,
            proxy_protocol_v2: false,
            terminate_on_deregistration: false,
        }
    }
}

impl TargetGroupAttributes {
    /// How long what is under way to a target may take once it is deregistered.
    pub fn deregistration_delay(&self) -> Duration {
        Duration::from_secs(u64::from(self.deregistration_delay_s))
    }

    /// How long it takes until a healthy target gets its full share of requests.
    pub fn slow_start(&self) -> Duration {
        Duration::from_secs(u64::from(self.slow_start_s))
    }
}

/// How one of several targets is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// In turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastOutstandingRequests,
    /// By chance.
    WeightedRandom,
}

/// How clients stay with a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stickiness {
    /// By a cookie of the balancer, that lasts for these seconds.
    LbCookie(u32),
    /// By a cookie of the application.
    AppCookie {
        /// Its name.
        name: String,
        /// Seconds that it lasts.
        duration_s: u32,
    },
    /// By the client's address.
    SourceIp,
}

/// What a group does with requests while it has no target: its service is asked to start one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemand {
    /// Milliseconds that a request is held for; then it is answered with 503.
    pub hold_ms: u32,
    /// Requests that may wait at each node; one more is answered with 503 at once.
    pub queue: u32,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Instance id or address, as it was registered.
    pub id: String,
    /// Port, as it was registered or as its group says.
    pub port: u16,
    /// Where it is; `None` when the instance is not known (any more).
    pub address: Option<SocketAddr>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When it was deregistered: it gets nothing new, and what is under way may end until its
    /// group's delay is over.
    pub deregistered_at: Option<Timestamp>,
    /// What the control plane knows of its health: where a node begins that has not asked it yet.
    pub health: Health,
}

/// Health of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// AWS's state.
    pub state: HealthState,
    /// AWS's reason, when it is not healthy.
    pub reason: Option<HealthReason>,
    /// AWS's description, when it is not healthy.
    pub description: Option<String>,
    /// When it came into this state.
    pub since: Timestamp,
}

/// AWS's `TargetHealthStateEnum`, as far as nodes can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// Registered, not yet asked often enough.
    Initial,
    /// Well.
    Healthy,
    /// Not well.
    Unhealthy,
    /// No listener uses its group.
    Unused,
    /// Deregistered; what is under way may end.
    Draining,
    /// Health checks are disabled.
    Unavailable,
}

impl HealthState {
    /// AWS's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unused => "unused",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
        }
    }
}

/// AWS's `TargetHealthReasonEnum`, as far as nodes can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HealthReason {
    /// Being registered.
    #[serde(rename = "Elb.RegistrationInProgress")]
    RegistrationInProgress,
    /// Being asked for the first time.
    #[serde(rename = "Elb.InitialHealthChecking")]
    InitialHealthChecking,
    /// It answered with another code.
    #[serde(rename = "Target.ResponseCodeMismatch")]
    ResponseCodeMismatch,
    /// It did not answer in time.
    #[serde(rename = "Target.Timeout")]
    Timeout,
    /// It refused the connection, or what it said could not be understood.
    #[serde(rename = "Target.FailedHealthChecks")]
    FailedHealthChecks,
    /// Not registered.
    #[serde(rename = "Target.NotRegistered")]
    NotRegistered,
    /// No listener uses its group.
    #[serde(rename = "Target.NotInUse")]
    NotInUse,
    /// Deregistered.
    #[serde(rename = "Target.DeregistrationInProgress")]
    DeregistrationInProgress,
    /// Its instance is stopped or gone.
    #[serde(rename = "Target.InvalidState")]
    InvalidState,
    /// Health checks are disabled.
    #[serde(rename = "Target.HealthCheckDisabled")]
    HealthCheckDisabled,
}

impl HealthReason {
    /// AWS's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RegistrationInProgress => "Elb.RegistrationInProgress",
            Self::InitialHealthChecking => "Elb.InitialHealthChecking",
            Self::ResponseCodeMismatch => "Target.ResponseCodeMismatch",
            Self::Timeout => "Target.Timeout",
            Self::FailedHealthChecks => "Target.FailedHealthChecks",
            Self::NotRegistered => "Target.NotRegistered",
            Self::NotInUse => "Target.NotInUse",
            Self::DeregistrationInProgress => "Target.DeregistrationInProgress",
            Self::InvalidState => "Target.InvalidState",
            Self::HealthCheckDisabled => "Target.HealthCheckDisabled",
        }
    }
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its ARN.
    pub arn: String,
    /// Names that it is for, for SNI; `*.example.com` for one label.
    pub names: Vec<String>,
    /// The certificate and its chain, PEM.
    pub chain_pem: String,
    /// Its private key, PEM.
    pub key_pem: String,
}

impl core::fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Certificate").field("arn", &self.arn).finish_non_exhaustive()
    }
}
