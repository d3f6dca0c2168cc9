//! An ordinary subscriber, in the processes that are told to have one.

use tracing::level_filters::LevelFilter;

/// The level from which on a process and its runners log to standard error.
pub(crate) const LOG: &str = "FLAME_TEST_LOG";

/// Does what `main` of an ordinary application does.
pub(crate) fn install() {
    if let Ok(level) = std::env::var(LOG) {
        let level: LevelFilter = level.parse().expect("a level");
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    }
}
