//! The harness of the behaviour tests.
//!
//! The tests run against real processes: a test executable is its own runner. So each has a `main` that hands its
//! trials to [`Suite`], which lets a booted runner serve and a [`Role`] play before it thinks of trials. One executable
//! covers one area, behaviours are its modules, and a trial is an `async fn` whose name is a sentence.
//!
//! | file | what it has |
//! | --- | --- |
//! | `harness.rs` | [`Suite`], trials, and what a runner of the tests does |
//! | `runners.rs` | where a trial's runners live, and pools for it |
//! | `fly.rs` | the simulator of Fly.io that some of them live on |
//! | `journal.rs` | a file in which other processes note what happened to them |
//! | `process.rs` | who is alive, who descends from whom, signals |
//! | `proxy.rs` | a network between parent and runners that can fail |
//! | `role.rs` | this executable once more, to be killed or stopped |
//! | `spy.rs` | a backend that tells what it hands out, or fails |
//! | `wait.rs` | waiting for conditions, never for luck |

mod fly;
mod harness;
mod journal;
pub mod process;
mod proxy;
mod role;
mod runners;
mod spy;
mod wait;

pub use self::harness::{
    AFTER_SERVE, BEFORE_START, BEHAVIOUR, FAILSAFE, Greeting, HELPER, JOINED, LEASE, LEAVE_DESCRIPTOR_LIMIT, Outcome,
    RUNNER_ADVERTISE, Suite, WORDS, long_trial, node, trial,
};
pub use self::journal::{Entry, Journal, OnDrop};
pub use self::proxy::{Proxy, Way};
pub use self::role::{Role, told};
pub use self::runners::Runners;
pub use self::spy::{Broken, Spy};
pub use self::wait::{eventually, until, within};

/// Trials of functions that take no argument, named as they are.
#[macro_export]
macro_rules! trials {
    ($($name:ident),* $(,)?) => { vec![$($crate::trial(module_path!(), stringify!($name), $name)),*] };
}

/// Trials of functions that take [`Runners`]: each against real processes, in this process, and on Fly.
#[macro_export]
macro_rules! everywhere {
    ($($name:ident),* $(,)?) => {
        vec![$(
            $crate::trial(module_path!(), stringify!($name), || $name($crate::Runners::Processes)),
            $crate::trial(module_path!(), concat!(stringify!($name), "_in_process"), || $name($crate::Runners::InProcess)),
            $crate::trial(module_path!(), concat!(stringify!($name), "_on_fly"), || $name($crate::Runners::Fly)),
        )*]
    };
}
