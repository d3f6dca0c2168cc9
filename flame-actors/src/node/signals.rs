//! SIGTERM and SIGINT, heard on our runtime.

use std::fmt;

use tokio::signal::unix;

use super::runtime;
use crate::Error;

/// The signals that ask a process to end.
pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    Terminate,
    Interrupt,
}

/// Hears these signals from now on, in the place of what they do by default.
pub(super) fn listen() -> Result<Signals, Error> {
    let _runtime = runtime::links().enter();
    let hear = |kind| {
        unix::signal(kind).map_err(|err| Error::Config { option: "signals".to_owned(), reason: err.to_string() })
    };
    Ok(Signals { terminate: hear(unix::SignalKind::terminate())?, interrupt: hear(unix::SignalKind::interrupt())? })
}

impl Signals {
    pub(super) async fn next(&mut self) -> Ended {
        // They end with the runtime that hears them, which has no end.
        tokio::select! {
            _ = self.terminate.recv() => Ended::Terminate,
            _ = self.interrupt.recv() => Ended::Interrupt,
        }
    }
}

impl Ended {
    /// As shells have it: 128 and the signal's number.
    pub(super) fn exit_code(self) -> i32 {
        let kind = match self {
            Self::Terminate => unix::SignalKind::terminate(),
            Self::Interrupt => unix::SignalKind::interrupt(),
        };
        128 + kind.as_raw_value()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}
