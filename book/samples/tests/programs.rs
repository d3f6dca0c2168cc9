//! The programs of this package do what their pages say.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_deployed_application_ends_well_when_it_is_told_to() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_deployed")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "connections here: 10, on a runner: 1");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(lines.next().is_none(), "it and its runner have closed their standard output");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_picture_of_a_pool_can_be_drawn_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture.svg");
    let output = Command::new(env!("CARGO_BIN_EXE_pool_over_time")).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    // On a loaded machine some runners may come too late to be of use.
    let used = (2..=8).any(|most| said.contains(&format!("at most {most} slots in use")));
    assert!(used, "{said}");
    // The same drawing as in the book, but for what the clock said.
    let parts = |svg: &str| svg.lines().map(|line| line.split('"').next().unwrap().to_owned()).collect::<Vec<_>>();
    let drawn = std::fs::read_to_string(&file).unwrap();
    let of_the_book = flame_book::read(&flame_book::sources().join("images/pool-over-time.svg"));
    assert_eq!(parts(&drawn)[..8], parts(&of_the_book)[..8]);
}

#[test]
fn code_begins_at_the_margin() {
    let page = "text\n\n```rust\n    let one = 1;\n\n        .two();\n```\n\n    and\n";
    assert_eq!(flame_book::dedent(page), "text\n\n```rust\nlet one = 1;\n\n    .two();\n```\n\n    and\n");
}
