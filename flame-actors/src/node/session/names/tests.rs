use std::io::Cursor;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::{Message, Oneof};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

// ---- what ractor_cluster says, from its src/protocol/*.proto ---------------------------------------------------

#[derive(Clone, PartialEq, Message)]
struct Network {
    #[prost(oneof = "Topic", tags = "1, 2, 3")]
    topic: Option<Topic>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Topic {
    /// Not looked into: a handshake has the same fields as a control message and must not be taken for one.
    #[prost(message, tag = "1")]
    Auth(Control),
    #[prost(message, tag = "2")]
    Node(Cast),
    #[prost(message, tag = "3")]
    Control(Control),
}

#[derive(Clone, PartialEq, Message)]
struct Cast {
    #[prost(uint64, tag = "1")]
    to: u64,
    #[prost(bytes = "vec", tag = "2")]
    what: Vec<u8>,
    #[prost(string, tag = "3")]
    variant: String,
}

#[derive(Clone, PartialEq, Message)]
struct Control {
    #[prost(oneof = "Event", tags = "1, 2, 3, 5, 6, 9")]
    event: Option<Event>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Event {
    #[prost(message, tag = "1")]
    Spawn(Spawn),
    #[prost(message, tag = "2")]
    Terminate(Terminate),
    #[prost(message, tag = "3")]
    Ping(Ping),
    #[prost(message, tag = "5")]
    PgJoin(Group),
    #[prost(message, tag = "6")]
    PgLeave(Group),
    #[prost(message, tag = "9")]
    Ready(()),
}

#[derive(Clone, PartialEq, Message)]
struct Spawn {
    #[prost(message, repeated, tag = "1")]
    actors: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Terminate {
    #[prost(uint64, repeated, tag = "1")]
    ids: Vec<u64>,
}

/// With the fields of a time, and others of each wire type.
#[derive(Clone, PartialEq, Message)]
struct Ping {
    #[prost(sint64, tag = "1")]
    seconds: i64,
    #[prost(fixed64, tag = "2")]
    eight: u64,
    #[prost(fixed32, tag = "300")]
    four: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Group {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(message, repeated, tag = "2")]
    actors: Vec<Named>,
    #[prost(string, tag = "3")]
    scope: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Named {
    #[prost(uint64, tag = "1")]
    pid: u64,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}

fn named(name: &str) -> Named {
    Named { pid: 300, name: Some(name.to_owned()) }
}

fn control(event: Event) -> Network {
    Network { topic: Some(Topic::Control(Control { event: Some(event) })) }
}

/// The same message as it should arrive.
fn without_names(mut message: Network) -> Network {
    if let Some(Topic::Control(Control {
        event:
            Some(
                Event::Spawn(Spawn { actors })
                | Event::PgJoin(Group { actors, .. })
                | Event::PgLeave(Group { actors, .. }),
            ),
    })) = &mut message.topic
    {
        actors.iter_mut().for_each(|actor| actor.name = None);
    }
    message
}

// ---- frames ----------------------------------------------------------------------------------------------------

fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u64).to_be_bytes()[..], payload].concat()
}

fn wire<'a>(messages: impl IntoIterator<Item = &'a Network>) -> Vec<u8> {
    messages.into_iter().flat_map(|message| frame(&message.encode_to_vec())).collect()
}

/// As ractor_cluster reads them.
fn decode(mut wire: &[u8]) -> Vec<Network> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = wire.split_first_chunk() {
        let (payload, rest) = rest.split_at(usize::try_from(u64::from_be_bytes(*length)).unwrap());
        messages.push(Network::decode(payload).unwrap());
        wire = rest;
    }
    assert!(wire.is_empty());
    messages
}

/// Walks over the bytes in pieces of these lengths, over and over.
fn walked(wire: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut wire = wire.to_vec();
    let (mut walker, mut rest) = (Walker::default(), &mut wire[..]);
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at_mut((*length).min(rest.len()));
        walker.walk(piece);
        assert!(walker.open.len() <= 4 && walker.open.capacity() <= 8, "{walker:?}");
        rest = later;
    }
    wire
}

fn all(wire: &[u8]) -> Vec<u8> {
    walked(wire, &[usize::MAX])
}

fn examples() -> Vec<Network> {
    let actors = || vec![named("one"), Named { pid: 0, name: None }, named(""), named(&"long ".repeat(100))];
    let group = || Group { group: "a group".to_owned(), actors: actors(), scope: "\u{12}\u{1}a scope".to_owned() };
    vec![
        control(Event::Ready(())),
        control(Event::Spawn(Spawn { actors: actors() })),
        Network { topic: Some(Topic::Node(Cast { to: 1, what: vec![0x12; 300], variant: "V".to_owned() })) },
        Network::default(),
        control(Event::PgJoin(group())),
        control(Event::Ping(Ping { seconds: i64::MIN, eight: 0x1212_1212, four: 0x1212_1212 })),
        control(Event::PgLeave(group())),
        control(Event::Terminate(Terminate { ids: vec![0, u64::MAX, 0x12] })),
        Network { topic: Some(Topic::Auth(Control { event: Some(Event::Spawn(Spawn { actors: actors() })) })) },
    ]
}

#[test]
fn names_and_only_names_are_gone() {
    let arrived = decode(&all(&wire(&examples())));
    let expected: Vec<_> = examples().into_iter().map(without_names).collect();
    assert_eq!(arrived, expected);
}

#[test]
fn it_does_not_matter_where_the_bytes_are_split() {
    let wire = wire(&examples());
    let whole = all(&wire);
    assert_ne!(whole, wire);
    assert_eq!(walked(&wire, &[1]), whole);
    for at in 1..wire.len() {
        assert_eq!(walked(&wire, &[at, usize::MAX]), whole, "split at {at}");
    }
}

