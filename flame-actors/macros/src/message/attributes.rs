//! The attributes of a message: `#[message(..)]`, and serde's, which are copied to the wire type.

use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

use crate::travel::Errors;

/// With one of these the attribute encodes a field, not the field's type.
pub(super) const CUSTOM: &[&str] = &["with", "serialize_with", "deserialize_with", "skip"];

/// With one of these a type is only encoded or only decoded, or the user says what it needs.
pub(super) const PARTIAL: &[&str] = &["skip_serializing", "skip_deserializing", "bound"];

/// Serde's attributes of a type that would give it another form than the wire type has.
const REFUSED: &[(&str, &str)] = &[
    ("from", "a message has its own wire form: put the conversion on a field, with `#[serde(with = ..)]`"),
    ("try_from", "a message has its own wire form: put the conversion on a field, with `#[serde(with = ..)]`"),
    ("into", "a message has its own wire form: put the conversion on a field, with `#[serde(with = ..)]`"),
    ("remote", "derive `Message` for a type of your own, with the other one as a field"),
    ("crate", "serde comes from `flame_actors`: leave this out"),
    ("default", "put `#[serde(default)]` on the fields that may be missing"),
];

pub(super) fn only_serde(attrs: &[Attribute]) -> Vec<Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("serde")).cloned().collect()
}

/// Whether one of `names` is among serde's attributes.
pub(super) fn says(serde: &[Attribute], names: &[&str]) -> bool {
    options(serde).iter().any(|option| names.iter().any(|name| option.path().is_ident(name)))
}

/// What stands in `#[serde(..)]`; what cannot be read is left to serde to report.
fn options(serde: &[Attribute]) -> Vec<Meta> {
    let read = |attr: &Attribute| attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok();
    serde.iter().filter_map(read).flatten().collect()
}

pub(super) fn refuse_other_forms(serde: &[Attribute], errors: &mut Errors) {
    for option in options(serde) {
        if let Some((_, help)) = REFUSED.iter().find(|(name, _)| option.path().is_ident(name)) {
            errors.at(option, help);
        }
    }
}

/// Whether `#[message(cluster)]` is said.
pub(super) fn cluster(attrs: &[Attribute], errors: &mut Errors) -> bool {
    let mut cluster = false;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("message")) {
        let read = attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("cluster") {
                return Err(meta.error("a message has one option: `#[message(cluster)]`"));
            }
            cluster = true;
            Ok(())
        });
        errors.catch(read);
    }
    cluster
}

pub(super) fn refuse_message_options(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("message")) {
        errors.at(attr, "`#[message(cluster)]` is said of the whole message: put it on the type");
    }
}
