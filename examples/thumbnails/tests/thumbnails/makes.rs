//! What is made, compared with what ffmpeg itself makes of the same clip.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use crate::BACKENDS;
use crate::bench::{Bench, feed, wait};
use crate::clip::{SPOOLED, STREAMABLE, clip, images, large_clip, reference};

#[test]
fn every_kind_of_clip_gives_the_thumbnails_that_ffmpeg_gives() {
    for kind in STREAMABLE.into_iter().chain(SPOOLED) {
        let video = clip(kind);
        let expected = reference(&video, "0.5");
        for backend in BACKENDS {
            let bench = Bench::new();
            let ended = bench.run(bench.command(backend, &[&video]).args(["--every", "0.5"]));
            ended.went_well();
            let made = images(&bench.out());
            assert_eq!(made.len(), expected.len(), "{kind:?}, backend {backend}");
            assert!(made == expected, "{kind:?}, backend {backend}: other pictures");
            // A runner says nothing by itself.
            assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
            let line = format!("{}: {} thumbnails in ", video.display(), expected.len());
            assert!(ended.stdout.starts_with(&line), "{ended:?}");
        }
    }
}

#[test]
fn a_file_that_is_read_by_one_call_gives_the_same() {
    for kind in STREAMABLE.into_iter().chain(SPOOLED) {
        let video = clip(kind);
        for backend in BACKENDS {
            let bench = Bench::new();
            let ended = bench.run(bench.command(backend, &[&video]).args(["--every", "0.5", "--transfer", "stream"]));
            ended.went_well();
            assert!(images(&bench.out()) == reference(&video, "0.5"), "{kind:?}, backend {backend}: {ended:?}");
        }
    }
}

#[test]
fn every_interval_gives_the_thumbnails_that_ffmpeg_gives() {
    let video = clip(STREAMABLE[0]);
    for every in ["1", "0.3", "3", "100"] {
        let bench = Bench::new();
        bench.run(bench.command("local", &[&video]).args(["--every", every])).went_well();
        assert!(images(&bench.out()) == reference(&video, every), "every {every} s");
    }
}

#[test]
fn the_work_is_done_where_it_was_asked_for() {
    for (backend, elsewhere) in [("process", true), ("in-process", false), ("local", false)] {
        let bench = Bench::new();
        let child = bench.command(backend, &[&clip(STREAMABLE[0])]).spawn().unwrap();
        let parent = child.id();
        let ended = bench.ended(child);
        ended.went_well();
        assert_eq!(ended.workers()[0] != parent, elsewhere, "{backend}, parent {parent}: {ended:?}");
        // A runner's name is a path that begins with its parent's.
        let (_, node) = ended.stdout.trim().split_once(", node ").unwrap();
        assert_eq!(node.contains('.'), backend != "local", "{node}");
    }
}

#[test]
fn several_videos_are_spread_over_the_runners() {
    let bench = Bench::new();
    let (mkv, mp4) = (clip(STREAMABLE[0]), clip(SPOOLED[0]));
    let ended = bench.run(bench.command("process", &[&mkv, &mp4, &mkv, &mp4]).args(["--runners", "2"]));
    ended.went_well();
    let workers = ended.workers();
    let different: HashSet<_> = workers.iter().collect();
    assert_eq!((workers.len(), different.len()), (4, 2), "{ended:?}");
}

#[test]
fn the_first_thumbnail_is_there_before_a_streamable_clip_has_been_sent() {
    for kind in STREAMABLE {
        let video = clip(kind);
        let (bytes, expected) = (fs::read(&video).unwrap(), reference(&video, "1"));
        let (first, last) = bytes.split_at(bytes.len() * 3 / 4);
        for backend in BACKENDS {
            let bench = Bench::new();
            let fifo = bench.fifo();
            let child = bench.command(backend, &[&fifo]).spawn().unwrap();
            let mut pipe = feed(&fifo, first);
            // The rest is not sent before.
            wait(&format!("a thumbnail of {kind:?}"), || bench.out().join("thumb-0001.png").exists());
            pipe.write_all(last).unwrap();
            drop(pipe);
            bench.ended(child).went_well();
            assert!(images(&bench.out()) == expected, "{kind:?}, backend {backend}");
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_video() {
    // One is decoded while it arrives, the other is spooled.
    for name in ["large.mkv", "large.mov"] {
        let clips = Bench::new();
        let video = large_clip(clips.dir(), name);
        assert!(fs::metadata(&video).unwrap().len() > 150_000_000);
        for backend in BACKENDS {
            let bench = Bench::new();
            let mut child = bench.command(backend, &[&video]).spawn().unwrap();
            let mut peak = 0;
            wait("it ends", || {
                let processes = bench.processes();
                let ours = processes.iter().filter(|(_, program)| program == "thumbnails");
                peak = ours.map(|(pid, _)| peak_kib(*pid)).fold(peak, u64::max);
                child.try_wait().unwrap().is_some()
            });
            bench.ended(child).went_well();
            assert_eq!(images(&bench.out()).len(), 10);
            assert!((1..64 * 1024).contains(&peak), "{name}, backend {backend}: {peak} KiB");
        }
    }
}

/// The most memory that a process has had.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

#[test]
fn several_videos_get_folders_of_their_own_and_one_that_fails_spoils_no_other() {
    let (mkv, mp4) = (clip(STREAMABLE[0]), clip(SPOOLED[0]));
    for backend in BACKENDS {
        let bench = Bench::new();
        let same = bench.dir().join("clip.mp4");
        fs::copy(&mp4, &same).unwrap();
        let videos = [&mkv, Path::new("missing.mp4"), &same, &mp4];
        let ended = bench.run(bench.command(backend, &videos).args(["--every", "2"]));
        ended.failed_with(&["missing.mp4: No such file or directory"]);
        assert_eq!(ended.stdout.lines().count(), 3, "{ended:?}");
        for (folder, video) in [("clip", &mkv), ("clip-2", &same), ("end", &mp4)] {
            assert!(images(&bench.out().join(folder)) == reference(video, "2"), "{folder}, backend {backend}");
        }
    }
}

#[test]
fn thumbnails_have_the_width_that_was_asked_for() {
    for backend in BACKENDS {
        let bench = Bench::new();
        bench.run(bench.command(backend, &[&clip(STREAMABLE[0])]).args(["--size", "64"])).went_well();
        // Width and height follow the signature and the header of the first chunk.
        let sizes: Vec<_> = images(&bench.out()).iter().map(|png| (png[19], png[23])).collect();
        assert_eq!(sizes, [(64, 48); 10]);
    }
}
