//! A real etcd of a test's own, whose members it can kill, pause and restart.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use longshore_store::{EtcdOptions, EtcdStore, StoreError};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::backend::{ID, etcd_endpoints, soon};

/// How a cluster is made.
#[derive(Default)]
pub(super) struct Recipe {
    pub(super) members: usize,
    /// More arguments of every member.
    pub(super) arguments: Vec<String>,
    /// Whether clients speak TLS.
    pub(super) tls: bool,
}

pub(super) struct Cluster {
    pub(super) dir: TempDir,
    members: Vec<Member>,
    tls: bool,
}

struct Member {
    arguments: Vec<String>,
    port: u16,
    child: Option<Child>,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Cluster {
    /// Starts a cluster, where the machine has an etcd.
    pub(super) async fn start(recipe: Recipe) -> Option<Self> {
        etcd_endpoints()?;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ports: Vec<_> = (0..recipe.members).map(|_| (free_port(), free_port())).collect();
        let peers = ports.iter().enumerate().map(|(n, (_, peer))| peer_of(n, *peer));
        let all = peers.collect::<Vec<_>>().join(",");
        let scheme = if recipe.tls { "https" } else { "http" };
        let member = |(n, &(port, peer)): (usize, &(u16, u16))| {
            let client = format!("{scheme}://127.0.0.1:{port}");
            let peer = format!("http://127.0.0.1:{peer}");
            let data = dir.path().join(format!("m{n}"));
            let mut arguments: Vec<String> = [
                ("name", format!("m{n}")),
                ("data-dir", data.display().to_string()),
                ("listen-peer-urls", peer.clone()),
                ("initial-advertise-peer-urls", peer),
                ("listen-client-urls", client.clone()),
                ("advertise-client-urls", client),
                ("initial-cluster", all.clone()),
                ("logger", "zap".into()),
                ("log-level", "error".into()),
            ]
            .map(|(name, value)| format!("--{name}={value}"))
            .into();
            arguments.extend(recipe.arguments.iter().cloned());
            Member { arguments, port, child: None }
        };
        let members = ports.iter().enumerate().map(member).collect();
        let mut cluster = Self { dir, members, tls: recipe.tls };
        for n in 0..recipe.members {
            cluster.run(n);
        }
        if !recipe.tls {
            cluster.healthy().await;
        }
        Some(cluster)
    }

    pub(super) fn run(&mut self, number: usize) {
        self.run_with(number, &[]);
    }

    /// Starts a member where only the caller finds it, and returns its address.
    pub(super) fn run_hidden(&mut self, number: usize) -> String {
        let host = format!("127.0.0.1:{}", free_port());
        let urls =
            ["listen", "advertise"].map(|what| format!("--{what}-client-urls=http://{host}"));
        self.run_with(number, &urls);
        format!("etcd://{host}")
    }

    fn run_with(&mut self, number: usize, more: &[String]) {
        let member = &mut self.members[number];
        let child = Command::new("etcd")
            .args(&member.arguments)
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        member.child = Some(child.expect("etcd is installed"));
    }

    pub(super) fn signal(&self, number: usize, signal: Signal) {
        let child = self.members[number].child.as_ref().expect("it runs");
        let pid = i32::try_from(child.id().expect("it runs")).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), signal).expect("it can be signalled");
    }

    /// Kills a member, as a power cut would.
    pub(super) async fn kill(&mut self, number: usize) {
        let mut child = self.members[number].child.take().expect("it runs");
        soon(child.kill()).await.expect("it can be killed");
    }

    /// Waits until a majority serves.
    pub(super) async fn healthy(&self) {
        soon(async {
            // etcdctl waits by itself, and nothing tells when it need not.
            while !self.try_etcdctl(&["get", "x"]).await.0 {}
        })
        .await;
    }

    /// The address of some members.
    pub(super) fn address_of(&self, members: &[usize]) -> String {
        let hosts = members.iter().map(|&n| format!("127.0.0.1:{}", self.members[n].port));
        let scheme = if self.tls { "etcds" } else { "etcd" };
        format!("{scheme}://{}", hosts.collect::<Vec<_>>().join(","))
    }

    /// Port for clients of a member.
    pub(super) fn port(&self, number: usize) -> u16 {
        self.members[number].port
    }

    pub(super) fn address(&self) -> String {
        self.address_of(&(0..self.members.len()).collect::<Vec<_>>())
    }

    pub(super) async fn open(&self) -> EtcdStore {
        open(&self.address()).await.expect("opens")
    }

    /// Runs etcdctl, which must succeed.
    pub(super) async fn etcdctl(&self, arguments: &[&str]) -> String {
        let (success, said) = self.try_etcdctl(arguments).await;
        assert!(success, "{arguments:?}: {said}");
        said
    }

    pub(super) async fn succeeds(&self, arguments: &[&str]) -> bool {
        self.try_etcdctl(arguments).await.0
    }

    async fn try_etcdctl(&self, arguments: &[&str]) -> (bool, String) {
        let hosts = self.members.iter().map(|member| format!("127.0.0.1:{}", member.port));
        let output = Command::new("etcdctl")
            .arg(format!("--endpoints={}", hosts.collect::<Vec<_>>().join(",")))
            .arg("--command-timeout=2s")
            .args(arguments)
            .env("ETCDCTL_API", "3")
            .output();
        let output = soon(output).await.expect("etcdctl is installed");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Puts the content of a snapshot in place of what a stopped cluster of one member holds; the
    /// cluster keeps its name and addresses, as an operator would have it.
    pub(super) async fn restore(&self, snapshot: &Path) {
        let find = |name: &str| {
            let prefix = format!("--{name}=");
            let found = self.members[0].arguments.iter().find(|a| a.starts_with(&prefix));
            found.expect("it is there").clone()
        };
        let data = PathBuf::from(find("data-dir").trim_start_matches("--data-dir="));
        std::fs::remove_dir_all(&data).expect("removes");
        let snapshot = snapshot.display().to_string();
        let same = ["name", "initial-cluster", "initial-advertise-peer-urls", "data-dir"].map(find);
        let [name, cluster, peers, data] = &same;
        self.etcdctl(&["snapshot", "restore", &snapshot, name, cluster, peers, data]).await;
    }
}

fn peer_of(number: usize, port: u16) -> String {
    format!("m{number}=http://127.0.0.1:{port}")
}

pub(super) async fn open(address: &str) -> Result<EtcdStore, StoreError> {
    soon(EtcdStore::open(EtcdOptions::parse(address, ID)?)).await
}
