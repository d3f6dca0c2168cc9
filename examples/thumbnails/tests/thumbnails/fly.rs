//! The same binary on machines of Fly.io, as the simulator has them, and the files that bring it there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flame_fly_sim::{Output, Simulator};
use tokio::runtime::Runtime;

use crate::bench::Bench;
use crate::clip::{SPOOLED, STREAMABLE, clip, images, reference};

/// Another binary than that of this build: `make fly` runs the one that the Dockerfile builds.
const BINARY: &str = "THUMBNAILS";

#[test]
fn the_work_is_done_on_machines_that_are_gone_afterwards() {
    let (runtime, bench) = (Runtime::new().unwrap(), Bench::new());
    // What is a secret there reaches every machine; here it is what the bench knows its processes by.
    let builder = Simulator::builder().any_image("/bin/false").output(Output::Quiet);
    let (mark, value) = bench.mark();
    let builder = builder.secret(mark, value).secret("TMPDIR", bench.spool().to_str().unwrap());
    let simulator = runtime.block_on(builder.start()).unwrap();
    let videos = [clip(STREAMABLE[0]), clip(SPOOLED[0])];

    let mut command = match std::env::var_os(BINARY) {
        Some(binary) => bench.marked(Command::new(binary), "fly", &[&videos[0], &videos[1]]),
        None => bench.command("fly", &[&videos[0], &videos[1]]),
    };
    let child = command.args(["--every", "2"]).envs(simulator.environment()).spawn().unwrap();
    let parent = child.id();
    let ended = bench.ended(child);
    ended.went_well();
    let workers = ended.workers();
    assert!(workers.len() == 2 && workers[0] != workers[1] && !workers.contains(&parent), "{ended:?}");
    for (folder, video) in [("clip", &videos[0]), ("end", &videos[1])] {
        assert!(images(&bench.out().join(folder)) == reference(video, "2"), "{folder}: other pictures");
    }
    assert_eq!(simulator.violations(), []);
    let machines = simulator.machines();
    assert_eq!(machines.len(), 2);
    assert!(machines.iter().all(|machine| machine.state.name() == "destroyed"), "{machines:?}");
    runtime.block_on(simulator.stop());
}

fn read(path: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

#[test]
fn fly_toml_says_what_the_page_and_the_dockerfile_say() {
    let config: toml::Table = read("fly.toml").parse().unwrap();
    let known = ["app", "primary_region", "build", "vm"];
    assert!(config.keys().all(|key| known.contains(&key.as_str())), "{config:?}");
    assert!(config["app"].is_str() && config["primary_region"].as_str().is_some_and(|region| region.len() == 3));
    // Fly looks for it beside this file.
    read(config["build"]["dockerfile"].as_str().unwrap());
    let vm = &config["vm"].as_array().unwrap()[0];
    assert_eq!((vm["size"].as_str(), vm["memory"].as_str()), (Some("shared-cpu-1x"), Some("512mb")));
    // Nobody connects to it from outside.
    assert!(!config.contains_key("http_service") && !config.contains_key("services"));
}

/// The instructions of each stage, with continued lines in one.
fn stages(dockerfile: &str) -> Vec<Vec<String>> {
    let text = dockerfile.replace("\\\n", " ");
    let mut stages: Vec<Vec<String>> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.starts_with("FROM ") {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("the first instruction is FROM").push(words);
    }
    stages
}

#[test]
fn the_dockerfile_builds_as_make_does_and_its_image_has_what_the_binary_needs() {
    let stages = stages(&read("Dockerfile"));
    let [build, image] = &stages[..] else { panic!("two stages: {stages:?}") };
    let workspace: toml::Table = read("../../Cargo.toml").parse().unwrap();
    let version = workspace["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert_eq!(build[0], format!("FROM rust:{version}-slim-trixie AS build"));
    let command = "cargo build --locked --release -p thumbnails";
    assert!(build.contains(&format!("RUN {command}")), "{build:?}");
    assert!(read("../../Makefile").contains(&format!("\t{command}\n")), "make fly builds something else");

    // The same libc as where it was built.
    assert_eq!(image[0], "FROM debian:trixie-slim");
    let installed = image.iter().find(|line| line.contains("apt-get install")).unwrap();
    assert!(installed.contains(" ffmpeg ") && installed.contains(" ca-certificates "), "{installed}");
    assert!(image.contains(&"COPY --from=build /build/target/release/thumbnails /usr/local/bin/thumbnails".to_owned()));
    assert_eq!(image.last().unwrap(), "CMD [\"sleep\", \"infinity\"]");
    // The builder gets none of what was built here.
    assert!(read("../../.dockerignore").lines().any(|line| line == "target"));
}
