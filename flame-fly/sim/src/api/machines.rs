//! Shows machines, and has them start, stop and go.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Call, create};
use crate::answer::Answer;
use crate::fault::About;
use crate::host;
use crate::machine::{Machine, State};
use crate::world::Shared;

/// How long a machine has between the signal and the end of its power, unless it is said. Source: `kill_timeout` at
/// <https://fly.io/docs/reference/configuration/>.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn with<T>(
    shared: &Shared,
    call: &Call,
    with: impl FnOnce(&mut Machine) -> Result<T, Answer>,
) -> Result<T, Answer> {
    let result = {
        let mut world = shared.world.lock();
        world.machine(&call.target.app, &call.target.machine).ok_or_else(Answer::no_machine).and_then(with)
    };
    shared.changed.send_replace(());
    result
}

/// Whoever leased a machine has it alone. Source: "Create a Machine lease" of the page on machines.
pub(super) fn check_lease(shared: &Shared, call: &Call) -> Result<(), Answer> {
    with(shared, call, |machine| match &machine.lease {
        Some((nonce, until)) if *until > SystemTime::now() && call.nonce.as_ref() != Some(nonce) => {
            let until = humantime::format_rfc3339_seconds(*until);
            let error = format!("machine ID {} lease currently held by another, expires at {until}", machine.id);
            Err(Answer::refused(409, error))
        }
        _ => Ok(()),
    })
}

pub(super) fn list(shared: &Shared, call: &Call) -> Result<Answer, Answer> {
    let states: Vec<&str> = call.parameter("state").map(|states| states.split(',').collect()).unwrap_or_default();
    let metadata: Vec<(&str, &str)> =
        call.query.iter().filter_map(|(name, value)| Some((name.strip_prefix("metadata.")?, value.as_str()))).collect();
    let is_listed = |machine: &&Machine| {
        machine.app == call.target.app
            && (machine.is_here() || call.is_set("include_deleted"))
            && call.parameter("region").is_none_or(|region| region == machine.region)
            && (states.is_empty() || states.contains(&machine.state.name()))
            && metadata.iter().all(|(key, value)| machine.metadata(key) == Some(value))
    };
    let shown = |machine: &Machine| {
        let mut shown = machine.to_json();
        if call.is_set("summary") {
            // What the contract demands stays, empty.
            shown["config"] = json!({ "image": machine.image() });
            shown["events"] = json!([]);
        }
        shown
    };
    let world = shared.world.lock();
    Ok(Answer::ok(world.machines.iter().filter(is_listed).map(shown).collect()))
}

pub(super) fn get(shared: &Shared, call: &Call) -> Result<Answer, Answer> {
    with(shared, call, |machine| Ok(Answer::ok(machine.to_json())))
}

pub(super) fn events(shared: &Shared, call: &Call) -> Result<Answer, Answer> {
    with(shared, call, |machine| Ok(Answer::ok(machine.events())))
}

pub(super) fn delete(shared: &Shared, call: &Call) -> Result<Answer, Answer> {
    let is_forced = call.is_set("force") || call.is_set("kill");
    with(shared, call, |machine| {
        if !machine.is_here() {
            return Err(Answer::no_machine());
        }
        let is_down = matches!(machine.state, State::Created | State::Stopped | State::Destroying);
        if !is_forced && !is_down {
            let states = "stopped, suspended, failed, or pending";
            return Err(Answer::precondition(format!("unable to destroy machine, not currently {states}")));
        }
        if machine.state != State::Destroying {
            machine.destroying();
        }
        host::kill_machine(machine);
        if !machine.is_hosted {
            machine.destroyed();
        }
        Ok(Answer::ok(json!({ "ok": true })))
    })
}

