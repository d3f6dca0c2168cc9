//! What is left when one side is killed: nothing.

mod grandchildren;
mod parents;
mod work;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .role("busy", parents::busy)
        .role("unlinked", parents::unlinked)
        .role("printing", parents::printing)
        .role("supervising", parents::supervising)
        .role("supervising_unlinked", parents::supervising_unlinked)
        .role("booting", parents::booting)
        .role("booting_spied", parents::booting_spied)
        .role("leaving", parents::leaving)
        .role("nesting", parents::nesting)
        .role("grandparent", grandchildren::grandparent)
        .trials(parents::trials())
        .trials(grandchildren::trials())
        .run()
}
