//! The book's listings, each run as its page says.

mod backend;
mod calls;
mod children;
mod elixir;
mod fly;
mod messages;
mod observing;
mod pools;
mod streams;

use std::process::ExitCode;
use std::time::Duration;

use flame_tests::{Suite, eventually};

/// Asks until this is the answer.
async fn answers<T: PartialEq>(wanted: T, ask: impl AsyncFn() -> T) {
    let asked = async {
        while ask().await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    eventually("the answer", asked).await;
}

fn main() -> ExitCode {
    Suite::new()
        .trials(calls::trials())
        .trials(pools::trials())
        .trials(children::trials())
        .trials(messages::trials())
        .trials(backend::trials())
        .trials(observing::trials())
        .trials(elixir::trials())
        .trials(streams::trials())
        .trials(fly::trials())
        .run()
}
