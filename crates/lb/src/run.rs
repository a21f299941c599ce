//! Putting a balancer together, and taking it apart.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use longshore_auth::Credentials;
use longshore_domain::route::Snapshot;
use longshore_domain::time::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, sleep};

use crate::control::{self, Control};
use crate::health::Probers;
use crate::listeners::Listeners;
use crate::log::AccessLog;
use crate::node::Node;
use crate::table::Table;
use crate::{clock, handover, limits, metrics};

/// How a balancer is run.
#[derive(Clone, Debug)]
pub struct Config {
    /// URL of the control plane; none when the snapshot comes from a file.
    pub server: Option<String>,
    /// Region that calls are signed for.
    pub region: String,
    /// What calls are signed with.
    pub credentials: Credentials,
    /// Certificates of the authorities by which the control plane is known, and no other: PEM. None for
    /// the roots that the system trusts.
    pub authorities: Option<Vec<u8>>,
    /// Where the last snapshot, the access logs and the socket for handovers are.
    pub data_dir: PathBuf,
    /// A snapshot file, which is read again whenever it changes.
    pub snapshot: Option<PathBuf>,
    /// Where metrics are served.
    pub metrics_listen: Option<SocketAddr>,
    /// Threads that serve connections; as many as there are processors unless given.
    pub workers: Option<usize>,
}

/// Why a balancer cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LbError {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The control plane's URL makes no sense, or TLS cannot be set up.
    #[error("cannot speak with the control plane: {0}")]
    Control(String),
    /// Neither a control plane nor a file was given.
    #[error("no snapshot: give a control plane or a snapshot file")]
    NoSnapshot,
    /// Threads cannot be started.
    #[error("cannot start threads")]
    Threads(#[source] std::io::Error),
    /// Metrics cannot be served.
    #[error("cannot serve metrics on {address}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Threads that serve connections, until dropped.
struct Workers {
    handles: Vec<Handle>,
    /// Each ends its thread when dropped.
    stops: Vec<oneshot::Sender<()>>,
}

impl Workers {
    fn start(count: usize) -> std::io::Result<Self> {
        let mut workers = Self { handles: Vec::new(), stops: Vec::new() };
        for number in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let (stop, stopped) = oneshot::channel::<()>();
            workers.stops.push(stop);
            std::thread::Builder::new().name(format!("lb-{number}")).spawn(move || {
                let _ = runtime.block_on(stopped);
            })?;
        }
        Ok(workers)
    }
}

/// Runs a balancer until `shutdown` is ready or another process has taken over.
///
/// # Errors
/// When it cannot start; see [`LbError`].
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), LbError> {
    let data_dir = config.data_dir.clone();
    let unusable = |source| LbError::DataDir { path: data_dir.clone(), source };
    std::fs::create_dir_all(&config.data_dir).map_err(unusable)?;
    let count = config
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    let workers = Workers::start(count.max(1)).map_err(LbError::Threads)?;
    let log = AccessLog::start(config.data_dir.join("access-logs"));
    let node = Arc::new(Node::new(clock::seed(), workers.handles.clone(), log));
    let meeting = handover::path(&config.data_dir);
    let asked = meeting.clone();
    let before = tokio::task::spawn_blocking(move || handover::take(&asked)).await.ok().flatten();
    let (inherited, predecessor) = before.map_or_else(Default::default, |(s, p)| (s, Some(p)));
    let mut served = Served {
        listeners: Listeners::new(Arc::clone(&node), inherited),
        probers: Probers::new(Arc::clone(&node)),
        node: Arc::clone(&node),
        keep: config.snapshot.is_none().then(|| config.data_dir.join("snapshot.json")),
    };
    let kept = config.snapshot.clone().or_else(|| served.keep.clone());
    let mut version = 0;
    if let Some(snapshot) = kept.as_deref().and_then(read) {
        version = snapshot.version;
        served.apply(&snapshot);
    }
    let (found, snapshots) = mpsc::channel(4);
    let mut parts = tokio::task::JoinSet::new();
    let mut goodbye = None;
    if let Some(url) = &config.server {
        let authorities = config.authorities.as_deref();
        let control = Control::new(url, &config.region, config.credentials.clone(), authorities);
        let control = control.map_err(LbError::Control)?;
        parts.spawn(control::report(Arc::clone(&node), control.clone()));
        goodbye = Some(control.clone());
        if config.snapshot.is_none() {
            let node = Arc::clone(&node);
            parts.spawn(control::follow(node, control, version, found.clone()));
        }
    }
    match config.snapshot {
        Some(path) => {
            parts.spawn(control::watch(path, found));
        }
        None if config.server.is_none() => return Err(LbError::NoSnapshot),
        None => {}
    }
    if let Some(address) = config.metrics_listen {
        let node = Arc::clone(&node);
        parts.spawn(async move {
            // The process before may hold the address for as long as it drains.
            while let Err(error) = metrics::serve(Arc::clone(&node), address).await {
                tracing::warn!(%error, %address, "cannot serve metrics yet");
                sleep(limits::REOPEN).await;
            }
        });
    }
    let succeeded = meet(&meeting, &served).map_err(unusable)?;
    if let Some(predecessor) = predecessor {
        predecessor.ready();
    }
    served.until(snapshots, shutdown, succeeded, &meeting).await;
    drain(&node).await;
    parts.shutdown().await;
    if let Some(control) = goodbye {
        control.leave(node.id).await;
    }
    Ok(())
}

