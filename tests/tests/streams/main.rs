//! Streams of bytes: contents, ways, ends, memory.

mod carried;
mod contents;
mod ends;
mod lost;
mod many;
mod memory;
mod relays;
mod unopened;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use flame_tests::Suite;

/// What runs on both sides of these is a lot for a small machine.
const LEASE: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    Suite::new()
        .lease(LEASE)
        .role("parent", lost::parent)
        .role("streams", lost::streams)
        .role("mover", memory::mover)
        .role("thousand", many::thousand)
        .role("tidy", many::tidy)
        // The longest first.
        .trials(many::trials())
        .trials(memory::trials())
        .trials(contents::trials())
        .trials(carried::trials())
        .trials(ends::trials())
        .trials(relays::trials())
        .trials(lost::trials())
        .trials(unopened::trials())
        .run()
}
