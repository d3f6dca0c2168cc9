//! Rolling deploys: signals to parents and to runners.

mod parents;
mod runners;
mod work;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .role("web", parents::web)
        .role("stubborn", parents::stubborn)
        .role("booting", parents::booting)
        .role("lingering", parents::lingering)
        .role("looping", parents::looping)
        .trials(parents::trials())
        .trials(runners::trials())
        .run()
}
