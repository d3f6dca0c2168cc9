//! Placed children: actors that run on a runner and are supervised here.
//!
//! The *guardian* is a local actor that stands for the child: it has the child's message type, is linked to the
//! placing actor, and its ref is what `place_child` returns and what travels. Messages to it leave for the runner (see
//! `node/route.rs`); when the child ends it ends the same way, and when it ends the child does.

mod child;
mod guardian;
mod restart;
mod snapshot;
mod supervisor;
mod ward;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

pub(crate) use self::child::{Identity, start};
use self::guardian::{Charge, NotPlaced, Starting};
use self::restart::Intensity;
pub use self::restart::Restart;
pub(crate) use self::snapshot::Saving;
pub use self::snapshot::{Snapshot, Snapshots};
pub use self::supervisor::{PlacementSupervisor, PlacementSupervisorMsg, Strategy};
use self::ward::Plan;
pub(crate) use self::ward::Ward;
use crate::error::{Error, Stage};
use crate::pool::Pool;
use crate::stream::{self, Offered};
use crate::{Message, codec, telemetry};

/// An actor that can be started on a runner. Implemented by `#[placeable]`.
pub trait Placeable: Actor {
    /// The actor's path, under which the runner knows it.
    const NAME: &'static str;

    /// Encodes the handler.
    ///
    /// # Errors
    /// [`Error::Encode`] when a field refuses.
    fn encode_handler(&self) -> Result<Vec<u8>, Error>;

    /// Decodes the handler.
    ///
    /// # Errors
    /// [`Error::Decode`] when the bytes are not this handler.
    fn decode_handler(bytes: &[u8]) -> Result<Self, Error>;

    /// How to take snapshots of it, if it implements [`Snapshot`].
    #[doc(hidden)]
    fn snapshots() -> Option<Snapshots<Self>> {
        None
    }
}

/// A placement that is about to be made; await it.
///
/// The child ends with the actor given to [`linked_to`](Self::linked_to), and its end reaches that actor as a
/// `SupervisionEvent`: `ActorTerminated` with its reason, or `ActorFailed` with a [`ChildError`](crate::ChildError).
/// Without one it ends with its pool. Dropped half-way, the future leaves nothing behind.
///
/// ```
/// # use flame_actors::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
/// # use flame_actors::{Error, Message, Pool, Restart, placeable};
/// # #[derive(Message)] enum RoomMsg { Say(String) }
/// # struct Room;
/// # #[placeable]
/// # impl Actor for Room {
/// #     type Msg = RoomMsg; type State = (); type Arguments = String;
/// #     async fn pre_start(&self, _: ActorRef<RoomMsg>, _: String) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// async fn open(pool: &Pool, me: &ActorCell) -> Result<ActorRef<RoomMsg>, Error> {
///     pool.place_child(Room, "lobby".to_owned()).linked_to(me).restart(Restart::Transient).await
/// }
/// ```
///
/// # Errors
/// [`Error::NotStarted`] with the error of `pre_start`, [`Error::Panicked`] with the panic of it, and those of
/// [`Call`](crate::Call).
#[must_use = "a child is not placed until this is awaited"]
pub struct Place<A: Placeable>(State<A>);

enum State<A: Placeable> {
    Described(Box<Request<A>>),
    Running(BoxFuture<'static, Result<ActorRef<A::Msg>, Error>>),
    Done,
}

struct Request<A: Placeable> {
    pool: Pool,
    child: Result<Encoded, Error>,
    /// Kept until it has started.
    offered: Offered,
    supervisor: Option<ActorCell>,
    timeout: Option<Duration>,
    restart: Restart,
    intensity: Intensity,
    hold: usize,
    group: Option<ActorRef<PlacementSupervisorMsg>>,
    actor: PhantomData<fn(A)>,
}

impl<A> Place<A>
where
    A: Placeable,
    A::Msg: Message,
    A::Arguments: Serialize + DeserializeOwned,
{
    pub(crate) fn new(pool: Pool, actor: A, arguments: A::Arguments) -> Self {
        let (child, offered) = stream::collect(|| encode(&actor, &arguments));
        let (supervisor, timeout, group, actor) = (None, None, None, PhantomData);
        let (restart, intensity) = (Restart::default(), Intensity::default());
        let hold = 1000;
        let request = Request { pool, child, offered, supervisor, timeout, restart, intensity, hold, group, actor };
        Self(State::Described(Box::new(request)))
    }

    /// Makes this actor the child's supervisor, as `Actor::spawn_linked` would.
    pub fn linked_to(mut self, supervisor: &ActorCell) -> Self {
        self.set(|request| {
            request.supervisor = Some(supervisor.clone());
            request.group = None;
        });
        self
    }

    /// Bounds waiting for a slot and the child's start together. By default waiting is bounded by the pool's
    /// `boot_timeout`, and the start by its `timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.set(|request| request.timeout = Some(timeout));
        self
    }

    /// Whether the child stops at once when the parent's process is gone; `true` by default.
    ///
    /// With `false` it has the pool's `shutdown_timeout` to end by itself.
    pub fn link(mut self, linked: bool) -> Self {
        self.set(|request| {
            if let Ok(child) = &mut request.child {
                child.linked = linked;
            }
        });
        self
    }

