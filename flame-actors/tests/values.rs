//! What is sent arrives as it was, or is refused where it is sent.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use flame_actors::__private::{from_bytes, to_bytes};
use flame_actors::{Error, MAX_MESSAGE_BYTES};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

fn travelled<T: Serialize + DeserializeOwned>(value: &T) -> T {
    from_bytes(&to_bytes(value).unwrap()).unwrap()
}

fn arrives<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    assert_eq!(travelled(&value), value);
    let wrapped = Some(value);
    assert_eq!(travelled(&wrapped), wrapped);
    let twice = Some(wrapped);
    assert_eq!(travelled(&twice), twice);
    let in_list = vec![twice, Some(None), None];
    assert_eq!(travelled(&in_list), in_list);
    let in_map = BTreeMap::from([("a".to_owned(), in_list)]);
    assert_eq!(travelled(&in_map), in_map);
    arrives_in_any(in_map);
}

/// Inside types that serde decodes by way of a value in between.
fn arrives_in_any<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged<T> {
        Named { value: T },
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged<T> {
        Named { value: T },
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", content = "content")]
    enum Adjacent<T> {
        One(T),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner<T> {
        value: T,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat<T> {
        id: u8,
        #[serde(flatten)]
        inner: Inner<T>,
    }
    let value = Untagged::Named { value };
    assert_eq!(travelled(&value), value);
    let Untagged::Named { value } = value;
    let value = Tagged::Named { value };
    assert_eq!(travelled(&value), value);
    let Tagged::Named { value } = value;
    let value = Adjacent::One(value);
    assert_eq!(travelled(&value), value);
    let Adjacent::One(value) = value;
    let value = Flat { id: 1, inner: Inner { value } };
    assert_eq!(travelled(&value), value);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(Option<()>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Skips(u8, #[serde(skip)] u8, u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Newtype(Option<()>),
    Tuple(u8, Option<Unit>),
    Struct { left: Option<Option<u8>>, right: () },
}

#[test]
fn options_of_nothing_arrive_as_they_were() {
    arrives(());
    arrives(Some(()));
    arrives(Unit);
    arrives(Newtype(Some(())));
    arrives(None::<Newtype>);
    arrives(Some(Some(Some(None::<u8>))));
    arrives(Ok::<Option<()>, Option<()>>(Some(())));
    arrives(Err::<Option<()>, Option<()>>(None));
    arrives((Some(()), None::<()>, Some(None::<()>)));
    arrives(Some(serde_json::Value::Null));
}

#[test]
fn whatever_has_a_form_of_its_own_arrives_as_it_was() {
    arrives(Choice::Unit);
    arrives(Choice::Newtype(Some(())));
    arrives(Choice::Tuple(1, Some(Unit)));
    arrives(Choice::Struct { left: Some(None), right: () });
    arrives(Skips(1, 0, 3));
    arrives("::1".parse::<IpAddr>().unwrap());
    arrives(Duration::new(u64::MAX, 999_999_999));
    arrives(PathBuf::from("/tmp/ä"));
    arrives('ß');
    arrives((f32::MAX, f64::MIN_POSITIVE, -0.0_f64));
    arrives((i64::MIN, i32::MIN, i16::MIN, i8::MIN, -1_i8, u64::MAX, u32::MAX, u16::MAX, u8::MAX));
    arrives(BTreeMap::from([(Some(()), 1), (None, 2)]));
    arrives(BTreeMap::from([((1_u8, 'a'), Unit)]));
    arrives(HashMap::from([(-7_i64, serde_bytes::ByteBuf::from(vec![0xc0, 0xc1]))]));
    arrives(serde_json::json!({ "a": [null, 1, -1.5, "x", { "b": true }] }));
    for len in [15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        arrives("x".repeat(len));
        arrives(serde_bytes::ByteBuf::from(vec![7; len]));
        assert_eq!(travelled(&vec![Some(Unit); len]), vec![Some(Unit); len]);
        let map: BTreeMap<usize, u8> = (0..len).map(|key| (key, 1)).collect();
        assert_eq!(travelled(&map), map);
    }
}

#[test]
fn a_number_that_is_none_keeps_its_bits() {
    for bits in [f64::NAN.to_bits(), 0xfff8_0000_0000_0001] {
        assert_eq!(travelled(&Some(f64::from_bits(bits))).unwrap().to_bits(), bits);
    }
    assert_eq!(travelled(&f32::from_bits(0x7fc0_0001)).to_bits(), 0x7fc0_0001);
}

#[test]
fn wide_integers_arrive_or_are_refused_where_they_are_sent() {
    for value in [0, 1 << 63, u128::MAX] {
        assert_eq!(travelled(&Some(value)), Some(value));
    }
    for value in [i128::MIN, i128::from(i64::MIN) - 1, -1, 0, i128::MAX] {
        assert_eq!(travelled(&[value]), [value]);
    }
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        One { id: u128 },
    }
    let err = to_bytes(&Tagged::One { id: 7 }).unwrap_err().to_string();
    assert!(err.contains("Tagged") && err.contains("could not be decoded again: "), "{err}");
}

/// One whose number of elements is known only at the end, and one that says a wrong number.
#[test]
fn a_collection_that_does_not_know_its_length_arrives() {
    #[derive(Deserialize)]
    #[serde(from = "Vec<u32>")]
    struct Counted(Option<usize>, u32);
    impl From<Vec<u32>> for Counted {
        fn from(numbers: Vec<u32>) -> Self {
            Self(None, numbers.len() as u32)
        }
    }
    impl Serialize for Counted {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut seq = serializer.serialize_seq(self.0)?;
            (0..self.1).try_for_each(|number| seq.serialize_element(&number))?;
            seq.end()
        }
    }
    for (said, len) in [(None, 0), (None, 15), (None, 16), (None, 65_536), (Some(1), 70_000), (Some(70_000), 1)] {
        let bytes = to_bytes(&(1, Counted(said, len), 2)).unwrap();
        let (before, numbers, after): (u8, Vec<u32>, u8) = from_bytes(&bytes).unwrap();
        assert!(before == 1 && after == 2 && numbers == (0..len).collect::<Vec<_>>(), "{said:?} {len}");
    }
}

#[test]
fn text_of_json_that_is_passed_through_arrives() {
    let value: Box<serde_json::value::RawValue> = serde_json::from_str("{ \"a\" : 1 }").unwrap();
    assert_eq!(travelled(&value).get(), value.get());
}

#[test]
fn what_is_too_large_is_refused_with_its_size() {
    let text = "x".repeat(MAX_MESSAGE_BYTES - 5);
    assert_eq!(to_bytes(&text).unwrap().len(), MAX_MESSAGE_BYTES);
    let size_of = |value: &Vec<String>| match to_bytes(value) {
        Err(Error::TooLarge { size, limit: MAX_MESSAGE_BYTES, .. }) => size,
        other => panic!("{:?}", other.map(|bytes| bytes.len())),
    };
    assert_eq!(size_of(&vec![text.clone(), text]), 1 + 2 * MAX_MESSAGE_BYTES);
}

#[derive(Debug, Serialize, Deserialize)]
struct Deep<const SIZE: usize> {
    #[serde(skip, default = "filler")]
    _filler: Filler<SIZE>,
    inner: Option<Box<Self>>,
}

#[derive(Debug)]
struct Filler<const SIZE: usize>([u8; SIZE]);

fn filler<const SIZE: usize>() -> Filler<SIZE> {
    Filler([0; SIZE])
}

fn deep<const SIZE: usize>(levels: usize) -> Deep<SIZE> {
    let innermost = Deep { _filler: filler(), inner: None };
    (1..levels).fold(innermost, |inner, _| Deep { _filler: filler(), inner: Some(Box::new(inner)) })
}

/// Each level is a struct and an option.
#[test]
fn what_is_nested_too_deep_is_refused_where_it_is_sent_and_all_else_arrives() {
    let bytes = to_bytes(&deep::<0>(64)).unwrap();
    from_bytes::<Deep<0>>(&bytes).unwrap();
    let err = to_bytes(&deep::<0>(65)).unwrap_err().to_string();
    assert!(err.contains("nested more than 128 levels deep"), "{err}");
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct List(Vec<Self>);
    let nested = |levels| (1..levels).fold(List(Vec::new()), |inner, _| List(vec![inner]));
    for levels in 1..200 {
        match to_bytes(&nested(levels)) {
            Ok(bytes) => assert_eq!(from_bytes::<List>(&bytes).unwrap(), nested(levels)),
            Err(_) => assert!(levels > 64, "{levels}"),
        }
    }
}

/// Much more than the 2 MiB of this thread, in debug several times as much as is stored.
#[test]
fn large_values_that_are_nested_do_not_end_the_process() {
    let value = deep::<{ 16 * 1024 }>(60);
    let bytes = to_bytes(&value).unwrap();
    let decoded: Deep<{ 16 * 1024 }> = from_bytes(&bytes).unwrap();
    assert_eq!(to_bytes(&decoded).unwrap(), bytes);
}

/// No byte stands for a level of it.
#[test]
fn a_type_of_nothing_but_options_ends() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Chain(Option<Box<Self>>);
    let err = from_bytes::<Chain>(&[7]).unwrap_err().to_string();
    assert!(err.contains("nested more than 128 levels deep"), "{err}");
    arrives_in_any(Chain(Some(Box::new(Chain(Some(Box::new(Chain(None))))))));
}

#[test]
fn a_decoder_or_encoder_that_panics_is_an_error() {
    #[derive(Debug)]
    struct Bomb;
    impl Serialize for Bomb {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("it is not packed")
        }
    }
    impl<'de> Deserialize<'de> for Bomb {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("it is not defused")
        }
    }
    let err = from_bytes::<Bomb>(&to_bytes(&()).unwrap()).unwrap_err();
    assert!(err.to_string().contains("its decoder panicked: it is not defused"), "{err}");
    let err = to_bytes(&Bomb).unwrap_err();
    assert!(err.to_string().contains("its encoder panicked: it is not packed"), "{err}");
}

