//! `ctl store`: what the control plane stores, as a file and from one backend to another.
//!
//! `backup` asks a running server; the others open the store themselves, which a redb file allows
//! only while no server has it. A file is written under another name and renamed once it has been
//! read again and found whole.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use longshore_agent::api::Api;
use longshore_store::Store;
use longshore_store::archive::{self, Archive, ArchiveError, End, Progress};
use serde_json::json;

use crate::args::{StoreCommand, StoreOptions};
use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::server;
use crate::store::Place;

/// Longest wait for the leases of servers that have stopped to end.
const LEASES_END: Duration = Duration::from_secs(60);
/// Pause before the store is read once more.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Runs one command.
pub(super) async fn run(
    command: StoreCommand,
    client: &Api,
    output: Output,
) -> Result<(), Failure> {
    match command {
        StoreCommand::Backup { file } => {
            let archive = backup(client, &file).await?;
            show(output, archive.end(), &[]);
        }
        StoreCommand::Export { file, store } => {
            let store = open(store).await?;
            let archive = export(&*store, &file).await?;
            warn_of_servers(archive.end());
            show(output, archive.end(), &[]);
        }
        StoreCommand::Import { file, store } => {
            let data_dir = server::data_dir(store.data_dir)?;
            let mut archive = whole(&file).await?;
            let store = store.store.open_to_fill(&data_dir).await?;
            import(&mut archive, &*store).await?;
            show(output, archive.end(), &[]);
        }
        StoreCommand::Migrate { from, to, data_dir } => {
            let data_dir = server::data_dir(data_dir)?;
            show(output, &migrate(&from, &to, &data_dir).await?, &[]);
        }
        StoreCommand::Verify { file: Some(file), .. } => {
            show(output, whole(&file).await?.end(), &[]);
        }
        StoreCommand::Verify { file: None, store } => {
            let store = open(store).await?;
            let contents = archive::verify(&*store).await;
            let contents = contents.map_err(|e| Failure::caused("the store is not whole", &e))?;
            let records: Vec<_> = contents.records.into_iter().collect();
            show(output, &contents.end, &records);
        }
    }
    Ok(())
}

async fn open(options: StoreOptions) -> Result<Arc<dyn Store>, Failure> {
    let data_dir = server::data_dir(options.data_dir)?;
    options.store.open_existing(&data_dir).await
}

/// The archive at `file`, read to its end.
async fn whole(file: &Path) -> Result<Archive, Failure> {
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || Archive::open(&path)).await;
    let what = || format!("cannot use {}", file.display());
    read.map_err(|error| Failure::new(what(), error))?
        .map_err(|error| Failure::caused(what(), &error))
}

/// A file that is not there yet.
struct NewFile {
    path: PathBuf,
    part: PathBuf,
    file: File,
}

impl NewFile {
    fn create(path: &Path) -> Result<Self, Failure> {
        let what = || format!("cannot write {}", path.display());
        if path.exists() {
            return Err(Failure::new(what(), "it exists").fix("choose another name"));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // What it will hold is not for everybody.
        let file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part);
        let file = file.map_err(|error| Failure::new(what(), error))?;
        Ok(Self { path: path.into(), part, file })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let what = || format!("cannot write {}", self.part.display());
        self.file.write_all(bytes).map_err(|error| Failure::new(what(), error))
    }

    /// Reads it again, and gives it its name.
    async fn finish(self) -> Result<Archive, Failure> {
        let what = || format!("cannot write {}", self.path.display());
        self.file.sync_all().map_err(|error| Failure::new(what(), error))?;
        whole(&self.part).await?;
        std::fs::rename(&self.part, &self.path).map_err(|error| Failure::new(what(), error))?;
        whole(&self.path).await
    }
}

async fn backup(client: &Api, path: &Path) -> Result<Archive, Failure> {
    let what = "cannot back up the store of the server";
    let mut file = NewFile::create(path)?;
    let mut lines = client.operator_lines("backup").await.map_err(failed(what))?;
    while let Some(mut line) = lines.next().await.map_err(failed(what))? {
        line.push('\n');
        file.write(line.as_bytes())?;
    }
    file.finish().await
}

async fn export(store: &dyn Store, path: &Path) -> Result<Archive, Failure> {
    let what = |error| Failure::caused("cannot export the store", &error);
    let mut file = NewFile::create(path)?;
    let mut pieces = archive::export(store);
    while let Some(piece) = pieces.try_next().await.map_err(what)? {
        file.write(&piece)?;
    }
    file.finish().await
}

async fn import(archive: &mut Archive, store: &dyn Store) -> Result<End, Failure> {
    let bar = ProgressBar::no_length().with_style(
        ProgressStyle::with_template("{wide_bar} {pos} of {len}, {eta} left")
            .expect("the template is valid"),
    );
    let progress = |Progress { done, of }| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let imported = archive::import(archive, store, progress).await;
    bar.finish_and_clear();
    imported.map_err(|error| {
        let failure = Failure::caused("cannot import into the store", &error);
        match error {
            ArchiveError::Store(_) => failure.fix("mend the store and give the same command again"),
            _ => failure,
        }
    })
}

/// Copies a store by way of a file in the data directory. Given again after an interruption, it goes
/// on: the same content has the same digest.
async fn migrate(from: &Place, to: &Place, data_dir: &Path) -> Result<End, Failure> {
    let what = "cannot migrate the store";
    let directory = tempfile::Builder::new().prefix("migrate-").tempdir_in(data_dir);
    let directory = directory.map_err(|error| Failure::new(what, error))?;
    let store = from.open_existing(data_dir).await?;
    output::note("reading the old store");
    let begun = Instant::now();
    let mut archive = export(&*store, &directory.path().join("archive")).await?;
    while archive.end().leased > 0 {
        if begun.elapsed() > LEASES_END {
            let why = "servers are running on it, and what they change meanwhile would be lost";
            return Err(Failure::new(what, why).fix("stop all of them"));
        }
        output::note("waiting for what servers have left, or for servers that still run, to end");
        tokio::time::sleep(LOOK_AGAIN).await;
        std::fs::remove_file(directory.path().join("archive"))
            .map_err(|error| Failure::new(what, error))?;
        archive = export(&*store, &directory.path().join("archive")).await?;
    }
    let target = to.open_to_fill(data_dir).await?;
    output::note("filling the new store");
    let end = import(&mut archive, &*target).await?;
    output::note("both stores have the same digest; start servers on the new one only");
    Ok(end)
}

fn warn_of_servers(end: &End) {
    if end.leased > 0 {
        output::note("servers are running on the store; what they change from now on is not in it");
    }
}

fn show(output: Output, end: &End, records: &[(&str, u64)]) {
    match output {
        Output::Json => {
            let records: serde_json::Map<_, _> =
                records.iter().map(|(kind, n)| ((*kind).to_owned(), json!(n))).collect();
            output::json(&json!({
                "digest": end.digest,
                "keys": end.keys,
                "entries": end.entries,
                "records": records,
            }));
        }
        Output::Table => {
            let row = |name: &str, value: String| [name.to_owned(), value];
            let mut rows = vec![
                row("keys", end.keys.to_string()),
                row("journal entries", end.entries.to_string()),
            ];
            rows.extend(records.iter().map(|(kind, n)| row(kind, n.to_string())));
            rows.push(row("digest", end.digest.clone()));
            output::table(["WHAT", "VALUE"], rows);
        }
    }
}
