//! Children that are placed again, whatever happens meanwhile.

mod chaos;
mod keeper;
mod member;
mod refs;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new().trials(refs::trials()).trials(chaos::trials()).run()
}
