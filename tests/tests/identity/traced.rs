//! Everything that a process logs, in a file of its own.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::LevelFilter;

/// The directory for the files. A process that has it in its environment logs there, and so do its runners.
pub(crate) const LOGS: &str = "FLAME_TEST_LOGS";

/// The level that is logged, such as `trace`.
pub(crate) const LEVEL: &str = "FLAME_TEST_LEVEL";

/// Logs all targets, what comes from the `log` crate included, if that is asked for.
pub(crate) fn start() {
    let Some(dir) = std::env::var_os(LOGS) else { return };
    let name = format!("{}.log", std::process::id());
    // A process that has started afresh goes on in its file.
    let file = File::options().create(true).append(true).open(Path::new(&dir).join(name)).expect("a file");
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false).with_writer(Mutex::new(file)).init();
}

/// What all processes have logged, by the process' id.
pub(crate) fn read(dir: &Path) -> Vec<(u32, String)> {
    let files = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .map(|path| {
            let pid = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a process id");
            (pid, String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned())
        })
        .collect()
}
