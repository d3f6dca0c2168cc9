//! Calls and casts: results, errors, limits, deadlines, loss.

mod deadlines;
mod limits;
mod loss;
mod results;
mod tasks;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .trials(results::trials())
        .trials(limits::trials())
        .trials(deadlines::trials())
        .trials(loss::trials())
        .run()
}
