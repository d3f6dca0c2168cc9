//! Metrics and spans, and the page that lists them.

mod collector;
mod numbers;
mod page;
mod recorder;
mod spans;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    // In the runners too, as in an application: what they run is heard there.
    recorder::install();
    collector::install();
    Suite::new().trials(numbers::trials()).trials(spans::trials()).trials(page::trials()).run()
}
