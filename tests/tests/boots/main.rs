//! Many boots at once, and what they may use up: turns and descriptors.

mod descriptors;
mod growing;
mod turns;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    // One at a time, since some have hundreds of processes.
    Suite::new()
        .one_at_a_time()
        .role("growing", growing::growing)
        .role("crowded", descriptors::crowded)
        .role("limited", descriptors::limited)
        .trials(turns::trials())
        .trials(descriptors::trials())
        .run()
}
