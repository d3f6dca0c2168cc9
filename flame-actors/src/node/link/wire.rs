//! A link on the wire: one task reads, one writes, one keeps the lease.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{Link, Outgoing, WriteQueue};
use crate::error::{Cause, panic_text};
use crate::node::frame::{self, Frame, Reader, Writing};
use crate::node::lease::{Moment, Standing};

/// Above this many bytes a batch is written before more is added to it.
const BATCH_BYTES: usize = 64 * 1024;

impl WriteQueue {
    fn put_beats(&self, buf: &mut BytesMut) {
        for head in self.beats.lock().drain(..) {
            Writing::new(&head, &[]).put(buf);
        }
    }

    /// All frames that are queued, and then some pieces of sources.
    fn take(&self) -> Vec<(Vec<u8>, Bytes)> {
        // First the pieces, so that whatever was sent before what is in them is among the frames.
        let mut pieces = self.take_pieces();
        let mut frames = std::mem::take(&mut *self.frames.lock());
        frames.append(&mut pieces);
        frames
    }

    /// As many pieces as go in one batch, of all sources by turns: what comes in the meantime goes before the rest.
    fn take_pieces(&self) -> Vec<(Vec<u8>, Bytes)> {
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES {
            let Some(source) = self.sources.lock().pop_front() else { break };
            let Some((frame, body)) = source.take() else { continue };
            self.sources.lock().push_back(source);
            let head = frame::head(frame).expect("what sources say can be cut to what a head can hold");
            bytes += head.len() + body.len();
            pieces.push((head, body));
        }
        pieces
    }
}

pub(super) async fn read_loop<S: AsyncRead>(link: Arc<Link>, mut read: ReadHalf<S>) {
    let mut reader = Reader::default();
    let mut closed = link.closed.subscribe();
    // Frames that came while the lease was unproven.
    let mut held = Vec::new();
    let cause = loop {
        reader.buf.reserve(BATCH_BYTES);
        let read = tokio::select! {
            read = read.read_buf(&mut reader.buf) => read,
            _ = closed.wait_for(Option::is_some) => break None,
        };
        if !matches!(read, Ok(1..)) {
            break Some(Cause::ConnectionClosed);
        }
        // With a panic in the middle nobody would know what was taken: a link like that is closed, and says so.
        let taken = catch_unwind(AssertUnwindSafe(|| link.take_frames(&mut reader, &mut held)));
        let taken = taken.unwrap_or_else(|panic| Err(Cause::Protocol(format!("it panicked: {}", panic_text(panic)))));
        if let Err(cause) = taken {
            break Some(cause);
        }
    };
    match cause {
        Some(cause) => link.close(cause),
        // What is left unread makes the system reset the connection, and what it still has to send is lost.
        None => drop(link.unless_expired(tokio::io::copy(&mut read, &mut tokio::io::sink())).await),
    }
    link.ended.send_modify(|ended| *ended += 1);
}

impl Link {
    /// Takes the frames that have been read. After a stall that was longer than the lease nothing is taken.
    fn take_frames(self: &Arc<Self>, reader: &mut Reader, held: &mut Vec<(Frame, Bytes)>) -> Result<(), Cause> {
        let now = Moment::now();
        let mut standing = {
            let mut lease = self.lease.lock();
            let standing = lease.standing(now);
            if standing == Standing::Good {
                lease.heard(now);
            }
            standing
        };
        loop {
            match standing {
                Standing::Expired => return Err(Cause::LeaseExpired),
                Standing::Good => held.drain(..).for_each(|(frame, body)| self.dispatch(frame, body)),
                Standing::Unproven => {}
            }
            let Some((frame, body)) = reader.take().map_err(Cause::Protocol)? else { return Ok(()) };
            match (standing, &frame) {
                (Standing::Unproven, Frame::Ping(_) | Frame::Pong(_)) => {
                    self.dispatch(frame, body);
                    standing = self.standing();
                }
                (Standing::Unproven, _) => held.push((frame, body)),
                _ => self.dispatch(frame, body),
            }
        }
    }
}

pub(super) async fn write_loop<S: AsyncWrite>(link: Arc<Link>, mut write: WriteHalf<S>) {
    let ended = link.write_frames(&mut write).await;
    link.ended.send_modify(|ended| *ended += 1);
    if let Err(cause) = ended {
        link.close(cause.clone());
        if cause == Cause::LeaseExpired {
            // The connection is open until then.
            let quiet = link.lease.lock().keeps_quiet();
            tokio::time::sleep(quiet).await;
        }
    }
}

