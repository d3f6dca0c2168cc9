//! What is asked and answered here is held against the contract of the API, which is the simulator's.

use flame_fly_sim::contract::{Departure, check_answer, check_query, check_request, contract};
use reqwest::Url;
use serde_json::{Value, json};

use crate::stub::Seen;

/// How a request departs from the contract.
pub(crate) fn of_request(seen: &Seen) -> Vec<String> {
    let Some(action) = action(seen) else { return vec![format!("{} {}: no such thing", seen.method, seen.path)] };
    let query: Vec<_> = url(seen).query_pairs().into_owned().collect();
    let body = Some(&seen.body).filter(|body| !body.is_null());
    in_words(seen, "the request", [check_query(action, &query), check_request(action, body)].concat())
}

/// How an answer to this request departs from the contract.
pub(crate) fn of_answer(seen: &Seen, status: u16, body: &Value) -> Vec<String> {
    let departures = action(seen).map(|action| check_answer(action, status, Some(body))).unwrap_or_default();
    in_words(seen, &format!("the answer {status}"), departures)
}

fn in_words(seen: &Seen, of: &str, departures: Vec<Departure>) -> Vec<String> {
    departures.iter().map(|departure| format!("{} {}: {of}: {departure}", seen.method, seen.path)).collect()
}

fn url(seen: &Seen) -> Url {
    Url::parse(&format!("http://stub{}", seen.path)).expect("a path")
}

/// What is asked for, by its name in the contract.
fn action(seen: &Seen) -> Option<&'static str> {
    let url = url(seen);
    let path: Vec<_> = url.path().strip_prefix("/v1")?.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<_> = template.split('/').collect();
        let mut pairs = parts.iter().zip(&path);
        parts.len() == path.len() && pairs.all(|(part, word)| part == word || part.starts_with('{') && !word.is_empty())
    };
    let mut operations = contract().operations.iter();
    let (name, _) = operations.find(|(_, operation)| operation.method == seen.method && fits(&operation.path))?;
    Some(name)
}

/// A machine of these fields, with all that machines have besides.
pub(crate) fn machine(fields: &Value) -> Value {
    let mut machine = json!({
        "name": "web", "region": "fra", "instance_id": "01k", "private_ip": "fdaa::3", "config": {}, "events": [],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    });
    machine.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    let config = machine["config"].as_object_mut().expect("an object");
    config.entry("image").or_insert("registry/web:1".into());
    machine
}

/// An event of a machine.
pub(crate) fn event(kind: &str, status: &str, timestamp: u64) -> Value {
    json!({ "id": format!("01k{timestamp}"), "type": kind, "status": status, "source": "flyd", "timestamp": timestamp })
}
