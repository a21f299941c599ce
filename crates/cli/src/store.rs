//! Where a store is, and opening it: a file of this machine, or etcd.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use longshore_store::{
    Durability, EmbeddedOptions, EmbeddedStore, EtcdOptions, EtcdStore, Store, StoreId,
};

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
        self.open_for(data_dir, Use::Server).await
    }

    /// Opens the store, which must be there.
    pub(crate) async fn open_existing(&self, data_dir: &Path) -> Result<Arc<dyn Store>, Failure> {
        self.open_for(data_dir, Use::Reading).await
    }

    /// Opens the store for somebody who can go on where he was, and so needs no answer to be on
    /// disk.
    pub(crate) async fn open_to_fill(&self, data_dir: &Path) -> Result<Arc<dyn Store>, Failure> {
        self.open_for(data_dir, Use::Filling).await
    }

    async fn open_for(&self, data_dir: &Path, what: Use) -> Result<Arc<dyn Store>, Failure> {
        let failed = |error| Failure::caused("cannot open the store", &error);
        let path = match self {
            Self::DataDirectory => data_dir.join(FILE),
            Self::File(path) => path.clone(),
            Self::Etcd(address) => {
                let mut options = EtcdOptions::parse(address, new_id()).map_err(failed)?;
                options.create = what != Use::Reading;
                return Ok(Arc::new(EtcdStore::open(options).await.map_err(failed)?));
            }
        };
        if what == Use::Reading && !path.exists() {
            let why = format!("there is no file {}", path.display());
            return Err(Failure::new("cannot open the store", why)
                .fix("name the store with --store, or its directory with --data-dir"));
        }
        let opened = tokio::task::spawn_blocking(move || {
            let mut options = EmbeddedOptions::new(new_id());
            if what == Use::Filling {
                options.durability = Durability::Relaxed;
            }
            EmbeddedStore::open(&path, options)
        });
        let opened = opened.await.map_err(|error| Failure::new("cannot open the store", error))?;
        Ok(Arc::new(opened.map_err(failed)?))
    }
}

/// What a store is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Server,
    Reading,
    Filling,
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
