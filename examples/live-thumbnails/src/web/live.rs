//! The connection of an open page: changes go to it, what the visitor wants comes from it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};

use super::owner::{Owner, is_ours};
use crate::app::App;
use crate::patch::Patch;
use crate::visitor::VisitorMsg;
use crate::visitors::Visit;

/// Changes that wait for a page; then the page's actor waits.
const WAITING: usize = 16;
/// A page that takes nothing for so long, or from which nothing is heard, is gone.
const SILENCE: Duration = Duration::from_secs(45);
const PING: Duration = Duration::from_secs(15);

/// What a visitor wants.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wish {
    Cancel(u64),
    Kill(String),
    Remove(String),
}

pub(super) async fn open(State(app): State<Arc<App>>, headers: HeaderMap, ws: WebSocketUpgrade) -> Response {
    match Owner::of(&headers) {
        Some(owner) if is_ours(&headers) => ws.max_message_size(4096).on_upgrade(|socket| async move {
            let (page, changes) = mpsc::channel(WAITING);
            match Visit::begin(Arc::clone(&app), page, owner.id().to_owned()).await {
                // Dropped at its end, it takes its actor with it, and that its generators.
                Ok(visit) => match serve(socket, &app, &visit, changes).await {
                    Ok(()) => tracing::debug!("a page was closed"),
                    Err(err) => tracing::debug!(err = format!("{err:#}"), "a page has gone"),
                },
                Err(err) => tracing::warn!(err = format!("{err:#}"), "a page was refused"),
            }
        }),
        _ => (StatusCode::FORBIDDEN, "no page of ours").into_response(),
    }
}

async fn serve(mut socket: WebSocket, app: &App, visit: &Visit, mut changes: mpsc::Receiver<String>) -> Result<()> {
    let (mut strip, mut ping, mut heard) = (app.strip.clone(), interval(PING), Instant::now());
    send(&mut socket, Message::text(Patch::Hello { visitor: &visit.id }.json())).await?;
    strip.mark_changed();
    loop {
        tokio::select! {
            change = changes.recv() => {
                let change = change.ok_or_else(|| anyhow!("the page's actor has ended"))?;
                send(&mut socket, Message::text(change)).await?;
            }
            changed = strip.changed() => {
                changed?;
                let strip = strip.borrow_and_update().to_string();
                send(&mut socket, Message::text(strip)).await?;
            }
            message = socket.recv() => {
                heard = Instant::now();
                match message {
                    None | Some(Ok(Message::Close(_))) => return Ok(()),
                    Some(Ok(Message::Text(wish))) => grant(app, visit, serde_json::from_str(&wish)?)?,
                    Some(message) => drop(message?),
                }
            }
            _ = ping.tick() => {
                ensure!(heard.elapsed() < SILENCE, "nothing was heard of it for {SILENCE:?}");
                send(&mut socket, Message::Ping(Vec::new().into())).await?;
            }
        }
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<()> {
    match timeout(SILENCE, socket.send(message)).await {
        Ok(sent) => Ok(sent?),
        Err(_) => bail!("it took nothing for {SILENCE:?}"),
    }
}

fn grant(app: &App, visit: &Visit, wish: Wish) -> Result<()> {
    match wish {
        Wish::Cancel(upload) => visit.actor.cast(VisitorMsg::Cancel { upload })?,
        Wish::Remove(video) => visit.actor.cast(VisitorMsg::Remove { video })?,
        Wish::Kill(node) => {
            // Only what the pool says to be a runner of its own; it may have gone by now.
            if let Some(runner) = app.pool.status().runners.iter().find(|runner| runner.node == node) {
                app.cli.backend.kill(runner).unwrap_or_else(|err| tracing::warn!(%err, node, "not killed"));
            }
        }
    }
    Ok(())
}
