//! The way of a request through the API: who asks, how often, what goes wrong, what is done, and whether all of it is
//! as the contract says.

mod create;
mod machines;
mod wait;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::action::{Action, Target};
use crate::answer::Answer;
use crate::connection::Switch;
use crate::contract::{self, Departure};
use crate::fault::{About, Effect};
use crate::world::{Request, Shared, Violation};

/// More than any description of a machine has.
const BODY_BOUND: usize = 4 << 20;

/// A request that was let in.
struct Call {
    target: Target,
    query: Vec<(String, String)>,
    body: Option<Value>,
    /// The nonce of the lease that the client holds.
    nonce: Option<String>,
}

impl Call {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn is_set(&self, name: &str) -> bool {
        self.parameter(name) == Some("true")
    }
}

/// What happens to the answer once there is one.
#[derive(Default)]
struct Fate {
    late: Duration,
    is_lost: bool,
}

pub(crate) async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(switch): ConnectInfo<Switch>,
    request: axum::extract::Request,
) -> Response {
    let (head, body) = request.into_parts();
    let at_ms = u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let body = to_bytes(body, BODY_BOUND).await.unwrap_or_default();
    let query = Query::<Vec<(String, String)>>::try_from_uri(&head.uri).map(|query| query.0).unwrap_or_default();
    let target = Target::of(&head.method, head.uri.path());
    let mut log = Request {
        at_ms,
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        action: target.as_ref().map(|target| target.action),
        query: query.clone(),
        body: serde_json::from_slice(&body).ok(),
        status: None,
        answer: None,
    };
    // In the log from now on, so that one that waits for long is seen.
    let index = {
        let mut world = shared.world.lock();
        world.requests.push(log.clone());
        world.requests.len() - 1
    };
    let mut fate = Fate::default();
    let answer = answer(&shared, target, query, &head.headers, &body, &mut fate).await;
    tokio::select! {
        () = tokio::time::sleep(fate.late) => {}
        () = shared.closed() => fate.is_lost = true,
    }
    if let (Some(action), Some(answer)) = (log.action, &answer) {
        let departures = contract::check_answer(action.name(), answer.status, answer.body.as_ref());
        violations(&shared, action, true, &departures);
    }
    log.answer = answer.as_ref().and_then(|answer| answer.body.clone());
    let given = answer.filter(|_| !fate.is_lost);
    log.status = given.as_ref().map(|answer| answer.status);
    if given.is_none() {
        switch.cut();
    }
    tracing::debug!(method = log.method, path = log.path, status = log.status, "request");
    if let Some(logged) = shared.world.lock().requests.get_mut(index) {
        *logged = log;
    }
    // It does not arrive where the connection is cut.
    given.unwrap_or_else(Answer::nothing).into_response()
}

