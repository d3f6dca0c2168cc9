//! How a running task is told to end, and the handles by which what it has started hears of it.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::node::runtime;

/// Fires when a task ends before its time.
///
/// [`cancelled`](crate::cancelled) gives it. It is a future, and [`is_cancelled`](Self::is_cancelled) is for code that
/// blocks. Clones fire together. A handle that does not fire is never ready.
#[must_use = "the handle does nothing by itself: await it, or ask it"]
pub struct Cancelled {
    /// `None` where there is nothing to tell.
    told: Option<watch::Receiver<bool>>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Cancelled {
    pub(super) const NEVER: Self = Self { told: None, waiting: None };

    fn by(told: watch::Receiver<bool>) -> Self {
        Self { told: Some(told), waiting: None }
    }

    /// Whether it has fired.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.told.as_ref().is_some_and(|told| *told.borrow())
    }
}

impl Clone for Cancelled {
    fn clone(&self) -> Self {
        Self { told: self.told.clone(), waiting: None }
    }
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_cancelled() {
            return Poll::Ready(());
        }
        let Self { told: Some(told), waiting } = &mut *self else { return Poll::Pending };
        let waiting = waiting.get_or_insert_with(|| {
            let mut told = told.clone();
            Box::pin(async move {
                // The other end goes when the task has completed.
                if told.wait_for(|told| *told).await.is_err() {
                    pending().await
                }
            })
        });
        waiting.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancelled").field("is_cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

/// One run of a task on a runner: until when it may take, and whether it was told to end.
pub(crate) struct Run {
    pub(super) deadline: Option<Instant>,
    stage: Mutex<Stage>,
}

enum Stage {
    /// With what tells its handles, which is made for the first of them: most tasks ask for none.
    UnderWay(Option<watch::Sender<bool>>),
    Completed,
    Cancelled,
}

impl Run {
    pub(crate) fn new(deadline: Option<Instant>) -> Arc<Self> {
        Arc::new(Self { deadline, stage: Mutex::new(Stage::UnderWay(None)) })
    }

    /// The body has returned: what it has started may go on.
    pub(crate) fn complete(&self) {
        let mut stage = self.stage.lock();
        if let Stage::UnderWay(_) = *stage {
            *stage = Stage::Completed;
        }
    }

    /// Tells the handles, unless the body has returned.
    pub(crate) fn cancel(&self) {
        let mut stage = self.stage.lock();
        if let Stage::UnderWay(tell) = &mut *stage {
            let tell = tell.take();
            *stage = Stage::Cancelled;
            drop(stage);
            if let Some(tell) = tell {
                tell.send_replace(true);
            }
        }
    }

    pub(super) fn handle(self: &Arc<Self>) -> Cancelled {
        let mut stage = self.stage.lock();
        match &mut *stage {
            Stage::UnderWay(Some(tell)) => Cancelled::by(tell.subscribe()),
            Stage::UnderWay(none) => {
                let (tell, told) = watch::channel(false);
                *none = Some(tell);
                drop(stage);
                self.cancel_at_the_deadline(told.clone());
                Cancelled::by(told)
            }
            Stage::Completed => Cancelled::NEVER,
            Stage::Cancelled => Cancelled::by(watch::channel(true).1),
        }
    }

    /// On our own runtime: the task's deadline aborts it where it yields, and a body that blocks has to hear of it too.
    fn cancel_at_the_deadline(self: &Arc<Self>, mut told: watch::Receiver<bool>) {
        let Some(deadline) = self.deadline else { return };
        let run = Arc::downgrade(self);
        runtime::spawn(async move {
            // `changed` returns when the task has ended, however that was.
            if tokio::time::timeout_at(deadline, told.changed()).await.is_err()
                && let Some(run) = run.upgrade()
            {
                run.cancel();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::{Cancelled, Run};

    #[test]
    fn a_handle_is_shared_and_awaited_anywhere() {
        fn check<T: Clone + Send + Sync + Unpin + 'static>() {}
        check::<Cancelled>();
    }

    #[test]
    fn every_handle_fires_when_the_run_is_cancelled() {
        let run = Run::new(None);
        let mut early = run.handle();
        assert_eq!((early.is_cancelled(), (&mut early).now_or_never()), (false, None));
        run.cancel();
        let mut late = run.handle();
        for handle in [&mut early, &mut late] {
            assert!(handle.is_cancelled() && handle.clone().is_cancelled());
            assert_eq!(handle.now_or_never(), Some(()));
            assert_eq!(handle.now_or_never(), Some(()), "it stays ready");
        }
        run.complete();
        assert!(run.handle().is_cancelled());
    }

    #[test]
    fn no_handle_fires_after_a_completion() {
        let run = Run::new(None);
        let mut early = run.handle();
        assert_eq!((&mut early).now_or_never(), None);
        run.complete();
        run.cancel();
        for mut handle in [early, run.handle()] {
            assert!(!handle.is_cancelled());
            assert_eq!((&mut handle).now_or_never(), None);
        }
    }

    #[test]
    fn a_handle_fires_at_the_deadline_without_any_help() {
        let after = Duration::from_millis(20);
        let run = Run::new(Some(tokio::time::Instant::now() + after));
        let start = std::time::Instant::now();
        wait_without_a_clock(run.handle());
        assert!(start.elapsed() >= after);
    }

    /// Waits for it in a runtime that has no clock.
    fn wait_without_a_clock(handle: Cancelled) {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(handle);
    }
}
