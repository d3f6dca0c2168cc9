//! Placed children: messages, ends, references, placement.

mod ends;
mod home;
mod messages;
mod placement;
mod probe;
mod references;
mod restarts;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .trials(messages::trials())
        .trials(ends::trials())
        .trials(references::trials())
        .trials(placement::trials())
        .trials(restarts::trials())
        .run()
}
