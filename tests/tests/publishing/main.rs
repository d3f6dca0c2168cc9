//! What a stranger gets: packages, their descriptions, the template, and the files for a public host.

mod files;
mod manifests;
mod packages;
mod starter;
mod yaml;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("this package is in the workspace's folder").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// Runs cargo in the workspace, without a network.
fn cargo(args: &[&str]) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(args).arg("--offline").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The packages of the workspace, as `cargo metadata` tells them.
fn packages() -> Vec<serde_json::Value> {
    let output = cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    assert!(packages.len() > 5, "only {} packages", packages.len());
    packages
}

/// Those that are for others: `publish = false` is an empty list of registries.
fn published() -> Vec<serde_json::Value> {
    let published: Vec<_> = packages().into_iter().filter(|package| package["publish"].is_null()).collect();
    assert!(published.len() > 2, "only {} packages are published", published.len());
    published
}

fn name(package: &serde_json::Value) -> &str {
    package["name"].as_str().unwrap()
}

/// The folder of a package.
fn folder(package: &serde_json::Value) -> PathBuf {
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}
