//! Children that are placed again, whatever happens meanwhile.

mod chaos;
mod keeper;
mod losses;
mod member;
mod moves;
mod phases;
mod refs;
mod slow;
mod starts;

use std::process::ExitCode;
use std::time::Duration;

use flame_tests::Suite;

/// Long enough for a machine that has much to do, and short enough to wait for.
const LEASE: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    Suite::new()
        .lease(LEASE)
        .trials(refs::trials())
        .trials(moves::trials())
        .trials(phases::trials())
        .trials(starts::trials())
        .trials(losses::trials())
        .trials(chaos::trials())
        .run()
}