    /// Sets whether the child is placed again when it has ended by itself or with its runner. Default:
    /// [`Restart::Temporary`], never.
    ///
    /// It starts anew from its handler and arguments, on any runner of the pool, and once its old runner is gone; its
    /// ref stays valid. While it is down messages wait for it, in order, up to [`hold_while_down`](Self::hold_while_down).
    /// More casts are dropped and told in [`Pool::events`], more calls end at once. A message that was on its way when the child ended may be lost; none
    /// arrives twice.
    ///
    /// A runner that is drained, or wanted away by its platform, does not wait for such a child: it is stopped there, and
    /// placed on another one, and so it is on a runner that has to go for other work that never yields. That is no
    /// restart that counts.
    ///
    /// The first start is not tried again: what it fails with is the error of the placement.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.set(|request| request.restart = restart);
        self
    }

    /// So many messages wait for a child that is down and comes back; 1,000 by default.
    pub fn hold_while_down(mut self, messages: usize) -> Self {
        self.set(|request| request.hold = messages);
        self
    }

    /// Sets how many restarts are made within a period. Default: 3 within 5 s.
    ///
    /// One end more fails the child with [`ChildError::TooManyRestarts`](crate::ChildError::TooManyRestarts). A restart
    /// that fails counts too. The first one is at once; those soon after it wait 20 ms, then twice as long each time, up to 10 s.
    ///
    /// Losses of its runner do not count, nor do starts that fail with one, or because no runner can be booted: after
    /// the first loss the child is placed again at once; after losses before it has lived for 10 s it waits 100 ms, then
    /// twice as long each time, up to 10 s. [`Event::ChildEnded`](crate::Event::ChildEnded) tells for how long.
    pub fn max_restarts(mut self, max_restarts: usize, period: Duration) -> Self {
        self.set(|request| request.intensity = Intensity { max_restarts, period });
        self
    }

    /// Makes a [`PlacementSupervisor`] the child's supervisor.
    ///
    /// That decides about restarts by its strategy and its own intensity; [`restart`](Self::restart) says whether this
    /// child comes back at all.
    pub fn supervised_by(mut self, supervisor: &ActorRef<PlacementSupervisorMsg>) -> Self {
        self.set(|request| {
            request.supervisor = Some(supervisor.get_cell());
            request.group = Some(supervisor.clone());
        });
        self
    }

    fn set(&mut self, set: impl FnOnce(&mut Request<A>)) {
        if let State::Described(request) = &mut self.0 {
            set(request);
        }
    }
}

impl<A> Future for Place<A>
where
    A: Placeable,
    A::Msg: Message,
{
    type Output = Result<ActorRef<A::Msg>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Described(_) = self.0
            && let State::Described(request) = std::mem::replace(&mut self.0, State::Done)
        {
            self.0 = State::Running(Box::pin(place(*request)));
        }
        let State::Running(running) = &mut self.0 else { panic!("polled after it had ended") };
        let placed = std::task::ready!(running.as_mut().poll(cx));
        self.0 = State::Done;
        Poll::Ready(placed)
    }
}

impl<A: Placeable> fmt::Debug for Place<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", A::NAME)
    }
}

/// A child as it is sent to a runner.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) actor: &'static str,
    pub(crate) handler_len: u32,
    /// The handler and the arguments.
    pub(crate) body: Bytes,
    pub(crate) linked: bool,
    /// What its last incarnation has left.
    pub(crate) snapshot: Option<Bytes>,
    pub(crate) comes_back: bool,
}

fn encode<A>(actor: &A, arguments: &A::Arguments) -> Result<Encoded, Error>
where
    A: Placeable,
    A::Arguments: Serialize + DeserializeOwned,
{
    let mut body = actor.encode_handler()?;
    let handler_len = body.len() as u32;
    body.extend(codec::to_bytes(arguments)?);
    let body = codec::within_limit(Ok(body), || format!("the handler and arguments of {}", A::NAME))?;
    Ok(Encoded { actor: A::NAME, handler_len, body, linked: true, snapshot: None, comes_back: false })
}

async fn place<A>(request: Request<A>) -> Result<ActorRef<A::Msg>, Error>
where
    A: Placeable,
    A::Msg: Message,
{
    let span = telemetry::place(request.pool.name(), A::NAME);
    place_in(request, span.clone()).instrument(span).await
}

async fn place_in<A>(request: Request<A>, span: Span) -> Result<ActorRef<A::Msg>, Error>
where
    A: Placeable,
    A::Msg: Message,
{
    let Request { pool, child, offered: _offered, supervisor, timeout, restart, intensity, hold, group, actor: _ } =
        request;
    let child = Encoded { comes_back: restart != Restart::Temporary, ..child? };
    let start = Instant::now();
    let mut asked = pool.ask()?;
    loop {
        let wait = pool.longest_wait(timeout).saturating_sub(start.elapsed());
        let said = timeout.unwrap_or_else(|| pool.boot_timeout());
        let slot = asked.slot(Some(wait)).await.map_err(|err| err.with_bound(said))?;
        let runner = Arc::clone(slot.runner());
        telemetry::got(&span, runner.node());
        let supervisor = supervisor.clone().or_else(|| pool.cell()).ok_or_else(|| pool.closed_error())?;
        let left = timeout.map_or_else(|| pool.timeout(), |timeout| timeout.saturating_sub(start.elapsed()));
        let (pool, child, group) = (pool.clone(), child.clone(), group.clone());
        let plan = Plan { pool, child, restart, intensity, hold, group };
        let starting = Starting::<A::Msg>::begin(Charge { slot, plan }, supervisor)?;
        match tokio::time::timeout(left, starting.claim()).await {
            Ok(Ok(guardian)) => return Ok(guardian),
            Ok(Err(NotPlaced::NotSent)) => asked.again(&runner)?,
            Ok(Err(NotPlaced::Failed(err))) => return Err(err),
            Err(_) => {
                let after = timeout.unwrap_or(left);
                let what = format!("the start of {}", A::NAME);
                return Err(Error::Timeout { stage: Stage::Running, after, what });
            }
        }
    }
}
