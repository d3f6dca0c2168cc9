//! The pages that tell what to do are followed to the letter, in an empty folder.
//!
//! It is as it is on a reader's machine, but for three things: cargo asks no registry, it takes the versions of this
//! workspace, and it puts what it builds beside what this workspace has built, so that little is built anew.

use std::fs;
use std::path::PathBuf;

use flame_book::{FOLLOWED, Page, clear_away, follow};
use tempfile::TempDir;

const CONFIG: &str = r#"
[build]
target-dir = "TARGET"
incremental = false

[net]
offline = true

[profile.dev]
debug = "line-tables-only"

[profile.dev.package."*"]
debug = false
"#;

/// An empty folder.
fn empty_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let target = std::env::current_exe().expect("it runs");
    let target = target.ancestors().nth(3).expect("it is in target/debug/deps").to_owned();
    fs::create_dir(folder.path().join(".cargo")).expect("a folder can be made");
    let config = CONFIG.replace("TARGET", &target.display().to_string());
    fs::write(folder.path().join(".cargo/config.toml"), config).expect("a file can be written");
    folder
}

/// Follows the pages of this program, in order.
fn follow_all(program: &str) {
    let (_, pages) = FOLLOWED.iter().find(|(known, _)| *known == program).expect("it is on some pages");
    let empty = empty_folder();
    let mut folder: PathBuf = empty.path().to_owned();
    for page in *pages {
        follow(&Page::open(page), &mut folder);
    }
    assert!(folder.ends_with(program), "the pages work in the folder {program}");
    clear_away(program, &folder);
}

#[test]
fn ten_minutes_to_a_working_pool() {
    follow_all("quick");
}

#[test]
fn the_tutorial() {
    follow_all("painter");
}
