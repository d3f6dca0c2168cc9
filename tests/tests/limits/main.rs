//! Limits of runners, by control groups: these trials need the right to make some, and fail without.
//!
//! On a machine with control groups of version 1 they show that version, on another one version 2.

mod cpu;
mod groups;
mod memory;
mod work;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    // One at a time, since some measure.
    Suite::new().one_at_a_time().trials(memory::trials()).trials(cpu::trials()).trials(groups::trials()).run()
}
