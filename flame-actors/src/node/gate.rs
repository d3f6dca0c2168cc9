//! The way to a placed child, which opens when the child has started.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::link::Link;
use crate::Error;
use crate::message::{Permit, ReplySink};

/// Holds what is sent to a child that is still starting: its ref may be known before it is.
#[derive(Default)]
pub(crate) struct Gate {
    child: OnceLock<(Arc<Link>, u64)>,
    held: Mutex<Vec<Held>>,
}

struct Held {
    timeout: Option<Duration>,
    reply: Option<ReplySink>,
    permit: Option<Permit>,
    body: Bytes,
}

impl Gate {
    pub(super) fn pass(
        &self,
        timeout: Option<Duration>,
        reply: Option<ReplySink>,
        permit: Option<Permit>,
        body: Bytes,
    ) -> Result<(), Error> {
        if self.child.get().is_none() {
            let mut held = self.held.lock();
            // It may have opened meanwhile; what was held has been sent then.
            if self.child.get().is_none() {
                held.push(Held { timeout, reply, permit, body });
                return Ok(());
            }
        }
        let (link, pid) = self.child.get().expect("it has opened, and stays so");
        link.send_message(None, *pid, timeout, reply, permit, body)
    }

    /// Sends what was held, in order, and from now on everything at once.
    pub(crate) fn open(&self, link: &Arc<Link>, pid: u64) {
        let mut held = self.held.lock();
        for Held { timeout, reply, permit, body } in held.drain(..) {
            // On a closed link the child has ended, which its guardian tells.
            let _ = link.send_message(None, pid, timeout, reply, permit, body);
        }
        let _ = self.child.set((Arc::clone(link), pid));
    }
}