pub(super) fn start(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Answer> {
    let mut world = shared.world.lock();
    let target = &call.target;
    let machine = world.machine(&target.app, &target.machine).ok_or_else(Answer::no_machine)?;
    let before = machine.state;
    match before {
        State::Started | State::Starting => {}
        State::Created | State::Stopped if !machine.is_hosted => {
            let (region, size) = (machine.region.clone(), create::size(&machine.config["guest"]));
            let about = About { action: target.action, region: &region, size: &size };
            let wrong = world.faults.take(about, create::is_about_boot);
            let machine = world.machine(&target.app, &target.machine).ok_or_else(Answer::no_machine)?;
            machine.starting("user");
            host::boot(shared, machine, wrong);
        }
        State::Destroyed => return Err(Answer::no_machine()),
        state => {
            return Err(Answer::precondition(format!("unable to start machine from current state: {}", state.name())));
        }
    }
    drop(world);
    shared.changed.send_replace(());
    Ok(Answer::ok(json!({ "previous_state": before.name(), "migrated": false, "new_host": "" })))
}

/// Tells the process, and cuts the power when its time is over.
pub(super) fn stop(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Answer> {
    let body = call.body.clone().unwrap_or_default();
    let stopping = with(shared, call, |machine| {
        let of_machine = &machine.config["stop_config"];
        let signal = named(&body["signal"]).or_else(|| named(&of_machine["signal"])).transpose()?;
        let time = duration(&body["timeout"]).or_else(|| duration(&of_machine["timeout"])).transpose()?;
        match machine.state {
            State::Destroyed => return Err(Answer::no_machine()),
            State::Stopped | State::Stopping | State::Destroying => return Ok(None),
            State::Created if !machine.is_hosted => return Ok(None),
            _ => {}
        }
        machine.stopping();
        host::signal(machine, signal.unwrap_or(Signal::SIGINT));
        Ok(machine.process.map(|process| (process, time.unwrap_or(STOP_TIMEOUT))))
    })?;
    if let Some((process, time)) = stopping {
        let (shared, id) = (shared.clone(), call.target.machine.clone());
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            shared.with(&id, |machine| {
                if machine.process == Some(process) {
                    host::kill_machine(machine);
                }
            });
        });
    }
    Ok(Answer::ok(json!({ "ok": true })))
}

pub(super) fn signal(shared: &Shared, call: &Call) -> Result<Answer, Answer> {
    let body = call.body.clone().unwrap_or_default();
    let signal = named(&body["signal"]).transpose()?;
    with(shared, call, |machine| {
        if machine.process.is_none() {
            return Err(Answer::precondition("machine is not running"));
        }
        host::signal(machine, signal.ok_or_else(|| Answer::invalid("signal is missing"))?);
        Ok(Answer::ok(json!({ "ok": true })))
    })
}

pub(super) fn metadata(shared: &Shared, call: &Call) -> Result<Answer, Answer> {
    with(shared, call, |machine| {
        let metadata = machine.config["metadata"].clone();
        Ok(Answer::ok(if metadata.is_null() { json!({}) } else { metadata }))
    })
}

pub(super) fn set_metadata(shared: &Shared, call: &Call) -> Result<Answer, Answer> {
    let value = call.body.as_ref().map_or(Value::Null, |body| body["value"].clone());
    with(shared, call, |machine| {
        let metadata = &mut machine.config["metadata"];
        if metadata.is_null() {
            *metadata = json!({});
        }
        metadata[&call.target.key] = value;
        Ok(Answer::nothing())
    })
}

pub(super) fn delete_metadata(shared: &Shared, call: &Call) -> Result<Answer, Answer> {
    with(shared, call, |machine| {
        if let Some(metadata) = machine.config["metadata"].as_object_mut() {
            metadata.remove(&call.target.key);
        }
        Ok(Answer::nothing())
    })
}

fn named(signal: &Value) -> Option<Result<Signal, Answer>> {
    let name = signal.as_str().filter(|name| !name.is_empty())?;
    Some(name.parse().map_err(|_| Answer::invalid(format!("there is no signal {name}"))))
}

/// Go's text, such as `1m30s`, or nanoseconds. Source: fly-go `duration.go`.
fn duration(duration: &Value) -> Option<Result<Duration, Answer>> {
    match duration {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => {
            Some(humantime::parse_duration(text).map_err(|_| Answer::invalid(format!("{text} is no duration"))))
        }
        Value::Number(nanos) => {
            Some(nanos.as_u64().map(Duration::from_nanos).ok_or_else(|| Answer::invalid("a duration below zero")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_text_of_go_or_nanoseconds() {
        for (json, seconds) in [(json!("10s"), 10), (json!("1m30s"), 90), (json!(2_000_000_000_u64), 2)] {
            let read = duration(&json).expect("there is one").expect("it is one");
            assert_eq!(read, Duration::from_secs(seconds), "{json}");
        }
        assert!(duration(&json!("soon")).expect("there is one").is_err());
        assert!(duration(&json!(null)).is_none());
    }
}
