//! The certificate of the control plane's own authority: where a server keeps it, and by which a command
//! knows a control plane.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use longshore_agent::Trust;

use crate::failure::Failure;

/// File of the certificate within the data directory of a server.
const FILE: &str = "ca.pem";
/// Everybody may read it: it is no secret.
const MODE: u32 = 0o644;
/// The variable by which AWS's tools are told.
const AWS_VARIABLE: &str = "AWS_CA_BUNDLE";

/// By whom a command knows the control plane.
pub(crate) struct Trusted {
    /// For agents and tools.
    pub(crate) trust: Trust,
    /// The certificates, PEM; none for the system's.
    pub(crate) pem: Option<Vec<u8>>,
    /// Whether somebody has chosen them for Longshore alone.
    pub(crate) is_chosen: bool,
}

/// Finds the certificates: those of the option, else those of AWS's variable, else the system's.
pub(crate) fn find(option: Option<PathBuf>) -> Result<Trusted, Failure> {
    let is_chosen = option.is_some();
    let variable = || std::env::var_os(AWS_VARIABLE).filter(|path| !path.is_empty());
    let Some(path) = option.or_else(|| variable().map(PathBuf::from)) else {
        return Ok(Trusted { trust: Trust::System, pem: None, is_chosen });
    };
    let what = || format!("cannot trust the certificates of {}", path.display());
    let fix = format!("name another file with --ca-file or {AWS_VARIABLE}");
    let pem = std::fs::read(&path).map_err(|error| Failure::new(what(), error).fix(&fix))?;
    let trust = Trust::only(&pem).map_err(|error| Failure::caused(what(), &error).fix(&fix))?;
    Ok(Trusted { trust, pem: Some(pem), is_chosen })
}

/// Keeps a server's certificate where people find it; gives the file.
pub(crate) fn keep(data_dir: &Path, pem: &str) -> Result<PathBuf, Failure> {
    let path = data_dir.join(FILE);
    if std::fs::read(&path).is_ok_and(|known| known == pem.as_bytes()) {
        return Ok(path);
    }
    let fail = |error| {
        Failure::new(format!("cannot write the certificate {}", path.display()), error)
            .fix("make the data directory writable, or choose another one with --data-dir")
    };
    let unfinished = data_dir.join(format!("{FILE}.new"));
    let mut file = std::fs::File::create(&unfinished).map_err(fail)?;
    file.write_all(pem.as_bytes()).map_err(fail)?;
    file.set_permissions(std::fs::Permissions::from_mode(MODE)).map_err(fail)?;
    std::fs::rename(&unfinished, &path).map_err(fail)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_kept_for_everybody_to_read() {
        let folder = tempfile::tempdir().expect("a folder");
        for pem in ["first", "second", "second"] {
            let path = keep(folder.path(), pem).expect("written");
            assert_eq!(std::fs::read_to_string(&path).expect("there"), pem);
            let mode = std::fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, MODE);
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1);
    }

    #[test]
    fn what_is_no_certificate_is_not_trusted() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "no PEM").expect("written");
        for path in [file, folder.path().join("missing.pem")] {
            let failure = find(Some(path)).err().expect("refused");
            assert!(failure.to_string().contains("ca-file"), "{failure}");
        }
    }
}
