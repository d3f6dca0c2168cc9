//! Placed children: actors that run on a runner and are supervised here.
//!
//! The *guardian* is a local actor that stands for the child: it has the child's message type, is linked to the
//! placing actor, and its ref is what `place_child` returns and what travels. Messages to it leave for the runner (see
//! `node/route.rs`); when the child ends it ends the same way, and when it ends the child does.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SpawnErr, SupervisionEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::{ChildError, Error, Stage, panic_text};
use crate::node::frame::{Exit, Order};
use crate::node::gate::Gate;
use crate::node::route::{self, Address, Alias};
use crate::node::runtime;
use crate::pool::{Pool, Slot};
use crate::runner::ChildHandle;
use crate::task::on_runner;
use crate::{Message, codec};

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
}

/// A placement that is about to be made; await it.
///
/// The child ends with the actor given to [`linked_to`](Self::linked_to), and its end reaches that actor as a
/// `SupervisionEvent`: `ActorTerminated` with its reason, or `ActorFailed` with a [`ChildError`]. Without one it ends
/// with its pool. Dropped half-way, the future leaves nothing behind.
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
    supervisor: Option<ActorCell>,
    timeout: Option<Duration>,
    actor: PhantomData<fn(A)>,
}

impl<A> Place<A>
where
    A: Placeable,
    A::Msg: Message,
    A::Arguments: Serialize + DeserializeOwned,
{
    pub(crate) fn new(pool: Pool, actor: A, arguments: A::Arguments) -> Self {
        let child = encode(&actor, &arguments);
        let actor = PhantomData;
        Self(State::Described(Box::new(Request { pool, child, supervisor: None, timeout: None, actor })))
    }

    /// Makes this actor the child's supervisor, as `Actor::spawn_linked` would.
    pub fn linked_to(mut self, supervisor: &ActorCell) -> Self {
        self.set(|request| request.supervisor = Some(supervisor.clone()));
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
}

fn encode<A>(actor: &A, arguments: &A::Arguments) -> Result<Encoded, Error>
where
    A: Placeable,
    A::Arguments: Serialize,
{
    let mut body = actor.encode_handler()?;
    let handler_len = body.len() as u32;
    body.extend(codec::to_bytes(arguments)?);
    let body = codec::within_limit(body, || format!("the handler and arguments of {}", A::NAME))?;
    Ok(Encoded { actor: A::NAME, handler_len, body, linked: true })
}

async fn place<A>(request: Request<A>) -> Result<ActorRef<A::Msg>, Error>
where
    A: Placeable,
    A::Msg: Message,
{
    let Request { pool, child, supervisor, timeout, actor: _ } = request;
    let child = child?;
    let start = Instant::now();
    loop {
        let wait = timeout.unwrap_or_else(|| pool.boot_timeout()).saturating_sub(start.elapsed());
        let slot = pool.checkout(Some(wait)).await.map_err(|err| err.with_bound(timeout))?;
        let runner = Arc::clone(slot.runner());
        let supervisor = supervisor.clone().or_else(|| pool.cell()).ok_or_else(|| pool.closed_error())?;
        let left = timeout.map_or_else(|| pool.timeout(), |timeout| timeout.saturating_sub(start.elapsed()));
        let starting = Starting::<A::Msg>::begin(Charge { slot, child: child.clone() }, supervisor)?;
        match tokio::time::timeout(left, starting.claim()).await {
            Ok(Ok(guardian)) => return Ok(guardian),
            Ok(Err(NotPlaced::NotSent)) => pool.retire(runner.id),
            Ok(Err(NotPlaced::Failed(err))) => return Err(err),
            Err(_) => {
                let after = timeout.unwrap_or(left);
                let what = format!("the start of {}", A::NAME);
                return Err(Error::Timeout { stage: Stage::Running, after, what });
            }
        }
    }
}

/// A guardian that is starting. Dropped before it is claimed, it leaves nothing behind.
struct Starting<M> {
    guardian: Option<ActorRef<M>>,
    started: JoinHandle<Result<JoinHandle<()>, SpawnErr>>,
}

/// Why a guardian did not start.
#[derive(Debug, thiserror::Error)]
enum NotPlaced {
    #[error("the runner's link had closed before anything was sent")]
    NotSent,
    #[error("{0}")]
    Failed(Error),
}

impl<M: Message> Starting<M> {
    /// Begins at once, on our runtime: a supervisor that blocks its threads does not keep a child's end from being
    /// noted.
    fn begin(charge: Charge, supervisor: ActorCell) -> Result<Self, Error> {
        let _runtime = runtime::handle().enter();
        let actor = charge.child.actor;
        let begun = ActorRuntime::spawn_linked_instant(None, Guardian::<M>(PhantomData), charge, supervisor);
        let (guardian, started) =
            begun.map_err(|err| Error::NotStarted { actor: actor.to_owned(), reason: err.to_string() })?;
        Ok(Self { guardian: Some(guardian), started })
    }

    async fn claim(mut self) -> Result<ActorRef<M>, NotPlaced> {
        let failed = |reason: String| {
            NotPlaced::Failed(Error::NotStarted { actor: "the guardian of a placed child".to_owned(), reason })
        };
        match (&mut self.started).await.map_err(|err| failed(err.to_string()))? {
            Ok(_) => self.guardian.take().ok_or_else(|| failed("it was claimed before".to_owned())),
            Err(SpawnErr::StartupFailed(reason)) => match reason.downcast::<NotPlaced>() {
                Ok(reason) => Err(*reason),
                Err(reason) => Err(failed(reason.to_string())),
            },
            Err(err) => Err(failed(err.to_string())),
        }
    }
}

impl<M> Drop for Starting<M> {
    fn drop(&mut self) {
        if let Some(guardian) = self.guardian.take() {
            self.started.abort();
            guardian.kill();
        }
    }
}

// ---- on the parent: the guardian -----------------------------------------------------------------------------

/// Stands for a placed child.
struct Guardian<M>(PhantomData<fn(M)>);

/// A child that is to be placed.
struct Charge {
    slot: Slot,
    child: Encoded,
}

/// What a guardian has. Dropped, however the guardian ends, it takes the child with it.
struct Guarded {
    _gate: Gated,
    child: ChildHandle,
    ward: ActorRef<Ward>,
    exit: Arc<OnceLock<Exit>>,
}

impl<M: Message> Actor for Guardian<M> {
    type Msg = M;
    type State = Guarded;
    type Arguments = Charge;

    async fn pre_start(&self, myself: ActorRef<M>, charge: Charge) -> Result<Guarded, ActorProcessingErr> {
        let me = myself.get_id();
        route::expect::<M>();
        // The child may tell its ref, which is this actor's, before it has started.
        let gate = Gated { me, gate: route::add_guardian(&me) };
        let runner = Arc::clone(charge.slot.runner());
        let mut unplaced = runner.place(charge.slot, me.pid(), charge.child).map_err(|err| match err {
            Error::RunnerLost { .. } => NotPlaced::NotSent,
            err => NotPlaced::Failed(err),
        })?;
        let pid = unplaced.placed().await.map_err(NotPlaced::Failed)?;
        let exit = Arc::new(OnceLock::new());
        let (ward, _) = Actor::spawn_linked(None, WardActor(Arc::clone(&exit)), (), myself.get_cell()).await?;
        let child = unplaced.into_child().ok_or("the child has ended")?;
        gate.gate.open(child.link(), pid);
        child.guard(&ward);
        Ok(Guarded { _gate: gate, child, ward, exit })
    }

    /// What another node sent to this as a member of a process group, over a session. All else leaves when it is sent.
    async fn handle(&self, myself: ActorRef<M>, message: M, _: &mut Guarded) -> Result<(), ActorProcessingErr> {
        route::pass_on(&myself.get_id(), message);
        Ok(())
    }

    /// A stop is the child's to carry out, and the guardian has ended when that has.
    async fn post_stop(&self, _: ActorRef<M>, guarded: &mut Guarded) -> Result<(), ActorProcessingErr> {
        if guarded.exit.get().is_none() {
            guarded.child.order(Order::Stop(None));
            let _ = guarded.ward.wait(None).await;
            if let Some(Exit::Failed(error)) = guarded.exit.get() {
                return Err(Box::new(error.clone()));
            }
        }
        Ok(())
    }

    /// The ward ended as the child did; so does the guardian.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<M>,
        event: SupervisionEvent,
        _: &mut Guarded,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(_, _, reason) => myself.stop(reason),
            SupervisionEvent::ActorFailed(_, err) => return Err(err),
            _ => {}
        }
        Ok(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.exit.get().is_none() {
            self.child.order(Order::Kill);
        }
    }
}

