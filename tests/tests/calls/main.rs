//! Calls and casts: results, errors, limits, deadlines, loss, and what a task finds around itself.

mod context;
mod deadlines;
mod limits;
mod loss;
mod results;
mod tasks;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .role("parent", context::parent)
        .trials(results::trials())
        .trials(limits::trials())
        .trials(deadlines::trials())
        .trials(loss::trials())
        .trials(context::trials())
        .run()
}
