//! Who may join: strangers, used tokens, other builds, garbage.

mod build;
mod flood;
mod openssl;
mod secrets;
mod strangers;
mod tls;
mod tokens;
mod traced;
mod watched;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    traced::start();
    Suite::new()
        .role("watched", watched::watched)
        .role("flood", flood::flood)
        .trials(strangers::trials())
        .trials(tokens::trials())
        .trials(build::trials())
        .trials(openssl::trials())
        .trials(secrets::trials())
        .trials(flood::trials())
        .run()
}
