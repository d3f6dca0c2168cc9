//! Waits for a machine to reach a state.
//!
//! Sources: "Wait for a Machine to reach a specified state" at <https://fly.io/docs/machines/api/machines-resource/>; that
//! 60 seconds are the most is what the API answers to more.

use std::time::Duration;

use serde_json::json;

use super::Call;
use crate::answer::Answer;
use crate::machine::State;
use crate::world::Shared;

const STATES: [&str; 4] = ["started", "stopped", "suspended", "destroyed"];
const LONGEST: u64 = 60;

pub(super) async fn wait(shared: &Shared, call: &Call) -> Result<Answer, Answer> {
    let wanted = call.parameter("state").unwrap_or("started");
    if !STATES.contains(&wanted) {
        return Err(Answer::invalid(format!("state {wanted} is none of {}", STATES.join(", "))));
    }
    let seconds = call.parameter("timeout").and_then(|text| text.parse().ok()).unwrap_or(LONGEST);
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Answer::invalid("invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]"));
    }
    let version = call.parameter("instance_id");
    if wanted == "stopped" && version.is_none() {
        return Err(Answer::invalid("instance_id is required to wait for stopped"));
    }

    let mut changed = shared.changed.subscribe();
    let reached = async {
        loop {
            changed.mark_unchanged();
            let state = now(shared, call, version)?;
            match state {
                state if state.name() == wanted => return Ok(Answer::ok(json!({ "ok": true }))),
                // Nothing comes after that.
                State::Destroyed => return Err(Answer::no_machine()),
                _ => {}
            }
            if changed.changed().await.is_err() || shared.is_closing() {
                return Err(Answer::refused(503, "unavailable: the simulator ends"));
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(seconds), reached).await {
        Ok(answer) => answer,
        Err(_) => {
            let state = now(shared, call, version)?.name();
            let error =
                format!("deadline_exceeded: machine failed to reach desired state, {wanted}, currently {state}");
            Err(Answer::refused(408, error))
        }
    }
}

fn now(shared: &Shared, call: &Call, version: Option<&str>) -> Result<State, Answer> {
    let mut world = shared.world.lock();
    let machine = world.machine(&call.target.app, &call.target.machine).ok_or_else(Answer::no_machine)?;
    if version.is_some_and(|version| version != machine.instance_id) {
        return Err(Answer::refused(404, "not_found: machine has no such instance"));
    }
    Ok(machine.state)
}
