//! Pools: growth, reuse, order, shrinking, `min`, shutdown, boots that fail.

mod boots;
mod growth;
mod options;
mod shutdown;
mod work;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .trials(growth::trials())
        .trials(boots::trials())
        .trials(options::trials())
        .trials(shutdown::trials())
        .run()
}
