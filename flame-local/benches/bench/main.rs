//! Run with `make bench`, or one section with `cargo bench -p flame-local --bench bench -- calls`.
//!
//! What things cost, each beside a floor that is measured in the same run, and beside what others need for the same.
//! Each section is measured by a process of its own, which is this executable in another role. A new row is a `Sample`
//! in a section and a `Row` in what that returns; a new section is a file and a line in `SECTIONS`.

mod calls;
mod checkout;
mod floor;
mod growth;
mod plain;
mod report;
mod sample;
mod streams;
mod yields;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use flame_actors::{BoxFuture, Node};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use self::report::Row;

/// Rows that one process measures, in `main` as the figures of others were; where that matters, in a task of it.
struct Section {
    name: &'static str,
    /// On one core, with all its runners: the way to compare latencies where waking an idle core takes long.
    pinned: bool,
    rows: fn(Node) -> BoxFuture<'static, anyhow::Result<Vec<Row>>>,
}

const SECTIONS: [Section; 5] = [
    Section { name: "calls", pinned: true, rows: |node| Box::pin(calls::rows(node)) },
    Section { name: "checkout", pinned: true, rows: |node| Box::pin(checkout::rows(node)) },
    Section { name: "growth", pinned: false, rows: |node| Box::pin(growth::rows(node)) },
    Section { name: "streams", pinned: false, rows: |node| Box::pin(streams::rows(node)) },
    Section { name: "yields", pinned: false, rows: |node| Box::pin(yields::rows(node)) },
];

/// Makes this executable measure one section.
const SECTION: &str = "--section";
/// A section that takes longer than this hangs.
const BOUND: Duration = Duration::from_secs(120);

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [floor::NOTHING] => Ok(()),
        [floor::PEER] => floor::serve(),
        [plain::PLAIN, port] => plain::serve(port),
        [SECTION, name] => measure(name),
        // Cargo adds an option of its own.
        ref names => report(&names.iter().copied().filter(|name| !name.starts_with("--")).collect::<Vec<_>>()),
    }
}

/// Prints the rows of the sections of these names; without names those of all, which it also writes to a file.
fn report(names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        ensure!(SECTIONS.iter().any(|section| section.name == *name), "no section is called \"{name}\"");
    }
    let file = file()?;
    if names.is_empty() && file.exists() {
        // A run that fails leaves no figures of an earlier one.
        std::fs::remove_file(&file)?;
    }
    println!("  {}", report::head());
    let mut rows = Vec::new();
    for Section { name, pinned, .. } in SECTIONS.iter().filter(|it| names.is_empty() || names.contains(&it.name)) {
        println!("{name}{}", if *pinned { ", on one core" } else { "" });
        let mut command = Command::new(std::env::current_exe()?);
        let output = command.args([SECTION, name]).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "section \"{name}\" failed: {}", output.status);
        let section: Vec<Row> = serde_json::from_slice(&output.stdout)?;
        section.iter().for_each(|row| println!("  {row}"));
        rows.extend(section);
    }
    println!("{}", report::summary(&rows));
    if names.is_empty() {
        report::write(&rows, &file).with_context(|| file.display().to_string())?;
        println!("written to {}", file.display());
    }
    Ok(())
}

/// `bench.json` in the workspace's target directory, wherever that is.
fn file() -> anyhow::Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("cargo's directory has a parent")?;
    Ok(target.join("bench.json"))
}

/// Measures one section and prints its rows for the process that asked; a runner comes here too, and serves.
fn measure(name: &str) -> anyhow::Result<()> {
    let section = SECTIONS.iter().find(|section| section.name == name).context("no such section")?;
    if section.pinned {
        pin_to_one_core()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let node = Node::start().await?;
        if node.is_runner() {
            return Ok(node.serve().await?);
        }
        let rows = tokio::time::timeout(BOUND, (section.rows)(node.clone())).await??;
        node.shutdown().await;
        println!("{}", serde_json::to_string(&rows)?);
        Ok(())
    })
}

/// Keeps this thread, and all that it starts, on the first core that it may use.
fn pin_to_one_core() -> anyhow::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let core = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).context("no core is allowed")?;
    let mut one = CpuSet::new();
    one.set(core);
    Ok(sched_setaffinity(None, &one)?)
}
