//! The page in a real browser: what a visitor sees and does, and what becomes of it on the server and its runners.
//!
//! A test fails too when the console of a page has an error or a warning, or a script throws. Pictures for a person to
//! look at are written to `target/live-thumbnails`.

mod chromium;
mod clip;
mod load;
mod looks;
mod losses;
mod page;
mod refusals;
mod server;
mod tab;
mod uploads;
mod visitors;
