//! Streams of bytes: contents, ways, ends, memory.

mod contents;
mod ends;
mod work;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new().trials(contents::trials()).trials(ends::trials()).run()
}
