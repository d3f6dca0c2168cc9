//! The real binary, on clips made by ffmpeg, compared with what ffmpeg itself makes of them.

mod bench;
mod clip;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use bench::{Bench, feed, signal, wait};
use clip::{SPOOLED, STREAMABLE, clip, images, large_clip, reference};

/// Where the generators run.
const BACKENDS: &[&str] = &["local"];

#[test]
fn every_kind_of_clip_gives_the_thumbnails_that_ffmpeg_gives() {
    for kind in STREAMABLE.into_iter().chain(SPOOLED) {
        let clips = Bench::new();
        let video = clip(clips.dir(), kind);
        for every in ["1", "0.5", "0.3", "3", "100"] {
            let expected = reference(&video, every);
            for backend in BACKENDS {
                let bench = Bench::new();
                let ended = bench.run(bench.command(backend, &[&video]).args(["--every", every]));
                ended.went_well();
                let made = images(&bench.out());
                assert_eq!(made.len(), expected.len(), "{kind:?} every {every} s, backend {backend}");
                assert!(made == expected, "{kind:?} every {every} s, backend {backend}: other pictures");
                let line = format!("{}: {} thumbnails in ", video.display(), expected.len());
                assert!(ended.stdout.starts_with(&line) && ended.stdout.contains("process "), "{ended:?}");
            }
        }
    }
}

#[test]
fn the_first_thumbnail_is_there_before_a_streamable_clip_has_been_sent() {
    for kind in STREAMABLE {
        for backend in BACKENDS {
            let bench = Bench::new();
            let video = clip(bench.dir(), kind);
            let bytes = fs::read(&video).unwrap();
            let (first, last) = bytes.split_at(bytes.len() * 3 / 4);
            let fifo = bench.fifo();
            let child = bench.command(backend, &[&fifo]).spawn().unwrap();
            let pipe = feed(&fifo, first);
            // The rest is not sent before.
            wait(&format!("a thumbnail of {kind:?}"), || bench.out().join("thumb-0001.png").exists());
            std::io::Write::write_all(&mut &pipe, last).unwrap();
            drop(pipe);
            bench.ended(child).went_well();
            assert!(images(&bench.out()) == reference(&video, "1"), "{kind:?}, backend {backend}");
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
                peak = bench
                    .processes()
                    .iter()
                    .filter(|(_, name)| name == "thumbnails")
                    .map(peak_kib)
                    .fold(peak, u64::max);
                child.try_wait().unwrap().is_some()
            });
            bench.ended(child).went_well();
            assert_eq!(images(&bench.out()).len(), 10);
            assert!((1..64 * 1024).contains(&peak), "{name}, backend {backend}: {peak} KiB");
        }
    }
}

/// The most memory that a process has had.
fn peak_kib((pid, _): &(u32, String)) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

#[test]
fn several_videos_get_folders_of_their_own_and_one_that_fails_spoils_no_other() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let (mkv, mp4) = (clip(bench.dir(), STREAMABLE[0]), clip(bench.dir(), SPOOLED[0]));
        let same = bench.dir().join("clip.mp4");
        fs::copy(&mp4, &same).unwrap();
        let ended =
            bench.run(bench.command(backend, &[&mkv, Path::new("missing.mp4"), &same, &mp4]).args(["--every", "2"]));
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
        let video = clip(bench.dir(), STREAMABLE[0]);
        bench.run(bench.command(backend, &[&video]).args(["--size", "64"])).went_well();
        // Width and height follow the signature and the header of the first chunk.
        let sizes: Vec<_> = images(&bench.out()).iter().map(|png| (png[19], png[23])).collect();
        assert_eq!(sizes, [(64, 48); 10]);
    }
}

#[test]
fn files_that_are_no_videos_are_refused_with_what_ffmpeg_says() {
    for backend in BACKENDS {
        for (name, content, said) in [
            ("text.mp4", "this is no video\n".repeat(9_000), "Invalid data found"),
            ("short.mp4", "no".to_owned(), "Invalid data found"),
            ("empty.mp4", String::new(), "the file is empty"),
            ("half.mp4", "\0\0\0\x18ftypisom\0\0\0\0isomisom\0\0\0\x09mdat".to_owned(), "moov atom not found"),
        ] {
            let bench = Bench::new();
            let video = bench.dir().join(name);
            fs::write(&video, content).unwrap();
            bench.run(&mut bench.command(backend, &[&video])).failed_with(&[name, said]);
            assert!(images(&bench.out()).is_empty());
        }
    }
}

#[test]
fn a_damaged_video_gives_what_can_be_read_and_a_warning() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let whole = clip(bench.dir(), STREAMABLE[0]);
        let bytes = fs::read(&whole).unwrap();
        let video = bench.dir().join("damaged.mkv");
        fs::write(&video, &bytes[..bytes.len() / 2]).unwrap();
        let ended = bench.run(&mut bench.command(backend, &[&video]));
        let (made, expected) = (images(&bench.out()), reference(&video, "1"));
        assert!((1..10).contains(&expected.len()), "{}", expected.len());
        assert!(made == expected, "{} and not {}: {ended:?}", made.len(), expected.len());
        assert!(ended.stderr.contains("damaged.mkv: ffmpeg: "), "{ended:?}");
        assert_eq!(ended.code, Some(0));
    }
}

#[test]
fn a_video_that_lost_its_end_and_with_it_its_index_is_refused() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let video = clip(bench.dir(), SPOOLED[0]);
        let bytes = fs::read(&video).unwrap();
        fs::write(&video, &bytes[..bytes.len() / 2]).unwrap();
        bench.run(&mut bench.command(backend, &[&video])).failed_with(&["end.mp4", "moov atom not found"]);
    }
}

