//! Pools: growth, reuse, order, shrinking, `min`, shutdown, boots that fail, standard error.

mod boots;
mod growth;
mod options;
mod shutdown;
mod stderr;
mod work;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .role("reciting", stderr::reciting)
        .role("stuck", stderr::stuck)
        .trials(growth::trials())
        .trials(boots::trials())
        .trials(options::trials())
        .trials(shutdown::trials())
        .trials(stderr::trials())
        .run()
}
