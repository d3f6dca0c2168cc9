//! What the pages show is there: linked names in docs, linked files, and the lines of code in READMEs. Metrics and
//! spans in book/src/observing.md are compared with what a run records, by tests/tests/observe/page.rs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.as_ref().display()))
}

#[test]
fn names_with_a_link_are_defined_in_the_file_that_it_leads_to() {
    let docs = PathBuf::from(ROOT).join("docs");
    let text = read(docs.join("how-it-works.md"));
    let files: HashMap<_, _> = definitions(&text).map(|(label, file)| (label, read(docs.join(file)))).collect();
    let names = names(&text);
    assert!(names.len() >= 100, "only {} names: has their form changed?", names.len());
    let wrong: Vec<_> = names
        .into_iter()
        .filter(|(name, label)| !files.get(label).is_some_and(|source| is_there(source, name, label)))
        .map(|(name, label)| format!("`{name}` in [{label}]"))
        .collect();
    assert!(wrong.is_empty(), "not there: {}", wrong.join(", "));
}

#[test]
fn every_event_is_on_the_page_of_what_can_be_observed() {
    let root = PathBuf::from(ROOT);
    let page = read(root.join("book/src/observing.md"));
    let source = read(root.join("flame-actors/src/pool/events.rs"));
    let body = source.split("pub enum Event {\n").nth(1).and_then(|rest| rest.split("\n}").next()).expect("the enum");
    let variants: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split([' ', '(', ',']).next())
        .filter(|name| name.starts_with(char::is_uppercase))
        .collect();
    assert!(variants.len() >= 9, "{variants:?}");
    for name in variants {
        assert!(page.contains(&format!("| `Event::{name}` |")), "Event::{name} is not on the page");
    }
}

/// Every ``[`name`][label]``.
fn names(page: &str) -> Vec<(&str, &str)> {
    page.split("[`")
        .skip(1)
        .filter_map(|text| {
            let (name, rest) = text.split_once('`')?;
            let (label, _) = rest.strip_prefix("][")?.split_once(']')?;
            Some((name, label))
        })
        .collect()
}

/// Every `[label]: file`.
fn definitions(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "))
}

/// Whether the last part of a path is defined in the source, and the parts before it are, or are implemented there.
fn is_there(source: &str, path: &str, module: &str) -> bool {
    if path == module {
        return true;
    }
    let path = path.strip_prefix(module).and_then(|rest| rest.strip_prefix("::")).unwrap_or(path);
    let mut owners: Vec<_> = path.split("::").collect();
    let name = owners.pop().unwrap_or_default();
    let is_implemented =
        |owner: &str| source.contains(&format!("impl {owner} {{")) || source.contains(&format!(" for {owner}"));
    is_defined(source, name) && owners.iter().all(|owner| is_defined(source, owner) || is_implemented(owner))
}

fn is_defined(source: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let item = ["fn", "struct", "enum", "trait", "type", "const", "static", "mod"]
        .iter()
        .any(|keyword| source.split(&format!("{keyword} {name}")).skip(1).any(ends));
    let variant = || {
        source
            .lines()
            .filter_map(|line| line.trim().strip_prefix(name))
            .any(|rest| rest.starts_with([',', '(']) || rest == " {")
    };
    item || variant()
}

#[test]
fn linked_files_are_there() {
    for page in ["README.md", "CONTRIBUTING.md", "docs/how-it-works.md"] {
        let page = PathBuf::from(ROOT).join(page);
        let text = read(&page);
        let inline = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        let targets: Vec<_> = inline.chain(definitions(&text).map(|(_, target)| target)).collect();
        for target in targets {
            let file = target.split('#').next().unwrap_or_default();
            let there =
                file.is_empty() || file.contains("://") || page.parent().is_some_and(|dir| dir.join(file).exists());
            assert!(there, "{}: {target} is not there", page.display());
        }
    }
}

/// The READMEs of the crates are tests of their documentation; this one is of no crate.
#[test]
fn code_in_the_readme_is_code_that_is_compiled() {
    let root = PathBuf::from(ROOT);
    let example = read(root.join("flame-actors/src/lib.rs")).replace("//! ", "").replace("\n# ", "\n");
    let compiled = example + &read(root.join("examples/quickstart/src/main.rs"));
    let compiled: HashSet<_> = compiled.lines().map(str::trim).collect();
    let text = read(root.join("README.md"));
    let blocks: Vec<_> = text.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty(), "README.md shows no code");
    for line in blocks.iter().flat_map(|block| block.lines()).map(str::trim) {
        assert!(compiled.contains(line), "README.md: neither lib.rs nor the quickstart has this line: {line}");
    }
}
