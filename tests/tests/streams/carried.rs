//! What streams travel in: arguments, messages, answers, results, and whatever is around them.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{ByteSink, ByteStream, Error, Message, Pool, placeable, remote};
use flame_tests::{Entry, Journal, Runners, eventually, everywhere, until};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};

use crate::work::{ENDLESS, End, Numbers, Read, fill, hash_of, hash_of_rest, read_all, read_hash};

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![
        in_an_actors_arguments,
        in_a_message,
        in_an_answer,
        a_sink_in_a_message,
        in_whatever_serde_knows,
        sent_twice_it_is_an_error_and_the_first_one_arrives,
        part_of_it_is_read_before_it_is_sent,
        there_and_back,
        a_message_to_an_actor_that_is_gone_is_an_error,
    ]
}

#[derive(Message)]
pub(crate) enum LibraryMsg {
    Take(ByteStream),
    Fill(ByteSink, u64),
    Give(u64, RpcReplyPort<ByteStream>),
}

/// Reads what it is given, and notes it.
pub(crate) struct Library;

#[derive(Serialize, Deserialize)]
pub(crate) struct Books {
    pub(crate) first: Option<ByteStream>,
    pub(crate) journal: Entry,
}

#[placeable]
impl Actor for Library {
    type Msg = LibraryMsg;
    type State = Entry;
    type Arguments = Books;

    async fn pre_start(&self, _: ActorRef<LibraryMsg>, books: Books) -> Result<Entry, ActorProcessingErr> {
        if let Some(first) = books.first {
            tokio::spawn(note(books.journal.clone(), first));
        }
        Ok(books.journal)
    }

    async fn handle(
        &self,
        _: ActorRef<LibraryMsg>,
        message: LibraryMsg,
        journal: &mut Entry,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            LibraryMsg::Take(stream) => drop(tokio::spawn(note(journal.clone(), stream))),
            LibraryMsg::Fill(sink, bytes) => fill(sink, bytes).await?,
            LibraryMsg::Give(bytes, reply) => reply.send(ByteStream::new(Numbers::new(bytes)))?,
        }
        Ok(())
    }
}

async fn note(journal: Entry, stream: ByteStream) {
    journal.note(format_args!("read={:?}", read_all(stream).await));
}

/// What is noted of a stream that has arrived.
pub(crate) fn noted(hash: String, bytes: u64) -> String {
    let read: Read = Ok((hash, bytes));
    format!("{read:?}")
}

async fn library(pool: &Pool, journal: &Journal) -> ActorRef<LibraryMsg> {
    let books = Books { first: None, journal: journal.entry() };
    pool.place_child(Library, books).await.expect("it starts")
}

async fn in_an_actors_arguments(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let first = Some(ByteStream::new(Numbers::new(100_001)));
    let library = pool.place_child(Library, Books { first, journal: journal.entry() }).await.unwrap();
    assert_eq!(journal.value("read").await, noted(hash_of(100_001).await, 100_001));
    library.stop(None);
    pool.shutdown().await;
}

async fn in_a_message(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let library = library(&pool, &journal).await;
    let (stream, receipt) = ByteStream::new(Numbers::new(100_001)).with_receipt();
    library.cast(LibraryMsg::Take(stream)).unwrap();
    assert_eq!(journal.value("read").await, noted(hash_of(100_001).await, 100_001));
    assert_eq!(eventually("the receipt", receipt).await, Ok(100_001));
    pool.shutdown().await;
}

async fn in_an_answer(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let library = library(&pool, &journal).await;
    let stream = call!(library, LibraryMsg::Give, 100_001).unwrap();
    assert_eq!(eventually("reading", read_all(stream)).await, Ok((hash_of(100_001).await, 100_001)));
    pool.shutdown().await;
}

async fn a_sink_in_a_message(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let library = library(&pool, &journal).await;
    let (near, mut far) = tokio::io::duplex(1000);
    library.cast(LibraryMsg::Fill(ByteSink::new(near), 100_001)).unwrap();
    let read = eventually("reading", read_hash(&mut far)).await.unwrap();
    assert_eq!(read, (hash_of(100_001).await, 100_001));
    pool.shutdown().await;
}

#[derive(Serialize, Deserialize)]
struct Parcel {
    name: String,
    inside: Option<Box<Parcel>>,
    stream: ByteStream,
}

