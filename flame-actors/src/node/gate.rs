//! The way to a placed child: shut while there is none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::link::Link;
use crate::Error;
use crate::message::{Permit, ReplySink};

/// Holds what is sent to a child that is starting, or is placed again: its ref is known all the time.
pub(crate) struct Gate {
    way: RwLock<Way>,
    held: Mutex<Held>,
    /// So many messages wait for a child that is down; more are dropped. `None`: it does not come back, and a closed
    /// link is its end.
    hold: Option<usize>,
}

enum Way {
    /// It has not started yet. Its own messages to itself must not be lost, and nobody else has its ref.
    Starting,
    Open(Arc<Link>, u64),
    Down,
}

#[derive(Default)]
struct Held {
    messages: Vec<Message>,
    dropped: u64,
}

struct Message {
    timeout: Option<Duration>,
    reply: Option<ReplySink>,
    permit: Option<Permit>,
    body: Bytes,
}

impl Gate {
    pub(super) fn new(hold: Option<usize>) -> Self {
        Self { way: RwLock::new(Way::Starting), held: Mutex::default(), hold }
    }

    pub(super) fn pass(
        &self,
        timeout: Option<Duration>,
        reply: Option<ReplySink>,
        permit: Option<Permit>,
        body: Bytes,
    ) -> Result<(), Error> {
        // Held to the end: what is held now is sent by whoever opens it later.
        let way = self.way.read();
        let bound = match &*way {
            Way::Starting => usize::MAX,
            Way::Open(link, pid) if self.hold.is_none() || link.cause().is_none() => {
                return match link.send_message(None, *pid, timeout, reply, permit, body) {
                    // It has closed just now: the message is lost on its way, and the child is not.
                    Err(Error::RunnerLost { .. }) if self.hold.is_some() => Ok(()),
                    sent => sent,
                };
            }
            Way::Open(..) | Way::Down => self.hold.unwrap_or(0),
        };
        let mut held = self.held.lock();
        if held.messages.len() < bound {
            held.messages.push(Message { timeout, reply, permit, body });
        } else {
            held.dropped += 1;
            // Outside the lock: a call that ends here may have its caller send again.
            drop(held);
            drop((reply, permit));
        }
        Ok(())
    }

    /// Sends what was held, in order, and from now on everything at once. Given is how many messages were dropped.
    pub(crate) fn open(&self, link: &Arc<Link>, pid: u64) -> u64 {
        let mut way = self.way.write();
        let Held { messages, dropped } = std::mem::take(&mut *self.held.lock());
        for Message { timeout, reply, permit, body } in messages {
            // On a closed link the child has ended, which its guardian is told.
            let _ = link.send_message(None, pid, timeout, reply, permit, body);
        }
        *way = Way::Open(Arc::clone(link), pid);
        dropped
    }

    /// How many messages were dropped since it was open, for a child that does not come back.
    pub(crate) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.held.lock().dropped)
    }

    /// The child has ended and is placed again.
    pub(crate) fn shut(&self) {
        *self.way.write() = Way::Down;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;
    use crate::node::frame::Frame;
    use crate::node::link::Role;

    struct Nobody;

    impl Role for Nobody {
        fn receive(&self, _: &Arc<Link>, _: Frame, _: Bytes) {}
        fn closed(&self, _: &Cause) {}
    }

    /// A link that says that it is open, and takes nothing: as one that closes in this moment.
    fn closing() -> Arc<Link> {
        let (near, far) = Link::in_memory(&"runner".into(), Arc::new(Nobody), Arc::new(Nobody));
        drop(far);
        near
    }

    #[test]
    fn the_loss_of_a_message_is_no_error_for_a_child_that_comes_back() {
        for comes_back in [true, false] {
            let (gate, link) = (Gate::new(comes_back.then_some(1000)), closing());
            gate.open(&link, 1);
            assert_eq!(link.cause(), None);
            assert_eq!(gate.pass(None, None, None, Bytes::new()).is_ok(), comes_back);
        }
    }
}
