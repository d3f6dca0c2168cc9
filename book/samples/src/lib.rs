//! The book as its checks see it: pages with their headings, links and blocks of code.
//!
//! What mdBook does with a page is done here as far as the checks need it: `{{#include file:anchor}}` is replaced by
//! what it names, and a heading gets the id that mdBook gives it.

pub mod backend;
mod page;
pub mod picture;
mod run;

use std::path::{Path, PathBuf};

pub use self::page::{Block, Page, dedent};
pub use self::run::{clear_away, follow, normal};

/// The pages that are followed to the letter, each in the folder of its program.
pub const FOLLOWED: [(&str, &[&str]); 2] = [
    ("quick", &["getting-started.md"]),
    (
        "painter",
        &[
            "tutorial/local.md",
            "tutorial/function.md",
            "tutorial/processes.md",
            "tutorial/placed.md",
            "tutorial/home.md",
            "tutorial/lost.md",
            "tutorial/streams.md",
            "tutorial/deploy.md",
        ],
    ),
];

/// The root of the repository.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

/// `book/src`.
pub fn sources() -> PathBuf {
    root().join("book/src")
}

/// The text of a file, or a panic that names it.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}
