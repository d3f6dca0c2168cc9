//! The simulator as its clients see it: over HTTP, with real processes.

mod boots;
mod client;
mod endpoints;
mod faults;
mod leftovers;
mod life;
mod limits;
mod network;
mod program;
mod refusals;
