//! The rules find what they are for, and the repository keeps them.

use super::{File, problems, run};

#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    let found = problems(&[File { path: path.to_owned(), text: text.to_owned() }]);
    assert_eq!(found, expected);
}

#[test]
fn the_repository_is_tidy() {
    if let Err(problems) = run() {
        panic!("{problems}");
    }
}

#[test]
fn long_files_are_found_and_generated_ones_excepted() {
    let text = format!("//! Doc.\n{}", "\n".repeat(800));
    check("crates/wire/src/a.rs", &text, &["crates/wire/src/a.rs: 801 lines, at most 800"]);
    check("crates/wire/src/ecs/generated/a.rs", &text, &[]);
}

#[test]
fn rust_and_python_files_say_what_they_are_for() {
    check("a.rs", "fn main() {}\n", &["a.rs: no module documentation (//!)"]);
    check("a.rs", "#![no_std]\n//! Doc.\n", &[]);
    check("a.py", "import os\n", &["a.py: no docstring"]);
    check("a.py", "#!/usr/bin/env python3\n\"\"\"Doc.\"\"\"\n", &[]);
}

#[test]
fn banned_words_and_bare_allows_are_found() {
    let text = concat!("//! Doc.\nfn f() { todo", "!() }\n");
    check("a.rs", text, &[concat!("a.rs:2: todo", "!( is banned: finish it or leave it out")]);
    let text = concat!("//! Doc.\n#[", "allow(dead_code)]\nfn f() {}\n");
    check("a.rs", text, &["a.rs:2: allow without a reason"]);
    let text =
        concat!("//! Doc.\n#[", "allow(\n    dead_code,\n    reason = \"x\"\n)]\nfn f() {}\n");
    check("a.rs", text, &[]);
}

#[test]
fn paths_of_one_machine_are_found() {
    let text = concat!("a\nsee /wo", "rk/x\n");
    check("a.md", text, &[concat!("a.md:2: /wo", "rk/ is a path of one machine")]);
}

#[test]
fn crate_arrows_hold() {
    let manifest = |dependencies: &str| format!("[lints]\nworkspace = true\n\n{dependencies}");
    let path = "crates/store/Cargo.toml";
    check(path, &manifest("[dependencies]\nlongshore-domain.workspace = true\n"), &[]);
    check(
        path,
        &manifest("[dependencies]\nlongshore-server = { workspace = true }\n"),
        &["crates/store/Cargo.toml: store must not depend on server"],
    );
    check(
        "crates/domain/Cargo.toml",
        &manifest("[dependencies]\ntokio.workspace = true\n\n[dev-dependencies]\ninsta = \"1\"\n"),
        &["crates/domain/Cargo.toml: domain must not depend on tokio"],
    );
    check(
        "crates/new/Cargo.toml",
        "[package]\n",
        &[
            "crates/new/Cargo.toml: does not inherit the lints of the workspace",
            "crates/new/Cargo.toml: tidy does not know its arrows",
        ],
    );
}

#[test]
fn links_lead_somewhere() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("docs/a.md", "[b](b.md#part) [c](../crates/c.rs) [web](https://example.com/x.md)"),
        file("docs/b.md", ""),
    ];
    assert_eq!(problems(&files), ["docs/a.md: link to ../crates/c.rs, which is not there"]);
}