#[test]
fn bytes_that_are_left_and_elements_that_are_left_are_refused() {
    let refused = |bytes: &[u8]| from_bytes::<(u8, u8)>(bytes).unwrap_err().to_string();
    assert!(refused(&[0x92, 1, 2, 3]).contains("there are 1 more bytes than it has"));
    assert!(refused(&[0x93, 1, 2, 3]).contains("1 of 3 elements are too many"));
    assert!(refused(&[0x92, 1]).contains("the bytes end before it does"));
}

/// It is MessagePack: what others write is read, and the other way round.
#[test]
fn what_another_implementation_writes_is_read() {
    let value = BTreeMap::from([("a".to_owned(), vec![Some(1), None, Some(-70_000)])]);
    let theirs = rmp_serde::to_vec_named(&value).unwrap();
    assert_eq!(to_bytes(&value).unwrap(), theirs);
    assert_eq!(from_bytes::<BTreeMap<String, Vec<Option<i32>>>>(&theirs).unwrap(), value);
}

/// Any value of serde's model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Any {
    Unit,
    Bool(bool),
    Int(i64),
    Wide(u128),
    Float(u64),
    Char(char),
    Text(String),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Option(Option<Box<Any>>),
    Options(Option<Option<Option<Box<Any>>>>),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
    Pairs(Vec<(Any, Any)>),
    Struct { left: Option<Box<Any>>, unit: Unit, skips: Skips, right: Box<Any> },
    Newtype(Newtype),
}

