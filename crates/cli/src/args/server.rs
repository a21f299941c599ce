//! Options of `longshore server`, and of `longshore server init`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use longshore_domain::ids::AccountId;

use super::{BalancerOptions, FidelityOptions, RoleOptions, StoreOptions, base_url};
use crate::audit::AuditOptions;
use crate::store::Place;

/// `longshore server`, and `longshore server init`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ServerCommand {
    /// What to do instead of running.
    #[command(subcommand)]
    pub(crate) instead: Option<Instead>,
    /// How to run.
    #[command(flatten)]
    pub(crate) options: ServerOptions,
}

/// What `longshore server` does instead of running.
#[derive(Debug, Subcommand)]
pub(crate) enum Instead {
    /// Make the identities that everything begins with: the key of root and the first administrator,
    /// whose keys are shown once.
    Init(InitOptions),
}

/// Options of `longshore server init`.
#[derive(Debug, Args)]
pub(crate) struct InitOptions {
    /// The store.
    #[command(flatten)]
    pub(crate) store: StoreOptions,
    /// The account.
    #[arg(long, default_value = "000000000000")]
    pub(crate) account: AccountId,
    /// What secrets are sealed with.
    #[command(flatten)]
    pub(crate) key: IdentityKeyOptions,
    /// Take away the keys of root, and make a new one.
    #[arg(long)]
    pub(crate) reset_root: bool,
    /// The identity key is lost: remove all access keys, which nobody can open any more.
    #[arg(long, requires = "reset_root")]
    pub(crate) forget_keys: bool,
}

/// Where the identity key is, with which secrets of access keys and sessions are sealed.
#[derive(Debug, Default, Args)]
pub(crate) struct IdentityKeyOptions {
    /// File with the identity key: 32 bytes in base 64 [default: identity.key in the data directory].
    #[arg(long = "identity-key-file", value_name = "FILE", conflicts_with = "command")]
    pub(crate) file: Option<PathBuf>,
    /// Command that prints the identity key in base 64; it is run by `sh` once, at the start.
    #[arg(long = "identity-key-command", value_name = "COMMAND", id = "command")]
    pub(crate) command: Option<String>,
}

/// How callers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IdentityKind {
    /// Not at all: everybody is root of their account.
    Open,
    /// By a file with access keys.
    Keys,
    /// By the users and roles of IAM.
    Iam,
}

/// Options of `longshore server`.
#[derive(Debug, Args)]
pub(crate) struct ServerOptions {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:4566")]
    pub(crate) listen: SocketAddr,
    /// URL by which agents and other servers reach this one [default: where it listens].
    #[arg(long, value_name = "URL", value_parser = base_url)]
    pub(crate) advertise: Option<String>,
    /// What this server is called in `ctl status` [default: the name of the machine].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where state is kept [default: /var/lib/longshore for root, else ~/.local/share/longshore].
    #[arg(long, env = "LONGSHORE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The store: redb (a file in the data directory), redb:FILE, or
    /// etcd://[USER@]HOST:PORT,HOST:PORT[/NAMESPACE][?OPTION=VALUE&...] and etcds:// for TLS.
    #[arg(long, env = "LONGSHORE_STORE", hide_env_values = true, default_value = "redb")]
    pub(crate) store: Place,
    /// How callers are known [default: open with --open, keys with --keys, else iam, for which the store
    /// must have been initialized].
    #[arg(long, value_enum)]
    pub(crate) identity: Option<IdentityKind>,
    /// What secrets are sealed with.
    #[command(flatten)]
    pub(crate) identity_key: IdentityKeyOptions,
    /// Accept anybody as root of their account; only on a loopback address.
    #[arg(long, conflicts_with = "keys")]
    pub(crate) open: bool,
    /// File with access keys: a JSON list of {accessKeyId, secretAccessKey, account}.
    #[arg(long)]
    pub(crate) keys: Option<PathBuf>,
    /// TLS.
    #[command(flatten)]
    pub(crate) tls: TlsOptions,
    /// Hold each caller to rates: `aws` for those of ECS [default: nobody is throttled].
    #[arg(long, value_enum)]
    pub(crate) throttle: Option<Rates>,
    /// Where balancers listen.
    #[command(flatten)]
    pub(crate) balancers: BalancerOptions,
    /// Credentials of tasks.
    #[command(flatten)]
    pub(crate) roles: RoleOptions,
    /// Fidelity and events.
    #[command(flatten)]
    pub(crate) fidelity: FidelityOptions,
    /// The audit log.
    #[command(flatten)]
    pub(crate) audit: AuditOptions,
}

/// Rates that callers are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rates {
    /// Those of ECS.
    Aws,
}

/// TLS of a server.
#[derive(Debug, Args)]
pub(crate) struct TlsOptions {
    /// `local`: TLS by the control plane's own authority, whose certificate is ca.pem of the data
    /// directory. `off`: plain HTTP [default: by the files of --tls-certificate; else off on a loopback
    /// address, and local on others].
    #[arg(long = "tls", value_name = "KIND", value_enum, conflicts_with = "certificate")]
    pub(crate) kind: Option<TlsKind>,
    /// DNS name or address that this server is reached by, for its certificate; may be repeated. Where it
    /// listens, --advertise and this machine's own name and addresses are in it anyway.
    #[arg(long = "tls-name", value_name = "NAME", value_parser = host_name, conflicts_with = "certificate")]
    pub(crate) names: Vec<String>,
    /// Certificate chain for TLS, as PEM.
    #[arg(long = "tls-certificate", value_name = "FILE", id = "certificate", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Private key for TLS, as PEM.
    #[arg(long = "tls-key", value_name = "FILE", id = "key", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
}

/// How a server speaks TLS without files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsKind {
    /// By the control plane's own authority.
    Local,
    /// Not at all.
    Off,
}

/// A name that a certificate can be for.
fn host_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = text.len() <= 253 && text.split('.').all(label);
    if is_name || text.parse::<IpAddr>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err(format!("'{text}' is no name such as control.example, and no address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_names_and_addresses() {
        for right in ["control.example", "box", "10.0.0.1", "fd00::1"] {
            assert_eq!(host_name(right).as_deref(), Ok(right));
        }
        for wrong in ["", "a b", "*.example", "https://a", "a..b", "-a", "10.0.0.1:4566"] {
            assert!(host_name(wrong).is_err(), "{wrong}");
        }
    }
}
