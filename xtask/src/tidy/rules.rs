//! The rules themselves.

use std::collections::BTreeSet;

use super::File;

/// Lines of one file.
const MAX_LINES: usize = 800;

/// Which of our crates each of our crates may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("auth", &[]),
    ("domain", &[]),
    ("store", &["domain"]),
    ("agent", &["domain", "wire", "auth"]),
    ("lb", &["domain", "wire", "auth"]),
    ("server", &["domain", "wire", "auth", "store"]),
    ("cli", &["agent", "auth", "domain", "lb", "server", "store", "wire"]),
    ("sim", &["agent", "auth", "domain", "server", "store", "wire"]),
];

/// What the crate of decisions may depend on at all: nothing that could do I/O by itself.
const DOMAIN_DEPENDENCIES: &[&str] = &["jiff", "regex", "serde", "serde_json", "winnow"];

/// Words that must not stand in Rust code, and why. Written in halves, so that this file passes.
const BANNED: &[(&str, &str)] = &[
    (concat!("todo", "!("), "finish it or leave it out"),
    (concat!("unimplemented", "!("), "finish it or leave it out"),
    (concat!("dbg", "!("), "use tracing"),
    (concat!("#[", "ignore"), "a test that does not run tests nothing"),
    (concat!("thread::", "sleep("), "wait for the event"),
];

/// Paths of one machine. Written in halves, too.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/", "target")];

/// The problems of one file.
pub(super) fn of_file(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    too_long(file, &mut problems);
    machine_paths(file, &mut problems);
    if is_rust(file) && !is_generated(file) {
        module_docs(file, &mut problems);
        banned_words(file, &mut problems);
        bare_allow(file, &mut problems);
    }
    if ending(&file.path) == "py" {
        docstring(file, &mut problems);
    }
    if file.path.ends_with("Cargo.toml") && file.path != "Cargo.toml" {
        manifest(file, &mut problems);
    }
    problems
}

/// Links of Markdown files to files that are not there.
pub(super) fn broken_links(files: &[File]) -> Vec<String> {
    let mut known: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
    let folders: Vec<String> = known
        .iter()
        .flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned()))
        .collect();
    known.extend(folders);
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| ending(&file.path) == "md") {
        for link in links(&file.text) {
            let target = resolve(&file.path, link);
            // Other kinds of file are not read, so only these can be judged.
            let judged = matches!(ending(&target), "md" | "rs");
            if judged && !known.contains(&target) {
                problems.push(format!("{}: link to {link}, which is not there", file.path));
            }
        }
    }
    problems
}

fn ending(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, ending)| ending)
}

fn is_rust(file: &File) -> bool {
    ending(&file.path) == "rs"
}

fn is_generated(file: &File) -> bool {
    file.path.contains("/generated")
}

fn too_long(file: &File, problems: &mut Vec<String>) {
    let lines = file.text.lines().count();
    if lines > MAX_LINES && !is_generated(file) {
        problems.push(format!("{}: {lines} lines, at most {MAX_LINES}", file.path));
    }
}

fn machine_paths(file: &File, problems: &mut Vec<String>) {
    for (number, line) in file.text.lines().enumerate() {
        for path in MACHINE_PATHS.iter().filter(|path| line.contains(**path)) {
            problems.push(format!("{}:{}: {path} is a path of one machine", file.path, number + 1));
        }
    }
}

/// A `tests.rs` beside its module needs none: the module says what it is for.
fn module_docs(file: &File, problems: &mut Vec<String>) {
    if file.path.ends_with("/tests.rs") {
        return;
    }
    let first = file.text.lines().find(|line| !line.is_empty() && !line.starts_with("#!["));
    if !first.is_some_and(|line| line.starts_with("//!")) {
        problems.push(format!("{}: no module documentation (//!)", file.path));
    }
}

fn docstring(file: &File, problems: &mut Vec<String>) {
    let first = file.text.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
    if !first.is_some_and(|line| line.starts_with("\"\"\"")) {
        problems.push(format!("{}: no docstring", file.path));
    }
}

fn banned_words(file: &File, problems: &mut Vec<String>) {
    for (number, line) in file.text.lines().enumerate() {
        for (word, why) in BANNED.iter().filter(|(word, _)| line.contains(word)) {
            problems.push(format!("{}:{}: {word} is banned: {why}", file.path, number + 1));
        }
    }
}

/// Lints are lifted by `expect` with a reason, which complains when it is no longer needed.
fn bare_allow(file: &File, problems: &mut Vec<String>) {
    for opening in [concat!("#[", "allow("), concat!("#![", "allow(")] {
        for (at, _) in file.text.match_indices(opening) {
            let attribute = &file.text[at..];
            let end = attribute.find(")]").unwrap_or(attribute.len());
            if !attribute[..end].contains("reason") {
                let number = file.text[..at].lines().count() + 1;
                problems.push(format!("{}:{number}: allow without a reason", file.path));
            }
        }
    }
}

fn manifest(file: &File, problems: &mut Vec<String>) {
    // A workspace of its own, which may reach everything and does not ship.
    if file.path.starts_with("fuzz/") {
        return;
    }
    let mut section = "";
    let mut inherits = false;
    let folder = file.path.trim_end_matches("/Cargo.toml").trim_start_matches("crates/");
    let allowed = ARROWS.iter().find(|(name, _)| *name == folder).map(|(_, allowed)| *allowed);
    for line in file.text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        inherits |= section == "[lints]" && line == "workspace = true";
        if section == "[package]" && line == "description = \"\"" {
            problems.push(format!("{}: no description", file.path));
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if !section.ends_with("dependencies]") || name.is_empty() || name.starts_with('#') {
            continue;
        }
        if let Some(ours) = name.strip_prefix("longshore-") {
            let developer = section.contains("dev-dependencies");
            if !allowed.is_some_and(|allowed| allowed.contains(&ours)) && !developer {
                problems.push(format!("{}: {folder} must not depend on {ours}", file.path));
            }
        } else if folder == "domain"
            && section == "[dependencies]"
            && !DOMAIN_DEPENDENCIES.contains(&name)
        {
            problems.push(format!("{}: domain must not depend on {name}", file.path));
        }
    }
    if !inherits {
        problems.push(format!("{}: does not inherit the lints of the workspace", file.path));
    }
    if file.path.starts_with("crates/") && allowed.is_none() {
        problems.push(format!("{}: tidy does not know its arrows", file.path));
    }
}

/// The targets of the relative links of a Markdown text.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](").filter_map(|(at, opening)| {
        let rest = &text[at + opening.len()..];
        let target = rest[..rest.find(')')?].split('#').next()?;
        let relative = !target.is_empty() && !target.contains(':') && !target.contains(' ');
        relative.then_some(target)
    })
}

/// `link` as seen from `file`, from the root.
fn resolve(file: &str, link: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