#[test]
fn a_name_is_found_under_a_key_of_any_length() {
    for key in [&[0x12][..], &[0x92, 0], &[0x92, 0x80, 0], &[0x92, 0x80, 0x80, 0x80, 0]] {
        let actor = [&[8, 7][..], key, b"\x03one"].concat();
        let in_field =
            |field: u8, bytes: &[u8]| [&[field << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let wire = frame(&in_field(3, &in_field(1, &in_field(1, &actor))));
        assert_eq!(decode(&wire), [control(Event::Spawn(Spawn { actors: vec![Named { pid: 7, ..named("one") }] }))]);
        let arrived = decode(&all(&wire));
        assert_eq!(arrived, [control(Event::Spawn(Spawn { actors: vec![Named { pid: 7, name: None }] }))], "{key:?}");
    }
}

#[test]
fn what_makes_no_sense_passes_and_the_next_frame_is_understood() {
    let good = wire([&control(Event::Spawn(Spawn { actors: vec![named("one")] }))]);
    let nonsense: &[&[u8]] = &[
        b"",
        b"\x1a",
        b"\x1a\x80",
        b"\x1a\x05",
        b"\x1a\x02\x0a\x7f",
        b"\x1a\x04\x0a\x02\x0a\x7f",
        b"\x1a\x06\x0a\x04\x0a\x02\x12\x7f",
        b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x1b\x0a\x0a\x0a\x1c",
        b"\x1f",
        b"\x19\x00",
        b"\x1d\x00",
        b"\x18\x80",
    ];
    for payload in nonsense {
        let wire = [frame(payload), good.clone()].concat();
        let arrived = walked(&wire, &[1]);
        let (one, two) = arrived.split_at(8 + payload.len());
        assert_eq!(two, all(&good), "after {payload:x?}");
        assert!(one.len() == 8 + payload.len() && one.starts_with(&frame(payload)[..8]));
        // The last key of the one that gets as far as an actor is a name's.
        assert!(payload.contains(&0x12) || one == frame(payload), "{payload:x?} has become {one:x?}");
    }
}

#[tokio::test]
async fn nothing_is_held_back_and_nothing_is_read_ahead() {
    let wire = wire(&examples());
    // A pipe with room for a few bytes: the writer waits for the reader.
    let (mut near, far) = tokio::io::duplex(7);
    let mut reader = Unnamed::new(far);
    let mut arrived = Vec::new();
    for piece in wire.chunks(5) {
        near.write_all(piece).await.unwrap();
        let mut there = vec![0; piece.len()];
        reader.read_exact(&mut there).await.unwrap();
        arrived.extend(there);
    }
    drop(near);
    assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0, "the end passes too");
    assert_eq!(arrived, all(&wire));
}

#[tokio::test]
async fn what_the_buffer_held_before_is_not_touched() {
    let wire = wire(&examples());
    let mut reader = Unnamed::new(Cursor::new(&wire));
    let mut buffer = wire.clone();
    reader.read_to_end(&mut buffer).await.unwrap();
    assert_eq!(buffer, [wire.clone(), all(&wire)].concat());
}

fn actors() -> impl Strategy<Value = Vec<Named>> {
    vec((any::<u64>(), option::of(".{0,40}")).prop_map(|(pid, name)| Named { pid, name }), 0..5)
}

fn group() -> impl Strategy<Value = Group> {
    (".{0,20}", actors(), ".{0,20}").prop_map(|(group, actors, scope)| Group { group, actors, scope })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        actors().prop_map(|actors| Event::Spawn(Spawn { actors })),
        group().prop_map(Event::PgJoin),
        group().prop_map(Event::PgLeave),
        vec(any::<u64>(), 0..5).prop_map(|ids| Event::Terminate(Terminate { ids })),
        any::<(i64, u64, u32)>().prop_map(|(seconds, eight, four)| Event::Ping(Ping { seconds, eight, four })),
        Just(Event::Ready(())),
    ]
}

fn message() -> impl Strategy<Value = Network> {
    let cast = (any::<u64>(), vec(any::<u8>(), 0..300), ".{0,20}")
        .prop_map(|(to, what, variant)| Topic::Node(Cast { to, what, variant }));
    let control = || option::of(event()).prop_map(|event| Control { event });
    let topic = prop_oneof![cast, control().prop_map(Topic::Control), control().prop_map(Topic::Auth)];
    option::of(topic).prop_map(|topic| Network { topic })
}

proptest! {
    #[test]
    fn any_messages_in_any_pieces_arrive_without_names(
        messages in vec(message(), 0..8),
        lengths in vec(1usize..100, 1..20),
    ) {
        let arrived = walked(&wire(&messages), &lengths);
        prop_assert_eq!(decode(&arrived), messages.into_iter().map(without_names).collect::<Vec<_>>());
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in vec(any::<u8>(), 0..512), lengths in vec(1usize..100, 1..20)) {
        let framed = [frame(&bytes), bytes].concat();
        prop_assert_eq!(walked(&framed, &lengths), all(&framed));
    }

    #[test]
    fn a_broken_message_harms_no_other(
        broken in message(),
        breaks in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        lengths in vec(1usize..100, 1..20),
    ) {
        let mut payload = broken.encode_to_vec();
        for (at, byte) in breaks {
            if !payload.is_empty() {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
        }
        let good = wire(&examples());
        let arrived = walked(&[frame(&payload), good.clone()].concat(), &lengths);
        prop_assert_eq!(&arrived[8 + payload.len()..], &all(&good)[..]);
    }
}
