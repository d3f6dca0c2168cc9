//! Messages and references: every operation and end, order, back-pressure, tracked resources, groups.

mod bounded;
mod groups;
mod hostile;
mod itself;
mod leaks;
mod measure;
mod order;
mod peer;
mod same;
mod table;
mod tracked;
mod values;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .one_at_a_time()
        .trials(itself::trials())
        .trials(same::trials())
        .trials(values::trials())
        .trials(table::trials())
        .trials(bounded::trials())
        .trials(tracked::trials())
        .trials(groups::trials())
        .trials(order::trials())
        .trials(hostile::trials())
        .trials(leaks::trials())
        .run()
}
