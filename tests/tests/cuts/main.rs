//! Nodes that freeze or are cut off from each other, with a lease of two seconds.

mod frozen;
mod network;
mod parent;

use std::process::ExitCode;
use std::time::Duration;

use flame_tests::Suite;

const LEASE: Duration = Duration::from_secs(2);
/// What a loaded machine may add where the time is bounded by what is promised.
const SLACK: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    Suite::new()
        .lease(LEASE)
        .role("parent", parent::parent)
        .role("impatient", parent::impatient)
        .role("booting", parent::booting)
        .trials(frozen::trials())
        .trials(network::trials())
        .run()
}
