//! What is said when it cannot be done.

use std::fs;
use std::path::Path;

use flame_actors::MAX_MESSAGE_BYTES;

use crate::BACKENDS;
use crate::bench::Bench;
use crate::clip::{SPOOLED, STREAMABLE, clip, images, reference};

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
            for transfer in ["messages", "stream"] {
                let mut command = bench.command(backend, &[&video]);
                bench.run(command.args(["--transfer", transfer])).failed_with(&[name, said]);
                assert!(images(&bench.out()).is_empty());
            }
        }
    }
}

#[test]
fn a_damaged_video_gives_what_can_be_read_and_a_warning() {
    let bytes = fs::read(clip(STREAMABLE[0])).unwrap();
    for backend in BACKENDS {
        let bench = Bench::new();
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
    let bytes = fs::read(clip(SPOOLED[0])).unwrap();
    for backend in BACKENDS {
        let bench = Bench::new();
        let video = bench.dir().join("damaged.mp4");
        fs::write(&video, &bytes[..bytes.len() / 2]).unwrap();
        bench.run(&mut bench.command(backend, &[&video])).failed_with(&["damaged.mp4", "moov atom not found"]);
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
        fs::write(bench.out(), "a file in its place").unwrap();
        let out = format!("cannot create {}", bench.out().display());
        bench.run(&mut bench.command(backend, &[&clip(STREAMABLE[0])])).failed_with(&["clip.mkv", &out]);
    }
}

#[test]
fn a_full_disk_under_the_thumbnails_is_named() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let ended = bench.run(&mut bench.command_on_a_full_disk(8, backend, &[&clip(STREAMABLE[0])]));
        ended.failed_with(&["clip.mkv", "cannot write", "thumb-0001.png", "File too large"]);
        assert!(images(&bench.out()).is_empty());
    }
}

#[test]
fn a_full_disk_under_the_spool_is_named() {
    let video = clip(SPOOLED[0]);
    for backend in BACKENDS {
        let bench = Bench::new();
        // It is full just before the end: the error of the last write must not get lost.
        let blocks = (fs::metadata(&video).unwrap().len() - 1) / 512;
        let ended = bench.run(&mut bench.command_on_a_full_disk(blocks, backend, &[&video]));
        ended.failed_with(&["end.mp4", "cannot spool in", "File too large"]);
    }
}

#[test]
fn a_missing_ffmpeg_is_named_and_so_is_the_node_that_has_none() {
    for backend in BACKENDS {
        for kind in [STREAMABLE[0], SPOOLED[0]] {
            let bench = Bench::new();
            let ended = bench.run(bench.command(backend, &[&clip(kind)]).env("PATH", bench.dir()));
            ended.failed_with(&[kind.0, ": node thumbnails-", "ffmpeg is not installed"]);
        }
    }
}

#[test]
fn an_image_is_taken_if_it_fits_into_a_message_and_otherwise_its_size_is_named() {
    let largest = MAX_MESSAGE_BYTES - 1024;
    for backend in BACKENDS {
        for size in [largest, largest + 1] {
            let bench = Bench::new();
            let image = png_of(size);
            fs::write(bench.dir().join("image"), &image).unwrap();
            let mut command = bench.command(backend, &[&clip(STREAMABLE[0])]);
            bench.fake_ffmpeg(&mut command, "cat > /dev/null; cat \"${0%/*}/image\"");
            let ended = bench.run(&mut command);
            if size == largest {
                ended.went_well();
                assert!(images(&bench.out()) == [image], "backend {backend}: another image");
            } else {
                let said = format!("an image of {size} bytes or more, over the limit of {largest}");
                ended.failed_with(&["clip.mkv", &said]);
            }
        }
    }
}

/// What has the structure of a PNG image of this size.
fn png_of(size: usize) -> Vec<u8> {
    let (header, end) = (b"\0\0\0\x0dIHDR-------------crc-", b"\0\0\0\0IENDcrc-");
    let signature = b"\x89PNG\r\n\x1a\n";
    let data = size - (signature.len() + header.len() + 12 + end.len());
    let length = u32::try_from(data).unwrap().to_be_bytes();
    [&signature[..], header, &length, b"IDAT", &vec![7; data], b"crc-", end].concat()
}

#[test]
fn an_ffmpeg_that_is_killed_half_way_is_reported() {
    for backend in BACKENDS {
        let bench = Bench::new();
        let (child, pipe) = bench.half_way(backend, STREAMABLE[0]);
        bench.kill("ffmpeg", 0);
        drop(pipe);
        bench.ended(child).failed_with(&["fifo", "ffmpeg failed, signal: 9"]);
    }
}

#[test]
fn a_runner_that_is_killed_half_way_is_reported() {
    for kind in [STREAMABLE[0], SPOOLED[0]] {
        let bench = Bench::new();
        let (child, pipe) = bench.half_way("process", kind);
        bench.kill("thumbnails", child.id());
        let ended = bench.ended(child);
        ended.failed_with(&["fifo: runner thumbnails-", " was lost: ", "signal 9"]);
        assert_eq!((ended.stderr.lines().count(), ended.stdout.as_str()), (1, ""), "{ended:?}");
        drop(pipe);
    }
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
        let ended = bench.run(bench.command("process", &[Path::new("clip.mkv")]).args(args));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(args[0]) && !bench.out().exists(), "{ended:?}");
    }
}
