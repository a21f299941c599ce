//! `longshore server`: the control plane.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_auth::{Account, Credentials, Keys, Open, PrincipalKind, StaticKey};
use longshore_server::{Config, Identity, Membership, Retention, Started, Tls, TlsFiles};
use longshore_store::{StateError, Store};
use serde::Deserialize;

use crate::args::{IdentityKind, ServerOptions, TlsKind, TlsOptions};
use crate::failure::Failure;
use crate::store::Place;
use crate::{ca_file, files, identity_key, output, shutdown};

/// Runs the control plane until it is asked to stop.
pub(crate) async fn run(options: ServerOptions, region: &str) -> Result<(), Failure> {
    check_reachable(&options)?;
    let data_dir = data_dir(options.data_dir.clone())?;
    let store = options.store.open(&data_dir).await?;
    let initialized = longshore_server::is_initialized(&*store).await;
    let initialized =
        initialized.map_err(|error| Failure::caused("cannot read the store", &error))?;
    let kind = identity_kind(&options, initialized)?;
    let place = &options.store;
    let key = identity_key::find(&options.identity_key, place, &data_dir, initialized)?;
    let identity = match (kind, &options.keys) {
        (IdentityKind::Iam, _) => Identity::Iam,
        (IdentityKind::Keys, Some(file)) => Identity::Given(Box::new(Keys::new(read_keys(file)?))),
        _ => Identity::Given(Box::new(Open::new(Account::default()))),
    };
    let tls = tls(&options, kind, initialized)?;
    let is_plain = matches!(tls, Tls::Off);
    let config = Config {
        listen: options.listen,
        tls,
        region: parse_region(region)?,
        identity,
        identity_key: key,
        open: kind == IdentityKind::Open,
        retention: Retention::default(),
        fidelity: options.fidelity.fidelity(),
        connections: files::for_connections(),
        event_webhook: options.fidelity.event_webhook.clone(),
        membership: membership(options.name, options.advertise),
        throttle: options.throttle.is_some(),
        balancer_addresses: options.balancers.addresses,
        role_life: options.roles.life,
        audit: options.audit.config(&data_dir),
    };
    let started = start(config, store).await?;
    if let Some(pem) = started.certificate_authority() {
        ca_file::keep(&data_dir, pem)?;
    }
    if is_plain && !started.address().ip().is_loopback() {
        output::note(
            "longshore: plain HTTP (--tls off): whoever is on the way can read keys of agents, join tokens, \
             credentials of tasks and their environments, and can change what is told to agents and tools",
        );
    }
    output::note(&format!("longshore server listens on {}", started.url()));
    started.serve(shutdown::requested()).await.map_err(|error| failure(&error))
}

/// How TLS is spoken.
fn tls(options: &ServerOptions, identity: IdentityKind, initialized: bool) -> Result<Tls, Failure> {
    let TlsOptions { kind, names, certificate, key } = &options.tls;
    // Nobody else may reach a server that is open to everybody, and it refuses by itself.
    let is_local = options.listen.ip().is_loopback() || identity == IdentityKind::Open;
    let files = certificate.clone().zip(key.clone());
    let tls = match (kind, files) {
        (_, Some((certificate, key))) => Tls::Files(TlsFiles { certificate, key }),
        (Some(TlsKind::Off), None) => Tls::Off,
        (None, None) if is_local => Tls::Off,
        (Some(TlsKind::Local) | None, None) => {
            Tls::Local { names: names.iter().cloned().chain([machine()]).collect() }
        }
    };
    if matches!(tls, Tls::Local { .. }) && !initialized {
        let what = format!("cannot speak TLS on {}", options.listen);
        let why = "the store has not been initialized, so there is no authority to speak TLS by";
        return Err(Failure::new(what, why).exit_code(2).fix(
            "make it with `longshore server init`, or give a certificate with --tls-certificate and --tls-key, \
             or let everybody on the way read along with --tls off",
        ));
    }
    if matches!(tls, Tls::Off) && !names.is_empty() {
        let why = "without TLS there is no certificate that they could be in";
        return Err(Failure::new("cannot use --tls-name", why)
            .exit_code(2)
            .fix("give --tls local"));
    }
    let advertise = options.advertise.as_deref().filter(|url| url.starts_with("http://"));
    if let (Tls::Files(_) | Tls::Local { .. }, Some(url)) = (&tls, advertise) {
        let why = format!("this server speaks TLS on {}, so nobody gets through", options.listen);
        return Err(Failure::new(format!("cannot advertise {url}"), why).exit_code(2).fix(
            "advertise the same with https://, or, where nobody on the way is to be kept from reading, give \
             --tls off",
        ));
    }
    Ok(tls)
}

