//! Records the page at work, for the README: `make recording` writes `docs/live-thumbnails.webp`.
//!
//! Two videos are dropped on the page while there is no runner, and are uploaded slowly; two runners boot, make the
//! thumbnails, and leave again.

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../browser/chromium.rs"]
mod chromium;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../browser/page.rs"]
mod page;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../browser/server.rs"]
mod server;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../browser/tab.rs"]
mod tab;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chromium::Chromium;
use serde_json::json;
use server::Server;
use tab::Tab;

/// Two ways into the Mandelbrot set: no two pictures are alike.
const CLIPS: [(&str, &str); 2] = [
    ("seahorse valley.mkv", "start_x=-0.743644:start_y=-0.131826"),
    ("antenna.mkv", "start_x=-1.25066:start_y=0.02012"),
];
/// Seconds of each clip, and so thumbnails: two rows of them.
const SECONDS: u32 = 12;
/// How long the larger one takes to be uploaded.
const UPLOAD: Duration = Duration::from_secs(9);

/// What was seen, and when.
struct Frames<'a> {
    tab: &'a Tab,
    dir: PathBuf,
    taken: Vec<Instant>,
}

impl Frames<'_> {
    fn take(&mut self) {
        self.taken.push(Instant::now());
        fs::write(self.file(self.taken.len() - 1), self.tab.picture(false)).expect("a picture is written");
    }

    fn take_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.take();
        }
    }

    fn take_until(&mut self, what: &str, script: &str) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !self.tab.value::<bool>(&format!("!!({script})")) {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            self.take();
        }
    }

    fn file(&self, number: usize) -> PathBuf {
        self.dir.join(format!("{number:05}.png"))
    }

    /// As ffmpeg wants it: each picture, and how long it is shown.
    fn list(&self) -> PathBuf {
        let mut list = "ffconcat version 1.0\n".to_owned();
        for (number, times) in self.taken.windows(2).enumerate() {
            let shown = (times[1] - times[0]).as_secs_f64();
            writeln!(list, "file {number:05}.png\nduration {shown:.3}").expect("a string takes all");
        }
        let file = self.dir.join("list");
        fs::write(&file, list).expect("a list is written");
        file
    }
}

fn main() {
    let server = Server::start(&["--max-concurrency", "1", "--idle", "3"]);
    let clips: Vec<_> = CLIPS.iter().map(|(name, place)| clip(&server.dir().join(name), place)).collect();
    let longest = clips.iter().map(|clip| fs::metadata(clip).expect("a clip").len()).max().unwrap_or_default();
    let chromium = Chromium::start();
    let tab = chromium.visitor().visit(&server);
    let size = json!({ "width": 960, "height": 900, "deviceScaleFactor": 1, "mobile": false });
    tab.ask("Emulation.setDeviceMetricsOverride", size);
    // Each of several WebSockets may send so much.
    tab.throttle(longest as f64 / UPLOAD.as_secs_f64());
    let dir = tab::pictures().join("recording");
    // What is left from before; it may not be there.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a directory");

    let mut frames = Frames { tab: &tab, dir, taken: Vec::new() };
    frames.take_for(Duration::from_millis(1200));
    let clips: Vec<&Path> = clips.iter().map(|clip| &**clip).collect();
    tab.drop_onto("[data-testid=drop-zone]", &clips, || frames.take_for(Duration::from_millis(700)));
    frames.take_for(Duration::from_millis(500));
    // The page grows while it is scrolled.
    for thumbnails in [2, 2 * 7] {
        let script = format!("document.querySelectorAll('[data-testid=thumbnail]').length >= {thumbnails}");
        frames.take_until("thumbnails are there", &script);
        tab.value::<bool>("document.getElementById('pool-title').scrollIntoView({ behavior: 'smooth' }), true");
    }
    frames.take_until("both are done", "document.querySelectorAll('[data-state=done]').length === 2");
    frames.take_until("the runners have left", "document.querySelector('[data-testid=no-runner]')");
    frames.take_for(Duration::from_millis(1500));

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/live-thumbnails.webp");
    ffmpeg(&[
        "-f",
        "concat",
        "-i",
        &frames.list().display().to_string(),
        "-vf",
        "fps=10",
        "-c:v",
        "libwebp_anim",
        "-loop",
        "0",
        "-quality",
        "80",
        "-compression_level",
        "6",
        &file.display().to_string(),
    ]);
    let size = fs::metadata(&file).expect("it was written").len();
    println!("docs/live-thumbnails.webp: {} pictures, {} kB", frames.taken.len(), size / 1000);
    assert!(size < 1_500_000, "too large for a README");
}

fn clip(file: &Path, place: &str) -> PathBuf {
    let source = format!("mandelbrot=size=480x270:rate=10:maxiter=300:end_pts=140:end_scale=0.0006:{place}");
    let seconds = SECONDS.to_string();
    ffmpeg(&["-f", "lavfi", "-i", &source, "-t", &seconds, "-c:v", "mpeg4", "-q:v", "3", &file.display().to_string()]);
    file.to_owned()
}

fn ffmpeg(args: &[&str]) {
    let mut command = Command::new("ffmpeg");
    let status = command.args(["-nostdin", "-loglevel", "error", "-y"]).args(args).stdin(Stdio::null()).status();
    assert!(status.expect("ffmpeg starts").success(), "ffmpeg failed");
}
