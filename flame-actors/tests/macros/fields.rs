//! Serde's attributes on a message mean what they mean to serde.

use std::time::Instant;

use flame_actors::Message;
use flame_actors::ractor::{ActorRef, RpcReplyPort};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::hygiene::LocalMsg;
use crate::wire::{body, port, readable, received, travelled};

#[derive(Message, Debug, PartialEq, Eq)]
#[message(cluster)]
struct Attributed {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    many: Vec<u8>,
    #[serde(default = "seven")]
    seven: u8,
    #[serde(skip)]
    since: Option<Instant>,
    #[serde(rename = "z", alias = "zz")]
    renamed: u8,
    plain: Option<u8>,
}

const fn seven() -> u8 {
    7
}

#[test]
fn rename_and_skip_change_what_is_sent() {
    let message = Attributed { many: Vec::new(), seven: 3, since: Some(Instant::now()), renamed: 9, plain: None };
    assert_eq!(readable(message), json!({ "seven": 3, "z": 9, "plain": null }));
}

#[test]
fn default_and_alias_take_what_is_missing_or_named_otherwise() {
    let message = received::<Attributed>(&json!({ "zz": 5 })).unwrap();
    assert_eq!(message, Attributed { many: Vec::new(), seven: 7, since: None, renamed: 5, plain: None });
    assert!(received::<Attributed>(&json!({})).is_err());
}

#[derive(Message)]
#[message(cluster)]
enum Bytes {
    Plain(Vec<u8>),
    Packed(#[serde(with = "serde_bytes")] Vec<u8>),
}

#[test]
fn with_changes_how_a_field_is_encoded() {
    let bytes = vec![200; 300];
    assert!(body(Bytes::Plain(bytes.clone())).len() > 600);
    assert!(body(Bytes::Packed(bytes.clone())).len() < 320);
    assert!(matches!(travelled(Bytes::Packed(bytes.clone())), Bytes::Packed(same) if same == bytes));
}

#[derive(Message)]
#[message(cluster)]
enum Left {
    /// `ActorRef<LocalMsg>` does not travel; the attribute sees to it.
    ToTheAttribute(#[serde(with = "nothing")] Option<ActorRef<LocalMsg>>, u8),
}

mod nothing {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T, S: Serializer>(_: &T, serializer: S) -> Result<S::Ok, S::Error> {
        ().serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Default, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        <()>::deserialize(deserializer).map(|()| T::default())
    }
}

#[test]
fn a_field_with_a_codec_of_its_own_may_be_of_any_type() {
    assert!(matches!(travelled(Left::ToTheAttribute(None, 4)), Left::ToTheAttribute(None, 4)));
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    x: u8,
    y: Option<u8>,
}

#[derive(Message, Debug, PartialEq, Eq)]
#[message(cluster)]
#[serde(tag = "kind", rename_all = "snake_case", bound = "")]
enum Tagged {
    MoveTo {
        #[serde(flatten)]
        position: Position,
        #[serde(skip_serializing_if = "Option::is_none")]
        speed: Option<u8>,
    },
    #[serde(rename = "at")]
    Whole(Position),
    #[serde(other)]
    Unknown,
}

#[test]
fn tag_and_flatten_make_one_map() {
    let position = Position { x: 1, y: None };
    let moving = Tagged::MoveTo { position: position.clone(), speed: None };
    assert_eq!(readable(moving), json!({ "kind": "move_to", "x": 1, "y": null }));
    assert_eq!(readable(Tagged::Whole(position)), json!({ "kind": "at", "x": 1, "y": null }));
}

#[test]
fn a_tagged_message_arrives_as_it_was() {
    let position = Position { x: 1, y: Some(2) };
    let moving = || Tagged::MoveTo { position: position.clone(), speed: Some(3) };
    assert_eq!(travelled(moving()), moving());
    assert_eq!(travelled(Tagged::Whole(position.clone())), Tagged::Whole(position.clone()));
    assert_eq!(received(&json!({ "kind": "of a later version" })), Ok(Tagged::Unknown));
}

#[derive(Message)]
#[message(cluster)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Strict {
    small_number: u8,
    reply: RpcReplyPort<u8>,
}

#[tokio::test]
async fn a_reply_port_is_not_on_the_wire() {
    let (port, _reply) = port();
    assert_eq!(readable(Strict { small_number: 1, reply: port }), json!({ "smallNumber": 1 }));
}

#[tokio::test]
async fn unknown_fields_are_refused_where_the_message_says_so() {
    let refused = received::<Strict>(&json!({ "smallNumber": 1, "more": 2 })).map(drop).unwrap_err();
    assert!(refused.to_string().contains("unknown field"), "{refused}");
}

#[derive(Message)]
#[message(cluster)]
enum Renamed {
    #[serde(rename = "r", rename_all = "UPPERCASE")]
    Variant { r#type: u8 },
}

#[test]
fn a_variant_may_be_renamed_and_its_fields_too() {
    assert_eq!(readable(Renamed::Variant { r#type: 4 }), json!({ "r": { "TYPE": 4 } }));
    assert!(matches!(travelled(Renamed::Variant { r#type: 4 }), Renamed::Variant { r#type: 4 }));
}