/// What serves.
struct Served {
    listeners: Listeners,
    probers: Probers,
    node: Arc<Node>,
    /// Where snapshots of the control plane are kept.
    keep: Option<PathBuf>,
}

impl Served {
    fn apply(&mut self, snapshot: &Snapshot) {
        let before = self.node.table.load_full();
        let workers = self.node.workers.len();
        let table = Arc::new(Table::new(snapshot, &before, workers, &self.node.news));
        self.node.table.store(Arc::clone(&table));
        // Requests that wait look at the newest table.
        for group in table.groups.values() {
            group.live.ready.notify_waiters();
        }
        self.probers.apply(&table);
        self.listeners.apply(&table);
        // Those of a snapshot before are not for this process.
        self.listeners.inherited.clear();
        self.node.news.notify_one();
    }

    /// Serves until it is time to end.
    async fn until(
        &mut self,
        mut snapshots: mpsc::Receiver<Snapshot>,
        shutdown: impl Future<Output = ()>,
        mut succeeded: mpsc::Receiver<()>,
        meeting: &Path,
    ) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut reopen = interval(limits::REOPEN);
        loop {
            tokio::select! {
                biased;
                () = shutdown.as_mut() => {
                    let _ = std::fs::remove_file(meeting);
                    // One moment more for those that have connected already.
                    sleep(Duration::from_millis(50)).await;
                    break;
                }
                Some(()) = succeeded.recv() => break,
                Some(snapshot) = snapshots.recv() => {
                    if let Some(path) = &self.keep {
                        keep(path, &snapshot);
                    }
                    self.apply(&snapshot);
                }
                _ = reopen.tick() => self.sweep(),
            }
        }
        self.node.begin_to_drain();
        self.listeners.close();
    }

    fn sweep(&mut self) {
        let table = self.node.table.load_full();
        let now = clock::now();
        for group in table.groups.values() {
            let delay = Duration::from_secs(group.record.attributes.deregistration_delay_s.into());
            for target in &group.targets {
                target.sweep();
                if target.deregistered_at().is_some_and(|at: Timestamp| at + delay <= now) {
                    target.terminate.notify_waiters();
                }
            }
        }
        let unopened = self.node.unopened.lock().is_ok_and(|unopened| !unopened.is_empty());
        if unopened {
            self.listeners.apply(&table);
        }
    }
}

fn read(path: &Path) -> Option<Snapshot> {
    let bytes = std::fs::read(path).ok()?;
    let read = serde_json::from_slice(&bytes);
    read.inspect_err(|error| tracing::warn!(%error, "the snapshot that was kept cannot be read"))
        .ok()
}

/// Keeps a snapshot for the next start. It holds private keys: nobody else may read it.
fn keep(path: &Path, snapshot: &Snapshot) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_extension("new");
    let kept = serde_json::to_vec(snapshot).map_err(std::io::Error::other).and_then(|bytes| {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    });
    if let Err(error) = kept {
        tracing::warn!(%error, "cannot keep the snapshot");
    }
}

/// Waits for a process that takes over.
fn meet(path: &Path, served: &Served) -> std::io::Result<mpsc::Receiver<()>> {
    let _ = std::fs::remove_file(path);
    let listener = tokio::net::UnixListener::bind(path)?;
    let permissions: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, permissions)?;
    let sockets = Arc::clone(&served.listeners.sockets);
    let (succeeded, waiting) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let Ok(stream) = stream.into_std() else { continue };
            let sockets = Arc::clone(&sockets);
            let given = tokio::task::spawn_blocking(move || handover::give(stream, &sockets)).await;
            match given {
                Ok(Ok(true)) => {
                    let _ = succeeded.send(()).await;
                    return;
                }
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a handover has failed"),
            }
        }
    });
    Ok(waiting)
}

/// Lets what is under way end. Idle connections get a while, in which a request that is on its
/// way is still answered.
async fn drain(node: &Node) {
    let ends = Instant::now() + limits::DRAIN;
    let mut quiet_since = Instant::now();
    loop {
        if node.active.load(Relaxed) > 0 {
            quiet_since = Instant::now();
        }
        let quiet = quiet_since.elapsed() >= Duration::from_secs(1);
        let none = node.connections.load(Relaxed) == 0;
        if none || quiet || Instant::now() >= ends {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_snapshot_is_read_again_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("snapshot.json");
        let snapshot = Snapshot { version: 7, ..Snapshot::default() };
        keep(&path, &snapshot);
        assert_eq!(read(&path), Some(snapshot));
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "{").expect("written");
        assert_eq!(read(&path), None);
    }
}