/// The name of this machine.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// How callers are known.
fn identity_kind(options: &ServerOptions, initialized: bool) -> Result<IdentityKind, Failure> {
    let wrong = |why: &str| Failure::new("cannot tell who may call", why).exit_code(2);
    let kind = match (options.identity, options.open, &options.keys) {
        (Some(IdentityKind::Keys), _, None) => {
            return Err(wrong("--identity keys needs the file").fix("give --keys FILE"));
        }
        (Some(kind), open, keys) => {
            let clashes = (open && kind != IdentityKind::Open)
                || (keys.is_some() && kind != IdentityKind::Keys);
            if clashes {
                return Err(wrong("--identity says something else than --open or --keys"));
            }
            kind
        }
        (None, true, _) => IdentityKind::Open,
        (None, false, Some(_)) => IdentityKind::Keys,
        (None, false, None) => IdentityKind::Iam,
    };
    if kind == IdentityKind::Iam && !initialized { Err(not_initialized()) } else { Ok(kind) }
}

fn not_initialized() -> Failure {
    Failure::new("nobody could call", "the store has no identities yet").exit_code(2).fix(
        "make them with `longshore server init`, or name a file with --keys, or let everybody in with \
         --open (on a loopback address)",
    )
}

/// Other servers must be told an address that leads to this one.
fn check_reachable(options: &ServerOptions) -> Result<(), Failure> {
    if options.advertise.is_some() || !options.listen.ip().is_unspecified() {
        return Ok(());
    }
    match options.store {
        Place::Etcd(_) => {
            let what = "cannot tell other servers and agents where this one is";
            let why = format!("it listens on all addresses ({})", options.listen);
            Err(Failure::new(what, why).fix("give --advertise https://ADDRESS:PORT"))
        }
        Place::DataDirectory | Place::File(_) => Ok(()),
    }
}

/// How a server of that name takes part.
pub(crate) fn membership(name: Option<String>, advertise: Option<String>) -> Membership {
    Membership { name: name.unwrap_or_else(machine), advertise, ..Membership::default() }
}

/// Starts a server on a store.
pub(crate) async fn start(config: Config, store: Arc<dyn Store>) -> Result<Started, Failure> {
    longshore_server::start(config, store)
        .await
        .map_err(|error| Failure::caused("cannot start the server", &error))
}

/// The failure of a server whose store failed.
pub(crate) fn failure(error: &StateError) -> Failure {
    Failure::caused("the server stopped", error)
        .fix("look at the store and the log, and start it again")
}

/// The region of the command line.
pub(crate) fn parse_region(region: &str) -> Result<longshore_domain::ids::Region, Failure> {
    region.parse().map_err(|why| Failure::new(format!("region '{region}'"), format!("it {why}")))
}

/// The data directory, made if it is not there.
pub(crate) fn data_dir(chosen: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let path = chosen.unwrap_or_else(default_data_dir);
    std::fs::create_dir_all(&path).map_err(|error| {
        Failure::new(format!("cannot make the data directory {}", path.display()), error)
            .fix("choose another one with --data-dir")
    })?;
    Ok(path)
}

fn default_data_dir() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/lib/longshore")
    } else {
        home.join(".local/share/longshore")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyEntry {
    access_key_id: String,
    secret_access_key: String,
    account: String,
    user: Option<String>,
}

fn read_keys(path: &Path) -> Result<Vec<StaticKey>, Failure> {
    let what = || format!("cannot use the key file {}", path.display());
    let form =
        "write a JSON list of {\"accessKeyId\", \"secretAccessKey\", \"account\", \"user\"?}";
    let text = std::fs::read_to_string(path).map_err(|error| Failure::new(what(), error))?;
    let entries: Vec<KeyEntry> =
        serde_json::from_str(&text).map_err(|error| Failure::new(what(), error).fix(form))?;
    if entries.is_empty() {
        return Err(Failure::new(what(), "it has no keys, so nobody could call").fix(form));
    }
    entries
        .into_iter()
        .map(|entry| {
            let account: Account = entry.account.parse().map_err(|_| {
                Failure::new(what(), format!("'{}' is no 12-digit account", entry.account))
            })?;
            Ok(StaticKey {
                credentials: Credentials {
                    access_key_id: entry.access_key_id,
                    secret_access_key: entry.secret_access_key,
                    session_token: None,
                },
                account,
                kind: entry.user.map_or(PrincipalKind::Root, |name| PrincipalKind::User { name }),
                expires_at_s: None,
            })
        })
        .collect()
}
