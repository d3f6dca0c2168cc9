//! The command line.

use std::net::SocketAddr;

use clap::Parser;

/// Serves chat rooms, each an actor on a runner.
#[derive(Parser)]
pub(crate) struct Cli {
    /// Where clients connect; with port 0 the system chooses one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7000")]
    pub(crate) listen: SocketAddr,
    /// The greatest number of runners
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) runners: u16,
    /// The greatest number of rooms on each
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) rooms: u16,
    /// The greatest number of clients
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) clients: u16,
}
