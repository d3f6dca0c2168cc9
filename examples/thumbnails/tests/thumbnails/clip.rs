//! Clips made by ffmpeg, and what ffmpeg itself makes of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Ways to write a clip: its name, and what ffmpeg needs for it beside its name.
pub(crate) type Kind = (&'static str, &'static [&'static str]);

/// Decodable while they arrive.
pub(crate) const STREAMABLE: [Kind; 4] = [
    ("clip.mkv", &[]),
    ("clip.ts", &[]),
    ("front.mp4", &["-movflags", "+faststart"]),
    ("fragments.mp4", &["-movflags", "+frag_keyframe+empty_moov"]),
];

/// With their index at the end.
pub(crate) const SPOOLED: [Kind; 2] = [("end.mp4", &[]), ("end.mov", &[])];

/// Ten seconds of a moving picture, about 3 MB of it: more than is under way anywhere at once.
pub(crate) fn clip((name, args): Kind) -> PathBuf {
    let picture = "testsrc2=size=320x240:rate=5:duration=10,noise=alls=40:allf=t";
    let mut all = vec!["-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast", "-g", "5"];
    all.extend(["-pix_fmt", "yuv420p"]);
    all.extend(args);
    made(name, &all)
}

/// Writes a clip without compression, of about 150 MB.
pub(crate) fn large_clip(dir: &Path, name: &str) -> PathBuf {
    let args = ["-f", "lavfi", "-i", "testsrc2=size=640x480:rate=25:duration=10", "-c:v", "rawvideo"];
    let path = dir.join(name);
    ffmpeg(&[&args[..], &["-pix_fmt", "uyvy422"]].concat(), &path);
    path
}

/// The clip of this name, which is made once per run.
fn made(name: &str, args: &[&str]) -> PathBuf {
    static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let clips = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = clips.join(name);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if !made.contains(&path) {
        // Made elsewhere, for another run may be reading the one that is there.
        let dir = tempfile::tempdir_in(clips).expect("a temporary directory");
        ffmpeg(args, &dir.path().join(name));
        fs::rename(dir.path().join(name), &path).expect("the clip is put in its place");
        made.push(path.clone());
    }
    path
}

/// The thumbnails that ffmpeg itself writes, in order.
pub(crate) fn reference(video: &Path, every: &str) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let video = video.to_str().expect("a path in UTF-8");
    ffmpeg(&["-i", video, "-vf", &format!("fps=1/{every}")], &dir.path().join("%04d.png"));
    images(dir.path())
}

/// The contents of a directory's files in the order of their names, which must end in `.png`.
pub(crate) fn images(dir: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(paths.iter().all(|path| path.extension().is_some_and(|end| end == "png")), "{paths:?}");
    paths.iter().map(|path| fs::read(path).expect("a thumbnail")).collect()
}

fn ffmpeg(args: &[&str], to: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(args).arg(to).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|err| panic!("this test needs ffmpeg: {err}"));
    // A damaged clip makes it complain and go on; what it then wrote is what is compared.
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
