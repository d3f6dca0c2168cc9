//! A [Fly.io Machines API](https://fly.io/docs/machines/api/) on this computer, for tests.
//!
//! Each machine that is created boots as a process, with the environment that Fly would give it, and where that is
//! possible in a network namespace with an IPv6 address of its own. States, events, bodies, errors and limits are the
//! API's, and everything can be told to go wrong: see [`Fault`].
//!
//! Not its goals: images (an image is an executable of this computer), volumes, services and the proxy, DNS, and the
//! size of a machine (it is checked, and nothing is bounded by it).
//!
//! ```
//! use flame_fly_sim::{Fault, Simulator};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let simulator = Simulator::builder().token("secret").any_image("/bin/true").start().await?;
//! simulator.fault(Fault::status(503).times(2));
//! println!("export FLY_API_HOSTNAME={} FLY_API_TOKEN=secret FLY_APP_NAME=sim", simulator.url());
//! simulator.stop().await;
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! The program of the same name does this from the command line; README.md tells how.

mod action;
mod answer;
mod api;
mod builder;
mod connection;
pub mod contract;
mod control;
mod fault;
mod host;
mod limits;
mod machine;
mod network;
mod simulator;
mod world;

pub use action::Action;
pub use builder::{Builder, Isolation, Output};
pub use fault::{Effect, Fault};
pub use limits::{Limit, Limits};
pub use machine::State;
pub use simulator::{MachineInfo, Simulator};
pub use world::{Request, Violation};

/// The examples of the page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
