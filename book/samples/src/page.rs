//! One page.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::{read, sources};

/// A page of the book.
#[derive(Clone, Debug)]
pub struct Page {
    /// Below `book/src`.
    pub name: String,
    /// As it was written.
    pub source: String,
    /// With what it includes.
    pub text: String,
}

/// A fenced block of a page.
#[derive(Clone, Debug)]
pub struct Block {
    /// What follows the fence: `rust`, `console`, …
    pub info: String,
    /// The lines between the fences.
    pub body: String,
    /// From the comment `<!-- file: … -->` above it.
    pub file: Option<String>,
}

impl Page {
    /// All pages that SUMMARY.md lists, in order, itself included.
    pub fn all() -> Vec<Self> {
        let summary = Self::open("SUMMARY.md");
        let listed = summary.links().into_iter().filter(|link| !link.is_empty()).map(|link| Self::open(&link));
        let pages: Vec<_> = listed.collect();
        std::iter::once(summary).chain(pages).collect()
    }

    /// The page of this name.
    pub fn open(name: &str) -> Self {
        let path = sources().join(name);
        let source = read(&path);
        let text = expand(&source, &path);
        Self { name: name.to_owned(), source, text }
    }

    /// The file that a link on this page leads to, with its anchor.
    pub fn target(&self, link: &str) -> (PathBuf, Option<String>) {
        let (file, anchor) =
            link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor.to_owned())));
        let here = sources().join(&self.name);
        let path = if file.is_empty() { here } else { here.parent().expect("a page is in a folder").join(file) };
        (path, anchor)
    }

    /// The fenced blocks.
    pub fn blocks(&self) -> Vec<Block> {
        blocks(&self.text)
    }

    /// The blocks as they were written, with the include and not what it names.
    pub fn written_blocks(&self) -> Vec<Block> {
        blocks(&self.source)
    }

    /// The ids of the headings, as mdBook makes them.
    pub fn anchors(&self) -> Vec<String> {
        let mut seen = HashMap::new();
        let headings = self.prose().filter(|line| line.starts_with('#'));
        let ids = headings.map(|line| id(line.trim_start_matches('#').trim()));
        ids.map(|id| {
            let count = seen.entry(id.clone()).and_modify(|count| *count += 1).or_insert(0);
            if *count == 0 { id } else { format!("{id}-{count}") }
        })
        .collect()
    }

    /// The targets of `[text](target)` and `![text](target)`, outside of code.
    pub fn links(&self) -> Vec<String> {
        let prose: Vec<_> = self.prose().map(without_code).collect();
        let targets = prose.iter().flat_map(|line| line.split("](").skip(1));
        targets.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
    }

    /// The lines that are in no block of code.
    fn prose(&self) -> impl Iterator<Item = &str> {
        let mut in_code = false;
        self.text.lines().filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            in_code ^= fence;
            !fence && !in_code
        })
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    let mut file = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.body.push_str(line);
                block.body.push('\n');
            }
            (None, Some(info)) => {
                open = Some(Block { info: info.to_owned(), body: String::new(), file: file.take() });
            }
            (None, None) if line.is_empty() => {}
            (None, None) => {
                let comment = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->"));
                file = comment.map(str::to_owned);
            }
        }
    }
    assert!(open.is_none(), "a block has no end: {text}");
    blocks
}

/// As mdBook does it: lower case, no punctuation, `-` for blanks.
fn id(heading: &str) -> String {
    let keep = |char: char| match char {
        ' ' => Some('-'),
        '-' | '_' => Some(char),
        _ => char.is_alphanumeric().then_some(char),
    };
    heading.to_lowercase().chars().filter_map(keep).collect()
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// Replaces each `{{#include file:anchor}}` by what it names.
fn expand(text: &str, page: &Path) -> String {
    let mut parts = text.split("{{#include ");
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (what, rest) = part.split_once("}}").expect("an include has an end");
        expanded.push_str(included(what, page).trim_end());
        expanded.push_str(rest);
    }
    expanded
}

fn included(what: &str, page: &Path) -> String {
    let (file, anchor) = what.split_once(':').map_or((what, None), |(file, anchor)| (file, Some(anchor)));
    let path = page.parent().expect("a page is in a folder").join(file);
    let text = read(&path);
    let is_mark = |line: &str| line.contains("ANCHOR: ") || line.contains("ANCHOR_END: ");
    let is = |line: &str, mark: &str, anchor: &str| line.trim_end().ends_with(&format!("{mark}: {anchor}"));
    // Without an anchor all of it, with `3:` from its third line.
    let from = anchor.map_or(Some(1), |anchor| anchor.strip_suffix(':')?.parse::<usize>().ok());
    if let Some(from) = from {
        return text.lines().skip(from - 1).filter(|line| !is_mark(line)).map(|line| format!("{line}\n")).collect();
    }
    let anchor = anchor.unwrap_or_default();
    let inside = text.lines().skip_while(|line| !is(line, "ANCHOR", anchor)).skip(1);
    let inside: Vec<_> = inside.take_while(|line| !is(line, "ANCHOR_END", anchor)).collect();
    assert!(!inside.is_empty(), "{}: {} has no anchor {anchor}", page.display(), path.display());
    inside.into_iter().filter(|line| !is_mark(line)).map(|line| format!("{line}\n")).collect()
}

/// Takes from each block of code in Rust the indentation that all of its lines have.
pub fn dedent(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let fences: Vec<_> = (0..lines.len()).filter(|at| lines[*at].starts_with("```")).collect();
    for fence in fences.chunks_exact(2) {
        if !lines[fence[0]].starts_with("```rust") {
            continue;
        }
        let block = &mut lines[fence[0] + 1..fence[1]];
        let indents =
            block.iter().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
        let indent = indents.min().unwrap_or_default();
        block.iter_mut().for_each(|line| *line = line.get(indent..).unwrap_or_default());
    }
    lines.join("\n") + "\n"
}
