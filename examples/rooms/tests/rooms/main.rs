//! The real binary, with clients over TCP.

mod bounds;
mod client;
mod comes_back;
mod server;
mod strangers;
mod talk;
