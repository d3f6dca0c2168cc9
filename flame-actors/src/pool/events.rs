//! What a pool tells of itself as it happens.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use crate::error::{Cause, Error};

/// So many events wait for a slow listener; older ones are lost to it.
const BUFFERED: usize = 1024;

/// Something that happened in a pool; from [`Pool::events`](crate::Pool::events).
///
/// Runners are named by their node names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A runner is being booted.
    BootStarted {
        /// The runner.
        runner: String,
    },
    /// A backend boots a runner in another way than it tried first: in another region, of another size.
    FellBack {
        /// The runner.
        runner: String,
        /// What was tried.
        from: String,
        /// What is tried now.
        to: String,
        /// Why the first did not do.
        reason: String,
    },
    /// A runner serves.
    Up {
        /// The runner.
        runner: String,
        /// The backend's id of its instance.
        instance: String,
        /// From the start of its boot.
        after: Duration,
    },
    /// A boot failed, or its runner was gone again before it had done anything.
    ///
    /// The latter comes after [`Event::Up`] and [`Event::Lost`], or after [`Event::Shrunk`] where the runner asked to
    /// leave: within `boot_timeout` after it came up, or 10 s if that is longer, and before any work on it had ended.
    BootFailed {
        /// The runner that was to be.
        runner: String,
        /// Why.
        error: Error,
        /// Boots that failed since the last one that did not, this one included. A runner ends the count when some
        /// work on it has ended, when it has lived for that long, or when the pool sends it away.
        attempts: u32,
    },
    /// A call, a cast, a stream or a placement got its slot after it had to wait for one.
    Waited {
        /// The runner that it got.
        runner: String,
        /// How long it waited.
        waited: Duration,
    },
    /// A call, a cast or a stream has ended.
    Finished {
        /// Where it ran.
        runner: String,
        /// The task.
        task: String,
        /// From its sending to its result.
        ran: Duration,
        /// What went wrong, if anything did; [`Error::Cancelled`] when its caller has gone.
        error: Option<Error>,
    },
    /// A call, a cast or a stream ended without having run.
    NotRun {
        /// The task.
        task: String,
        /// Why.
        error: Error,
    },
    /// A placed child that comes back has ended, or could not be placed again.
    ChildEnded {
        /// The actor.
        actor: String,
        /// The pid of its ref.
        child: u64,
        /// How it ended, or why it could not be placed again.
        end: String,
        /// How long it waits before it is placed again, which then takes until a runner has room for it; `None` when
        /// it has ended once too often, and is not placed again.
        ///
        /// Zero after a first end and a first loss of a runner. serde has it as `{"secs":0,"nanos":0}` or `null` in JSON.
        again_in: Option<Duration>,
    },
    /// A placed child was placed again.
    ChildPlaced {
        /// The actor.
        actor: String,
        /// The pid of its ref.
        child: u64,
        /// The runner.
        runner: String,
    },
    /// Messages for a placed child that was down were more than may wait for it, and were dropped.
    MessagesDropped {
        /// The actor.
        actor: String,
        /// The pid of its ref.
        child: u64,
        /// How many.
        messages: u64,
    },
    /// A runner is gone that was not sent away.
    Lost {
        /// The runner.
        runner: String,
        /// Why, as far as that is known.
        cause: Cause,
    },
    /// A runner is sent away.
    Shrunk {
        /// The runner.
        runner: String,
        /// Why.
        why: Leave,
    },
    /// This listener was too slow: so many events were lost to it.
    Missed(u64),
}

/// Why a pool sends a runner away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Leave {
    /// It was idle for long enough.
    Idle,
    /// It was used once, and the pool is `single_use`.
    Used,
    /// It was drained: by [`Pool::drain`](crate::Pool::drain), for its age, or by a `resize`.
    Drained,
    /// It asked for it: its platform wants it away, or the application on it does.
    Asked,
    /// It keeps work that was told to end.
    Stuck,
}

/// What happens in a pool from now on, until the pool has ended; from [`Pool::events`](crate::Pool::events).
///
/// A [`Stream`](futures_util::Stream) of [`Event`]s. A listener slows nobody: one that is more than 1,024 events
/// behind loses the oldest and is told how many by [`Event::Missed`].
#[derive(Debug)]
pub struct Events {
    stream: BroadcastStream<Arc<Event>>,
    listeners: Arc<AtomicUsize>,
}

impl Events {
    /// The next event; `None` once the pool has ended.
    pub async fn next(&mut self) -> Option<Event> {
        StreamExt::next(self).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.stream.poll_next_unpin(cx).map(|event| {
            event.map(|event| match event {
                Ok(event) => Arc::unwrap_or_clone(event),
                Err(BroadcastStreamRecvError::Lagged(missed)) => Event::Missed(missed),
            })
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where events are told. Nothing is made of one that nobody listens to.
#[derive(Debug)]
pub(super) struct Telling {
    listeners: Arc<AtomicUsize>,
    channel: Mutex<Channel>,
}

#[derive(Debug)]
enum Channel {
    /// Nobody has ever listened.
    Unheard,
    Open(broadcast::Sender<Arc<Event>>),
    Ended,
}

impl Telling {
    pub(super) fn new() -> Self {
        Self { listeners: Arc::default(), channel: Mutex::new(Channel::Unheard) }
    }

    pub(super) fn listen(&self) -> Events {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        let mut channel = self.channel.lock();
        let receiver = match &*channel {
            Channel::Open(sender) => sender.subscribe(),
            // Its sender is dropped here, so the stream ends at once.
            Channel::Ended => broadcast::Sender::new(1).subscribe(),
            Channel::Unheard => {
                let (sender, receiver) = broadcast::channel(BUFFERED);
                *channel = Channel::Open(sender);
                receiver
            }
        };
        Events { stream: BroadcastStream::new(receiver), listeners: Arc::clone(&self.listeners) }
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.listeners.load(Ordering::Relaxed) > 0
            && let Channel::Open(sender) = &*self.channel.lock()
        {
            // An error says that the last listener has just gone.
            let _ = sender.send(Arc::new(event()));
        }
    }

    pub(super) fn end(&self) {
        *self.channel.lock() = Channel::Ended;
    }
}
