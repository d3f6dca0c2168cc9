//! Machines of Fly.io, as the simulator boots them: what goes wrong there, and what is left behind.
//!
//! What is independent of the backend runs on them in the other suites, as `…_on_fly`; what is asked of the API, answer
//! by answer, is in `flame-fly/tests/requests`.

mod boots;
mod losses;
mod nested;
mod parents;
mod sim;

use std::process::ExitCode;
use std::time::Duration;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .lease(Duration::from_secs(5))
        .role("deployed", parents::deployed)
        .role("busy", parents::busy)
        .role("booting", parents::booting)
        .trials(boots::trials())
        .trials(losses::trials())
        .trials(nested::trials())
        .trials(parents::trials())
        .run()
}
