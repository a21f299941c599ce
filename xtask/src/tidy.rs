//! Repository rules, as a test: sizes, crate arrows, module docs, lints, banned words, links.
//!
//! Each rule is a function from a file to the problems it has, so that the tests can feed it
//! text. It reads the working tree, not history; what the compiler or clippy can check is left
//! to them.

mod rules;
#[cfg(test)]
mod tests;

use std::path::Path;

/// A text file of the repository.
pub struct File {
    /// Path from the root, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// Folders that hold nothing of ours.
const SKIPPED_FOLDERS: &[&str] =
    &["target", ".git", ".venv", ".cache", "__pycache__", ".pytest_cache", ".ruff_cache", "shared"];
/// Endings of the files that the rules read.
const ENDINGS: &[&str] = &["rs", "toml", "md", "py", "sh", "lua", "yml", "yaml", "txt"];
/// Files that the rules read whatever their ending.
const NAMES: &[&str] = &["Makefile", "etcd", "run", "setup"];

/// Checks the working tree; the error lists every problem.
pub fn run() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace root")?;
    let problems = problems(&read(root)?);
    if problems.is_empty() { Ok(()) } else { Err(format!("tidy:\n{}", problems.join("\n"))) }
}

/// Every problem of `files`.
fn problems(files: &[File]) -> Vec<String> {
    let mut problems: Vec<String> = files.iter().flat_map(rules::of_file).collect();
    problems.extend(rules::broken_links(files));
    problems
}

/// The text files under `root`, in the order of their paths.
fn read(root: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().map_err(fail)?.is_dir() {
                if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if ENDINGS.contains(&ending) || NAMES.contains(&name.as_str()) {
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                let path = path.strip_prefix(root).map_err(|error| error.to_string())?;
                files.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
