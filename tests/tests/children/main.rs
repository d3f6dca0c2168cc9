//! Placed children: messages, ends, references, placement.

mod ends;
mod home;
mod messages;
mod placement;
mod probe;
mod references;
mod restarts;
mod snapshots;
mod supervised;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .trials(messages::trials())
        .trials(ends::trials())
        .trials(references::trials())
        .trials(placement::trials())
        .trials(restarts::trials())
        .trials(supervised::trials())
        .trials(snapshots::trials())
        .run()
}
