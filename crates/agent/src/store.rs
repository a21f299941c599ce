//! The agent's own state on its disk: one file for the instance, one for each task.
//!
//! Writes survive the end of the process at once; a task that is acknowledged is synced too, so
//! that it survives the end of the machine. A file that cannot be read is set aside and told, not
//! deleted.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::Disk;
use crate::random;
use crate::record::{InstanceRecord, TaskRecord, id_of};

const INSTANCE: &str = "instance.json";
const REGISTRATION: &str = "registration.json";
const METADATA_ADDRESS: &str = "metadata-address.json";
const TASKS: &str = "tasks";

/// An agent's state.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
}

/// What was found at the start.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub(crate) instance: Option<InstanceRecord>,
    pub(crate) tasks: Vec<TaskRecord>,
    /// Where running containers look for the metadata endpoint.
    pub(crate) metadata_address: Option<IpAddr>,
}

impl Store {
    /// Reads what the disk holds.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> io::Result<(Self, Saved)> {
        let store = Self { disk };
        let mut saved = Saved {
            instance: store.read(INSTANCE)?,
            tasks: Vec::new(),
            metadata_address: store.read(METADATA_ADDRESS)?,
        };
        for name in
            store.disk.list(TASKS)?.iter().filter(|name| name.strip_suffix(".json").is_some())
        {
            saved.tasks.extend(store.read::<TaskRecord>(&format!("{TASKS}/{name}"))?);
        }
        Ok((store, saved))
    }

    /// Keeps who this agent is.
    pub(crate) async fn save_identity(&self, record: &InstanceRecord) -> io::Result<()> {
        self.save_instance(record)?;
        self.disk.sync(vec![INSTANCE.to_owned()]).await
    }

    /// The token of this agent's registration: made once, and kept before it is used, so that a
    /// registration whose answer was lost is not made twice.
    pub(crate) async fn registration_token(&self) -> io::Result<String> {
        if let Some(token) = self.read(REGISTRATION)? {
            return Ok(token);
        }
        let token = random::uuid();
        self.write(REGISTRATION, &token)?;
        self.disk.sync(vec![REGISTRATION.to_owned()]).await?;
        Ok(token)
    }

    /// Keeps what it has heard; forgotten by the end of the machine, it would hear it again.
    pub(crate) fn save_instance(&self, record: &InstanceRecord) -> io::Result<()> {
        self.write(INSTANCE, record)
    }

    /// Keeps where containers are told to look for the metadata endpoint.
    pub(crate) fn save_metadata_address(&self, address: IpAddr) -> io::Result<()> {
        self.write(METADATA_ADDRESS, &address)
    }

    /// Keeps a task.
    pub(crate) fn save_task(&self, record: &TaskRecord) -> io::Result<()> {
        self.write(&task_file(&record.task.arn), record)
    }

    /// Forgets a task.
    pub(crate) fn remove_task(&self, arn: &str) -> io::Result<()> {
        self.disk.remove(&task_file(arn))
    }

    /// Makes the files survive the end of the machine. The future holds no lock: an agent may be
    /// gone before it is done.
    pub(crate) fn sync(&self, files: Vec<String>) -> BoxFuture<'static, io::Result<()>> {
        self.disk.sync(files)
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        self.disk.write(name, &serde_json::to_vec(value).map_err(io::Error::other)?)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let Some(bytes) = self.disk.read(name)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let aside = name.replace(".json", ".unreadable");
                tracing::error!(name, %error, aside, "a file of the agent's state cannot be read and was set aside");
                self.disk.rename(name, &aside)?;
                Ok(None)
            }
        }
    }
}

/// Name of the file of a task.
pub(crate) fn task_file(arn: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let id = id_of(arn);
    let name = if !id.is_empty() && id.len() <= 64 && id.chars().all(safe) {
        id.to_owned()
    } else {
        use sha2::{Digest, Sha256};
        hex::encode(Sha256::digest(arn.as_bytes()))
    };
    format!("{TASKS}/{name}.json")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use longshore_domain::task::{ContainerSpec, PullBehavior, TaskSpec, TaskState};
    use longshore_domain::time::Timestamp;
    use longshore_wire::agent::{Container, RoleCredentials, Task};

    use super::*;
    use crate::disk::Directory;

    fn open(dir: &Path) -> (Store, Saved) {
        let disk = Directory::open(dir).expect("a directory");
        Store::open(Arc::new(disk)).expect("it can be read")
    }

    fn record(arn: &str) -> TaskRecord {
        let container = ContainerSpec {
            name: "a".into(),
            essential: true,
            depends_on: Vec::new(),
            start_timeout: None,
            stop_timeout: std::time::Duration::from_secs(30),
            restart: None,
        };
        let spec = TaskSpec::new(vec![container], PullBehavior::Default).expect("a specification");
        let task = Task {
            arn: arn.into(),
            containers: vec![Container { name: "a".into(), ..Container::default() }],
            role_credentials: Some(RoleCredentials {
                credentials_id: "id".into(),
                secret_access_key: "hush".into(),
                ..RoleCredentials::default()
            }),
            ..Task::default()
        };
        TaskRecord::new(task, TaskState::new(&spec), Timestamp::from_millis(1))
    }

    #[tokio::test]
    async fn what_was_kept_is_found_again_and_holds_no_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, saved) = open(dir.path());
        assert!(saved.instance.is_none() && saved.tasks.is_empty());
        let address = IpAddr::from([169, 254, 170, 3]);
        store.save_metadata_address(address).expect("an address is kept");
        let task = record("arn:aws:ecs:r:0:task/c/1");
        store.save_task(&task).expect("a task is kept");
        let file = task_file(&task.task.arn);
        store.sync(vec![file.clone()]).await.expect("and made to last");
        let text = fs::read_to_string(dir.path().join(file)).expect("its file");
        assert!(!text.contains("hush"));
        let gone = record("arn:aws:ecs:r:0:task/c/2");
        store.save_task(&gone).expect("a task is kept");
        store.remove_task(&gone.task.arn).expect("and forgotten");
        let other = Directory::open(dir.path()).expect_err("the directory is locked");
        assert!(other.to_string().starts_with("another agent uses it"), "{other}");
        drop(store);
        let (_, saved) = open(dir.path());
        assert_eq!(saved.tasks, [task]);
        assert_eq!(saved.metadata_address, Some(address));
    }

    #[test]
    fn an_unreadable_file_is_set_aside() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("instance.json"), b"{").expect("half a file");
        let (_, saved) = open(dir.path());
        assert!(saved.instance.is_none());
        assert!(dir.path().join("instance.unreadable").exists());
    }
}
