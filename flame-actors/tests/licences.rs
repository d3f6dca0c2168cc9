//! Every dependency may be used under the licences that `deny.toml` allows, which are stated there and nowhere else.

use std::fs;
use std::path::Path;
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let deny = fs::read_to_string(Path::new(ROOT).join("deny.toml")).unwrap();
    let allowed = allowed(&deny);
    assert!(allowed.contains(&"MIT"), "deny.toml: {allowed:?}");
    let packages = packages();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let refused: Vec<_> = packages
        .iter()
        .filter(|(_, licence)| !is_allowed(licence.as_deref().unwrap_or(""), &allowed).unwrap_or(false))
        .map(|(name, licence)| format!("{name}: {}", licence.as_deref().unwrap_or("no licence")))
        .collect();
    assert!(refused.is_empty(), "not allowed by deny.toml:\n{}", refused.join("\n"));
}

/// All packages that are built on this platform, and the licence of each.
fn packages() -> Vec<(String, Option<String>)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // What other platforms need was perhaps never downloaded.
    let args = ["metadata", "--locked", "--format-version", "1", "--filter-platform", "host-tuple"];
    let output = Command::new(cargo).args(args).current_dir(ROOT).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let package = |package: &serde_json::Value| {
        let text = |key: &str| package[key].as_str().map(str::to_owned);
        (format!("{} {}", text("name").unwrap(), text("version").unwrap()), text("license"))
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

/// The strings of `allow = [...]` in the table `[licenses]`.
fn allowed(deny: &str) -> Vec<&str> {
    let table = deny.split("\n[licenses]").nth(1).expect("deny.toml has [licenses]");
    let list = table.split_once("\nallow = [").expect("[licenses] has allow").1;
    let lines = list.lines().map(str::trim).take_while(|line| *line != "]");
    lines.filter_map(|line| line.strip_prefix('"')?.split_once('"').map(|(licence, _)| licence)).collect()
}

/// Whether one way to satisfy this SPDX expression is allowed; `None` when it is not an expression.
fn is_allowed(expression: &str, allowed: &[&str]) -> Option<bool> {
    // Old manifests write `MIT/Apache-2.0` for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = &tokens[..];
    let value = either(&mut rest, allowed)?;
    rest.is_empty().then_some(value)
}

fn either(tokens: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut value = both(tokens, allowed)?;
    while take(tokens, "OR") {
        value |= both(tokens, allowed)?;
    }
    Some(value)
}

fn both(tokens: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut value = one(tokens, allowed)?;
    while take(tokens, "AND") {
        value &= one(tokens, allowed)?;
    }
    Some(value)
}

fn one(tokens: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    if take(tokens, "(") {
        let value = either(tokens, allowed)?;
        return take(tokens, ")").then_some(value);
    }
    let mut licence = name(tokens)?.to_owned();
    if take(tokens, "WITH") {
        licence = format!("{licence} WITH {}", name(tokens)?);
    }
    Some(allowed.contains(&licence.as_str()))
}

fn name<'a>(tokens: &mut &[&'a str]) -> Option<&'a str> {
    let (first, rest) = tokens.split_first()?;
    *tokens = rest;
    (!["(", ")", "AND", "OR", "WITH"].contains(first)).then_some(first)
}

fn take(tokens: &mut &[&str], token: &str) -> bool {
    let taken = tokens.first() == Some(&token);
    if taken {
        *tokens = &tokens[1..];
    }
    taken
}

#[test]
fn expressions_mean_what_spdx_says() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
    for (expression, expected) in [
        ("MIT", Some(true)),
        ("GPL-3.0", Some(false)),
        ("GPL-3.0/MIT", Some(true)),
        ("GPL-3.0 OR MIT", Some(true)),
        ("GPL-3.0 AND MIT", Some(false)),
        ("GPL-3.0 AND ISC OR MIT", Some(true)),
        ("GPL-3.0 AND (ISC OR MIT)", Some(false)),
        ("ISC AND (GPL-3.0 OR MIT)", Some(true)),
        ("Apache-2.0 WITH LLVM-exception", Some(true)),
        ("Apache-2.0", Some(false)),
        ("", None),
        ("MIT ISC", None),
        ("(MIT", None),
        ("MIT AND", None),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}
