//! What tests tell the simulator over HTTP, and ask it: all below `/_sim`, without a token.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::fault::Fault;
use crate::world::Shared;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_sim/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/_sim/machines", get(machines))
        .route("/_sim/machines/{id}/oom", post(kill_for_memory))
        .route("/_sim/requests", get(requests))
        .route("/_sim/violations", get(violations))
}

async fn faults(State(shared): State<Arc<Shared>>) -> Answer {
    Answer::ok(json!(shared.world.lock().faults.all()))
}

async fn add_fault(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    match Fault::read(&body) {
        Ok(fault) => {
            let told = json!(fault);
            shared.world.lock().faults.add(fault);
            Answer { status: 201, ..Answer::ok(told) }
        }
        Err(why) => Answer::invalid(why),
    }
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Answer {
    shared.world.lock().faults.clear();
    Answer::nothing()
}

/// As the API shows them, with the process that each one is.
async fn machines(State(shared): State<Arc<Shared>>) -> Answer {
    let world = shared.world.lock();
    let shown = world.machines.iter().map(|machine| {
        let mut shown = machine.to_json();
        shown["pid"] = machine.process.map_or(Value::Null, |process| process.as_raw().into());
        shown
    });
    Answer::ok(shown.collect())
}

async fn kill_for_memory(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Answer {
    if shared.kill_for_memory(&id) { Answer::nothing() } else { Answer::no_machine() }
}

async fn requests(State(shared): State<Arc<Shared>>) -> Answer {
    Answer::ok(json!(shared.world.lock().requests))
}

async fn violations(State(shared): State<Arc<Shared>>) -> Answer {
    Answer::ok(json!(shared.world.lock().violations))
}
