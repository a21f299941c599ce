//! A machine: its disk and its containers outlive the agent, and end with the machine.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use longshore_agent::disk::Disk;
use longshore_agent::runtime::{
    Call, ContainerRequest, Description, ExecOutput, Image, Inspection, RegistryAuth, Runtime,
    RuntimeError, RuntimeEvent, RuntimeState, SimulatedRuntime, Stats, VolumeRequest,
};

use crate::life::Life;
use crate::world;

/// Label with which agents mark the containers of a task.
pub const TASK_ARN: &str = "com.amazonaws.ecs.task-arn";
/// How long a call to the runtime takes, in milliseconds, half of it before it takes effect.
const LATENCY_MS: std::ops::Range<u64> = 0..10;

/// A machine that runs one agent at a time.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its name, e.g. `i-1`.
    pub name: String,
    /// Its availability zone.
    pub zone: String,
    /// Its containers.
    pub runtime: SimulatedRuntime,
    disk: Arc<Mutex<Files>>,
}

/// Files as written, and as they are after the machine's end.
#[derive(Debug, Default)]
struct Files {
    written: BTreeMap<String, Vec<u8>>,
    synced: BTreeMap<String, Vec<u8>>,
}

impl Machine {
    /// A machine with an empty disk.
    pub fn new(name: &str, zone: &str, runtime: SimulatedRuntime) -> Self {
        Self { name: name.to_owned(), zone: zone.to_owned(), runtime, disk: Arc::default() }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power fails: containers end, and what was not synced is gone.
    pub fn lose_power(&self) {
        for container in self.running() {
            self.runtime.exit(&container.id, 255);
        }
        let mut files = self.files();
        files.written = files.synced.clone();
    }

    /// Somebody installs it from scratch.
    pub fn set_up_anew(&self) {
        self.lose_power();
        *self.files() = Files::default();
    }

    /// Its running containers.
    pub fn running(&self) -> Vec<Inspection> {
        let mut containers = self.runtime.containers();
        containers.retain(|found| matches!(found.state, RuntimeState::Running { .. }));
        containers
    }

    /// The disk as one process sees it.
    pub fn disk(&self, life: &Life) -> Arc<dyn Disk> {
        Arc::new(DiskHandle { machine: self.clone(), life: life.clone() })
    }

    /// The runtime as one process sees it.
    pub fn runtime(&self, life: &Life) -> Arc<dyn Runtime> {
        Arc::new(RuntimeHandle { runtime: self.runtime.clone(), life: life.clone() })
    }
}

#[derive(Debug)]
struct DiskHandle {
    machine: Machine,
    life: Life,
}

impl DiskHandle {
    /// A dead process writes nothing.
    fn change(&self, change: impl FnOnce(&mut Files)) {
        if !self.life.is_over() {
            change(&mut self.machine.files());
        }
    }
}

impl Disk for DiskHandle {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.machine.files().written.get(name).cloned())
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.change(|files| _ = files.written.insert(name.to_owned(), content.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|files| {
            files.written.remove(name);
            files.synced.remove(name);
        });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|files| {
            if let Some(content) = files.written.remove(from) {
                files.written.insert(to.to_owned(), content);
            }
        });
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let files = self.machine.files();
        let names = files.written.keys().filter_map(|name| name.split_once('/'));
        Ok(names.filter(|(of, _)| *of == folder).map(|(_, name)| name.to_owned()).collect())
    }

    fn sync(&self, names: Vec<String>) -> BoxFuture<'static, io::Result<()>> {
        let (machine, life) = (self.machine.clone(), self.life.clone());
        Box::pin(async move {
            tokio::time::sleep(world::millis(LATENCY_MS)).await;
            life.step().await;
            let mut files = machine.files();
            for name in names {
                if let Some(content) = files.written.get(&name).cloned() {
                    files.synced.insert(name, content);
                }
            }
            Ok(())
        })
    }
}

