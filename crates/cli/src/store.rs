//! Where a store is, and opening it: a file of this machine, or etcd.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use longshore_store::{EmbeddedOptions, EmbeddedStore, EtcdOptions, EtcdStore, Store, StoreId};

use crate::failure::Failure;

/// File of the embedded store within the data directory.
const FILE: &str = "longshore.redb";

/// Where a store is.
#[derive(Clone)]
pub(crate) enum Place {
    /// The file in the data directory.
    DataDirectory,
    /// A file.
    File(PathBuf),
    /// The address of an etcd.
    Etcd(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "redb" {
            return Ok(Self::DataDirectory);
        }
        if let Some(path) = text.strip_prefix("redb:").filter(|path| !path.is_empty()) {
            return Ok(Self::File(path.into()));
        }
        if EtcdOptions::recognizes(text) {
            return Ok(Self::Etcd(text.into()));
        }
        Err("write redb (the file in the data directory), redb:FILE, \
             etcd://HOST:PORT,HOST:PORT or etcds://… for TLS"
            .into())
    }
}

impl fmt::Debug for Place {
    /// Not the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataDirectory => f.write_str("redb"),
            Self::File(path) => write!(f, "redb:{}", path.display()),
            Self::Etcd(_) => f.write_str("etcd"),
        }
    }
}

impl Place {
    /// Opens the store, or makes it where there is none.
    pub(crate) async fn open(&self, data_dir: &Path) -> Result<Arc<dyn Store>, Failure> {
        let failed = |error| Failure::caused("cannot open the store", &error);
        let path = match self {
            Self::DataDirectory => data_dir.join(FILE),
            Self::File(path) => path.clone(),
            Self::Etcd(address) => {
                let options = EtcdOptions::parse(address, new_id()).map_err(failed)?;
                return Ok(Arc::new(EtcdStore::open(options).await.map_err(failed)?));
            }
        };
        let opened = tokio::task::spawn_blocking(move || {
            EmbeddedStore::open(&path, EmbeddedOptions::new(new_id()))
        });
        let opened = opened.await.map_err(|error| Failure::new("cannot open the store", error))?;
        Ok(Arc::new(opened.map_err(failed)?))
    }
}

/// The id of a store that is made now.
fn new_id() -> StoreId {
    StoreId(getrandom::u64().expect("the operating system has a random source"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_etcd_and_nothing_else() {
        for (text, shown) in [
            ("redb", "redb"),
            ("redb:/var/lib/x.redb", "redb:/var/lib/x.redb"),
            ("etcd://user:secret@h", "etcd"),
            ("etcds://h?ca=x", "etcd"),
        ] {
            let place: Place = text.parse().expect("a place");
            assert_eq!(format!("{place:?}"), shown);
        }
        for wrong in ["memory", "", "redb:", "/var/lib/x.redb", "http://h"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