/// Where messages for a child go. Dropped, they go nowhere.
struct Gated {
    me: ActorId,
    gate: Arc<Gate>,
}

impl Drop for Gated {
    fn drop(&mut self) {
        route::remove(&self.me);
    }
}

/// Takes the child's end and ends with it: an actor can only fail from a handler of its own, and the guardian's own
/// messages are the child's.
struct WardActor(Arc<OnceLock<Exit>>);

pub(crate) enum Ward {
    Ended(Exit),
}

impl ractor::Message for Ward {}

impl Actor for WardActor {
    type Msg = Ward;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Ward>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Ward>,
        Ward::Ended(exit): Ward,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let _ = self.0.set(exit.clone());
        match exit {
            Exit::Stopped(reason) => myself.stop(reason),
            Exit::Failed(error) => return Err(Box::new(error)),
        }
        Ok(())
    }
}

// ---- on the runner: the child --------------------------------------------------------------------------------

/// Who a placed child is.
pub(crate) struct Identity {
    /// Its runner's node name.
    pub(crate) node: Arc<str>,
    /// Whom it is known as elsewhere.
    pub(crate) guardian: Address,
}

/// Starts a placed child from its encoded form.
pub(crate) fn start<A>(
    handler: Bytes,
    arguments: Bytes,
    identity: Identity,
    supervisor: ActorCell,
) -> BoxFuture<'static, Result<Result<ActorCell, SpawnErr>, Error>>
where
    A: Placeable,
    A::Msg: Message,
    A::Arguments: DeserializeOwned,
{
    Box::pin(async move {
        let handler = A::decode_handler(&handler)?;
        let arguments: A::Arguments = codec::from_bytes(&arguments)?;
        route::expect::<A::Msg>();
        let placed = Placed { actor: handler, identity, alias: OnceLock::new() };
        let spawned = Actor::spawn_linked(None, placed, arguments, supervisor).await;
        Ok(spawned.map(|(actor, _)| actor.get_cell()))
    })
}

