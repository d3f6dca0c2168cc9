//! What the API takes and gives, and how to check a body against it.
//!
//! `contract.json` says it in words of our own: twelve operations and the types they need. Fields that Fly's description
//! of 2024 lacks stand apart under `later`, each with where it is from. A test holds this against that description.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

static CONTRACT: LazyLock<Contract> =
    LazyLock::new(|| serde_json::from_str(include_str!("../contract.json")).expect("a test reads this very file"));

/// All of `contract.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// By the name of the action, such as `create`.
    pub operations: BTreeMap<String, Operation>,
    /// Names for what is not an object of fields.
    pub aliases: BTreeMap<String, Value>,
    /// Objects of fields, by name.
    pub types: BTreeMap<String, Type>,
}

/// One thing to ask of the API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// The HTTP method, in capitals.
    pub method: String,
    /// Below `/v1`, with names in braces.
    pub path: String,
    /// Parameters of the query and their types.
    pub query: BTreeMap<String, Value>,
    /// Parameters that came later, and where they are from; `*` stands for any text.
    #[serde(default)]
    pub later_query: BTreeMap<String, String>,
    /// The type of the body that is sent, if any is.
    pub request: Option<Value>,
    /// The type of the body of each good answer; null for none.
    pub answers: BTreeMap<String, Value>,
}

/// An object of fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Type {
    /// What the description of 2024 calls it.
    pub swagger: Option<String>,
    /// Where it is from, if not from there.
    pub source: Option<String>,
    /// Fields that must be there.
    #[serde(default)]
    pub required: Vec<String>,
    /// Fields and their types.
    pub fields: BTreeMap<String, Value>,
    /// Fields, or types of fields, that came later.
    #[serde(default)]
    pub later: BTreeMap<String, Later>,
}

/// A field, or a further type of one, that the description of 2024 lacks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Later {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Value,
    /// Where it is from.
    pub source: String,
}

/// What the simulator checks against.
#[must_use]
pub fn contract() -> &'static Contract {
    &CONTRACT
}

/// How a body departs from the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Where, such as `config.guest.cpus`; empty for the whole.
    pub at: String,
    /// What is wrong there.
    pub what: Wrong,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The contract has no such field.
    #[error("is not known")]
    Unknown,
    /// The contract demands the field.
    #[error("is missing")]
    Missing,
    /// The value has another type.
    #[error("is not {0}")]
    Not(String),
}

impl std::fmt::Display for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", if self.at.is_empty() { "the body" } else { &self.at }, self.what)
    }
}

/// Whether a server that is strict about the outermost level would refuse it.
pub(crate) fn is_refused(departures: &[Departure]) -> bool {
    departures.iter().any(|departure| match departure.what {
        Wrong::Unknown => !departure.at.contains(['.', '[']),
        Wrong::Missing | Wrong::Not(_) => true,
    })
}

/// How the body of a request departs from the contract; an empty one is an absent one.
#[must_use]
pub fn check_request(action: &str, body: Option<&Value>) -> Vec<Departure> {
    let Some(operation) = CONTRACT.operations.get(action) else { return Vec::new() };
    match (&operation.request, body) {
        (Some(kind), Some(body)) => check(kind, body),
        // Only `stop` has nothing that must be there.
        (Some(kind), None) => check(kind, &Value::Object(serde_json::Map::new())),
        (None, _) => Vec::new(),
    }
}

/// How the parameters of a query depart from the contract.
#[must_use]
pub fn check_query(action: &str, query: &[(String, String)]) -> Vec<Departure> {
    let Some(operation) = CONTRACT.operations.get(action) else { return Vec::new() };
    let departs = |(name, value): &(String, String)| {
        let Some(kind) = operation.query.get(name) else {
            let is_later = operation.later_query.keys().any(|later| match later.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == later,
            });
            return (!is_later).then_some(Wrong::Unknown);
        };
        let fits = match kind.as_str() {
            Some("boolean") => value.parse::<bool>().is_ok(),
            Some("integer") => value.parse::<i64>().is_ok(),
            _ => true,
        };
        (!fits).then(|| Wrong::Not(in_words(kind)))
    };
    query.iter().filter_map(|pair| departs(pair).map(|what| Departure { at: pair.0.clone(), what })).collect()
}

/// How an answer departs from the contract.
#[must_use]
pub fn check_answer(action: &str, status: u16, body: Option<&Value>) -> Vec<Departure> {
    let Some(operation) = CONTRACT.operations.get(action) else { return Vec::new() };
    let failed = Value::from("Error");
    let kind = match operation.answers.get(&status.to_string()) {
        Some(kind) => kind,
        None if status >= 400 => &failed,
        None => return vec![Departure { at: format!("status {status}"), what: Wrong::Unknown }],
    };
    match (kind, body) {
        (Value::Null, None) => Vec::new(),
        (Value::Null, Some(_)) => vec![Departure { at: String::new(), what: Wrong::Unknown }],
        (_, None) => vec![Departure { at: String::new(), what: Wrong::Missing }],
        (kind, Some(body)) => check(kind, body),
    }
}