#[remote]
async fn unpack(
    parcel: Parcel,
    streams: Vec<ByteStream>,
    (tag, pair): (u8, Result<ByteStream, String>),
    nothing: Option<ByteStream>,
) -> (Vec<Read>, Parcel) {
    assert!(nothing.is_none() && tag == 7);
    let inside = parcel.inside.expect("a parcel");
    let mut read = vec![read_all(parcel.stream).await, read_all(inside.stream).await];
    for stream in streams.into_iter().chain(pair) {
        read.push(read_all(stream).await);
    }
    (read, Parcel { name: "back".to_owned(), inside: None, stream: ByteStream::from(vec![1, 2, 3]) })
}

async fn in_whatever_serde_knows(on: Runners) {
    let pool = on.start().await;
    let stream = |bytes| ByteStream::new(Numbers::new(bytes));
    let inside = Some(Box::new(Parcel { name: "inside".to_owned(), inside: None, stream: stream(2) }));
    let parcel = Parcel { name: "outside".to_owned(), inside, stream: stream(1) };
    let call = pool.call(unpack(parcel, vec![stream(3), stream(4)], (7, Ok(stream(5))), None));
    let (read, parcel) = eventually("the call", call).await.unwrap();
    for (n, read) in read.into_iter().enumerate() {
        assert_eq!(read, Ok((hash_of(n as u64 + 1).await, n as u64 + 1)));
    }
    assert_eq!(eventually("reading", read_all(parcel.stream)).await.map(|(_, bytes)| bytes), Ok(3));
    pool.shutdown().await;
}

/// The same one in two places: serialising takes what is shared, too.
#[derive(Clone)]
struct Shared(std::sync::Arc<ByteStream>);

impl Serialize for Shared {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ByteStream::deserialize(deserializer).map(|stream| Self(stream.into()))
    }
}

#[remote]
async fn read_shared(stream: Shared) -> Read {
    read_all(std::sync::Arc::into_inner(stream.0).expect("nobody else has it")).await
}

async fn sent_twice_it_is_an_error_and_the_first_one_arrives(on: Runners) {
    let pool = on.start().await;
    let shared = Shared(ByteStream::new(Numbers::new(100_001)).into());
    let first = tokio::spawn(pool.call(read_shared(shared.clone())));
    let read = eventually("the call", first).await.unwrap().unwrap();
    let err = eventually("the second call", pool.call(read_shared(shared))).await.unwrap_err();
    assert!(matches!(&err, Error::Encode { .. }) && err.to_string().contains("sent before"), "{err}");
    assert_eq!(read, Ok((hash_of(100_001).await, 100_001)));
    pool.shutdown().await;
}

async fn part_of_it_is_read_before_it_is_sent(on: Runners) {
    use tokio::io::AsyncReadExt as _;
    let pool = on.start().await;
    let (mut stream, receipt) = ByteStream::new(Numbers::new(100_001)).with_size(100_001).with_receipt();
    stream.read_exact(&mut [0; 7]).await.unwrap();
    let call = pool.call(flame_actors::task!([stream: ByteStream] -> (Option<u64>, Read) {
        (stream.size(), read_all(stream).await)
    }));
    let (size, read) = eventually("the call", call).await.unwrap();
    assert_eq!(read, Ok((hash_of_rest(7, 100_001).await, 99_994)));
    if on != Runners::InProcess {
        assert_eq!(size, Some(99_994));
    }
    assert!(eventually("the receipt", receipt).await.is_ok());
    pool.shutdown().await;
}

#[remote]
async fn give_back(stream: ByteStream) -> Option<ByteStream> {
    Some(stream)
}

async fn there_and_back(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let (stream, receipt) = ByteStream::new(Numbers::new(1_000_001)).with_size(1_000_001).with_receipt();
    let stream = eventually("the call", pool.call(give_back(stream))).await.unwrap().unwrap();
    assert_eq!(stream.size(), Some(1_000_001));
    assert_eq!(eventually("reading", read_all(stream)).await, Ok((hash_of(1_000_001).await, 1_000_001)));
    assert_eq!(eventually("the receipt", receipt).await, Ok(1_000_001));
    // One that comes back and is not read.
    let source = Numbers::new(ENDLESS).then(End::Wait).noting_its_drop(journal.entry());
    drop(eventually("the call", pool.call(give_back(ByteStream::new(source)))).await.unwrap());
    journal.wait_for("source dropped").await;
    pool.shutdown().await;
}

async fn a_message_to_an_actor_that_is_gone_is_an_error(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let library = library(&pool, &journal).await;
    library.stop_and_wait(None, None).await.unwrap();
    until("its stand-in ends", || library.cast(LibraryMsg::Take(ByteStream::from(vec![1]))).is_err()).await;
    pool.shutdown().await;
}
