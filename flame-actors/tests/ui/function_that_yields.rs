use std::rc::Rc;

use flame_actors::remote;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};

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

#[remote]
fn not_send() -> impl Stream<Item = u64> {
    let kept = Rc::new(1);
    stream::iter(0..3).map(move |n| n + *kept)
}

fn main() {}
