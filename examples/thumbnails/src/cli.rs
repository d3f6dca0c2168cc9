//! The command line.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

/// Makes thumbnails of videos, with ffmpeg, on runners.
#[derive(Parser)]
pub(crate) struct Cli {
    /// The videos
    #[arg(required = true, value_name = "VIDEO")]
    pub(crate) videos: Vec<PathBuf>,
    /// Seconds of video from one thumbnail to the next
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) every: f64,
    /// Where the thumbnails go; with several videos, into a folder for each
    #[arg(long, value_name = "DIR", default_value = "thumbnails")]
    pub(crate) out: PathBuf,
    /// Where the work is done
    #[arg(long, value_enum, default_value_t = Backend::Process)]
    pub(crate) backend: Backend,
    /// How a video gets there
    #[arg(long, value_enum, default_value_t = Transfer::Messages)]
    pub(crate) transfer: Transfer,
    /// The greatest number of runners
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runners: u16,
    /// Width of the thumbnails in pixels; that of the video if absent
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u32).range(16..=16_384))]
    pub(crate) size: Option<u32>,
}

/// Where the work is done.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// On runners that are processes of this machine
    Process,
    /// On runners that are machines of Fly.io
    Fly,
    /// On runners that are tasks of this process
    InProcess,
    /// In this process, without a pool
    Local,
}

/// How a video gets to where the work is done, and its thumbnails back.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transfer {
    /// Piece by piece to an actor, which sends each thumbnail as soon as it is made
    Messages,
    /// As a file that is opened here and read there by one call, which gives all thumbnails at its end
    Stream,
}

impl Cli {
    /// The directory for each video's thumbnails, in the order of the videos.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        if self.videos.len() == 1 {
            return vec![self.out.clone()];
        }
        let mut taken = HashSet::new();
        self.videos.iter().map(|video| self.out.join(unique(&stem(video), &mut taken))).collect()
    }
}

fn stem(video: &Path) -> String {
    video.file_stem().map_or_else(|| "video".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The name, or the first of `name-2`, `name-3`, … that is free.
fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let mut candidate = name.to_owned();
    // In lower case, since some file systems know no other.
    for number in 2.. {
        if taken.insert(candidate.to_lowercase()) {
            break;
        }
        candidate = format!("{name}-{number}");
    }
    candidate
}

/// What ffmpeg can express as a frame rate is a ratio of numbers up to about a million.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (1e-6..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds above 0 is needed, from 0.000001 to 1000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(args: &[&str]) -> Vec<PathBuf> {
        Cli::try_parse_from([&["thumbnails"], args].concat()).unwrap_or_else(|err| panic!("{err}")).folders()
    }

    #[test]
    fn one_video_needs_no_folder_of_its_own() {
        assert_eq!(folders(&["a/clip.mp4", "--out", "o"]), [PathBuf::from("o")]);
    }

    #[test]
    fn every_video_of_several_gets_a_folder_of_its_own() {
        let names = folders(&["a/clip.mp4", "b/clip.mkv", "clip-2.mp4", "c/Clip.ts", "..", "--out", "o"]);
        assert_eq!(names, ["o/clip", "o/clip-2", "o/clip-2-2", "o/Clip-3", "o/video"].map(PathBuf::from));
    }

    #[test]
    fn intervals_that_are_no_time_are_refused() {
        for text in ["0", "-1", "nan", "inf", "1e-9", "1e9", "", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(seconds("0.5"), Ok(0.5));
    }
}
