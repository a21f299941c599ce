//! What ends an agent.

use std::path::PathBuf;

use crate::api::ApiError;
use crate::runtime::RuntimeError;
use crate::trust::TrustError;

/// Why an agent could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The endpoint is not a URL of a control plane.
    #[error("{0} is not the URL of a control plane: it must begin with http:// or https://")]
    Endpoint(String),
    /// The container runtime cannot be reached.
    #[error("the container runtime cannot be reached; does it run, and may this user use it?")]
    Runtime(#[source] RuntimeError),
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used", path.display())]
    DataDir {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The data directory belongs to an agent of another cluster.
    #[error(
        "Data mismatch; saved cluster '{saved}' does not match configured cluster '{configured}': \
         use another data directory, or delete this one to begin as a new container instance"
    )]
    OtherCluster {
        /// Cluster of the saved state.
        saved: String,
        /// Cluster of the configuration.
        configured: String,
    },
    /// The control plane refuses the instance.
    #[error("the control plane refuses to register this container instance")]
    Register(#[source] ApiError),
    /// The control plane refuses to let the instance go.
    #[error("the control plane refuses to deregister this container instance")]
    Deregister(#[source] ApiError),
    /// The control plane refuses to let the machine join.
    #[error("the control plane refuses this join token")]
    Join(#[source] ApiError),
    /// What is there is not the control plane that made the token.
    #[error("what answers is not the control plane of this join token, and was told nothing")]
    Stranger(#[source] ApiError),
    /// The machine is to know the control plane by an authority, and is led to plain HTTP.
    #[error(
        "{0} is plain HTTP, and the join token of this machine is for TLS; nothing was sent there"
    )]
    Plain(String),
    /// The authority by which the machine joined cannot be used.
    #[error("the certificate of the control plane's authority cannot be used")]
    Authority(#[source] TrustError),
    /// The keys of a machine that joined are good no more.
    #[error("the keys that this machine got when it joined have ended")]
    KeysEnded(#[source] ApiError),
    /// The TLS library has no trusted roots.
    #[error("no trusted certificates were found for TLS")]
    Tls(#[source] std::io::Error),
}
