//! `ctl doctor`: whether this machine can run a container instance, and what to fix.

use std::path::Path;
use std::time::Duration;

use longshore_agent::api::Api;
use longshore_wire::ecs::{ListClustersRequest, op};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

use crate::failure::Failure;
use crate::output::{self, Output};

/// How long a check may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Disk space below which images and logs get into trouble.
const DISK_GIB: u64 = 2;

/// The outcome of one check.
struct Check {
    name: &'static str,
    finding: Result<String, (String, &'static str)>,
}

/// Runs all checks; fails when one does.
pub(super) async fn run(client: &Api, socket: &Path, output: Output) -> Result<(), Failure> {
    let checks = [
        Check { name: "server", finding: server(client).await },
        Check { name: "docker", finding: docker(socket).await },
        Check { name: "cgroups", finding: cgroups() },
        Check { name: "ports", finding: ports().await },
        Check { name: "disk", finding: disk() },
    ];
    match output {
        Output::Json => output::json(
            &checks
                .iter()
                .map(|check| match &check.finding {
                    Ok(found) => json!({ "check": check.name, "ok": true, "found": found }),
                    Err((found, fix)) => {
                        json!({ "check": check.name, "ok": false, "found": found, "fix": fix })
                    }
                })
                .collect(),
        ),
        Output::Table => output::table(
            ["CHECK", "", "FOUND", "TO FIX"],
            checks.iter().map(|check| {
                let (mark, found, fix) = match &check.finding {
                    Ok(found) => ("ok", found.clone(), ""),
                    Err((found, fix)) => ("FAIL", found.clone(), *fix),
                };
                [check.name.to_owned(), mark.to_owned(), found, fix.to_owned()]
            }),
        ),
    }
    let failed = checks.iter().filter(|check| check.finding.is_err()).count();
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new("this machine is not ready", format!("{failed} checks failed")))
}

type Finding = Result<String, (String, &'static str)>;

async fn server(client: &Api) -> Finding {
    let request = ListClustersRequest::default();
    let call = client.call::<op::ListClusters>(&request);
    let fix = "start `longshore dev`, or point --endpoint at a running server";
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(Ok(_)) => Ok("answers".to_owned()),
        Ok(Err(error)) => Err((error.to_string(), fix)),
        Err(_) => Err(("does not answer".to_owned(), fix)),
    }
}

async fn docker(socket: &Path) -> Finding {
    let fix = "install and start Docker Engine (Debian: apt-get install docker.io)";
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = match tokio::time::timeout(TIMEOUT, ask).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err((format!("{}: {error}", socket.display()), fix)),
        Err(_) => {
            return Err((
                "the daemon accepts connections and does not answer".to_owned(),
                "restart the Docker daemon; look into its log",
            ));
        }
    };
    let body = answer.find('{').map(|at| answer[at..].trim()).unwrap_or_default();
    let body = body.rfind('}').map_or(body, |end| &body[..=end]);
    let version: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    match version["Version"].as_str() {
        Some(number) => Ok(format!("Docker {number}")),
        None => Err(("something other than Docker answers".to_owned(), fix)),
    }
}

fn cgroups() -> Finding {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        let text = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        if text.split_whitespace().any(|name| name == "memory") {
            return Ok("version 2".to_owned());
        }
        return Err((
            "version 2 without the memory controller".to_owned(),
            "enable it (kernel parameter cgroup_enable=memory)",
        ));
    }
    if Path::new("/sys/fs/cgroup/memory").exists() {
        return Ok("version 1".to_owned());
    }
    Err((
        "no memory controller is mounted".to_owned(),
        "mount cgroups, or tasks run without memory limits",
    ))
}

/// The ports of an agent on its first development address.
async fn ports() -> Finding {
    for port in [51678, 51679] {
        if let Err(error) = TcpListener::bind(("127.0.0.1", port)).await {
            let fix = "stop what uses it: an agent of another kind runs on this machine";
            return Err((format!("port {port}: {error}"), fix));
        }
    }
    Ok("51678 and 51679 are free".to_owned())
}

fn disk() -> Finding {
    let path =
        ["/var/lib/docker", "/var/lib", "/"].into_iter().find(|path| Path::new(path).exists());
    let path = path.unwrap_or("/");
    match rustix::fs::statvfs(path) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 30;
            let found = format!("{free} GiB free at {path}");
            if free >= DISK_GIB {
                Ok(found)
            } else {
                Err((found, "free some space: docker system prune removes unused images"))
            }
        }
        Err(error) => Err((format!("{path}: {error}"), "check the file system")),
    }
}
