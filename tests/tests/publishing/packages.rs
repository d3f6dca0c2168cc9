//! What is in the packages. That they build as they are is for `make publish-check`.

use std::fs;

use crate::{cargo, folder, name, published, root};

#[test]
fn a_package_has_its_licences_its_readme_and_nothing_stray() {
    for package in published() {
        let output = cargo(&["package", "--list", "--allow-dirty", "--locked", "-p", name(&package)]);
        let list = String::from_utf8(output.stdout).unwrap();
        let files: Vec<_> = list.lines().collect();
        for needed in ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            assert!(files.contains(&needed), "{}: {needed} is not in the package", name(&package));
        }
        let belongs = |file: &str| {
            let (_, extension) = file.rsplit_once('.').unwrap_or_default();
            let folders = ["src/", "tests/", "benches/", "examples/"];
            let in_folder = folders.iter().any(|folder| file.starts_with(folder));
            let by_cargo = [".cargo_vcs_info.json", "Cargo.toml", "Cargo.toml.orig", "Cargo.lock"];
            by_cargo.contains(&file)
                || ["README.md", "LICENSE-MIT", "LICENSE-APACHE"].contains(&file)
                || extension == "json" && !file.contains('/')
                || in_folder && ["rs", "stderr", "json", "md"].contains(&extension)
        };
        let stray: Vec<_> = files.iter().filter(|file| !belongs(file)).collect();
        assert!(stray.is_empty(), "{}: {stray:?}", name(&package));
    }
}

#[test]
fn the_licences_in_a_package_are_those_of_the_repository() {
    for package in published() {
        for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
            let there = fs::read_to_string(folder(&package).join(licence)).unwrap_or_default();
            let link = format!("make it a link: ln -s to {licence} in the repository's folder");
            assert!(there == fs::read_to_string(root().join(licence)).unwrap(), "{}: {link}", name(&package));
        }
    }
}

/// Lines with `# ` are hidden in rustdoc only; a registry shows them.
#[test]
fn a_readme_has_no_hidden_lines_of_code() {
    for package in published() {
        let text = fs::read_to_string(folder(&package).join("README.md")).unwrap();
        let blocks = text.split("```rust").skip(1).filter_map(|rest| rest.split("```").next());
        let hidden: Vec<_> =
            blocks.flat_map(str::lines).filter(|line| *line == "#" || line.starts_with("# ")).collect();
        assert!(hidden.is_empty(), "{}: {hidden:?}", name(&package));
    }
}
