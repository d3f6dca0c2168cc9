use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use flame_actors::remote;
use futures_util::stream::{self, BoxStream, Stream};

#[remote]
async fn not_async(to: u64) -> impl Stream<Item = u64> {
    stream::iter(0..to)
}

#[remote]
fn of_what() -> impl Stream {
    stream::iter(0..3)
}

#[remote]
fn boxed() -> BoxStream<'static, u64> {
    Box::pin(stream::iter(0..3))
}

#[remote]
fn borrowed(text: &str) -> impl Stream<Item = char> {
    stream::iter(text.chars())
}

#[remote]
fn references() -> impl Stream<Item = &'static str> {
    stream::iter(["a"])
}

struct Secret;

#[remote]
fn secrets() -> impl Stream<Item = Secret> {
    stream::iter([Secret])
}

struct Kept(Rc<u64>);

impl Stream for Kept {
    type Item = u64;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
        Poll::Ready(Some(*self.0))
    }
}

#[remote]
fn not_send() -> impl Stream<Item = u64> {
    Kept(Rc::new(1))
}

fn main() {}
