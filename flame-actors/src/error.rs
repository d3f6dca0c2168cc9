//! What can go wrong, as values that a caller can act on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a call, a cast, a placement or a boot did not succeed.
///
/// It is [`Clone`] and serialisable, so that a task may return it and a runner may send it.
///
/// ```
/// use flame_actors::{Error, Stage};
///
/// fn may_be_tried_again(err: &Error) -> bool {
///     match err {
///         Error::Timeout { stage: Stage::Waiting, .. } | Error::PoolFull { .. } | Error::Boot { .. } => true,
///         _ => false, // such as RunnerLost: it may have been done
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// The time for this stage ran out.
    ///
    /// In [`Stage::Waiting`] nothing was sent to a runner; in [`Stage::Running`] the work was under way and its
    /// runner was told to abort it.
    #[error("{what}: {stage} took longer than {after:?}")]
    Timeout {
        /// The stage that was under way.
        stage: Stage,
        /// The bound that was reached.
        after: Duration,
        /// What was waited for, with the state of its pool.
        what: String,
    },
    /// The runner ended or fell silent while it had the work: the outcome is unknown.
    #[error("runner {node} was lost: {cause}")]
    RunnerLost {
        /// The node name of the runner.
        node: String,
        /// What is known of the reason.
        cause: Cause,
    },
    /// The task panicked; the text is the panic's.
    #[error("the task panicked: {0}")]
    Panicked(String),
    /// The work was stopped before it ended.
    #[error("{0} was cancelled")]
    Cancelled(String),
    /// The runner has no task or placeable actor of this name.
    #[error("unknown task {0}: it is not part of the runner's build")]
    UnknownTask(String),
    /// Parent and runner are different builds.
    #[error("build mismatch: the parent is {parent}, the runner is {runner}")]
    BuildMismatch {
        /// The parent's build id and task table.
        parent: String,
        /// The runner's build id and task table.
        runner: String,
    },
    /// No runner could be booted, or each was gone before it had done anything.
    #[error("pool \"{pool}\": boot failed {attempts} times, last: {reason}")]
    Boot {
        /// The pool that booted.
        pool: String,
        /// Attempts since the last success.
        attempts: u32,
        /// What the last attempt failed with.
        reason: String,
    },
    /// Encoded arguments, a result or a message exceed the limit of [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES).
    #[error("{what} is {size} bytes, over the limit of {limit}")]
    TooLarge {
        /// What was to be sent.
        what: String,
        /// Its encoded size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A value could not be encoded; nothing was sent.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// The type.
        what: String,
        /// The codec's reason.
        reason: String,
    },
    /// Bytes from the other side are not a value of the expected type.
    #[error("cannot decode {what}: {reason}")]
    Decode {
        /// The type.
        what: String,
        /// The codec's reason.
        reason: String,
    },
    /// A placed child did not start: its `pre_start` refused.
    #[error("{actor} did not start: {reason}")]
    NotStarted {
        /// The actor type.
        actor: String,
        /// The error of `pre_start`.
        reason: String,
    },
    /// As many callers wait as the pool admits.
    #[error("pool \"{pool}\": full, {waiting} callers wait already")]
    PoolFull {
        /// The pool.
        pool: String,
        /// How many wait.
        waiting: usize,
    },
    /// The pool has no runner of this node name.
    #[error("pool \"{pool}\": no runner {node}")]
    NoRunner {
        /// The pool.
        pool: String,
        /// The node name that was asked for.
        node: String,
    },
    /// The pool takes no more work.
    #[error("pool \"{pool}\" is closed")]
    PoolClosed {
        /// The pool.
        pool: String,
    },
    /// An option has a value that cannot work.
    #[error("{option}: {reason}")]
    Config {
        /// The option.
        option: String,
        /// Why it cannot work.
        reason: String,
    },
    /// The process could not become a node, or not join its parent.
    #[error("cannot join the parent: {0}")]
    Join(String),
    /// The backend failed.
    #[error("backend {backend}: {reason}")]
    Backend {
        /// The backend's name.
        backend: String,
        /// What it answered.
        reason: String,
    },
    /// Nothing of this type was given to [`Node::provide`](crate::Node::provide).
    #[error("nothing of type {0} was provided to this node")]
    NotProvided(String),
    /// There is no node in this process yet.
    #[error("this process is no node yet: call Node::start() first")]
    NoNode,
    /// A call got no reply: the actor dropped its reply port, or could not make the message out.
    #[error("the call got no reply: its reply port was dropped")]
    NoReply,
    /// The actor that was addressed does not exist any more, or never did.
    #[error("actor {0} does not exist")]
    NoActor(String),
}

impl Error {
    /// Says the bound that the caller gave, not what was left of it.
    pub(crate) fn with_bound(self, after: Duration) -> Self {
        match self {
            Self::Timeout { stage, what, .. } => Self::Timeout { stage, after, what },
            err => err,
        }
    }

