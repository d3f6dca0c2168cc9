//! Whatever ends it before its time, no process of ours outlives it; [`Bench::ended`] looks for them.

use std::os::unix::process::CommandExt;
use std::process::Child;

use crate::BACKENDS;
use crate::bench::{Bench, signal, wait};
use crate::clip::{Kind, SPOOLED, STREAMABLE, clip, images};

#[test]
fn ctrl_c_half_way_ends_everything() {
    for backend in BACKENDS {
        for kind in [STREAMABLE[0], SPOOLED[0]] {
            let bench = Bench::new();
            let (child, pipe) = bench.half_way(backend, kind);
            ctrl_c(&child);
            let ended = bench.ended(child);
            assert_eq!(ended.code, Some(130), "{ended:?}");
            assert!(ended.stderr.ends_with("interrupted\n"), "{ended:?}");
            images(&bench.out());
            drop(pipe);
        }
    }
}

#[test]
fn ctrl_c_ends_an_ffmpeg_that_hangs() {
    for backend in BACKENDS {
        for kind in [STREAMABLE[0], SPOOLED[0]] {
            let bench = Bench::new();
            let child = hanging(&bench, backend, kind);
            ctrl_c(&child);
            let ended = bench.ended(child);
            assert_eq!(ended.code, Some(130), "{ended:?}");
        }
    }
}

#[test]
fn a_killed_parent_takes_everything_with_it() {
    for backend in BACKENDS {
        for kind in [STREAMABLE[0], SPOOLED[0]] {
            let bench = Bench::new();
            let (child, pipe) = bench.half_way(backend, kind);
            signal("KILL", &child.id().to_string());
            let ended = bench.ended(child);
            assert_eq!((ended.code, ended.stderr.as_str()), (None, ""), "{ended:?}");
            drop(pipe);
        }
    }
}

/// With `local` and `in-process` nobody is left who could end it.
#[test]
fn a_killed_parent_takes_an_ffmpeg_that_hangs_on_a_runner_with_it() {
    for kind in [STREAMABLE[0], SPOOLED[0]] {
        let bench = Bench::new();
        let child = hanging(&bench, "process", kind);
        signal("KILL", &child.id().to_string());
        bench.ended(child);
    }
}

#[test]
fn a_killed_runner_takes_an_ffmpeg_that_hangs_with_it() {
    let bench = Bench::new();
    let child = hanging(&bench, "process", STREAMABLE[0]);
    bench.kill("thumbnails", child.id());
    bench.ended(child).failed_with(&["was lost", "signal 9"]);
}

/// A run whose ffmpeg neither reads nor writes nor heeds Ctrl-C, so that only a kill ends it.
fn hanging(bench: &Bench, backend: &str, kind: Kind) -> Child {
    let mut command = bench.command(backend, &[&clip(kind)]);
    bench.fake_ffmpeg(&mut command, "trap '' INT; exec sleep 600");
    let child = command.process_group(0).spawn().unwrap();
    wait("ffmpeg runs", || bench.processes().iter().any(|(_, program)| program == "sleep"));
    child
}

/// As from a terminal, where the signal goes to the whole group.
fn ctrl_c(child: &Child) {
    signal("INT", &format!("-{}", child.id()));
}
