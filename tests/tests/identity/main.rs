//! Who may join: strangers, used tokens, other builds, garbage.

mod build;
mod strangers;
mod tls;
mod tokens;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new().trials(strangers::trials()).trials(tokens::trials()).trials(build::trials()).run()
}
