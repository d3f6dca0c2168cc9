//! Pools: growth, order, slots, idleness, live changes, hooks, events, losses, shutdown, boots that fail, standard
//! error.

mod boots;
mod changes;
mod early;
mod events;
mod files;
mod growth;
mod hooks;
mod idle;
mod options;
mod pending;
mod scripted;
mod shutdown;
mod single_use;
mod slots;
mod stderr;
mod storm;
mod work;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    Suite::new()
        .role("reciting", stderr::reciting)
        .role("stuck", stderr::stuck)
        .trials(storm::trials())
        .trials(files::trials())
        .trials(growth::trials())
        .trials(pending::trials())
        .trials(boots::trials())
        .trials(early::trials())
        .trials(slots::trials())
        .trials(single_use::trials())
        .trials(idle::trials())
        .trials(changes::trials())
        .trials(hooks::trials())
        .trials(events::trials())
        .trials(options::trials())
        .trials(shutdown::trials())
        .trials(stderr::trials())
        .run()
}
