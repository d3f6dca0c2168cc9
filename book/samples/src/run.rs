//! Does what a page says, to the letter.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Page;

/// Writes the files of a page and gives its commands, in order, in this folder; the output has to be that of the page.
///
/// A file is a block below a comment `<!-- file: … -->`. A `console` block has commands, which begin with `$ `, and
/// what they print to standard output.
pub fn follow(page: &Page, folder: &mut PathBuf) {
    for block in page.blocks() {
        if let Some(file) = &block.file {
            let path = folder.join(file);
            // Where the checkout is: cargo takes its crates for others when they are found elsewhere, and builds them anew.
            let body = block.body.replace("\"../flame-actors/", &format!("\"{}/", crate::root().display()));
            std::fs::write(&path, body).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        } else if block.info == "console" {
            for step in block.body.split("$ ").skip(1) {
                let (command, expected) = step.split_once('\n').unwrap_or((step, ""));
                let printed = shell(command, folder);
                assert_eq!(normal(&printed), normal(expected), "{}: {command} prints something else", page.name);
            }
        }
    }
}

/// Takes what was built of the program in this folder out of the folder that it shares with others.
pub fn clear_away(program: &str, folder: &Path) {
    let cleaned = bash(&format!("cargo clean --quiet --package {program}"), folder).status();
    assert!(cleaned.is_ok_and(|status| status.success()), "{program} cannot be cleaned away");
}

fn shell(command: &str, folder: &mut PathBuf) -> String {
    if let Some(into) = command.strip_prefix("cd ") {
        folder.push(into);
        let (manifest, lock) = (folder.join("Cargo.toml"), folder.join("Cargo.lock"));
        if manifest.exists() && !lock.exists() {
            // So that nothing is resolved anew, which would need the registry.
            std::fs::copy(crate::root().join("Cargo.lock"), lock).expect("a file can be copied");
        }
        return String::new();
    }
    let output = bash(command, folder).output().expect("there is a bash");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Without what cargo tells the tests of this workspace by the environment: nobody has that who follows a page.
fn bash(command: &str, folder: &Path) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-euc", command]).current_dir(folder);
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    let names = ["CARGO", "CARGO_TARGET_DIR", "CARGO_TARGET_TMPDIR"];
    let of_cargo = |name: &str| names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars().filter(|(name, _)| of_cargo(name)) {
        bash.env_remove(name);
    }
    bash
}

/// What differs from run to run is replaced: process ids, counts of processes and runners, ulids, times, and the row at which a
/// painter goes on.
pub fn normal(text: &str) -> String {
    let lines = text.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let lines = lines.map(|mut words| {
        for at in 0..words.len() {
            let before = if at == 0 { "" } else { words[at - 1].as_str() };
            let after = words.get(at + 1).map_or("", String::as_str);
            let is_process =
                matches!(before, "process" | "row") || after.starts_with("processes") || after == "runners";
            words[at] = word(&words[at], is_process);
        }
        words.join(" ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn word(word: &str, counts: bool) -> String {
    let digits = word.chars().take_while(char::is_ascii_digit).count();
    let unit = word[digits..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()).trim_end_matches([',', ';']);
    if digits > 0 && (counts || matches!(unit, "ms" | "s" | "µs")) {
        return format!("N{}", &word[digits..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()));
    }
    let is_ulid = |part: &str| part.len() == 26 && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let parts = word.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    parts
        .map(|part| {
            let name = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if is_ulid(name) { part.replace(name, "ULID") } else { part.to_owned() }
        })
        .collect()
}
