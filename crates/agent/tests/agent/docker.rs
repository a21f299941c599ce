//! Real containers. Needs a Docker daemon at the usual socket and busybox; where there is no
//! daemon these tests say so and pass.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use longshore_agent::runtime::{DockerRuntime, Runtime};
use longshore_agent::{Config, run};
use longshore_wire::agent::{
    Container, Dependency, DependencyCondition, DockerVolumeConfiguration, HostVolume, MountPoint,
    PortMapping, Volume,
};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;
use crate::support::{self, container, task};

const IMAGE: &str = "longshore-agent-test:latest";
const SOCKET: &str = "/var/run/docker.sock";

/// A control plane and an agent on the machine's Docker daemon.
struct Machine {
    control_plane: ControlPlane,
    dir: tempfile::TempDir,
    instance: String,
    agent: Option<JoinHandle<()>>,
}

/// Numbers the machines of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Machine {
    /// Nothing where no daemon answers.
    async fn start() -> Option<Self> {
        if !image().await {
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let instance = format!(
            "arn:aws:ecs:us-east-1:000000000000:container-instance/default/{:024x}{number:08x}",
            std::process::id()
        );
        let control_plane = ControlPlane::start().await;
        control_plane.set_instance(&instance);
        let dir = tempfile::tempdir().expect("a directory");
        let mut machine = Self { control_plane, dir, instance, agent: None };
        machine.start_agent();
        Some(machine)
    }

    fn config(&self) -> Config {
        let mut config = support::config(self.control_plane.url(), self.dir.path());
        config.host_address = Some("127.0.1.9".parse().expect("an address"));
        config
    }

    fn start_agent(&mut self) {
        let config = self.config();
        self.start_agent_with(config);
    }

    fn start_agent_with(&mut self, config: Config) {
        self.agent = Some(tokio::spawn(async move {
            run(config, std::future::pending()).await.expect("the agent runs");
        }));
    }

    async fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
            drop(agent.await);
        }
    }

    /// Runs containers as one task and gives its ARN.
    async fn run(&self, name: &str, containers: Vec<Container>) -> String {
        let task = self.task(name, containers);
        let arn = task.arn.clone();
        self.control_plane.send_tasks(vec![task]).await;
        arn
    }

    /// A task whose id is this machine's own, as names of containers come from it.
    fn task(&self, name: &str, containers: Vec<Container>) -> longshore_wire::agent::Task {
        let id = self.instance.rsplit('/').next().unwrap_or_default();
        task(&format!("{name}{id}"), containers)
    }

    async fn stopped(&self, arn: &str) -> Value {
        self.control_plane.reported(arn, "STOPPED").await
    }

    /// Takes away every container and volume that the test has made.
    async fn end(mut self) {
        self.kill_agent().await;
        let filter = format!("label=com.amazonaws.ecs.container-instance-arn={}", self.instance);
        let ids = docker(&["ps", "-aq", "--filter", &filter]).await;
        for id in ids.split_whitespace() {
            docker(&["rm", "-f", "-v", id]).await;
        }
        let id = self.instance.rsplit('/').next().unwrap_or_default();
        let volumes = docker(&["volume", "ls", "-q", "--filter", &format!("name={id}")]).await;
        for volume in volumes.split_whitespace() {
            docker(&["volume", "rm", volume]).await;
        }
    }
}

async fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().await.expect("the docker command");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Makes the test image, once; false where there is no daemon.
async fn image() -> bool {
    static MADE: OnceCell<bool> = OnceCell::const_new();
    *MADE
        .get_or_init(|| async {
            if !Path::new(SOCKET).exists() {
                eprintln!("no Docker daemon at {SOCKET}: tests with real containers are left out");
                return false;
            }
            let dir = tempfile::tempdir().expect("a directory");
            let bin = dir.path().join("bin");
            std::fs::create_dir_all(&bin).expect("bin");
            std::fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static");
            for name in
                ["sh", "sleep", "cat", "echo", "httpd", "dd", "true", "test", "wget", "touch"]
            {
                std::os::unix::fs::symlink("busybox", bin.join(name)).expect("a link");
            }
            for name in ["tmp", "etc", "data"] {
                std::fs::create_dir_all(dir.path().join(name)).expect("a directory");
            }
            let mut tar = Command::new("tar")
                .args(["-c", "."])
                .current_dir(dir.path())
                .stdout(Stdio::piped())
                .spawn()
                .expect("tar");
            let archive: Stdio = tar.stdout.take().expect("its output").try_into().expect("a pipe");
            let imported = Command::new("docker")
                .args(["import", "-", IMAGE])
                .stdin(archive)
                .output()
                .await
                .expect("docker import");
            tar.wait().await.expect("tar ends");
            imported.status.success()
        })
        .await
}

fn shell(name: &str, script: &str) -> Container {
    Container {
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        ..container(name, IMAGE)
    }
}

#[tokio::test]
async fn a_container_runs_and_its_exit_code_is_told() {
    let Some(machine) = Machine::start().await else { return };
    let arn = machine.run("exit", vec![shell("main", "exit 7")]).await;
    let stopped = machine.stopped(&arn).await;
    assert_eq!(stopped["containers"][0]["exitCode"], 7);
    let id = stopped["containers"][0]["runtimeId"].as_str().expect("an id");
    let name = docker(&["inspect", "-f", "{{.Name}}", id]).await;
    assert!(name.starts_with("/ecs-test-1-main-exit"), "{name}");
    let broken = Container { command: vec!["/no/such/file".into()], ..container("main", IMAGE) };
    let arn = machine.run("broken", vec![broken]).await;
    let stopped = machine.stopped(&arn).await;
    let reason = stopped["containers"][0]["reason"].as_str().unwrap_or_default();
    let expected = "CannotStartContainerError: Error response from daemon: ";
    assert!(reason.starts_with(expected), "{reason}");
    let absent = Container { image: "127.0.0.1:1/none:1".into(), ..shell("main", "true") };
    let arn = machine.run("absent", vec![absent]).await;
    let stopped = machine.stopped(&arn).await;
    let reason = stopped["containers"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("CannotPullContainerError: Error response from daemon"), "{reason}");
    machine.end().await;
}

#[tokio::test]
async fn a_container_is_asked_and_then_made_to_stop() {
    let Some(machine) = Machine::start().await else { return };
    let polite =
        shell("main", "trap 'exit 3' TERM; touch /tmp/ready; while true; do sleep 0.05; done");
    let deaf = shell("main", "trap '' TERM; touch /tmp/ready; while true; do sleep 0.05; done");
    for (name, main, code) in [("polite", polite, 3), ("deaf", deaf, 137)] {
        let arn = machine.run(name, vec![main]).await;
        let running = machine.control_plane.reported(&arn, "RUNNING").await;
        let id = running["containers"][0]["runtimeId"].as_str().expect("an id");
        let wait = ["exec", id, "/bin/sh", "-c", "while ! test -f /tmp/ready; do sleep 0.02; done"];
        docker(&wait).await;
        machine.control_plane.stop(&arn).await;
        let stopped = machine.stopped(&arn).await;
        assert_eq!(stopped["containers"][0]["exitCode"], code, "{name}");
    }
    machine.end().await;
}

