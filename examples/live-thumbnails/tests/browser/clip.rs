//! Videos, made by ffmpeg when a test needs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Much noise, so that a second has some 700 kB: there is time to look while it is sent slowly.
const LARGE: [&str; 6] = ["-c:v", "mpeg4", "-q:v", "2", "-vf", "noise=alls=40:allf=t"];

/// A Matroska file of so many seconds, which can be decoded as it comes.
pub(crate) fn streamable(dir: &Path, name: &str, seconds: u32) -> PathBuf {
    ffmpeg(dir, name, &testsrc(seconds), &LARGE)
}

/// An MP4 as cameras and ffmpeg write it: what is needed to decode it comes last.
pub(crate) fn index_at_end(dir: &Path, name: &str, seconds: u32) -> PathBuf {
    ffmpeg(dir, name, &testsrc(seconds), &LARGE)
}

/// An MP4 that can be decoded as it comes, since each fragment has its own index.
pub(crate) fn fragmented(dir: &Path, name: &str, seconds: u32) -> PathBuf {
    let options = ["-c:v", "mpeg4", "-g", "10", "-movflags", "frag_keyframe+empty_moov"];
    ffmpeg(dir, name, &testsrc(seconds), &options)
}

/// Pictures that were not compressed: 500 MB, at the price of writing them.
pub(crate) fn huge(dir: &Path, name: &str) -> PathBuf {
    // 1920 × 1080 × 1.5 bytes make 3.1 MB.
    let options = ["-c:v", "rawvideo", "-pix_fmt", "yuv420p"];
    ffmpeg(dir, name, "color=size=1920x1080:rate=10:duration=16.2", &options)
}

fn testsrc(seconds: u32) -> String {
    format!("testsrc2=size=320x180:rate=10:duration={seconds}")
}

fn ffmpeg(dir: &Path, name: &str, source: &str, options: &[&str]) -> PathBuf {
    let file = dir.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", source]).args(options);
    // Not by its name alone: that may be what a test is about.
    let made = command.arg(format!("file:{}", file.display())).stdin(Stdio::null()).output();
    let made = made.unwrap_or_else(|err| panic!("ffmpeg: {err}; install it with: sudo apt-get install -y ffmpeg"));
    assert!(made.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&made.stderr));
    file
}
