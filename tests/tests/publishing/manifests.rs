//! What the manifests say, to each other and to a registry.

use std::collections::HashSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::{folder, name, packages, published, read};

/// Of the workspace's manifest: `version`, `rust-version`.
fn of_workspace(key: &str) -> String {
    let manifest = read("Cargo.toml");
    let start = format!("{key} = \"");
    let line = manifest.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
    line.trim_end_matches('"').to_owned()
}

#[test]
fn a_published_crate_says_what_a_registry_asks_for() {
    for package in published() {
        let name = name(&package);
        let texts = |key: &str| -> Vec<String> { serde_json::from_value(package[key].clone()).unwrap() };
        assert!(package["description"].as_str().is_some_and(|text| text.len() > 20), "{name}: description");
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{name}");
        assert_eq!(package["documentation"], format!("https://docs.rs/{name}"));
        assert!((1..=5).contains(&texts("keywords").len()), "{name}: keywords");
        assert!(texts("keywords").iter().all(|word| word.len() <= 20), "{name}: keywords");
        assert!((1..=5).contains(&texts("categories").len()), "{name}: categories");
        let targets = &package["metadata"]["docs"]["rs"]["targets"];
        assert_eq!(targets[0], "x86_64-unknown-linux-gnu", "{name}: docs.rs builds it elsewhere");
    }
}

#[test]
fn a_published_crate_needs_only_crates_that_are_published_with_it() {
    let (ours, published) = (packages(), published());
    let ours: HashSet<&str> = ours.iter().map(name).collect();
    let names: HashSet<&str> = published.iter().map(name).collect();
    for package in &published {
        for dependency in package["dependencies"].as_array().unwrap() {
            let of = dependency["name"].as_str().unwrap();
            // One for tests only may lack a version: then it is left out of the package.
            let is_left_out = dependency["kind"] == "dev" && dependency["req"] == "*";
            if ours.contains(of) && !is_left_out {
                assert!(names.contains(of), "{} needs {of}, which is not published", name(package));
                assert_ne!(dependency["req"], "*", "{} names no version of {of}", name(package));
            }
        }
    }
}

#[test]
fn a_readme_names_the_versions_that_there_are() {
    let version = of_workspace("version");
    let (short, _) = version.rsplit_once('.').unwrap();
    let published = published();
    for package in &published {
        let text = fs::read_to_string(folder(package).join("README.md")).unwrap();
        assert!(text.contains("https://docs.rs/"), "{}: no link to the documentation", name(package));
        assert!(text.contains("MIT or Apache-2.0"), "{}: no licence", name(package));
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let named: Vec<_> = blocks.flat_map(str::lines).filter(|line| line.starts_with("flame-")).collect();
        assert!(!named.is_empty(), "{}: how to install it is not said", name(package));
        for line in named {
            let (of, rest) = line.split_once(" = ").unwrap();
            assert!(published.iter().any(|package| name(package) == of), "{}: {line}", name(package));
            assert!(rest.starts_with(&format!("\"{short}\"")), "{}: {line}, and it is {version}", name(package));
        }
    }
}

#[test]
fn all_crates_promise_the_same_compiler() {
    let oldest = of_workspace("rust-version");
    for package in packages() {
        assert_eq!(package["rust_version"], *oldest, "{}", name(&package));
    }
    for (file, text) in [
        (".github/workflows/ci.yml", format!("TOOLCHAIN: \"{oldest}\"")),
        ("examples/starter/Dockerfile", format!("FROM rust:{oldest}-")),
        ("README.md", format!("Rust {oldest}")),
        ("flame-actors/README.md", format!("Rust {oldest}")),
        ("flame-actors/src/lib.rs", format!("Rust {oldest}")),
    ] {
        assert!(read(file).contains(&text), "{file}: no {text}");
    }
}

/// Nothing else tests what is promised: all of the tests are built and run by that compiler.
#[test]
fn the_compiler_that_runs_the_tests_is_the_oldest_that_is_promised() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let promised = format!("rustc {}.", of_workspace("rust-version"));
    assert!(version.starts_with(&promised), "{version}: the tests are for {promised}x, by which CI runs them");
}

/// So there is one build to test. With features there are more: then `make test` has to build each.
#[test]
fn no_crate_has_features() {
    for package in packages() {
        let features = &package["features"];
        assert_eq!(*features, Value::Object(Default::default()), "{}: untested features", name(&package));
        let is_optional = |dependency: &Value| dependency["optional"] == true;
        assert!(!package["dependencies"].as_array().unwrap().iter().any(is_optional), "{}", name(&package));
    }
}

#[test]
fn the_changelog_has_a_place_for_what_comes_next() {
    let text = read("CHANGELOG.md");
    let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(headings.first(), Some(&"[Unreleased]"));
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    for kind in text.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(kinds.contains(&kind), "{kind} is not of Keep a Changelog");
    }
}

#[test]
fn the_maps_of_the_crates_have_each_that_is_published() {
    for package in published() {
        for (file, entry) in [("flame-actors/src/lib.rs", "//! | `"), ("README.md", "| [`")] {
            assert!(read(file).contains(&format!("{entry}{}`", name(&package))), "{file}: no {}", name(&package));
        }
    }
}

#[test]
fn the_version_of_ractor_that_is_told_is_the_one_that_is_pinned() {
    let manifest = read("Cargo.toml");
    for of in ["ractor", "ractor_cluster"] {
        let (_, rest) = manifest.split_once(&format!("\n{of} = {{ version = \"=")).expect("it is pinned");
        let (pinned, _) = rest.split_once('"').unwrap();
        for file in ["flame-actors/src/lib.rs", "flame-actors/README.md", "README.md"] {
            assert!(read(file).contains(pinned), "{file}: {of} is pinned at {pinned}");
        }
    }
}
