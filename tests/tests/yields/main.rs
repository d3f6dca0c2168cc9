//! Tasks that yield, and maps: order, back-pressure, every kind of end, and many at once.

mod ends;
mod flow;
mod items;
mod many;
mod map;
mod tasks;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .role("parent", ends::parent)
        .trials(items::trials())
        .trials(flow::trials())
        .trials(ends::trials())
        .trials(many::trials())
        .trials(map::trials())
        .run()
}
