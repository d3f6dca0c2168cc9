//! A backend whose boots end when and how a trial says; its runners are in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flame_actors::{Backend, Boot, BoxFuture, Error, InProcess, Instance, InstanceState};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How a boot ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Up,
    Fail(&'static str),
    /// As one that would fail again.
    Refuse(&'static str),
    Panic(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Scripted(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    boots: AtomicUsize,
    destroyed: AtomicUsize,
    verdicts: UnboundedSender<Verdict>,
    script: Mutex<UnboundedReceiver<Verdict>>,
}

impl Scripted {
    /// A backend whose first boots end like this; others wait until more is said.
    pub(crate) fn new(script: impl IntoIterator<Item = Verdict>) -> Self {
        let (verdicts, rest) = unbounded_channel();
        let scripted = Self(Arc::new(Inner {
            boots: AtomicUsize::new(0),
            destroyed: AtomicUsize::new(0),
            verdicts,
            script: Mutex::new(rest),
        }));
        scripted.say(script);
        scripted
    }

    /// Ends those boots like this that have waited longest, or the next ones.
    pub(crate) fn say(&self, script: impl IntoIterator<Item = Verdict>) {
        for verdict in script {
            self.0.verdicts.send(verdict).expect("the script is read");
        }
    }

    /// How many boots it was asked for.
    pub(crate) fn boots(&self) -> usize {
        self.0.boots.load(Ordering::Relaxed)
    }

    /// How many instances it was told to destroy.
    pub(crate) fn destroyed(&self) -> usize {
        self.0.destroyed.load(Ordering::Relaxed)
    }
}

impl Backend for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        self.0.boots.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            // The lock is fair: the first boot has the first verdict.
            let verdict = self.0.script.lock().await.recv().await;
            match verdict.expect("this has a sender") {
                Verdict::Up => InProcess::new().boot(boot).await,
                Verdict::Fail(reason) => {
                    Err(Error::Backend { backend: self.name().to_owned(), reason: reason.to_owned() })
                }
                Verdict::Refuse(reason) => {
                    Err(Error::Config { option: self.name().to_owned(), reason: reason.to_owned() })
                }
                // As a panic, without a line on standard error.
                Verdict::Panic(text) => std::panic::resume_unwind(Box::new(text)),
            }
        })
    }

    fn destroy<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        self.0.destroyed.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    }

    fn inspect<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        Box::pin(async { Ok(InstanceState::Unknown) })
    }
}
