//! The strip of the pool: made once for all pages, whenever something happens in the pool and each second.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flame_actors::{Event, Events, Leave, Pool};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cli::Cli;
use crate::page::pool;
use crate::patch::replace;
use crate::words::short;

/// So many of the last events are told.
const TOLD: usize = 5;
/// Countdowns go on also when nothing happens; not everything in a pool is an event.
const TICK: Duration = Duration::from_millis(250);
/// A burst of events makes one change.
const PAUSE: Duration = Duration::from_millis(30);

/// The strip as it is now and from now on.
pub(crate) fn watch(pool: &Pool, cli: &Cli) -> watch::Receiver<Arc<str>> {
    let (sender, receiver) = watch::channel(render(pool, cli, &VecDeque::new()));
    let (pool, cli, events) = (pool.clone(), cli.clone(), pool.events());
    tokio::spawn(follow(pool, cli, events, sender));
    receiver
}

async fn follow(pool: Pool, cli: Cli, mut events: Events, strip: watch::Sender<Arc<str>>) {
    let mut told = VecDeque::new();
    loop {
        match timeout(TICK, events.next()).await {
            Ok(None) => return,
            Ok(Some(event)) => {
                if let Some(words) = words(&event) {
                    told.push_front(words);
                    told.truncate(TOLD);
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(_) => {}
        }
        let now = render(&pool, &cli, &told);
        strip.send_if_modified(|shown| {
            let is_new = *shown != now;
            *shown = now;
            is_new
        });
    }
}

fn render(pool: &Pool, cli: &Cli, told: &VecDeque<String>) -> Arc<str> {
    replace("pool", pool::strip(&pool.status(), told, cli, SystemTime::now())).into()
}

/// What is worth telling of an event.
fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::BootStarted { runner } => format!("Runner {} boots.", short(runner)),
        Event::Up { runner, after, .. } => format!("Runner {} is up after {} ms.", short(runner), after.as_millis()),
        Event::BootFailed { error, .. } => format!("A boot failed: {}", crate::name::words(&error.to_string(), 200)),
        Event::Waited { runner, waited } => {
            format!("An upload got runner {} after {:.1} s.", short(runner), waited.as_secs_f64())
        }
        Event::Lost { runner, cause } => format!("Runner {} was lost: {cause}.", short(runner)),
        Event::Shrunk { runner, why: Leave::Idle } => format!("Runner {} leaves: it was idle.", short(runner)),
        Event::Shrunk { runner, .. } => format!("Runner {} leaves.", short(runner)),
        _ => return None,
    })
}