struct RuntimeHandle {
    runtime: SimulatedRuntime,
    life: Life,
}

impl RuntimeHandle {
    /// A call: it takes time, the process may die before and after it, and it may fail.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, RuntimeError>>,
    ) -> Result<T, RuntimeError> {
        tokio::time::sleep(world::millis(LATENCY_MS)).await;
        self.life.step().await;
        if world::faulty() && world::chance(1, 300) {
            return Err(RuntimeError::Unavailable("the daemon does not answer".to_owned()));
        }
        let answer = call.await;
        self.life.step().await;
        tokio::time::sleep(world::millis(LATENCY_MS)).await;
        answer
    }
}

impl Runtime for RuntimeHandle {
    fn describe(&self) -> Call<'_, Description> {
        Box::pin(self.call(self.runtime.describe()))
    }

    fn pull<'a>(&'a self, image: &'a str, auth: Option<&'a RegistryAuth>) -> Call<'a, ()> {
        Box::pin(self.call(async move {
            if world::faulty() && world::chance(1, 10) {
                tokio::time::sleep(world::millis(1_000..90_000)).await;
                if world::chance(1, 3) {
                    let text = "received unexpected HTTP status: 502 Bad Gateway";
                    return Err(RuntimeError::Unavailable(text.to_owned()));
                }
            }
            self.runtime.pull(image, auth).await
        }))
    }

    fn inspect_image<'a>(&'a self, image: &'a str) -> Call<'a, Option<Image>> {
        Box::pin(self.call(self.runtime.inspect_image(image)))
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> Call<'a, ()> {
        Box::pin(self.call(self.runtime.remove_image(image)))
    }

    fn create<'a>(&'a self, request: &'a ContainerRequest) -> Call<'a, String> {
        Box::pin(self.call(self.runtime.create(request)))
    }

    fn start<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(self.call(self.runtime.start(id)))
    }

    fn stop<'a>(&'a self, id: &'a str, timeout: Duration) -> Call<'a, ()> {
        Box::pin(self.call(self.runtime.stop(id, timeout)))
    }

    fn kill<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(self.call(self.runtime.kill(id)))
    }

    fn remove<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(self.call(self.runtime.remove(id)))
    }

    fn inspect<'a>(&'a self, id: &'a str) -> Call<'a, Option<Inspection>> {
        Box::pin(self.call(self.runtime.inspect(id)))
    }

    fn list<'a>(&'a self, label: &'a str, value: &'a str) -> Call<'a, Vec<Inspection>> {
        Box::pin(self.call(self.runtime.list(label, value)))
    }

    fn events<'a>(
        &'a self,
        label: &'a str,
        value: &'a str,
    ) -> Call<'a, BoxStream<'static, Result<RuntimeEvent, RuntimeError>>> {
        Box::pin(self.call(self.runtime.events(label, value)))
    }

    fn stats<'a>(&'a self, id: &'a str) -> Call<'a, Option<Stats>> {
        Box::pin(self.call(self.runtime.stats(id)))
    }

    fn logs<'a>(&'a self, id: &'a str, lines: u32) -> Call<'a, Vec<u8>> {
        Box::pin(self.call(self.runtime.logs(id, lines)))
    }

    fn exec<'a>(&'a self, id: &'a str, command: &'a [String]) -> Call<'a, ExecOutput> {
        Box::pin(self.call(self.runtime.exec(id, command)))
    }

    fn create_volume<'a>(&'a self, request: &'a VolumeRequest) -> Call<'a, ()> {
        Box::pin(self.call(self.runtime.create_volume(request)))
    }

    fn has_volume<'a>(&'a self, name: &'a str) -> Call<'a, bool> {
        Box::pin(self.call(self.runtime.has_volume(name)))
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> Call<'a, ()> {
        Box::pin(self.call(self.runtime.remove_volume(name)))
    }
}
