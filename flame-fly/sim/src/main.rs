//! A Fly.io Machines API on this computer: `flame-fly-sim --listen 127.0.0.1:4280 --any-image target/debug/app`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use flame_fly_sim::{Isolation, Simulator};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A Fly.io Machines API on this computer: machines are processes, and everything can be told to fail.
#[derive(Debug, Parser)]
struct Options {
    /// Serve here
    #[arg(long, default_value = "127.0.0.1:4280")]
    listen: SocketAddr,
    /// The token that is good
    #[arg(long, default_value = "sim-token")]
    token: String,
    /// An app that there is; may be given again
    #[arg(long = "app", default_value = "sim")]
    apps: Vec<String>,
    /// A region that there is; the first is for machines that name none
    #[arg(long = "region", value_name = "REGION", default_values = ["iad", "ord", "fra", "ams", "lhr"])]
    regions: Vec<String>,
    /// An image and the executable that it is; may be given again
    #[arg(long = "image", value_name = "REFERENCE=EXECUTABLE", value_parser = pair)]
    images: Vec<(String, String)>,
    /// The executable that all other images are
    #[arg(long, value_name = "EXECUTABLE")]
    any_image: Option<PathBuf>,
    /// A variable in the environment of all machines; may be given again
    #[arg(long = "secret", value_name = "NAME=VALUE", value_parser = pair)]
    secrets: Vec<(String, String)>,
    /// The private network, such as 0:1 for fdaa:0:1:a7b::/64; a random one by default
    #[arg(long, value_name = "HIGH:LOW", value_parser = network)]
    network: Option<(u16, u16)>,
    /// Plain processes on ::1 instead of network namespaces
    #[arg(long)]
    no_namespaces: bool,
    /// No limits of how often things may be asked
    #[arg(long)]
    no_limits: bool,
    /// An app may have so many machines
    #[arg(long, value_name = "MACHINES")]
    machine_quota: Option<usize>,
    /// The machines of an app may have so much memory in a region
    #[arg(long, value_name = "MEGABYTES")]
    memory_quota: Option<u64>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("there is no = in it")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn network(text: &str) -> Result<(u16, u16), String> {
    let read = |part: &str| u16::from_str_radix(part, 16).map_err(|err| err.to_string());
    let (high, low) = text.split_once(':').ok_or("there is no : in it")?;
    Ok((read(high)?, read(low)?))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let options = Options::parse();

    let mut builder = Simulator::builder().listen(options.listen).token(options.token).apps(options.apps);
    builder = builder.regions(options.regions);
    builder = options.images.into_iter().fold(builder, |builder, (name, path)| builder.image(name, path));
    builder = options.secrets.into_iter().fold(builder, |builder, (name, value)| builder.secret(name, value));
    builder = options.any_image.into_iter().fold(builder, |builder, path| builder.any_image(path));
    builder = options.network.into_iter().fold(builder, |builder, (high, low)| builder.network(high, low));
    builder = options.machine_quota.into_iter().fold(builder, |builder, quota| builder.machine_quota(quota));
    builder = options.memory_quota.into_iter().fold(builder, |builder, quota| builder.memory_quota_mb(quota));
    if options.no_namespaces {
        builder = builder.isolation(Isolation::Off);
    }
    if options.no_limits {
        builder = builder.limits(None);
    }
    let simulator = builder.start().await.with_context(|| format!("cannot start on {}", options.listen))?;

    println!("# for a parent on this computer; machines reach this at {}", simulator.internal_url());
    for (name, value) in simulator.environment() {
        println!("export {name}={value}");
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}
