//! Runners on this computer, for [`flame_actors`].
//!
//! [`ProcessBackend`] boots each runner as a child process of the running executable. [`InProcess`] has the runners
//! inside this process; it is the default of a pool without a backend.
#![doc = include_str!("../README.md")]
#![warn(clippy::missing_errors_doc)]

mod process;
pub mod testing;

pub use flame_actors::InProcess;

pub use self::process::ProcessBackend;
pub use self::testing::test_node;
