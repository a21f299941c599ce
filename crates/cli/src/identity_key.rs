//! The identity key: where it is kept, and how it is found.
//!
//! It is a file that only its owner reads, or what a command prints, such as one of a secret manager. The
//! store never has it, so that a backup of the store gives nobody's secrets away.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use longshore_server::MasterKey;

use crate::args::IdentityKeyOptions;
use crate::failure::Failure;
use crate::output;
use crate::store::Place;

/// File of the key within the data directory.
const FILE: &str = "identity.key";
/// Only the owner reads it.
const MODE: u32 = 0o600;

/// The file of the key, unless it comes from a command.
fn file(options: &IdentityKeyOptions, data_dir: &Path) -> PathBuf {
    options.file.clone().unwrap_or_else(|| data_dir.join(FILE))
}

/// The key of a server. A store that is a file belongs to one server, which makes its key itself as long as
/// nothing was sealed with one; servers that share a store share a key.
pub(crate) fn find(
    options: &IdentityKeyOptions,
    store: &Place,
    data_dir: &Path,
    initialized: bool,
) -> Result<Option<MasterKey>, Failure> {
    if let Some(command) = &options.command {
        return run(command).map(Some);
    }
    let path = file(options, data_dir);
    if path.exists() || options.file.is_some() {
        return read(&path).map(Some);
    }
    match (initialized, store) {
        (true, _) => Err(missing(&path)),
        (false, Place::DataDirectory | Place::File(_)) => make(&path).map(Some),
        (false, Place::Etcd(_)) => Ok(None),
    }
}

/// The key for `init`, made where there is none yet; whether it was made, and where it is.
pub(crate) fn find_or_make(
    options: &IdentityKeyOptions,
    data_dir: &Path,
) -> Result<(MasterKey, Option<PathBuf>), Failure> {
    if let Some(command) = &options.command {
        return Ok((run(command)?, None));
    }
    let path = file(options, data_dir);
    let key = if path.exists() { read(&path)? } else { make(&path)? };
    Ok((key, Some(path)))
}

/// The key that must be there.
pub(crate) fn existing(
    options: &IdentityKeyOptions,
    data_dir: &Path,
) -> Result<MasterKey, Failure> {
    if let Some(command) = &options.command {
        return run(command);
    }
    let path = file(options, data_dir);
    if path.exists() { read(&path) } else { Err(missing(&path)) }
}

/// The key of `dev`.
pub(crate) fn of_development(data_dir: &Path) -> Result<MasterKey, Failure> {
    find_or_make(&IdentityKeyOptions::default(), data_dir).map(|(key, _)| key)
}

fn missing(path: &Path) -> Failure {
    let why = format!("there is no file {}", path.display());
    Failure::new("cannot find the identity key", why).fix(
        "copy the key that `longshore server init` made, or name it with --identity-key-file or \
         --identity-key-command; a key that is lost is replaced by `longshore server init --reset-root \
         --forget-keys`",
    )
}

fn parsed(text: &str, whence: &str) -> Result<MasterKey, Failure> {
    MasterKey::from_text(text).ok_or_else(|| {
        let what = format!("cannot use the identity key of {whence}");
        Failure::new(what, "it is not 32 bytes in base 64").fix("e.g. openssl rand -base64 32")
    })
}

fn read(path: &Path) -> Result<MasterKey, Failure> {
    let what = || format!("cannot read the identity key {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Failure::new(what(), error))?;
    let mode = std::fs::metadata(path).map_err(|error| Failure::new(what(), error))?;
    if mode.permissions().mode() & 0o077 != 0 {
        output::note(&format!(
            "longshore: others can read {}; chmod 600 keeps it from them",
            path.display()
        ));
    }
    parsed(&text, &path.display().to_string())
}

fn make(path: &Path) -> Result<MasterKey, Failure> {
    let key = MasterKey::fresh();
    let fail = |error| {
        Failure::new(format!("cannot write the identity key {}", path.display()), error)
            .fix("name another file with --identity-key-file")
    };
    // Whole or not at all: a key that is cut off would lock everybody out.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let unfinished = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(MODE);
    let mut file = options.open(&unfinished).map_err(fail)?;
    writeln!(file, "{}", key.to_text()).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    std::fs::rename(&unfinished, path).map_err(fail)?;
    Ok(key)
}

#[expect(clippy::disallowed_methods, reason = "the operator's own command, once, at the start")]
fn run(command: &str) -> Result<MasterKey, Failure> {
    let what = "cannot get the identity key by --identity-key-command";
    let done = std::process::Command::new("sh").arg("-c").arg(command).output();
    let done = done.map_err(|error| Failure::new(what, error))?;
    if !done.status.success() {
        // What it printed may be the key, so only its complaints are shown.
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(Failure::new(what, format!("it ended with {}: {said}", done.status)));
    }
    parsed(&String::from_utf8_lossy(&done.stdout), "the command")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = IdentityKeyOptions::default();
        let (key, path) = find_or_make(&options, folder.path()).expect("a key");
        let path = path.expect("a file");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(existing(&options, folder.path()).expect("there"), key);
        std::fs::write(&path, "short").expect("writes");
        assert!(existing(&options, folder.path()).is_err());
    }

    #[test]
    fn a_command_prints_the_key() {
        let key = MasterKey::fresh();
        let command = |command: String| IdentityKeyOptions { command: Some(command), file: None };
        let folder = tempfile::tempdir().expect("a folder");
        let echo = command(format!("echo {}", key.to_text()));
        assert_eq!(existing(&echo, folder.path()).expect("printed"), key);
        for wrong in ["echo short", "echo why >&2; false"] {
            let failure = existing(&command(wrong.to_owned()), folder.path()).expect_err("refused");
            assert!(failure.to_string().contains("identity"), "{failure}");
        }
    }
}