fn value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Unit),
        any::<bool>().prop_map(Any::Bool),
        any::<i64>().prop_map(Any::Int),
        any::<u128>().prop_map(Any::Wide),
        any::<u64>().prop_map(Any::Float),
        any::<char>().prop_map(Any::Char),
        ".{0,40}".prop_map(Any::Text),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Any::Bytes),
        Just(Any::Option(None)),
        prop_oneof![Just(None), Just(Some(None)), Just(Some(Some(None)))].prop_map(Any::Options),
        proptest::option::of(Just(())).prop_map(|unit| Any::Newtype(Newtype(unit))),
    ];
    leaf.prop_recursive(6, 60, 20, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed.clone().prop_map(|value| Any::Option(Some(value))),
            boxed.clone().prop_map(|value| Any::Options(Some(Some(Some(value))))),
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Any::List),
            proptest::collection::btree_map(".{0,3}", inner.clone(), 0..20).prop_map(Any::Map),
            proptest::collection::vec((inner.clone(), inner), 0..4).prop_map(Any::Pairs),
            (proptest::option::of(boxed.clone()), any::<u8>(), boxed).prop_map(|(left, number, right)| {
                Any::Struct { left, unit: Unit, skips: Skips(number, 0, number), right }
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_arrives_as_it_was(value in value()) {
        prop_assert_eq!(travelled(&value), value);
    }

    /// Also into types that have nothing to do with them.
    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = from_bytes::<Any>(&bytes);
        let _ = from_bytes::<serde_json::Value>(&bytes);
        let _ = from_bytes::<serde::de::IgnoredAny>(&bytes);
    }

    /// Each cut of a value and each change of a byte is an error or another value.
    #[test]
    fn a_value_that_was_changed_on_its_way_does_no_harm(value in value(), at: prop::sample::Index, byte: u8) {
        let mut bytes = to_bytes(&value).unwrap();
        let at = at.index(bytes.len());
        prop_assert!(from_bytes::<Any>(&bytes[..at]).is_err());
        bytes[at] = byte;
        let _ = from_bytes::<Any>(&bytes);
    }
}