/// None for an answer that is not to be given.
async fn answer(
    shared: &Arc<Shared>,
    target: Option<Target>,
    query: Vec<(String, String)>,
    headers: &HeaderMap,
    body: &Bytes,
    fate: &mut Fate,
) -> Option<Answer> {
    if let Err(refused) = allow(shared, headers, target.as_ref().map(|target| target.app.as_str())) {
        return Some(refused);
    }
    let Some(target) = target else { return Some(Answer::refused(404, "not_found: the simulator has no such thing")) };
    let action = target.action;
    if let Err(wait) = shared.world.lock().buckets.take(action, target.about(), Instant::now()) {
        return Some(Answer::too_often(wait));
    }
    let read = (!body.is_empty()).then(|| serde_json::from_slice::<Value>(body)).transpose();
    let body = match &read {
        Ok(body) => body.clone(),
        Err(_) => None,
    };
    let (region, size) = placed(shared, &target, body.as_ref());
    let about = About { action, region: &region, size: &size };
    let (refusal, late, is_lost) = {
        let mut world = shared.world.lock();
        let late = world.faults.take(about, |effect| matches!(effect, Effect::Slow { .. }));
        let refusal = world.faults.take(about, |effect| {
            matches!(effect, Effect::Status { .. } | Effect::DropConnection | Effect::NoCapacity)
        });
        let is_lost = refusal.is_none() && world.faults.take(about, |effect| *effect == Effect::LoseAnswer).is_some();
        (refusal, late, is_lost)
    };
    fate.is_lost = is_lost;
    if let Some(Effect::Slow { millis }) = late {
        fate.late = Duration::from_millis(millis);
    }
    match refusal {
        Some(Effect::DropConnection) => return None,
        Some(Effect::NoCapacity) => return Some(Answer::no_capacity(&region)),
        Some(Effect::Status { status, error, retry_after }) => return Some(Answer::told(status, error, retry_after)),
        _ => {}
    }
    if let Err(err) = read {
        return Some(Answer::invalid(err));
    }
    let departures = contract::check_query(action.name(), &query);
    let departures = [departures, contract::check_request(action.name(), body.as_ref())].concat();
    violations(shared, action, false, &departures);
    if contract::is_refused(&departures) {
        return Some(Answer::invalid(departures[0].clone()));
    }
    let nonce = headers.get("fly-machine-lease-nonce").and_then(|nonce| nonce.to_str().ok()).map(str::to_owned);
    let call = Call { target, query, body, nonce };
    Some(perform(shared, &call).await.unwrap_or_else(|refused| refused))
}

async fn perform(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Answer> {
    if call.target.action.needs_lease() {
        machines::check_lease(shared, call)?;
    }
    match call.target.action {
        Action::Create => create::create(shared, call),
        Action::List => machines::list(shared, call),
        Action::Get => machines::get(shared, call),
        Action::Delete => machines::delete(shared, call),
        Action::Wait => wait::wait(shared, call).await,
        Action::Start => machines::start(shared, call),
        Action::Stop => machines::stop(shared, call),
        Action::Signal => machines::signal(shared, call),
        Action::Events => machines::events(shared, call),
        Action::GetMetadata => machines::metadata(shared, call),
        Action::SetMetadata => machines::set_metadata(shared, call),
        Action::DeleteMetadata => machines::delete_metadata(shared, call),
    }
}

/// Whether whoever holds this token may ask about this app.
fn allow(shared: &Shared, headers: &HeaderMap, app: Option<&str>) -> Result<(), Answer> {
    let settings = &shared.settings;
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token {
        None => return Err(Answer::refused(401, "unauthenticated: no token; send Authorization: Bearer <token>")),
        Some((_, token)) if token.trim() != settings.token => {
            return Err(Answer::refused(401, "unauthenticated: invalid token"));
        }
        Some(_) => {}
    }
    match app {
        Some(app) if settings.forbidden_apps.contains(app) => Err(Answer::refused(403, "unauthorized")),
        Some(app) if !settings.apps.contains(app) => {
            Err(Answer::refused(404, format!("not_found: app {app} not found")))
        }
        _ => Ok(()),
    }
}

/// The region and the size of the machine that this is about.
fn placed(shared: &Shared, target: &Target, body: Option<&Value>) -> (String, String) {
    let default = || shared.settings.regions.first().cloned().unwrap_or_default();
    if target.action == Action::Create {
        let region = body.and_then(|body| body["region"].as_str()).map_or_else(default, str::to_owned);
        return (region, create::size(body.map_or(&Value::Null, |body| &body["config"]["guest"])));
    }
    let mut world = shared.world.lock();
    let machine = world.machine(&target.app, &target.machine);
    machine.map_or_else(Default::default, |machine| (machine.region.clone(), create::size(&machine.config["guest"])))
}

fn violations(shared: &Shared, action: Action, is_answer: bool, departures: &[Departure]) {
    let found = departures.iter().map(|departure| Violation { action, is_answer, what: departure.to_string() });
    for violation in found {
        tracing::warn!(%action, is_answer, "departs from the contract: {}", violation.what);
        shared.world.lock().violations.push(violation);
    }
}