impl Link {
    /// Writes what is queued until the link is closed.
    async fn write_frames<S: AsyncWrite>(self: &Arc<Self>, write: &mut WriteHalf<S>) -> Result<(), Cause> {
        let Outgoing::Wire(queue) = &self.out else { return Ok(()) };
        let mut buf = BytesMut::with_capacity(BATCH_BYTES);
        loop {
            // Looked at before the queue, so that what was queued before the close is still written.
            let closed = self.cause();
            let standing = self.standing();
            if closed == Some(Cause::LeaseExpired) || standing == Standing::Expired {
                return Err(Cause::LeaseExpired);
            }
            let batch = match standing {
                Standing::Good => queue.take(),
                _ => Vec::new(),
            };
            queue.put_beats(&mut buf);
            if batch.is_empty() && buf.is_empty() {
                if closed.is_some() {
                    let _ = tokio::time::timeout(Duration::from_secs(1), write.shutdown()).await;
                    return Ok(());
                }
                tokio::select! {
                    () = queue.ready.notified() => {}
                    () = self.proven.notified(), if standing == Standing::Unproven => {}
                }
                continue;
            }
            for (head, body) in batch {
                let mut writing = Writing::new(&head, &body);
                let mut more = true;
                while more {
                    more = writing.put(&mut buf);
                    if buf.len() >= BATCH_BYTES {
                        self.unless_expired(write.write_all_buf(&mut buf)).await?;
                        if self.standing() == Standing::Expired {
                            return Err(Cause::LeaseExpired);
                        }
                        queue.put_beats(&mut buf);
                    }
                }
            }
            self.unless_expired(write.write_all_buf(&mut buf)).await?;
            self.unless_expired(write.flush()).await?;
        }
    }
}

pub(super) async fn lease_loop(link: Arc<Link>) {
    loop {
        let (number, pause) = {
            let (mut lease, now) = (link.lease.lock(), Moment::now());
            if lease.standing(now) == Standing::Expired {
                drop(lease);
                return link.close(Cause::LeaseExpired);
            }
            (lease.beat(now), lease.every().min(lease.left(now) + Duration::from_millis(1)))
        };
        if let Some(number) = number {
            let _ = link.send(Frame::Ping(number), Bytes::new());
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = link.wait_closed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::codec;
    use crate::node::link::Source;

    /// So many pieces of 32 KiB, whose number is the link's business.
    struct Pieces {
        id: u64,
        left: AtomicU64,
    }

    impl Source for Pieces {
        fn take(&self) -> Option<(Frame, Bytes)> {
            let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.ok().map(|_| (Frame::Items { id: self.id }, Bytes::from(vec![0; 32 * 1024])))
        }
    }

    fn queue(sources: &[(u64, u64)]) -> WriteQueue {
        let queue = WriteQueue::default();
        for &(id, left) in sources {
            queue.sources.lock().push_back(Arc::new(Pieces { id, left: AtomicU64::new(left) }));
        }
        queue
    }

    /// What is written next.
    fn next(queue: &WriteQueue) -> Vec<Frame> {
        let frame = |(head, _): (Vec<u8>, Bytes)| codec::from_bytes(&head).unwrap();
        queue.take().into_iter().map(frame).collect()
    }

    fn items(of: &[u64]) -> Vec<Frame> {
        of.iter().map(|id| Frame::Items { id: *id }).collect()
    }

    #[test]
    fn sources_take_turns_and_a_batch_has_no_more_than_fits() {
        let queue = queue(&[(1, 3), (2, 1), (3, 2)]);
        assert_eq!(next(&queue), items(&[1, 2]));
        assert_eq!(next(&queue), items(&[3, 1]));
        assert_eq!(next(&queue), items(&[3, 1]));
        assert_eq!(next(&queue), []);
    }

    #[test]
    fn a_frame_waits_for_one_batch_of_pieces_however_many_there_are() {
        let queue = queue(&[(1, 100), (2, 100)]);
        assert_eq!(next(&queue), items(&[1, 2]));
        queue.frames.lock().push((frame::head(Frame::Ready).unwrap(), Bytes::new()));
        assert_eq!(next(&queue), [vec![Frame::Ready], items(&[1, 2])].concat());
    }
}
