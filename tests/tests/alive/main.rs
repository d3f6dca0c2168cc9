//! Whatever blocks or panics beside it, nothing healthy is lost, and nothing lost stays behind.
//!
//! What is harmed is mostly a process of its own, a role: what blocks one pool at the parent may block all of them.

mod blocked_output;
mod files;
mod flood;
mod harm;
mod layered;
mod logged;
mod messages;
mod orphans;
mod pipe;
mod pools;
mod recorder;
mod spinners;
mod starved;
mod traps;
mod user_code;

use std::process::ExitCode;

use flame_tests::Suite;

fn main() -> ExitCode {
    // In the runners too, which inherit the environment of their role.
    logged::install();
    layered::install();
    recorder::install();
    Suite::new()
        .lease(harm::LEASE)
        .one_at_a_time()
        .role("messages", messages::play)
        .role("pools", pools::play)
        .role("layered", layered::play)
        .role("recorded", recorder::play)
        .role("stuck", blocked_output::play)
        .role("copying", files::play)
        .role("spin", spinners::play)
        .role("flooded", flood::play)
        .role("printing", orphans::printing)
        .role("blocked", orphans::blocked)
        .trials(orphans::trials())
        .trials(blocked_output::trials())
        .trials(recorder::trials())
        .trials(files::trials())
        .trials(starved::trials())
        .trials(flood::trials())
        .trials(user_code::trials())
        .run()
}
