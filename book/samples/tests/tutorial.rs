//! The pages that tell what to do are followed to the letter, in an empty folder.
//!
//! It is as it is on a reader's machine, but for three things: cargo asks no registry, it takes the versions of this
//! workspace, and it puts what it builds beside what this workspace has built, so that little is built anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flame_book::{FOLLOWED, Page, clear_away, follow, normal, read, root};
use flame_fly_sim::{Output, Simulator};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CONFIG: &str = r#"
[build]
target-dir = "TARGET"
incremental = false

[net]
offline = true

[profile.dev]
debug = "line-tables-only"

[profile.dev.package."*"]
debug = false
"#;

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("it runs");
    test.ancestors().nth(3).expect("it is in target/debug/deps").to_owned()
}

/// An empty folder.
fn empty_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::create_dir(folder.path().join(".cargo")).expect("a folder can be made");
    let config = CONFIG.replace("TARGET", &target().display().to_string());
    fs::write(folder.path().join(".cargo/config.toml"), config).expect("a file can be written");
    folder
}

/// Follows the pages of this program, in order, and then does this in its folder.
fn follow_all(program: &str, then: impl FnOnce(&Path)) {
    let (_, pages) = FOLLOWED.iter().find(|(known, _)| *known == program).expect("it is on some pages");
    let empty = empty_folder();
    let mut folder: PathBuf = empty.path().to_owned();
    for page in *pages {
        follow(&Page::open(page), &mut folder);
    }
    assert!(folder.ends_with(program), "the pages work in the folder {program}");
    then(&folder);
    clear_away(program, &folder);
}

#[test]
fn ten_minutes_to_a_working_pool() {
    follow_all("quick", |_| {});
}

#[test]
fn the_tutorial() {
    follow_all("painter", |folder| {
        on_the_simulator(folder);
        its_image_is_built_as_it_was_here(folder);
    });
}

/// The simulator is in this process, with what the page tells the command; the parent is as on the page.
fn on_the_simulator(folder: &Path) {
    let blocks = Page::open("tutorial/deploy.md").blocks();
    let text = |is: &str| blocks.iter().find(|block| block.info == "text" && block.body.contains(is)).expect(is);
    let command = text("flame-fly-sim").body.trim();
    let image = command.strip_prefix("cargo run -p flame-fly-sim -- --any-image ../painter/target/");
    let painter = target().join(image.expect(command));

    let runtime = Runtime::new().unwrap();
    let simulator = Simulator::builder().any_image(&painter).output(Output::Quiet).start();
    let simulator = runtime.block_on(simulator).unwrap();
    let output = Command::new(&painter).envs(simulator.environment()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(normal(&String::from_utf8_lossy(&output.stdout)), normal(&text("letters are").body));
    assert!((1..=3).contains(&simulator.machines().len()), "{:?}", simulator.machines());
    assert!(simulator.violations().is_empty(), "{:?}", simulator.violations());
    runtime.block_on(simulator.stop());
}

/// Dockerfile and fly.toml are what the pages have left in the folder.
fn its_image_is_built_as_it_was_here(folder: &Path) {
    let toml = |path: PathBuf| read(&path).parse::<toml::Table>().expect("it is TOML");
    let compiler = toml(root().join("Cargo.toml"))["workspace"]["package"]["rust-version"].clone();
    let dockerfile = read(&folder.join("Dockerfile"));
    for line in [
        &format!("FROM rust:{}-slim-trixie AS build", compiler.as_str().unwrap()),
        // Beside each other, as the paths in Cargo.toml have it.
        "COPY flame-actors flame-actors",
        "COPY painter painter",
        "RUN cd painter && cargo build --locked --release",
        "FROM debian:trixie-slim",
        "COPY --from=build /build/painter/target/release/painter /usr/local/bin/painter",
        "CMD [\"sleep\", \"infinity\"]",
    ] {
        assert!(dockerfile.lines().any(|of_it| of_it == line), "no {line}: {dockerfile}");
    }
    assert!(dockerfile.contains(" ca-certificates "), "Fly's API has a certificate: {dockerfile}");
    assert!(folder.join("Cargo.lock").exists() && target().join("debug/painter").exists());

    let fly = toml(folder.join("fly.toml"));
    assert_eq!(fly.keys().collect::<Vec<_>>(), ["app", "build", "primary_region", "vm"]);
    // Fly looks for it beside fly.toml.
    assert!(folder.join(fly["build"]["dockerfile"].as_str().unwrap()).exists());
    assert_eq!(fly["vm"][0]["size"].as_str(), Some("shared-cpu-1x"));
    assert_eq!(read(&folder.join("../.dockerignore")), "**/target\n");
}
