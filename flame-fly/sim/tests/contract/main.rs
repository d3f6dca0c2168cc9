//! Whether `contract.json` says what Fly's description says, and departures from it are found.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use flame_fly_sim::contract::{check_answer, check_query, check_request, contract};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};

/// Where the description is, if it is not beside the repository.
const FILE: &str = "FLY_MACHINES_SWAGGER";

fn main() -> ExitCode {
    macro_rules! trials {
        ($($name:ident),* $(,)?) => { vec![$(Trial::test(stringify!($name), || { $name(); Ok(()) })),*] };
    }
    let is_there = file().is_file() || std::env::var_os(FILE).is_some();
    let compared = trials![
        the_contract_has_all_fields_of_each_type_of_flys_description,
        the_contract_has_the_operations_of_flys_description,
    ];
    let mut trials = trials![
        what_came_later_says_where_it_is_from,
        a_departure_says_where_it_is,
        queries_and_answers_are_checked_too
    ];
    trials.extend(compared.into_iter().map(|trial| trial.with_ignored_flag(!is_there)));
    if !is_there {
        eprintln!("Fly's description is not at {}: set {FILE} to compare with it", file().display());
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn file() -> PathBuf {
    let beside = "../../../shared/contracts/fly-machines-api.swagger.json";
    std::env::var_os(FILE).map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(beside), PathBuf::from)
}

/// Fly's description of 2024 in Swagger 2.0.
fn swagger() -> Value {
    let bytes = std::fs::read(file()).unwrap_or_else(|err| panic!("{}: {err}", file().display()));
    serde_json::from_slice(&bytes).expect("JSON")
}

/// What a type of Swagger is called in the contract.
fn ours(swagger: &Value) -> Value {
    let named = |name: &str| {
        let types = &contract().types;
        let ours = types.iter().find(|(_, kind)| kind.swagger.as_deref() == Some(name)).map(|(name, _)| name.as_str());
        // These two are aliases.
        let alias = match name {
            "fly.Duration" => Some("Duration"),
            "main.statusCode" => Some("ErrorStatus"),
            _ => None,
        };
        json!(ours.or(alias).unwrap_or_else(|| panic!("the contract has nothing for {name}")))
    };
    if let Some(reference) = swagger["$ref"].as_str() {
        return named(reference.rsplit('/').next().expect("a name"));
    }
    if let Some(all) = swagger["allOf"].as_array() {
        return ours(&all[0]);
    }
    if swagger["type"] == "string" && swagger["enum"].is_array() {
        return json!({ "one_of": swagger["enum"] });
    }
    match swagger["type"].as_str() {
        None => json!("any"),
        Some("array") => json!([ours(&swagger["items"])]),
        Some("object") => match &swagger["additionalProperties"] {
            Value::Null => json!("any"),
            values => json!({ "map": ours(values) }),
        },
        Some(name) => json!(name),
    }
}

fn the_contract_has_all_fields_of_each_type_of_flys_description() {
    let swagger = swagger();
    for (name, kind) in &contract().types {
        let Some(theirs) = &kind.swagger else {
            assert!(kind.source.is_some(), "{name} is from nowhere");
            continue;
        };
        let theirs = swagger["definitions"][theirs]["properties"].as_object().expect("a type of fields");
        let names = |keys: &mut dyn Iterator<Item = &String>| keys.cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&mut kind.fields.keys()), names(&mut theirs.keys()), "{name}");
        for (field, is) in &kind.fields {
            let described = ours(&theirs[field]);
            // Where it says nothing, the contract may say more.
            assert!(*is == described || described == "any", "{name}.{field}: {is} is {described} there");
        }
    }
}

fn the_contract_has_the_operations_of_flys_description() {
    let swagger = swagger();
    for (name, operation) in &contract().operations {
        let theirs = &swagger["paths"][&operation.path][operation.method.to_lowercase()];
        let parameters = theirs["parameters"].as_array().unwrap_or_else(|| panic!("there is no {name}"));
        let of = |kind: &str| parameters.iter().filter(|parameter| parameter["in"] == kind).collect::<Vec<_>>();
        let query: Value =
            of("query").iter().map(|p| (p["name"].as_str().expect("a name").to_owned(), p["type"].clone())).collect();
        assert_eq!(json!(operation.query), query, "{name}");
        if let Some(body) = of("body").first() {
            assert_eq!(operation.request, Some(ours(&body["schema"])), "{name}");
        }
        for (status, answer) in &operation.answers {
            let theirs = &theirs["responses"][status];
            assert!(!theirs.is_null(), "{name} never answers {status}");
            // It says nothing of some bodies that Fly's pages show.
            if !theirs["schema"].is_null() {
                let described = ours(&theirs["schema"]);
                assert_eq!(*answer, described, "{name} {status}");
            }
        }
    }
}

fn what_came_later_says_where_it_is_from() {
    for (name, kind) in &contract().types {
        for (field, later) in &kind.later {
            assert!(later.source.starts_with("fly-go ") || later.source.contains("fly.io/"), "{name}.{field}");
        }
        for field in &kind.required {
            assert!(kind.fields.contains_key(field), "{name}.{field}");
        }
    }
}

fn a_departure_says_where_it_is() {
    let departures =
        |body: Value| check_request("create", Some(&body)).iter().map(ToString::to_string).collect::<Vec<_>>();
    let config = |config: Value| json!({ "config": config });
    for (body, what) in [
        (config(json!({ "image": "i", "env": { "A": "b" }, "guest": { "cpus": 2 } })), vec![]),
        (config(json!({ "image": "i", "stop_config": { "timeout": "5s" } })), vec![]),
        (config(json!({ "image": "i", "services": [{ "autostop": "suspend" }, { "autostop": false }] })), vec![]),
        (
            config(json!({ "image": "i", "services": [{}, { "port": 1 }] })),
            vec!["config.services[1].port is not known"],
        ),
        (config(json!({ "image": 1 })), vec!["config.image is not a string"]),
        (config(json!({ "image": "i", "mounts": {} })), vec!["config.mounts is not an array"]),
        (config(json!({ "image": "i", "metadata": [] })), vec!["config.metadata is not an object"]),
        (json!({}), vec!["config is missing"]),
        (
            config(json!({ "image": "i", "stop_config": { "timeout": true } })),
            vec!["config.stop_config.timeout is not string or integer"],
        ),
    ] {
        assert_eq!(departures(body.clone()), what, "{body}");
    }
}

fn queries_and_answers_are_checked_too() {
    let query = |name: &str, value: &str| {
        let pair = (name.to_owned(), value.to_owned());
        check_query("list", &[pair]).iter().map(ToString::to_string).collect::<String>()
    };
    assert_eq!(query("region", "fra"), "");
    assert_eq!(query("metadata.flame_pool", "x"), "");
    assert_eq!(query("include_deleted", "yes"), "include_deleted is not a boolean");
    assert_eq!(query("metadata", "x"), "metadata is not known");
    let answer = |status, body: &Value| {
        check_answer("wait", status, Some(body)).iter().map(ToString::to_string).collect::<String>()
    };
    assert_eq!(answer(200, &json!({ "ok": true })), "");
    assert_eq!(answer(408, &json!({ "error": "late" })), "");
    assert_eq!(answer(408, &json!({ "message": "late" })), "error is missingmessage is not known");
    assert_eq!(answer(422, &json!({ "error": "full", "status": "insufficient_capacity" })), "");
    assert_eq!(answer(201, &json!({ "ok": true })), "status 201 is not known");
}
