//! Whatever the bytes are, decoding gives a message or an error.

use std::collections::BTreeMap;
use std::iter::repeat_n;

use flame_actors::ractor::{ActorRef, RpcReplyPort};
use flame_actors::{ActorAddr, Message};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use proptest::sample::Index;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cluster::GreeterMsg;
use crate::wire::{body, received};

#[derive(Message, Debug, Clone)]
#[message(cluster)]
enum Mixed {
    Unit,
    Number(u64),
    Text(String, Option<Box<str>>),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Map { map: BTreeMap<String, Vec<(i8, f32)>>, rest: Option<[u16; 2]> },
    Nested(Tree),
    Actors(Vec<ActorRef<GreeterMsg>>, Option<ActorAddr<GreeterMsg>>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tree(Vec<Self>);

#[derive(Message, Debug)]
struct Call(u8, RpcReplyPort<u8>);

/// One message of each kind, as bytes.
fn examples() -> Vec<Vec<u8>> {
    let leaf = || Tree(Vec::new());
    let messages = [
        Mixed::Unit,
        Mixed::Number(u64::MAX),
        Mixed::Text("text".to_owned(), Some("boxed".into())),
        Mixed::Bytes(vec![0, 127, 255]),
        Mixed::Map { map: BTreeMap::from([("key".to_owned(), vec![(-1, 0.5)])]), rest: Some([1, 2]) },
        Mixed::Nested(Tree(vec![leaf(), Tree(vec![leaf()])])),
    ];
    let mut examples: Vec<_> = messages.into_iter().map(body).collect();
    let nobody = json!({ "node": "elsewhere", "pid": 1 });
    examples.push(rmp_serde::to_vec_named(&json!({ "Actors": [[nobody], nobody] })).unwrap());
    examples
}

#[test]
fn every_example_decodes() {
    for bytes in examples() {
        Mixed::decode(&bytes, None).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_random_bytes_never_panics(bytes in vec(any::<u8>(), 0..64)) {
        let _ = Mixed::decode(&bytes, None);
        let _ = Call::decode(&bytes, None);
        let _ = GreeterMsg::decode(&bytes, None);
    }

    #[test]
    fn decoding_a_damaged_message_never_panics(
        which in any::<Index>(),
        damage in vec((any::<Index>(), any::<u8>()), 0..4),
        end in any::<Index>(),
    ) {
        let mut bytes = which.get(&examples()).clone();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = Mixed::decode(&bytes, None);
        let _ = Mixed::decode(&bytes[..end.index(bytes.len())], None);
    }

    #[test]
    fn what_was_encoded_decodes_to_the_same(text in any::<String>(), bytes in vec(any::<u8>(), 0..64)) {
        let message = Mixed::Text(text.clone(), Some(text.into()));
        let back = Mixed::decode(&body(message.clone()), None).unwrap();
        prop_assert_eq!(format!("{back:?}"), format!("{message:?}"));
        let message = Mixed::Bytes(bytes);
        let back = Mixed::decode(&body(message.clone()), None).unwrap();
        prop_assert_eq!(format!("{back:?}"), format!("{message:?}"));
    }
}

#[test]
fn a_length_that_the_bytes_do_not_have_is_an_error() {
    let bytes = b"\x81\xa5Bytes\xc6\xff\xff\xff\xff";
    assert!(Mixed::decode(bytes, None).is_err());
    let array = b"\x81\xa6Nested\xdd\xff\xff\xff\xff";
    assert!(Mixed::decode(array, None).is_err());
}

/// Were it decoded level by level, the stack would overflow and take this process with it.
#[test]
fn nesting_without_end_is_an_error() {
    let mut bytes = b"\x81\xa6Nested".to_vec();
    bytes.extend(repeat_n(0x91, 100_000));
    assert!(Mixed::decode(&bytes, None).is_err());
}

#[test]
fn an_error_names_the_message_and_the_reason() {
    let refused = received::<Mixed>(&json!({ "Wrong": 1 })).unwrap_err().to_string();
    assert!(refused.contains("Mixed"), "{refused}");
    assert!(refused.contains("unknown variant `Wrong`"), "{refused}");
}
