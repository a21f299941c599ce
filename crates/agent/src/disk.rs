//! The boundary to the disk that keeps an agent's state: small files by name.
//!
//! The rule: a file is replaced whole, so that a reader finds the old or the new one, never half
//! of one. A write survives the end of the process at once; `sync` makes it survive the end of
//! the machine too. What it leaves out: what the files mean (`store`).

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// Only the owner reads it.
const SECRET: u32 = 0o600;

/// Where an agent keeps its state. Names are relative paths of at most one folder.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// The content of a file; `None` when there is none.
    ///
    /// # Errors
    /// The disk cannot be read.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a file, or makes it.
    ///
    /// # Errors
    /// The disk cannot be written; the old file is as it was.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()>;

    /// Replaces a file that nobody else may read, or makes it.
    ///
    /// # Errors
    /// The disk cannot be written; the old file is as it was.
    fn write_secret(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.write(name, content)
    }

    /// Removes a file that may be there.
    ///
    /// # Errors
    /// The disk cannot be written.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// The disk cannot be written, or there is no such file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Names of the files in a folder, sorted.
    ///
    /// # Errors
    /// The disk cannot be read.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes files survive the end of the machine; those that are gone are passed over.
    fn sync(&self, names: Vec<String>) -> BoxFuture<'static, io::Result<()>>;
}

/// A directory of the file system, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Opens the directory, and makes it if need be.
    ///
    /// # Errors
    /// It cannot be made or read, or another agent uses it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock = File::create(path.join("lock"))?;
        lock.try_lock().map_err(|error| {
            io::Error::new(io::ErrorKind::ResourceBusy, format!("another agent uses it: {error}"))
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

impl Disk for Directory {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        none_if_missing(fs::read(self.path.join(name)))
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        drop(file);
        fs::rename(&new, path)
    }

    fn write_secret(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        let new = path.with_extension("new");
        // What was left behind may have been readable.
        none_if_missing(fs::remove_file(&new))?;
        let mut file = File::options().write(true).create_new(true).mode(SECRET).open(&new)?;
        file.write_all(content)?;
        // Nobody can make its content again.
        file.sync_all()?;
        drop(file);
        fs::rename(&new, path)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        none_if_missing(fs::remove_file(self.path.join(name))).map(drop)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let Some(entries) = none_if_missing(fs::read_dir(self.path.join(folder)))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in entries {
            // Every name that this module writes is text.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn sync(&self, names: Vec<String>) -> BoxFuture<'static, io::Result<()>> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path.join(name)).collect();
        let syncing = tokio::task::spawn_blocking(move || paths.iter().try_for_each(|p| sync(p)));
        syncing.map(|done| done.unwrap_or_else(|error| Err(io::Error::other(error)))).boxed()
    }
}

/// Makes a file, and its place in its directory, survive the end of the machine.
fn sync(path: &Path) -> io::Result<()> {
    if let Some(file) = none_if_missing(File::open(path))? {
        file.sync_all()?;
    }
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn none_if_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
