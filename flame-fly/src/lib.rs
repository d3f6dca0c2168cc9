//! Runners on [Fly.io](https://fly.io) Machines, for [`flame_actors`].
//!
//! [`FlyBackend`] asks the Machines API to boot the application's own image again; the copy connects back over the
//! private network.
#![doc = include_str!("../README.md")]

mod api;
mod backend;
mod bucket;
mod create;
mod doctor;
mod life;
mod options;
mod request;
mod retry;
mod settings;

pub use self::backend::FlyBackend;
pub use self::settings::Size;