    /// The texts that can be of any length.
    pub(crate) fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::Panicked(text)
            | Self::Cancelled(text)
            | Self::UnknownTask(text)
            | Self::Join(text)
            | Self::NotProvided(text)
            | Self::NoActor(text) => vec![text],
            Self::Encode { what, reason }
            | Self::Decode { what, reason }
            | Self::NotStarted { actor: what, reason }
            | Self::Config { option: what, reason }
            | Self::Backend { backend: what, reason }
            | Self::Boot { pool: what, reason, .. }
            | Self::BuildMismatch { parent: what, runner: reason } => vec![what, reason],
            Self::Timeout { what, .. } | Self::TooLarge { what, .. } => vec![what],
            Self::RunnerLost { cause, .. } => cause.text().into_iter().collect(),
            Self::PoolFull { .. } | Self::NoRunner { .. } | Self::PoolClosed { .. } | Self::NoNode | Self::NoReply => {
                Vec::new()
            }
        }
    }
}

/// What was under way when the time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stage {
    /// Waiting for a slot, boots included.
    Waiting,
    /// Running on a runner.
    Running,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting for a slot",
            Self::Running => "running",
        })
    }
}

/// Why a node is gone, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// Its process ended with this code.
    Exited(i32),
    /// Its process was ended by this signal.
    Signalled(i32),
    /// It was ended because it used more memory than it may.
    OutOfMemory,
    /// Nothing was heard of it for the lease.
    LeaseExpired,
    /// The connection was closed or reset.
    ConnectionClosed,
    /// It was stopped on purpose by its pool.
    Stopped,
    /// Its platform ended it, not its pool: a host that failed, a machine that was wanted elsewhere.
    Destroyed,
    /// Its connection was refused, for this reason.
    Refused(String),
    /// It sent something that is not of our protocol.
    Protocol(String),
}

impl Cause {
    /// The text that can be of any length.
    fn text(&mut self) -> Option<&mut String> {
        match self {
            Self::Refused(text) | Self::Protocol(text) => Some(text),
            _ => None,
        }
    }

    /// One word for it, as logs and metrics have it: `exited`, `signalled`, `lease_expired`, …
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exited(_) => "exited",
            Self::Signalled(_) => "signalled",
            Self::OutOfMemory => "out_of_memory",
            Self::LeaseExpired => "lease_expired",
            Self::ConnectionClosed => "connection_closed",
            Self::Stopped => "stopped",
            Self::Destroyed => "destroyed",
            Self::Refused(_) => "refused",
            Self::Protocol(_) => "protocol",
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "its process exited with code {code}"),
            Self::Signalled(signal) => write!(f, "its process was ended by signal {signal}"),
            Self::OutOfMemory => f.write_str("it ran out of memory"),
            Self::LeaseExpired => f.write_str("nothing was heard of it for its lease"),
            Self::ConnectionClosed => f.write_str("the connection was closed"),
            Self::Stopped => f.write_str("it was stopped"),
            Self::Destroyed => f.write_str("its platform ended it"),
            Self::Refused(why) => write!(f, "its connection was refused: {why}"),
            Self::Protocol(what) => write!(f, "it broke the protocol: {what}"),
        }
    }
}

/// How a placed child ended badly; what a supervisor downcasts from `SupervisionEvent::ActorFailed`.
///
/// ```
/// # use flame_actors::{ChildError, ractor::SupervisionEvent};
/// fn was_lost(event: &SupervisionEvent) -> bool {
///     match event {
///         SupervisionEvent::ActorFailed(_, err) => {
///             matches!(err.downcast_ref::<ChildError>(), Some(ChildError::RunnerLost { .. }))
///         }
///         _ => false,
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChildError {
    /// A handler returned an error; the text is the error's.
    #[error("{0}")]
    Failed(String),
    /// A handler panicked; the text is the panic's.
    #[error("the actor panicked: {0}")]
    Panicked(String),
    /// Its runner is gone.
    #[error("runner {node} was lost: {cause}")]
    RunnerLost {
        /// The node name of the runner.
        node: String,
        /// What is known of the reason.
        cause: Cause,
    },
    /// It was placed again and again, and ended by itself once too often; losses of its runners do not count.
    #[error("it ended more than {max_restarts} times within {period:?}, last: {}", last(.history))]
    TooManyRestarts {
        /// So many restarts were allowed.
        max_restarts: usize,
        /// Within this period.
        period: Duration,
        /// How it ended, or why it was not placed again, each time within the period.
        history: Vec<String>,
    },
}

impl ChildError {
    /// Returns the texts that can be of any length. Removes all but the last `most` ends of a history.
    pub(crate) fn texts(&mut self, most: usize) -> Vec<&mut String> {
        match self {
            Self::Failed(text) | Self::Panicked(text) => vec![text],
            Self::RunnerLost { cause, .. } => cause.text().into_iter().collect(),
            Self::TooManyRestarts { history, .. } => {
                history.drain(..history.len().saturating_sub(most));
                history.iter_mut().collect()
            }
        }
    }
}

fn last(history: &[String]) -> &str {
    history.last().map_or("unknown", String::as_str)
}

/// The text of a panic's payload.
pub(crate) fn panic_text(payload: Box<dyn std::any::Any + Send>) -> String {
    match payload.downcast::<&str>() {
        Ok(text) => text.to_string(),
        Err(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => {
                // Its destructor may panic as well, and nobody knows what it would do here.
                std::mem::forget(payload);
                "a panic without text".to_owned()
            }
        },
    }
}
