//! The template: small, and an application of its own where it is copied to.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{read, root};

/// The lines of all files of a folder.
fn lines(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
    entries.map(|path| if path.is_dir() { lines(&path) } else { count(&path) }).sum()
}

#[test]
fn the_starter_is_less_than_150_lines() {
    let lines = lines(&root().join("examples/starter"));
    assert!(lines < 150, "{lines} lines");
}

/// As its README says, in a folder of its own. It has the workspace's profile and target directory, so that what is
/// built already is not built again.
#[test]
fn a_copy_of_the_starter_is_an_application_that_passes_its_tests() {
    let readme = read("examples/starter/README.md");
    let script = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it says how");
    let temp = tempfile::tempdir().unwrap();
    let manifest = read("Cargo.toml");
    let (_, profile) = manifest.split_once("[profile.dev]").expect("the workspace has a profile");
    let config = format!("[net]\noffline = true\n[profile.dev]{profile}");
    fs::create_dir(temp.path().join(".cargo")).unwrap();
    fs::write(temp.path().join(".cargo/config.toml"), config).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
    let mut command = Command::new("bash");
    // What cargo tells this test of its own package: build scripts that look at it would be run again, and then here too.
    let is_of_this_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_this_package)) {
        command.env_remove(name);
    }
    let output = command
        .args(["-euc", script])
        .env("FLAME", root())
        .env("APP", temp.path().join("app"))
        .env("CARGO_TARGET_DIR", target)
        .current_dir(temp.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("test work::tests::words_are_counted_on_a_runner ... ok"), "{out}");
    let manifest = fs::read_to_string(temp.path().join("app/Cargo.toml")).unwrap();
    assert!(!manifest.contains("../.."), "it still needs the workspace: {manifest}");
}