/// The user's actor, with its panics told from its errors.
struct Placed<A> {
    actor: A,
    identity: Identity,
    alias: OnceLock<Alias>,
}

impl<A: Actor> Placed<A> {
    async fn guarded<T>(
        &self,
        work: impl Future<Output = Result<T, ActorProcessingErr>> + Send,
    ) -> Result<T, ActorProcessingErr> {
        let work = on_runner(Arc::clone(&self.identity.node), work);
        let result = AssertUnwindSafe(work).catch_unwind().await;
        result.unwrap_or_else(|panic| Err(Box::new(ChildError::Panicked(panic_text(&*panic)))))
    }
}

impl<A: Actor> Actor for Placed<A> {
    type Msg = A::Msg;
    type State = A::State;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        arguments: A::Arguments,
    ) -> Result<A::State, ActorProcessingErr> {
        let _ = self.alias.set(Alias::new(&myself.get_id(), self.identity.guardian.clone()));
        self.guarded(async { self.actor.pre_start(myself, arguments).await }).await
    }

    async fn post_start(&self, myself: ActorRef<A::Msg>, state: &mut A::State) -> Result<(), ActorProcessingErr> {
        self.guarded(async { self.actor.post_start(myself, state).await }).await
    }

    async fn post_stop(&self, myself: ActorRef<A::Msg>, state: &mut A::State) -> Result<(), ActorProcessingErr> {
        self.guarded(async { self.actor.post_stop(myself, state).await }).await
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.guarded(async { self.actor.handle(myself, message, state).await }).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.guarded(async { self.actor.handle_supervisor_evt(myself, event, state).await }).await
    }
}
