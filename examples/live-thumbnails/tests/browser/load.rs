//! Many uploads at once, and a large one.

use std::time::{Duration, Instant};

use flame_tests::process::{self, Signal};

use crate::chromium::Chromium;
use crate::clip;
use crate::server::{Server, peak_memory};

/// The most memory that the server or a runner may have, in megabytes, however large the video is.
const BOUND: u64 = 64;

#[test]
fn of_ten_uploads_eight_run_and_two_wait_and_say_so() {
    let server = Server::start(&["--max", "4", "--max-concurrency", "2"]);
    let chromium = Chromium::start();
    let clip = clip::streamable(server.dir(), "clip.mkv", 4);
    let clips: Vec<_> = (1..=10).map(|number| server.dir().join(format!("{number}.mkv"))).collect();
    clips.iter().for_each(|copy| _ = std::fs::copy(&clip, copy).expect("a copy"));
    let tab = chromium.visitor().visit(&server);
    tab.throttle(50e3);
    tab.choose(&clips.iter().map(|clip| &**clip).collect::<Vec<_>>());
    let uploads = tab.until_some("eight run and two wait", || {
        let uploads = tab.uploads();
        let are = |state: &str| uploads.iter().filter(|upload| upload.state == state).count();
        (are("uploading") == 8 && are("waiting") == 2).then_some(uploads)
    });
    for upload in uploads.iter().filter(|upload| upload.state == "waiting") {
        assert_eq!((&upload.badge[..], &upload.note[..]), ("Waiting", "It waits for a runner."));
    }
    tab.until_some("the pool says so", || {
        let pool = tab.pool();
        let is_full = pool.waiting == 2 && pool.runners.len() == 4 && pool.runners.iter().all(|it| it.0 == "busy");
        is_full.then_some(())
    });
    assert_eq!(server.runners().len(), 4);
    tab.screenshot("ten");
    tab.throttle(-1.0);
    for number in 1..=10 {
        assert_eq!(tab.done(&format!("{number}.mkv")).count, 4, "{number}");
    }
    assert_eq!(tab.pool().waiting, 0);
}

#[test]
fn one_upload_too_many_is_told_that_there_is_no_capacity() {
    let server = Server::start(&["--max", "1", "--max-concurrency", "1", "--max-waiting", "2"]);
    let chromium = Chromium::start();
    let clip = clip::streamable(server.dir(), "first.mkv", 8);
    let tab = chromium.visitor().visit(&server);
    tab.throttle(100e3);
    tab.choose(&[&clip]);
    tab.upload("first.mkv", |upload| upload.state == "uploading");
    for name in ["second.mkv", "third.mkv", "fourth.mkv"] {
        let copy = server.dir().join(name);
        std::fs::copy(&clip, &copy).expect("a copy");
        tab.choose(&[&copy]);
        match name {
            "fourth.mkv" => {
                assert!(tab.over(name).error.starts_with("No capacity: 2 uploads wait"), "{:?}", tab.uploads())
            }
            _ => tab
                .until_some(&format!("{name} waits"), || (tab.pool().waiting >= tab.uploads().len() - 1).then_some(())),
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_video_nor_while_ffmpeg_is_slow() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let clip = clip::huge(server.dir(), "huge.mkv");
    let length = std::fs::metadata(&clip).expect("a file").len();
    assert!(length > 500_000_000, "{length} bytes");
    let tab = chromium.visitor().visit(&server);
    tab.choose(&[&clip]);
    tab.upload("huge.mkv", |upload| upload.count > 0);
    let ffmpeg = server.ffmpegs()[0];
    process::signal(ffmpeg, Signal::SIGSTOP);
    // What is under way is bounded, so the browser has to wait.
    let mut last = (Instant::now(), -1.0);
    let stalled = tab.upload("huge.mkv", |upload| {
        if upload.progress > last.1 {
            last = (Instant::now(), upload.progress);
        }
        last.0.elapsed() > Duration::from_secs(2)
    });
    assert!(stalled.state == "uploading" && stalled.progress < 1.0, "{stalled:?}");
    process::signal(ffmpeg, Signal::SIGCONT);
    assert_eq!(tab.done("huge.mkv").count, 16);
    let [parent, runner] = [server.pid(), stalled.pid].map(peak_memory);
    println!("{} MB: the server had {parent} MB at the most, the runner {runner} MB", length / 1_000_000);
    assert!(parent < BOUND && runner < BOUND, "server {parent} MB, runner {runner} MB");
}