/// How a value departs from a type of the contract, such as `"Machine"` or `["Event"]`.
#[must_use]
pub fn check(kind: &Value, value: &Value) -> Vec<Departure> {
    let mut departures = Vec::new();
    walk(kind, value, "", &mut departures);
    departures
}

fn walk(kind: &Value, value: &Value, at: &str, found: &mut Vec<Departure>) {
    let wrong = |what| Departure { at: at.to_owned(), what };
    match kind {
        Value::Array(of) => match value {
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    walk(&of[0], value, &format!("{at}[{index}]"), found);
                }
            }
            // Go writes an empty slice so.
            Value::Null => {}
            _ => found.push(wrong(Wrong::Not("an array".to_owned()))),
        },
        Value::Object(special) => {
            if let Some(of) = special.get("map") {
                match value {
                    Value::Object(values) => {
                        values.iter().for_each(|(key, value)| walk(of, value, &below(at, key), found));
                    }
                    Value::Null => {}
                    _ => found.push(wrong(Wrong::Not("an object".to_owned()))),
                }
            } else if let Some(Value::Array(values)) = special.get("one_of") {
                if !values.contains(value) {
                    found.push(wrong(Wrong::Not(in_words(kind))));
                }
            } else if let Some(Value::Array(kinds)) = special.get("any_of")
                && kinds.iter().all(|kind| !check(kind, value).is_empty())
            {
                found.push(wrong(Wrong::Not(in_words(kind))));
            }
        }
        Value::String(name) => {
            let fits = match name.as_str() {
                "any" => true,
                "string" => value.is_string(),
                "integer" => value.is_i64() || value.is_u64(),
                "boolean" => value.is_boolean(),
                name => {
                    if let Some(alias) = CONTRACT.aliases.get(name) {
                        walk(alias, value, at, found);
                    } else if let Some(kind) = CONTRACT.types.get(name) {
                        walk_fields(kind, value, at, found);
                    } else {
                        found.push(wrong(Wrong::Not(format!("of a type that contract.json has: {name}"))));
                    }
                    true
                }
            };
            if !fits {
                found.push(wrong(Wrong::Not(in_words(kind))));
            }
        }
        _ => found.push(wrong(Wrong::Not("of a type that contract.json can say".to_owned()))),
    }
}

fn walk_fields(kind: &Type, value: &Value, at: &str, found: &mut Vec<Departure>) {
    let Value::Object(values) = value else {
        return found.push(Departure { at: at.to_owned(), what: Wrong::Not("an object".to_owned()) });
    };
    for name in kind.required.iter().filter(|name| !values.contains_key(*name)) {
        found.push(Departure { at: below(at, name), what: Wrong::Missing });
    }
    for (name, value) in values {
        let kinds = [kind.fields.get(name), kind.later.get(name).map(|later| &later.kind)];
        let departures = kinds.into_iter().flatten().map(|kind| {
            let mut found = Vec::new();
            walk(kind, value, &below(at, name), &mut found);
            found
        });
        match departures.min_by_key(Vec::len) {
            Some(departures) => found.extend(departures),
            None => found.push(Departure { at: below(at, name), what: Wrong::Unknown }),
        }
    }
}

/// Takes away what the contract does not know, as the API forgets it.
pub(crate) fn forget_unknown(kind: &Value, value: &mut Value) {
    match (kind, value) {
        (Value::Array(of), Value::Array(values)) => values.iter_mut().for_each(|value| forget_unknown(&of[0], value)),
        (Value::Object(special), Value::Object(values)) => {
            if let Some(of) = special.get("map") {
                values.values_mut().for_each(|value| forget_unknown(of, value));
            }
        }
        (Value::String(name), Value::Object(values)) => {
            let Some(kind) = CONTRACT.types.get(name) else { return };
            values.retain(|name, _| kind.fields.contains_key(name) || kind.later.contains_key(name));
            for (name, value) in values {
                if let Some(kind) = kind.fields.get(name) {
                    forget_unknown(kind, value);
                }
            }
        }
        _ => {}
    }
}

fn below(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn in_words(kind: &Value) -> String {
    let listed = |values: &Value| {
        let values = values.as_array().map_or(&[][..], Vec::as_slice);
        values.iter().map(|value| value.as_str().unwrap_or("?")).collect::<Vec<_>>().join(" or ")
    };
    match kind {
        Value::Object(special) => special.values().map(listed).collect(),
        Value::String(name) => match name.as_str() {
            "integer" => "an integer".to_owned(),
            name => format!("a {name}"),
        },
        _ => kind.to_string(),
    }
}
