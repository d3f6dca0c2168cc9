//! Every line of log of the core is written by `report!`.
//!
//! On the threads of this crate a subscriber is not called, so that it cannot hold them up: what is logged there by a
//! macro of `tracing` goes nowhere. `report!` passes it on to a thread that may wait.

use std::fs;
use std::path::Path;

#[test]
fn no_line_is_logged_past_the_thread_for_it() {
    let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let mut wrong = Vec::new();
    let mut files = 0;
    visit(src, &mut |path, text| {
        files += 1;
        let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let logs = |line: &str| {
            ["trace", "debug", "info", "warn", "error", "event"]
                .iter()
                .any(|level| line.contains(&format!("tracing::{level}!")))
        };
        wrong.extend(code.filter(|(_, line)| logs(line)).map(|(at, _)| format!("{}:{}", path.display(), at + 1)));
    });
    assert!(files > 50, "only {files} files: have they moved?");
    // Those of the thread itself.
    wrong.retain(|place| !place.contains("/src/report.rs:"));
    assert!(wrong.is_empty(), "use report! in: {}", wrong.join(", "));
}

fn visit(dir: &Path, see: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(dir).expect("a directory of the crate").flatten() {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, see);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            see(&path, &fs::read_to_string(&path).expect("a file of the crate"));
        }
    }
}
