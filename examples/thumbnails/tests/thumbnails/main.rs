//! The real binary, on clips made by ffmpeg, with each backend.

mod bench;
mod clip;
mod ends;
mod fails;
mod fly;
mod makes;

/// Where the generators run.
const BACKENDS: [&str; 3] = ["process", "in-process", "local"];