#[tokio::test]
async fn a_container_that_takes_too_much_memory_is_told_apart() {
    let Some(machine) = Machine::start().await else { return };
    // The daemon does not see what happens in a container's first milliseconds.
    let mut main = shell("main", "sleep 0.5; dd if=/dev/zero of=/dev/null bs=64M count=4");
    main.memory = 16;
    main.docker_config.host_config = Some(r#"{"NetworkMode":"none","MemorySwap":16777216}"#.into());
    let arn = machine.run("oom", vec![main]).await;
    let stopped = machine.stopped(&arn).await;
    let main = &stopped["containers"][0];
    let expected = "OutOfMemoryError: Container killed due to memory usage";
    assert_eq!(main["reason"], expected, "{stopped}");
    assert_eq!(main["exitCode"], 137);
    machine.end().await;
}

#[tokio::test]
async fn containers_depend_on_success_and_on_health() {
    let Some(machine) = Machine::start().await else { return };
    let init = Container { essential: false, ..shell("init", "exit 0") };
    let mut db = shell("db", "sleep 0.2; touch /tmp/ready; while true; do sleep 0.1; done");
    db.health_check_type = Some("docker".into());
    db.docker_config.config = Some(
        r#"{"Healthcheck":{"Test":["CMD-SHELL","test -f /tmp/ready"],"Interval":100000000,"Timeout":2000000000,"Retries":50}}"#
            .into(),
    );
    let mut app = shell("app", "exit 4");
    let on = |name: &str, condition| Dependency { container_name: name.into(), condition };
    app.depends_on =
        vec![on("init", DependencyCondition::Success), on("db", DependencyCondition::Healthy)];
    let arn = machine.run("order", vec![app, init, db]).await;
    machine.stopped(&arn).await;
    let reports = machine.control_plane.reports(&arn).join("\n");
    assert!(reports.contains("init=STOPPED(0)") && reports.contains("app=STOPPED(4)"), "{reports}");
    machine.end().await;
}

#[tokio::test]
async fn volumes_keep_what_was_written() {
    let Some(machine) = Machine::start().await else { return };
    let outside = tempfile::tempdir().expect("a directory");
    let mounts = |name: &str, script: &str| Container {
        mount_points: [("own", "/data/own"), ("host", "/data/host"), ("shared", "/data/shared")]
            .map(|(volume, path)| MountPoint {
                source_volume: volume.into(),
                container_path: path.into(),
                read_only: false,
            })
            .to_vec(),
        ..shell(name, script)
    };
    let volumes = || {
        let host = |path: Option<String>| Some(HostVolume { source_path: path });
        let shared = DockerVolumeConfiguration {
            scope: Some("shared".into()),
            autoprovision: true,
            labels: [("kept".to_owned(), "yes".to_owned())].into(),
            ..DockerVolumeConfiguration::default()
        };
        vec![
            Volume { name: "own".into(), host: host(None), ..Volume::default() },
            Volume {
                name: "host".into(),
                host: host(Some(outside.path().display().to_string())),
                ..Volume::default()
            },
            Volume {
                name: "shared".into(),
                docker_volume_configuration: Some(shared),
                ..Volume::default()
            },
        ]
    };
    let write = Container {
        essential: false,
        ..mounts("write", "for v in own host shared; do echo hello > /data/$v/file; done")
    };
    let mut read = mounts(
        "read",
        "cat /data/own/file /data/host/file /data/shared/file | (read a; read b; read c; test $a$b$c = hellohellohello)",
    );
    read.depends_on = vec![Dependency {
        container_name: "write".into(),
        condition: DependencyCondition::Success,
    }];
    let mut first = machine.task("volumes", vec![write, read]);
    first.volumes = volumes();
    let arn = first.arn.clone();
    machine.control_plane.send_tasks(vec![first]).await;
    let stopped = machine.stopped(&arn).await;
    let reports = machine.control_plane.reports(&arn).join("\n");
    assert!(reports.contains("read=STOPPED(0)"), "{stopped} {reports}");
    let text = std::fs::read_to_string(outside.path().join("file")).expect("the file");
    assert_eq!(text, "hello\n");
    let mut second = machine.task(
        "later",
        vec![mounts("read", "test -f /data/shared/file && ! test -f /data/own/file")],
    );
    second.volumes = volumes();
    let arn = second.arn.clone();
    machine.control_plane.send_tasks(vec![second]).await;
    assert_eq!(machine.stopped(&arn).await["containers"][0]["exitCode"], 0);
    let label = docker(&["volume", "inspect", "-f", "{{.Labels.kept}}", "shared"]).await;
    assert_eq!(label, "yes");
    machine.end().await;
    docker(&["volume", "rm", "shared"]).await;
}

#[tokio::test]
async fn a_published_port_answers_on_the_instances_address() {
    let Some(machine) = Machine::start().await else { return };
    let mut main = shell("main", "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp");
    main.port_mappings = vec![
        PortMapping { container_port: 8080, ..PortMapping::default() },
        PortMapping { container_port_range: Some("9000-9003".into()), ..PortMapping::default() },
    ];
    let arn = machine.run("port", vec![main]).await;
    let running = machine.control_plane.reported(&arn, "RUNNING").await;
    let bindings = running["containers"][0]["networkBindings"].as_array().expect("bindings");
    let one = bindings.iter().find(|b| b["containerPort"] == 8080).expect("the port");
    assert_eq!(one["bindIP"], "127.0.1.9");
    let range = bindings.iter().find(|b| b["containerPortRange"] == "9000-9003").expect("a range");
    let (low, high) =
        range["hostPortRange"].as_str().and_then(|r| r.split_once('-')).expect("a host range");
    let width = high.parse::<u16>().expect("a port") - low.parse::<u16>().expect("a port");
    assert_eq!(width, 3);
    let port = u16::try_from(one["hostPort"].as_u64().expect("a port")).expect("a port");
    let get = async {
        loop {
            // The proxy listens before the server in the container does.
            if let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.1.9", port)).await {
                let request = b"GET /index.html HTTP/1.0\r\n\r\n";
                let mut answer = String::new();
                if tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.is_ok()
                    && stream.read_to_string(&mut answer).await.is_ok()
                    && answer.contains("hello")
                {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), get).await.expect("the port answers");
    machine.end().await;
}

#[tokio::test]
async fn an_agent_that_was_killed_finds_its_containers_again() {
    let Some(mut machine) = Machine::start().await else { return };
    let stays = machine.run("stays", vec![shell("main", "while true; do sleep 0.1; done")]).await;
    let ends = machine
        .run("ends", vec![shell("main", "while ! test -f /tmp/go; do sleep 0.05; done; exit 6")])
        .await;
    let first = machine.control_plane.reported(&stays, "RUNNING").await;
    let other = machine.control_plane.reported(&ends, "RUNNING").await;
    machine.kill_agent().await;
    let id = other["containers"][0]["runtimeId"].as_str().expect("an id").to_owned();
    docker(&["exec", &id, "/bin/touch", "/tmp/go"]).await;
    docker(&["wait", &id]).await;
    machine.start_agent();
    let ended = machine.stopped(&ends).await;
    assert_eq!(ended["containers"][0]["exitCode"], 6, "what happened meanwhile is told");
    machine.control_plane.stop(&stays).await;
    let stopped = machine.stopped(&stays).await;
    assert_eq!(
        stopped["containers"][0]["runtimeId"], first["containers"][0]["runtimeId"],
        "it is the same container"
    );
    let filter = format!("label=com.amazonaws.ecs.container-instance-arn={}", machine.instance);
    let count = docker(&["ps", "-aq", "--filter", &filter]).await.split_whitespace().count();
    assert_eq!(count, 2, "nothing was started twice");
    machine.end().await;
}

#[tokio::test]
async fn docker_settings_of_the_task_are_honoured() {
    let Some(machine) = Machine::start().await else { return };
    let mut main = shell(
        "main",
        "test $(cat /proc/sys/net/core/somaxconn) = 77 && test $(busybox hostname) = custom && \
         test $(busybox id -u) = 1000 && ! touch /file && touch /scratch/file && \
         test \"$A\" = b && test $(busybox pwd) = /tmp && busybox grep -q 'CapEff:.0*$' /proc/self/status",
    );
    main.environment =
        [("A".to_owned(), "b".to_owned()), ("PATH".to_owned(), "/bin".to_owned())].into();
    main.docker_config.config =
        Some(r#"{"Hostname":"custom","User":"1000","WorkingDir":"/tmp"}"#.into());
    main.docker_config.host_config = Some(
        r#"{"NetworkMode":"bridge","Sysctls":{"net.core.somaxconn":"77"},"CapDrop":["ALL"],
            "ReadonlyRootfs":true,"Tmpfs":{"/scratch":"mode=1777"},
            "LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}}}"#
            .into(),
    );
    let arn = machine.run("settings", vec![main]).await;
    let stopped = machine.stopped(&arn).await;
    let id = stopped["containers"][0]["runtimeId"].as_str().expect("an id");
    let log = docker(&["logs", id]).await;
    assert_eq!(stopped["containers"][0]["exitCode"], 0, "{stopped} {log}");
    let option =
        docker(&["inspect", "-f", "{{index .HostConfig.LogConfig.Config \"max-size\"}}", id]).await;
    assert_eq!(option, "1m");
    machine.end().await;
}

#[tokio::test]
async fn the_runtime_can_be_looked_into() {
    let Some(machine) = Machine::start().await else { return };
    let runtime = DockerRuntime::connect(SOCKET).await.expect("a daemon");
    let about = runtime.describe().await.expect("a description");
    assert!(about.cpus > 0 && about.memory_mib > 0 && !about.version.is_empty(), "{about:?}");
    let main = shell("main", "echo hello; while true; do sleep 0.1; done");
    let arn = machine.run("inside", vec![main]).await;
    let running = machine.control_plane.reported(&arn, "RUNNING").await;
    let id = running["containers"][0]["runtimeId"].as_str().expect("an id");
    let command = ["/bin/sh", "-c", "echo out; exit 3"].map(str::to_owned);
    let done = runtime.exec(id, &command).await.expect("a command");
    assert_eq!((done.exit_code, done.output.as_slice()), (Some(3), &b"out\n"[..]));
    let used = runtime.stats(id).await.expect("a reading").expect("it runs");
    assert!(used.cpu_ns > 0 && used.memory_bytes > 0 && used.network.is_some(), "{used:?}");
    let wrote = async {
        while runtime.logs(id, 10).await.expect("logs") != b"hello\n" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wrote).await.expect("its output");
    machine.control_plane.stop(&arn).await;
    machine.stopped(&arn).await;
    assert_eq!(runtime.stats(id).await.expect("a reading"), None, "it runs no more");
    machine.end().await;
}

#[tokio::test]
async fn a_container_reaches_its_agent() {
    let Some(mut machine) = Machine::start().await else { return };
    machine.kill_agent().await;
    let mut config = machine.config();
    config.endpoints = true;
    machine.start_agent_with(config);
    let script = "test -n \"$ECS_CONTAINER_METADATA_URI_V4\" || exit 9; \
                  wget -q -O - $ECS_CONTAINER_METADATA_URI_V4/task";
    let arn = machine.run("metadata", vec![shell("main", script)]).await;
    let stopped = machine.stopped(&arn).await;
    let main = &stopped["containers"][0];
    if main["exitCode"] == 9 {
        eprintln!("no address for the endpoint on this machine: nothing to reach");
    } else {
        let log = docker(&["logs", main["runtimeId"].as_str().expect("an id")]).await;
        assert!(main["exitCode"] == 0 && log.contains(&arn), "{stopped} {log}");
    }
    machine.end().await;
}

#[tokio::test]
async fn a_task_shares_its_limits() {
    let Some(machine) = Machine::start().await else { return };
    let main = shell("main", "while true; do sleep 0.1; done");
    let mut task = machine.task("limits", vec![main]);
    (task.cpu, task.memory) = (Some(0.25), Some(48));
    let arn = task.arn.clone();
    machine.control_plane.send_tasks(vec![task]).await;
    let running = machine.control_plane.reported(&arn, "RUNNING").await;
    let id = running["containers"][0]["runtimeId"].as_str().expect("an id");
    let parent = docker(&["inspect", "-f", "{{.HostConfig.CgroupParent}}", id]).await;
    let file = format!("/sys/fs/cgroup/memory{parent}/memory.limit_in_bytes");
    // Only where the machine lets this user set limits.
    if !parent.is_empty() && Path::new(&file).exists() {
        let limit = std::fs::read_to_string(file).expect("the limit");
        assert_eq!(limit.trim(), (48 << 20).to_string());
    }
    machine.end().await;
}
