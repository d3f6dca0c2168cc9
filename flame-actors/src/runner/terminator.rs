//! Decides when this runner leaves: told by its pool or its platform, or bereft of its parent.

use std::sync::Weak;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::agent::Agent;
use crate::error::Cause;
use crate::report::report;

pub(crate) struct Terminator {
    pub(crate) agent: Weak<Agent>,
    /// What unlinked work has after the loss of the parent, and all work after a signal to leave.
    pub(crate) shutdown_timeout: Duration,
}

pub(crate) enum TerminatorMsg {
    /// This runner is wanted away, by its platform or by itself.
    Asked,
    /// The pool sends this runner away; what runs has this grace.
    Leave(Duration),
    /// The link is closed.
    ParentLost(Cause),
    /// Some work ended while leaving.
    WorkEnded,
    GraceOver,
}

impl ractor::Message for TerminatorMsg {}

impl Actor for Terminator {
    type Msg = TerminatorMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<TerminatorMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<TerminatorMsg>,
        message: TerminatorMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Some(agent) = self.agent.upgrade() else {
            myself.stop(None);
            return Ok(());
        };
        let over = match message {
            TerminatorMsg::Asked => {
                // The pool has work on its way: only when it has answered nothing more will come.
                agent.ask_to_leave();
                myself.send_after(self.shutdown_timeout, || TerminatorMsg::GraceOver);
                false
            }
            TerminatorMsg::Leave(grace) => {
                agent.set_leaving(false);
                myself.send_after(grace, || TerminatorMsg::GraceOver);
                agent.may_stop()
            }
            TerminatorMsg::ParentLost(cause) => {
                // Closing the link is also how a runner that was sent away ends.
                let orphaned = cause != Cause::Stopped;
                if orphaned {
                    report!(WARN, %cause, "the parent is gone: this runner leaves");
                }
                agent.set_leaving(orphaned);
                agent.abort_work(false);
                myself.send_after(self.shutdown_timeout, || TerminatorMsg::GraceOver);
                agent.may_stop()
            }
            TerminatorMsg::WorkEnded => agent.may_stop(),
            TerminatorMsg::GraceOver => true,
        };
        if over {
            agent.stop();
            myself.stop(None);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use parking_lot::Mutex;
    use tokio::runtime::Handle;
    use tokio::time::Instant;

    use super::*;
    use crate::node::frame::Frame;
    use crate::node::link::{Link, Role};
    use crate::registry::{self, Body, TaskEntry};

    const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

    inventory::submit! {
        // Takes as many seconds as its one argument says.
        TaskEntry {
            name: "take",
            location: "terminator.rs",
            body: Body::Returns(|args| Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(args[0].into())).await;
                Ok(registry::Output::default())
            })),
        }
    }

    /// The other end: notes what the runner says, and after how many seconds.
    struct Parent {
        start: Instant,
        heard: Mutex<Vec<(u64, &'static str)>>,
    }

    impl Parent {
        fn note(&self, what: &'static str) {
            self.heard.lock().push((self.start.elapsed().as_secs(), what));
        }
    }

    impl Role for Parent {
        fn receive(&self, _: &Arc<Link>, frame: Frame, _: Bytes) {
            self.note(match frame {
                Frame::Leaving => "leaving",
                Frame::Ran { outcome: Ok(()), .. } => "ran",
                Frame::Ran { .. } => "aborted",
                other => panic!("{other:?}"),
            });
        }

        fn closed(&self, _: &Cause) {
            self.note("closed");
        }
    }

    /// A runner on a clock that goes on only when nothing is left to do.
    struct Runner {
        agent: Arc<Agent>,
        link: Arc<Link>,
        parent: Arc<Parent>,
    }

    impl Runner {
        fn start() -> Self {
            let (node, here): (Arc<str>, _) = ("tests.runner".into(), Handle::current());
            let agent = Agent::start_on(&here, Arc::clone(&node), here.clone(), SHUTDOWN_TIMEOUT);
            let parent = Arc::new(Parent { start: Instant::now(), heard: Mutex::default() });
            let (link, far) = Link::in_memory(&node, Arc::clone(&parent) as _, Arc::new(Arc::clone(&agent)));
            agent.attach_owned(far);
            Self { agent, link, parent }
        }

        fn runs(self, seconds: u8, linked: bool) -> Self {
            let task = registry::task_key("take", "terminator.rs");
            let run = Frame::Run { id: seconds.into(), task, deadline_ms: None, linked, window: None };
            self.link.send(run, Bytes::from(vec![seconds])).unwrap();
            self
        }

        fn told_to_leave(self, grace: u64) -> Self {
            self.link.send(Frame::Shutdown { grace_ms: grace * 1000 }, Bytes::new()).unwrap();
            self
        }

        fn asked_to_leave(self) -> Self {
            self.agent.leave();
            self
        }

        fn loses_its_parent(self) -> Self {
            self.link.close(Cause::LeaseExpired);
            self
        }

        /// Waits until it has stopped; gives the seconds that it took, and what its parent heard.
        async fn stopped(self) -> (u64, Vec<(u64, &'static str)>) {
            // On this clock an hour is over at once.
            tokio::time::timeout(Duration::from_secs(3600), self.agent.stopped()).await.expect("it stops");
            let heard = self.parent.heard.lock().clone();
            (self.parent.start.elapsed().as_secs(), heard)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_runner_without_work_leaves_at_once() {
        assert_eq!(Runner::start().told_to_leave(20).stopped().await, (0, vec![(0, "closed")]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_runner_leaves_when_its_last_work_has_ended() {
        let runner = Runner::start().runs(3, true).runs(7, true).runs(5, false).told_to_leave(20);
        assert_eq!(runner.stopped().await, (7, vec![(3, "ran"), (5, "ran"), (7, "ran"), (7, "closed")]));
    }

    #[tokio::test(start_paused = true)]
    async fn work_has_the_grace_that_the_pool_gives() {
        let runner = Runner::start().runs(3, true).runs(50, true).told_to_leave(20);
        assert_eq!(runner.stopped().await, (20, vec![(3, "ran"), (20, "closed")]));
    }

    #[tokio::test(start_paused = true)]
    async fn linked_work_ends_with_the_parent() {
        assert_eq!(Runner::start().runs(50, true).loses_its_parent().stopped().await, (0, vec![(0, "closed")]));
    }

    #[tokio::test(start_paused = true)]
    async fn unlinked_work_may_end_after_the_loss_of_the_parent() {
        let runner = Runner::start().runs(50, true).runs(9, false).loses_its_parent();
        assert_eq!(runner.stopped().await.0, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn unlinked_work_has_the_shutdown_timeout_after_the_loss_of_the_parent() {
        let runner = Runner::start().runs(50, true).runs(50, false).loses_its_parent();
        assert_eq!(runner.stopped().await.0, SHUTDOWN_TIMEOUT.as_secs());
    }

    /// The pool may have sent it something just now.
    #[tokio::test(start_paused = true)]
    async fn a_runner_that_is_wanted_away_waits_for_the_word_of_its_pool() {
        let runner = Runner::start().asked_to_leave();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(*runner.parent.heard.lock(), [(0, "leaving")]);
        let runner = runner.runs(4, true);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let runner = runner.told_to_leave(20);
        assert_eq!(runner.stopped().await, (15, vec![(0, "leaving"), (14, "ran"), (15, "closed")]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_runner_that_is_wanted_away_goes_after_the_shutdown_timeout() {
        let runner = Runner::start().runs(50, false).asked_to_leave();
        assert_eq!(runner.stopped().await, (30, vec![(0, "leaving"), (30, "closed")]));
    }

    /// Told to go by its pool while its own time runs: what ends first counts.
    #[tokio::test(start_paused = true)]
    async fn the_first_grace_that_is_over_counts() {
        let runner = Runner::start().runs(50, true).asked_to_leave();
        tokio::time::sleep(Duration::from_secs(25)).await;
        assert_eq!(runner.told_to_leave(20).stopped().await.0, SHUTDOWN_TIMEOUT.as_secs());
    }
}
