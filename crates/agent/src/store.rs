//! The agent's own state on disk: one file for the instance, one for each task.
//!
//! The rule: a file is replaced by renaming, so that a reader finds the old or the new one, never
//! half of one. Writes survive the end of the process at once; `sync` makes one survive the end
//! of the machine too, which is needed only for a task that is acknowledged. A file that cannot be
//! read is set aside and told, not deleted.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::AgentError;
use crate::record::{InstanceRecord, TaskRecord, id_of};

const METADATA_ADDRESS: &str = "metadata-address.json";

/// An agent's data directory, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    tasks: PathBuf,
    _lock: File,
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
    /// Opens the directory and reads what it holds.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Saved), AgentError> {
        Self::try_open(dir).map_err(|source| AgentError::DataDir { path: dir.to_owned(), source })
    }

    fn try_open(dir: &Path) -> io::Result<(Self, Saved)> {
        let tasks = dir.join("tasks");
        fs::create_dir_all(&tasks)?;
        let lock = File::create(dir.join("lock"))?;
        lock.try_lock().map_err(|error| {
            io::Error::new(io::ErrorKind::ResourceBusy, format!("another agent uses it: {error}"))
        })?;
        let mut saved = Saved {
            instance: read(&dir.join("instance.json"))?,
            tasks: Vec::new(),
            metadata_address: read(&dir.join(METADATA_ADDRESS))?,
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(&tasks)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths {
            saved.tasks.extend(read::<TaskRecord>(&path)?);
        }
        Ok((Self { dir: dir.to_owned(), tasks, _lock: lock }, saved))
    }

    /// Keeps who this agent is.
    pub(crate) fn save_instance(&self, record: &InstanceRecord) -> io::Result<()> {
        let path = self.dir.join("instance.json");
        write(&path, record)?;
        sync(&path)
    }

    /// Keeps where containers are told to look for the metadata endpoint.
    pub(crate) fn save_metadata_address(&self, address: IpAddr) -> io::Result<()> {
        write(&self.dir.join(METADATA_ADDRESS), &address)
    }

    /// Keeps a task.
    pub(crate) fn save_task(&self, record: &TaskRecord) -> io::Result<()> {
        write(&self.task_path(&record.task.arn), record)
    }

    /// Forgets a task.
    pub(crate) fn remove_task(&self, arn: &str) -> io::Result<()> {
        match fs::remove_file(self.task_path(arn)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Where a task is kept.
    pub(crate) fn task_path(&self, arn: &str) -> PathBuf {
        let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let id = id_of(arn);
        let name = if !id.is_empty() && id.len() <= 64 && id.chars().all(safe) {
            id.to_owned()
        } else {
            use sha2::{Digest, Sha256};
            hex::encode(Sha256::digest(arn.as_bytes()))
        };
        self.tasks.join(name + ".json")
    }
}

/// Makes a file, and its place in its directory, survive the end of the machine.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    drop(file);
    fs::rename(&new, path)
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let aside = path.with_extension("unreadable");
            tracing::error!(path = %path.display(), %error, aside = %aside.display(), "a file of the agent's state cannot be read and was set aside");
            fs::rename(path, aside)?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_domain::task::{ContainerSpec, PullBehavior, TaskSpec, TaskState};
    use longshore_domain::time::Timestamp;
    use longshore_wire::agent::{Container, RoleCredentials, Task};

    use super::*;

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

    #[test]
    fn what_was_kept_is_found_again_and_holds_no_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, saved) = Store::open(dir.path()).expect("an empty directory opens");
        assert!(saved.instance.is_none() && saved.tasks.is_empty());
        let address = IpAddr::from([169, 254, 170, 3]);
        store.save_metadata_address(address).expect("an address is kept");
        let task = record("arn:aws:ecs:r:0:task/c/1");
        store.save_task(&task).expect("a task is kept");
        sync(&store.task_path(&task.task.arn)).expect("and made to last");
        let text = fs::read_to_string(store.task_path(&task.task.arn)).expect("its file");
        assert!(!text.contains("hush"));
        let gone = record("arn:aws:ecs:r:0:task/c/2");
        store.save_task(&gone).expect("a task is kept");
        store.remove_task(&gone.task.arn).expect("and forgotten");
        let other = Store::open(dir.path()).expect_err("the directory is locked");
        assert!(matches!(other, AgentError::DataDir { .. }));
        drop(store);
        let (_, saved) = Store::open(dir.path()).expect("it opens again");
        assert_eq!(saved.tasks, [task]);
        assert_eq!(saved.metadata_address, Some(address));
    }

    #[test]
    fn an_unreadable_file_is_set_aside() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("instance.json"), b"{").expect("half a file");
        let (_, saved) = Store::open(dir.path()).expect("it opens");
        assert!(saved.instance.is_none());
        assert!(dir.path().join("instance.unreadable").exists());
    }
}
