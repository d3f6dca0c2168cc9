//! The command line; each option is an environment variable too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::backend::Backend;
use crate::settings::{self, Settings};

/// Serves a page on which thumbnails appear while the video still uploads, made on runners.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Cli {
    /// Where browsers connect; with port 0 the system chooses one
    #[arg(long, env = "LIVE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:4000")]
    pub(crate) listen: SocketAddr,
    /// What runners are
    #[arg(long, env = "LIVE_BACKEND", value_enum, default_value_t = Backend::Process)]
    pub(crate) backend: Backend,
    /// So many runners are kept even when there is nothing to do
    #[arg(long, env = "LIVE_MIN", value_name = "N", default_value = "0")]
    pub(crate) min: u16,
    /// The greatest number of runners
    #[arg(long, env = "LIVE_MAX", value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) max: u16,
    /// So many videos one runner works on at a time
    #[arg(long, env = "LIVE_MAX_CONCURRENCY", value_name = "N", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) max_concurrency: u16,
    /// Seconds without work after which a runner leaves
    #[arg(long, env = "LIVE_IDLE", value_name = "SECONDS", default_value = "20", value_parser = positive)]
    pub(crate) idle: Duration,
    /// Seconds that an upload waits for a runner
    #[arg(long, env = "LIVE_WAIT", value_name = "SECONDS", default_value = "300", value_parser = positive)]
    pub(crate) wait: Duration,
    /// So many uploads wait for a runner at a time; one more is refused
    #[arg(long, env = "LIVE_MAX_WAITING", value_name = "N", default_value = "32")]
    pub(crate) max_waiting: u16,
    /// Seconds of video from one thumbnail to the next, unless the visitor says otherwise
    #[arg(long, env = "LIVE_EVERY", value_name = "SECONDS", default_value = "1", value_parser = settings::every, conflicts_with = "fps")]
    pub(crate) every: f64,
    /// Thumbnails per second of video, instead of --every
    #[arg(long, env = "LIVE_FPS", value_name = "N", value_parser = settings::fps)]
    pub(crate) fps: Option<f64>,
    /// Width of a thumbnail in pixels, unless the visitor says otherwise
    #[arg(long, env = "LIVE_WIDTH", value_name = "PIXELS", default_value = "320", value_parser = settings::width)]
    pub(crate) width: u32,
    /// The directory of the database
    #[arg(long, env = "LIVE_DATA", value_name = "DIR", default_value = "live-thumbnails-data")]
    pub(crate) data: PathBuf,
    /// The largest video in bytes
    #[arg(long, env = "LIVE_MAX_UPLOAD", value_name = "BYTES", default_value = "2147483648")]
    pub(crate) max_upload: u64,
    /// So many uploads one visitor has under way at a time
    #[arg(long, env = "LIVE_MAX_UPLOADS", value_name = "N", default_value = "16")]
    pub(crate) max_uploads: u16,
    /// So many pages are open at a time
    #[arg(long, env = "LIVE_MAX_VISITORS", value_name = "N", default_value = "64")]
    pub(crate) max_visitors: u16,
    /// Seconds that ffmpeg has for one video, its upload included
    #[arg(long, env = "LIVE_TIME_LIMIT", value_name = "SECONDS", default_value = "1800", value_parser = positive)]
    pub(crate) time_limit: Duration,
}

impl Cli {
    /// What a visitor's form shows at first.
    pub(crate) fn settings(&self) -> Settings {
        Settings { every: self.fps.map_or(self.every, f64::recip), width: self.width }
    }
}

fn positive(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=1e6).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "a number of seconds from 0.1 to 1000000 is needed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, String> {
        Cli::try_parse_from([&["live-thumbnails"], args].concat()).map_err(|err| err.to_string())
    }

    #[test]
    fn frames_per_second_are_an_interval_too() {
        assert_eq!(parse(&["--fps", "4"]).unwrap().settings().every, 0.25);
        assert_eq!(parse(&["--every", "5"]).unwrap().settings().every, 5.0);
        assert_eq!(parse(&[]).unwrap().settings(), Settings { every: 1.0, width: 320 });
        assert!(parse(&["--every", "5", "--fps", "4"]).unwrap_err().contains("cannot be used with"));
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for args in [["--max", "0"], ["--idle", "0"], ["--every", "nan"], ["--width", "3"], ["--fps", "1000"]] {
            assert!(parse(&args).is_err(), "{args:?}");
        }
    }
}