#[test]
fn missing_files_and_directories_are_named() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let video = bench.dir().join("missing.mp4");
        bench.run(&mut bench.command(backend, &[&video])).failed_with(&["missing.mp4", "No such file or directory"]);
        bench.run(&mut bench.command(backend, &[bench.dir()])).failed_with(&["is a directory"]);
        assert!(!bench.out().exists(), "made for nothing");
    }
}

#[test]
fn an_output_directory_that_cannot_be_made_is_named() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let video = clip(bench.dir(), STREAMABLE[0]);
        fs::write(bench.out(), "a file in its place").unwrap();
        let out = format!("cannot create {}", bench.out().display());
        bench.run(&mut bench.command(backend, &[&video])).failed_with(&["clip.mkv", &out]);
    }
}

#[test]
fn a_full_disk_under_the_thumbnails_is_named() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let video = clip(bench.dir(), STREAMABLE[0]);
        let ended = bench.run(&mut bench.command_on_a_full_disk(8, backend, &[&video]));
        ended.failed_with(&["clip.mkv", "cannot write", "thumb-0001.png", "File too large"]);
        assert!(images(&bench.out()).is_empty());
    }
}

#[test]
fn a_full_disk_under_the_spool_is_named() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let video = clip(bench.dir(), SPOOLED[0]);
        // It is full just before the end: the error of the last write must not get lost.
        let blocks = (fs::metadata(&video).unwrap().len() - 1) / 512;
        let ended = bench.run(&mut bench.command_on_a_full_disk(blocks, backend, &[&video]));
        ended.failed_with(&["end.mp4", "spool in", "File too large"]);
    }
}

#[test]
fn a_missing_ffmpeg_is_named() {
    for backend in BACKENDS {
        for kind in [STREAMABLE[0], SPOOLED[0]] {
            let bench = Bench::new();
            let video = clip(bench.dir(), kind);
            let ended = bench.run(bench.command(backend, &[&video]).env("PATH", bench.dir()));
            ended.failed_with(&[kind.0, "ffmpeg is not installed"]);
        }
    }
}

#[test]
fn ctrl_c_half_way_ends_everything() {
    for backend in BACKENDS {
        for kind in [STREAMABLE[0], SPOOLED[0]] {
            let bench = Bench::new();
            let bytes = fs::read(clip(bench.dir(), kind)).unwrap();
            let fifo = bench.fifo();
            // A group of its own, which gets the signal as a whole, as from a terminal.
            let child = bench.command(backend, &[&fifo]).process_group(0).spawn().unwrap();
            let pipe = feed(&fifo, &bytes[..bytes.len() * 3 / 4]);
            if kind == STREAMABLE[0] {
                wait("a thumbnail", || bench.out().join("thumb-0001.png").exists());
            }
            signal("INT", &format!("-{}", child.id()));
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
            let video = clip(bench.dir(), kind);
            // It neither reads nor writes, so that no broken pipe ends it.
            let hangs = bench.dir().join("ffmpeg");
            fs::write(&hangs, "#!/bin/sh\ncase \"$*\" in *-version*) ;; *) exec sleep 600 ;; esac\n").unwrap();
            fs::set_permissions(&hangs, fs::Permissions::from_mode(0o755)).unwrap();
            let path = format!("{}:{}", bench.dir().display(), std::env::var("PATH").unwrap());
            let child = bench.command(backend, &[&video]).env("PATH", path).process_group(0).spawn().unwrap();
            wait("ffmpeg runs", || bench.processes().iter().any(|(_, name)| name == "sleep"));
            signal("INT", &format!("-{}", child.id()));
            assert_eq!(bench.ended(child).code, Some(130));
        }
    }
}

#[test]
fn an_ffmpeg_that_is_killed_half_way_is_reported() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let bytes = fs::read(clip(bench.dir(), STREAMABLE[0])).unwrap();
        let fifo = bench.fifo();
        let child = bench.command(backend, &[&fifo]).spawn().unwrap();
        let mut pipe = feed(&fifo, &bytes[..bytes.len() / 2]);
        wait("a thumbnail", || bench.out().join("thumb-0001.png").exists());
        bench.kill("ffmpeg", 0);
        // The reader may go away before the last byte.
        let _ = std::io::Write::write_all(&mut pipe, &bytes[bytes.len() / 2..]);
        drop(pipe);
        bench.ended(child).failed_with(&["ffmpeg failed, signal: 9"]);
    }
}

#[test]
#[ignore = "needs the process backend"]
fn a_runner_that_is_killed_half_way_is_reported() {
    let bench = Bench::new();
    let bytes = fs::read(clip(bench.dir(), STREAMABLE[0])).unwrap();
    let fifo = bench.fifo();
    let child = bench.command("process", &[&fifo]).spawn().unwrap();
    let pipe = feed(&fifo, &bytes[..bytes.len() / 2]);
    wait("a thumbnail", || bench.out().join("thumb-0001.png").exists());
    bench.kill("thumbnails", child.id());
    bench.ended(child).failed_with(&["runner", "was lost", "signal 9"]);
    drop(pipe);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for args in [
        ["--every", "0"],
        ["--every", "-1"],
        ["--every", "nan"],
        ["--every", "inf"],
        ["--runners", "0"],
        ["--size", "0"],
    ] {
        let bench = Bench::new();
        let ended = bench.run(bench.command("local", &[Path::new("clip.mkv")]).args(args));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(args[0]) && !bench.out().exists(), "{ended:?}");
    }
}
