//! The boundary to whatever runs containers.
//!
//! Two implementations stand behind it: Docker, and a simulated one for tests and for agents
//! without machines. The rule: nothing above this module knows which of them it is. The settings
//! that a task brings for Docker's own API travel through as opaque texts.
//!
//! What it leaves out: time limits and retries; each caller knows how long it can wait.

mod docker;
mod simulated;
mod types;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

pub use docker::DockerRuntime;
pub use simulated::{Behavior, Rule, SimulatedRuntime};
pub use types::{
    Bind, BlockIo, Bound, Cgroups, ContainerRequest, Description, ExecOutput, Image, Inspection,
    NetworkAddress, NetworkIo, PortRequest, RegistryAuth, RuntimeError, RuntimeEvent, RuntimeState,
    Stats, VolumeRequest, What,
};

/// The outcome of a call, later.
pub type Call<'a, T> = BoxFuture<'a, Result<T, RuntimeError>>;

/// A container runtime, shared by all tasks of an agent.
pub trait Runtime: Send + Sync + 'static {
    /// What it is and what it can do.
    fn describe(&self) -> Call<'_, Description>;

    /// Gets an image from its registry.
    fn pull<'a>(&'a self, image: &'a str, auth: Option<&'a RegistryAuth>) -> Call<'a, ()>;

    /// Looks at an image that may be there.
    fn inspect_image<'a>(&'a self, image: &'a str) -> Call<'a, Option<Image>>;

    /// Removes an image that nothing uses.
    fn remove_image<'a>(&'a self, image: &'a str) -> Call<'a, ()>;

    /// Makes a container and gives its id. One that the same task made before under the same name
    /// is taken over.
    fn create<'a>(&'a self, request: &'a ContainerRequest) -> Call<'a, String>;

    /// Starts a container.
    fn start<'a>(&'a self, id: &'a str) -> Call<'a, ()>;

    /// Asks a container to stop and kills it after `timeout`; returns when it has stopped.
    fn stop<'a>(&'a self, id: &'a str, timeout: Duration) -> Call<'a, ()>;

    /// Kills a container.
    fn kill<'a>(&'a self, id: &'a str) -> Call<'a, ()>;

    /// Removes a container and its anonymous volumes, running or not.
    fn remove<'a>(&'a self, id: &'a str) -> Call<'a, ()>;

    /// Looks at a container by id or name.
    fn inspect<'a>(&'a self, id: &'a str) -> Call<'a, Option<Inspection>>;

    /// Looks at every container that has the label.
    fn list<'a>(&'a self, label: &'a str, value: &'a str) -> Call<'a, Vec<Inspection>>;

    /// What happens to containers that have the label, from now on; ends when the connection does.
    fn events<'a>(
        &'a self,
        label: &'a str,
        value: &'a str,
    ) -> Call<'a, BoxStream<'static, Result<RuntimeEvent, RuntimeError>>>;

    /// What a container uses; nothing when it does not run.
    fn stats<'a>(&'a self, id: &'a str) -> Call<'a, Option<Stats>>;

    /// The last `lines` of what a container wrote.
    fn logs<'a>(&'a self, id: &'a str, lines: u32) -> Call<'a, Vec<u8>>;

    /// Runs a command in a running container, to its end.
    fn exec<'a>(&'a self, id: &'a str, command: &'a [String]) -> Call<'a, ExecOutput>;

    /// Makes a volume; one of that name that is there already is left alone.
    fn create_volume<'a>(&'a self, request: &'a VolumeRequest) -> Call<'a, ()>;

    /// Whether there is a volume of that name.
    fn has_volume<'a>(&'a self, name: &'a str) -> Call<'a, bool>;

    /// Removes a volume.
    fn remove_volume<'a>(&'a self, name: &'a str) -> Call<'a, ()>;
}

/// A runtime that several parts of an agent hold.
pub type SharedRuntime = Arc<dyn Runtime>;
